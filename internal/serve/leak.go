package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/token"
)

// tokens are those that a request was sent to GitLab with.
type tokens []token.Token

// in reports whether a text contains one, as holds does.
func (all tokens) in(text string) bool {
	return slices.ContainsFunc(all, func(t token.Token) bool { return holds(t, text) })
}

func (all tokens) redact(text string) string {
	for _, t := range all {
		text = t.Redact(text)
	}
	return text
}

// forms are what a stream is searched for.
func (all tokens) forms() (found [][]byte) {
	for _, t := range all {
		found = append(found, formsOf(t)...)
	}
	return found
}

// holds reports whether a text contains the token, a part of it, or either in base64, also if
// the text is percent-encoded or URL-safe base64.
func holds(t token.Token, text string) bool {
	forms := []string{text, strings.NewReplacer("-", "+", "_", "/").Replace(text)}
	if plain, err := url.PathUnescape(text); err == nil {
		forms = append(forms, plain)
	}
	if plain, err := url.QueryUnescape(text); err == nil {
		forms = append(forms, plain)
	}
	for _, form := range forms {
		if t.Redact(form) != form {
			return true
		}
	}
	return strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte(t.Reveal())))
}

// formsOf are the beginnings of a token and of its base64 at each of the three offsets. Short
// ones make the search fast.
func formsOf(t token.Token) (all [][]byte) {
	const length = 24
	add := func(form string) { all = append(all, []byte(form[:min(len(form), length)])) }
	secret := t.Reveal()
	if secret == "" {
		return nil
	}
	add(secret)
	for at := range 3 {
		// The characters at the ends depend on adjacent text.
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", at) + secret))
		if form := encoded[(at*8+5)/6 : len(encoded)-1]; form != "" {
			add(form)
			if other := strings.NewReplacer("+", "-", "/", "_").Replace(form); other != form {
				add(other)
			}
		}
	}
	return all
}

var errLeak = errors.New("the token is in the answer")

// guard is a body without the token: reading fails before a complete form is returned.
type guard struct {
	io.ReadCloser
	// leaked is called when one is found.
	leaked func()
	forms  [][]byte
	// buffer[from:to] can be read; what follows may be the beginning of a form.
	buffer   []byte
	from, to int
	err      error
}

func newGuard(body io.ReadCloser, forms [][]byte, leaked func()) *guard {
	return &guard{ReadCloser: body, forms: forms, leaked: leaked}
}

// Read is that of io.Reader.
func (g *guard) Read(p []byte) (int, error) {
	for g.from == g.to && g.err == nil {
		g.fill(len(p))
	}
	n := copy(p, g.buffer[g.from:g.to])
	g.from += n
	if n > 0 {
		return n, nil
	}
	return 0, g.err
}

func (g *guard) fill(size int) {
	rest := copy(g.buffer, g.buffer[g.to:])
	if need := rest + max(size, 512); cap(g.buffer) < need {
		g.buffer = append(make([]byte, 0, need), g.buffer[:rest]...)
	}
	g.buffer = g.buffer[:cap(g.buffer)]
	n, err := g.ReadCloser.Read(g.buffer[rest:])
	g.buffer = g.buffer[:rest+n]
	g.from, g.to, g.err = 0, len(g.buffer), err
	for _, form := range g.forms {
		if bytes.Contains(g.buffer, form) {
			g.to, g.err = 0, errLeak
			g.leaked()
			return
		}
		for n := min(len(form)-1, len(g.buffer)); err == nil && n > len(g.buffer)-g.to; n-- {
			if bytes.HasSuffix(g.buffer, form[:n]) {
				g.to = len(g.buffer) - n
				break
			}
		}
	}
}
