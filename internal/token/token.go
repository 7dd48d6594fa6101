// Package token has a type for a GitLab Personal Access Token (PAT) that can't be printed
// by accident. It rejects other text, other kinds of tokens and truncated tokens without
// asking GitLab.
package token

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Token is a PAT. It is in a closure, so that printing or encoding a value that contains
// it can't show it. The zero value is no token.
type Token struct{ reveal func() string }

const redacted = "[redacted]"

// maxLength is well above GitLab's longest tokens (routable ones have under 300 bytes).
const maxLength = 1024

// Fault names what is wrong with a text that should be a PAT.
type Fault string

// The faults that are found without asking GitLab.
const (
	// Empty: only white space.
	Empty Fault = "token-empty"
	// Broken: white space within, as from a paste over two lines.
	Broken Fault = "token-broken"
	// Garbled: invalid bytes, or far too many.
	Garbled Fault = "token-garbled"
	// OtherKind: the prefix is another kind of credential's.
	OtherKind Fault = "token-other-kind"
	// Damaged: the checksum of a routable token does not match.
	Damaged Fault = "token-damaged"
	// Quoted: quotes or brackets around it. Kind says which.
	Quoted Fault = "token-quoted"
	// Placeholder: text to be replaced by a token. Kind says what.
	Placeholder Fault = "token-placeholder"
	// Variable: a reference to a variable, as in a template.
	Variable Fault = "token-variable"
	// Wrapped: a token in other text, or no token. Kind says what.
	Wrapped Fault = "token-not-bare"
	// Encoded: in base64; Kind says how often.
	Encoded Fault = "token-encoded"
	// UTF16: text in UTF-16.
	UTF16 Fault = "token-wide-text"
	// Path: the name of a file.
	Path Fault = "token-path"
)

// Faults lists every fault, for tests.
func Faults() []Fault {
	return []Fault{Empty, Broken, Garbled, OtherKind, Damaged, Quoted, Placeholder, Variable, Wrapped, Encoded, UTF16, Path}
}

// Error is for a text that can't be a PAT. It contains no part of the text but a
// well-known prefix.
type Error struct {
	Fault Fault
	// Kind describes what was found, for faults with several forms. It is one of a
	// few fixed texts.
	Kind string
}

// Error is the predicate of a sentence about the token.
func (e *Error) Error() string {
	switch e.Fault {
	case Empty:
		return "is empty"
	case Broken:
		return "contains white space or a line break"
	case OtherKind:
		return "is " + e.Kind + ", not a Personal Access Token"
	case Damaged:
		return "is cut or mistyped: its checksum does not match"
	case Quoted:
		return "has " + e.Kind + " around it"
	case Placeholder:
		return "is " + e.Kind + ", not a token"
	case Variable:
		return "is an unexpanded variable"
	case Wrapped:
		return "is " + e.Kind + ", not a bare token"
	case Encoded:
		return "is encoded in " + e.Kind
	case UTF16:
		return "is text in UTF-16"
	case Path:
		return "is the path of a file, not a token"
	}
	return "contains characters that are invalid in a token"
}

// kinds are the prefixes of GitLab's other tokens (GitLab's documentation, "Token
// prefixes") and of GitHub's.
var kinds = []struct{ prefix, name string }{
	{"gldt-", "a deploy token"},
	{"glcbt-", "a CI job token"},
	{"gloas-", "an OAuth application secret"},
	{"glrt-", "a runner token"},
	{"glrtr-", "a runner registration token"},
	{"glptt-", "a pipeline trigger token"},
	{"glft-", "a feed token"},
	{"glimt-", "an incoming mail token"},
	{"glagent-", "a Kubernetes agent token"},
	{"glwt-", "a workspace token"},
	{"glsoat-", "a SCIM token"},
	{"glffct-", "a feature flags client token"},
	{"github_pat_", "a GitHub token"},
	{"ghp_", "a GitHub token"},
	{"gho_", "a GitHub token"},
	{"ghs_", "a GitHub token"},
	{"ghu_", "a GitHub token"},
	{"ghr_", "a GitHub token"},
	{"sha256~", "an OpenShift token"},
	{"sk-ant-", "an Anthropic API key"},
}

// personal is the usual prefix of a PAT. An instance can have another, and old tokens
// have none.
const personal = "glpat-"

// Parse reads a token. White space around it is trimmed, and so is a byte order
// mark. The error is an *Error.
func Parse(text string) (Token, error) {
	text, problem := bare(text)
	if problem == nil {
		problem = unusable(text)
	}
	if problem != nil {
		return Token{}, problem
	}
	return Token{reveal: func() string { return text }}, nil
}

// bare trims a text, and finds the faults that any kind of token can have.
func bare(text string) (string, *Error) {
	if isUTF16(text) {
		return "", &Error{Fault: UTF16}
	}
	text = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "\ufeff"))
	switch {
	case text == "":
		return "", &Error{Fault: Empty}
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && !strings.ContainsRune(space, r) || r == 0x7f }):
		return "", &Error{Fault: Garbled}
	}
	return text, shape(text)
}

// unusable finds the faults that are specific to a PAT.
func unusable(text string) *Error {
	switch times := encoded(text); {
	case times == 1:
		return &Error{Fault: Encoded, Kind: "base64"}
	case times > 1:
		return &Error{Fault: Encoded, Kind: "base64, more than once"}
	case jwt(text):
		return &Error{Fault: OtherKind, Kind: "a JSON Web Token (eyJ...)"}
	case strings.ContainsAny(text, space):
		return &Error{Fault: Broken}
	}
	for _, kind := range kinds {
		if strings.HasPrefix(text, kind.prefix) {
			return &Error{Fault: OtherKind, Kind: kind.name + " (" + kind.prefix + ")"}
		}
	}
	switch {
	case len(text) > maxLength, strings.Trim(text, alphabet) != "", strings.HasSuffix(text, "="):
		return &Error{Fault: Garbled}
	case damaged(text):
		return &Error{Fault: Damaged}
	}
	return nil
}

// Issued is a token that GitLab has just issued, in whatever form. It is the zero value
// for a text that can't be sent.
func Issued(text string) Token {
	if text == "" || len(text) > maxLength || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return Token{}
	}
	return Token{reveal: func() string { return text }}
}

// damaged reports whether a text is a routable token (GitLab's "routable tokens" design)
// with a wrong checksum. A text that only may be routable is not rejected, since an
// instance's prefix can contain a dot.
func damaged(text string) bool {
	dot := strings.IndexByte(text, '.')
	if dot < 0 {
		return false
	}
	if at := strings.Index(text, personal); at >= 0 {
		// After GitLab's prefix, only routable tokens have a dot.
		body := text[at+len(personal):]
		return strings.Contains(body, ".") && !routable(text)
	}
	return looksRoutable(text) && !routable(text)
}

// checksumLength is the length in characters of a routable token's end: two for the
// length and seven for the CRC-32, in base 36.
const checksumLength = 9

// looksRoutable reports whether text has the form of a routable token:
// <prefix><b64>.01.<LL><CCCCCCC>, or, older, <prefix><b64>.<LL><CCCCCCC>.
func looksRoutable(text string) bool {
	dot := strings.LastIndexByte(text, '.')
	if dot < 0 || len(text)-dot-1 != checksumLength {
		return false
	}
	tail, head := text[dot+1:], strings.TrimSuffix(text[:dot], ".01")
	if strings.Trim(tail, "0123456789abcdefghijklmnopqrstuvwxyz") != "" {
		return false
	}
	length, err := strconv.ParseUint(tail[:2], 36, 16)
	if err != nil || length == 0 || int(length) > len(head) {
		return false
	}
	_, err = base64.RawURLEncoding.DecodeString(head[len(head)-int(length):])
	return err == nil
}

// routable reports whether text is a routable token with a valid checksum: the IEEE
// CRC-32, in base 36, of everything before it.
func routable(text string) bool {
	if !looksRoutable(text) {
		return false
	}
	at := len(text) - 7
	sum, err := strconv.ParseUint(text[at:], 36, 64)
	return err == nil && sum == uint64(crc32.ChecksumIEEE([]byte(text[:at])))
}

// Form describes the token's form without revealing it: its prefix if it is GitLab's own,
// and whether it has a checksum.
func (t Token) Form() string {
	text, form := t.Reveal(), "an instance's own prefix or none"
	if strings.HasPrefix(text, personal) {
		form = "the prefix " + personal
	}
	if routable(text) {
		return form + ", and a valid checksum"
	}
	return form + ", without a checksum"
}

// Reveal returns the token, "" for no token. Its callers are the answer to git, the
// Authorization header to the token's own instance, and digests.
func (t Token) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// PublicPrefix is the length in bytes of GitLab's own prefix, which is no secret; 0 for a
// token without it.
func (t Token) PublicPrefix() int {
	if strings.HasPrefix(t.Reveal(), personal) {
		return len(personal)
	}
	return 0
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.reveal == nil }

// Format prints a token as "[redacted]", whatever the verb.
func (t Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText encodes a token as "[redacted]", for JSON and logs.
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Mask replaces in text whatever looks like a GitLab token: a known prefix followed by at
// least eight characters, dots included.
func Mask(text string) string {
	var out strings.Builder
	known := append([]string{personal}, prefixes()...)
	for len(text) > 0 {
		length := 0
		for _, prefix := range known {
			if rest, found := strings.CutPrefix(text, prefix); found {
				own := len(rest) - len(strings.TrimLeft(rest, characters))
				if own >= window {
					length = max(length, len(prefix)+own)
				}
			}
		}
		if length == 0 {
			out.WriteByte(text[0])
			text = text[1:]
			continue
		}
		out.WriteString(redacted)
		text = text[length:]
	}
	return out.String()
}

// characters are those of tokens.
const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."

func prefixes() []string {
	var all []string
	for _, kind := range kinds {
		all = append(all, kind.prefix)
	}
	return all
}

// window is the length in characters from which a part of a token is redacted.
const window = 8

// Redact replaces in text the token, any part of it of eight characters or more, and the
// same of its base64 forms in a Basic credential. It is a last line of defense.
func (t Token) Redact(text string) string {
	secret := t.Reveal()
	if secret == "" {
		return text
	}
	marked := make([]bool, len(text))
	found := mark(marked, text, secret)
	// Base64 depends on the offset of the input, modulo three.
	for offset := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + secret))
		encoded = strings.TrimRight(encoded, "=")
		if skip := (offset*8 + 5) / 6; skip < len(encoded)-1 {
			found = mark(marked, text, encoded[skip:len(encoded)-1]) || found
		}
	}
	if !found {
		return text
	}
	var out strings.Builder
	for i := range len(text) {
		switch {
		case !marked[i]:
			out.WriteByte(text[i])
		case i == 0 || !marked[i-1]:
			out.WriteString(redacted)
		}
	}
	return out.String()
}

// mark marks every part of secret in text.
func mark(marked []bool, text, secret string) bool {
	size := min(window, len(secret))
	found := false
	for i := 0; i+size <= len(text); i++ {
		if strings.Contains(secret, text[i:i+size]) {
			found = true
			for n := i; n < i+size; n++ {
				marked[n] = true
			}
		}
	}
	return found
}
