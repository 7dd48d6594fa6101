package token

import (
	"errors"
	"fmt"
	"strings"
)

// Bearer is a bearer token for the platform: a user's, or a session's bot token. It is a
// type of its own so that it can't be confused with a [Token], and like that can't be
// printed. The zero value is no token.
type Bearer struct{ token Token }

// maxBearer is the longest accepted token in bytes; a service account's has about 1,000.
const maxBearer = 16 << 10

// minBearer is the shortest accepted token in bytes: redacting less would take letters out
// of every message.
const minBearer = 4

// ParseBearer reads a bearer token (RFC 6750, 2.1). White space around it is
// trimmed, and so is a byte order mark. The error says what is wrong and never
// quotes the text.
func ParseBearer(text string) (Bearer, error) {
	text, problem := bare(text)
	if problem != nil && problem.Fault == OtherKind {
		return Bearer{}, errors.New("is " + problem.Kind + ", not a platform token")
	} else if problem != nil {
		return Bearer{}, problem
	}
	decoded, _ := decode(text)
	switch {
	case strings.ContainsAny(text, space):
		return Bearer{}, &Error{Fault: Broken}
	case len(text) < minBearer:
		return Bearer{}, errors.New("is too short to be a token")
	case strings.HasPrefix(text, personal):
		return Bearer{}, errors.New("is a GitLab token, not a platform token")
	case jwt(decoded) || strings.HasPrefix(decoded, "sha256~"):
		return Bearer{}, &Error{Fault: Encoded, Kind: "base64"}
	case len(text) > maxBearer || strings.HasPrefix(text, "=") || strings.Trim(strings.TrimRight(text, "="), characters+"~+/") != "":
		return Bearer{}, &Error{Fault: Garbled}
	}
	return Bearer{Token{reveal: func() string { return text }}}, nil
}

// Reveal returns the token, "" for no token. Its only caller is the Authorization header
// to the platform.
func (b Bearer) Reveal() string { return b.token.Reveal() }

// IsZero reports whether there is no token.
func (b Bearer) IsZero() bool { return b.token.IsZero() }

// Format prints a token as "[redacted]", whatever the verb.
func (b Bearer) Format(s fmt.State, verb rune) { b.token.Format(s, verb) }

// MarshalText encodes a token as "[redacted]", for JSON and logs.
func (b Bearer) MarshalText() ([]byte, error) { return b.token.MarshalText() }

// Redact is as [Token.Redact].
func (b Bearer) Redact(text string) string { return b.token.Redact(text) }
