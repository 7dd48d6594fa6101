package cli

import (
	"fmt"
	"io"
	"sync"

	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// printer prints messages. It is safe for concurrent use.
type printer struct {
	to io.Writer

	mu sync.Mutex
	// hidden is the token for the platform, and tokens are those for GitLab, once they
	// were read.
	hidden token.Bearer
	tokens []token.Token
}

// hide redacts a token for the platform in all that is printed from now on.
func (p *printer) hide(bearer token.Bearer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hidden = bearer
}

// hideToken redacts a token in all that is printed from now on.
func (p *printer) hideToken(tok token.Token) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = append(p.tokens, tok)
}

// clean redacts known tokens, and text that looks like one.
func (p *printer) clean(text string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text = p.hidden.Redact(text)
	for _, tok := range p.tokens {
		text = tok.Redact(text)
	}
	return token.Mask(text)
}

// lines are a message's lines, redacted and with terminal escapes quoted.
func (p *printer) lines(m error, redact func(string) string) []string {
	lines := message.As(m).Lines()
	for n, line := range lines {
		lines[n] = message.Printable(p.clean(redact(line)))
	}
	return lines
}

// tell prints a message.
func (p *printer) tell(m error, redact func(string) string) {
	for _, line := range p.lines(m, redact) {
		p.print(line)
	}
}

// line prints one line.
func (p *printer) line(text string) { p.print(message.Printable(p.clean(text))) }

func (p *printer) print(line string) { _, _ = fmt.Fprintf(p.to, "%s: %s\n", Name, line) }

func asIs(text string) string { return text }
