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
func (all tokens) forms() (found []form) {
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

// form is the beginning of a token in an encoding. The first public bytes are no secret.
type form struct {
	text   []byte
	public int
}

// formsOf are the beginnings of a token and of its base64 at each of the three offsets. Short
// ones make the search fast, and let little through of a token that something else cuts short.
func formsOf(t token.Token) (all []form) {
	const length = 12
	secret, prefix := t.Reveal(), t.PublicPrefix()
	add := func(text string, public int) {
		// Of a token without a known prefix, a few bytes must pass, as they end many streams.
		all = append(all, form{[]byte(text[:min(len(text), length)]), max(public, 4)})
	}
	if secret == "" {
		return nil
	}
	add(secret, prefix)
	for at := range 3 {
		// The characters at the ends depend on adjacent text.
		encoded, first := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", at)+secret)), (at*8+5)/6
		if text := encoded[first : len(encoded)-1]; text != "" {
			public := (at+prefix)*8/6 - first
			add(text, public)
			if other := strings.NewReplacer("+", "-", "/", "_").Replace(text); other != text {
				add(other, public)
			}
		}
	}
	return all
}

var errLeak = errors.New("the token is in the answer")

// guard is a body without the token: reading fails before a complete form is returned, or one
// that the body's end cuts off after its public bytes.
type guard struct {
	io.ReadCloser
	// leaked is called when one is found.
	leaked func()
	forms  []form
	// buffer[from:to] can be read; what follows may be the beginning of a form.
	buffer   []byte
	from, to int
	err      error
}

func newGuard(body io.ReadCloser, forms []form, leaked func()) *guard {
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
		cut := form.cut(g.buffer)
		if bytes.Contains(g.buffer, form.text) || err != nil && cut > form.public {
			g.to, g.err = 0, errLeak
			g.leaked()
			return
		}
		if err == nil {
			g.to = min(g.to, len(g.buffer)-cut)
		}
	}
}

// cut is how many bytes at the end of a text are a beginning of the form.
func (f form) cut(text []byte) int {
	for n := min(len(f.text)-1, len(text)); n > 0; n-- {
		if bytes.HasSuffix(text, f.text[:n]) {
			return n
		}
	}
	return 0
}
