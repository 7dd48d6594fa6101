// Package message has the errors that users see: a code, what is wrong, and a hint.
// No message contains a token or text from a server.
package message

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ambient-code/git-credential-acp/internal/instance"
)

// Topic is the beginning of a message, in the words of the platform's guide.
type Topic string

// The topics. RateLimit and NotVerified mean that GitLab gave no verdict; Warning and
// Waiting stop nothing; the others are refusals.
const (
	Authentication Topic = "authentication failed"
	Permissions    Topic = "insufficient permissions"
	Configuration  Topic = "configuration"
	Malformed      Topic = "malformed request"
	RateLimit      Topic = "rate limit exceeded"
	NotVerified    Topic = "not verified"
	Warning        Topic = "warning"
	Waiting        Topic = "waiting"
	Usage          Topic = "usage"
	Internal       Topic = "internal error"
)

// Error is a message to the user: what is wrong and what to do about it.
type Error struct {
	// Code is the stable name of the message, explained in
	// docs/messages.md.
	Code  string
	Topic Topic
	// What says what is wrong; Hint what to do about it, or is empty.
	What, Hint string
}

// Error is the message without its hint: "topic: what".
func (e *Error) Error() string { return string(e.Topic) + ": " + e.What }

// Lines are the lines to print, without prefix.
func (e *Error) Lines() []string {
	if e.Hint == "" {
		return []string{e.Error()}
	}
	return []string{e.Error(), "hint: " + e.Hint}
}

// As is err as an Error; nil for nil. An error of another type is a bug, and its text
// is not shown since it could contain a secret.
func As(err error) *Error {
	var e *Error
	if err != nil && !errors.As(err, &e) {
		return &Error{Code: "bug", Topic: Internal, What: "an unexpected error", Hint: reportHint}
	}
	return e
}

// Is reports whether err has that code.
func Is(err error, code string) bool { return err != nil && As(err).Code == code }

// Unverified reports whether err means that GitLab gave no verdict.
func Unverified(err error) bool {
	return err != nil && (As(err).Topic == RateLimit || As(err).Topic == NotVerified)
}

// maxQuoted is the most that is shown of untrusted text, in bytes.
const maxQuoted = 200

// Quote makes untrusted text safe for a terminal and a log: unchanged if it is plain
// ASCII without spaces, otherwise quoted with escapes, and cut to maxQuoted.
func Quote(text string) string {
	if len(text) > maxQuoted {
		text = strings.ToValidUTF8(text[:maxQuoted], "") + "..."
	}
	for _, r := range text {
		if r <= ' ' || r >= utf8.RuneSelf || r == '"' || r == '\\' || r == 0x7f {
			return strconv.QuoteToASCII(text)
		}
	}
	if text == "" {
		return `""`
	}
	return text
}

// MalformedRequest is for input that breaks git's protocol. It has no hint, since it
// may be an attack.
func MalformedRequest(why error) error {
	return &Error{Code: "malformed-request", Topic: Malformed, What: why.Error() + "; nothing was answered"}
}

// SettingInvalid is for an environment variable or flag with an invalid value, which
// is not shown since it could be a secret.
func SettingInvalid(name string, why error) error {
	return &Error{Code: "setting-invalid", Topic: Configuration,
		What: "the value of " + name + " is " + why.Error(),
		Hint: "correct " + name + ", or unset it to use the default"}
}

// InstanceInvalid is for an instance URL, found at where, that can't be used.
func InstanceInvalid(where string, why error) error {
	hint := "use the form https://gitlab.example.com, with a port or path where the instance has one"
	var mistake *instance.Error
	if errors.As(why, &mistake) {
		switch url, whole := mistake.Instead(); {
		case url != "" && whole:
			hint = "write " + Quote(url)
		case url != "":
			hint = "write " + Quote(url) + ", followed by GitLab's own path if it has one"
		}
	}
	return &Error{Code: "instance-invalid", Topic: TopicOf(where), What: "the instance URL in " + where + " " + why.Error(), Hint: hint}
}

// TopicOf is the topic for an invalid value: usage for a flag, else configuration.
func TopicOf(where string) Topic {
	if strings.HasPrefix(where, "--") {
		return Usage
	}
	return Configuration
}

// NotConnected is for a request for a known instance without a token. Places were
// searched for one, and connect says how to store one.
func NotConnected(instance string, places []string, connect string) error {
	return &Error{Code: "not-connected", Topic: Configuration,
		What: "GitLab is not connected: there is no token for " + instance + " (looked at " + strings.Join(places, ", ") + ")", Hint: connect}
}

// OtherInstance is for a request for a known instance when the only token, from where,
// belongs to another one, as the setting belongs says.
func OtherInstance(asked, have, where, belongs string) error {
	hint := "connect " + asked + " under Settings → Integrations → GitLab, or correct " + belongs
	if strings.HasPrefix(belongs, "ACP_") {
		hint = "if the token is for " + asked + ", set " + belongs + " to its URL; otherwise use a token for " + asked
	}
	return &Error{Code: "other-instance", Topic: Configuration,
		What: "the token from " + where + " belongs to " + have + ", not to " + asked,
		Hint: hint + " (if unset, a token belongs to gitlab.com)"}
}

// FileUnreadable is for a file, named by where, that can't be read.
func FileUnreadable(where, why string) error {
	return &Error{Code: "file-unreadable", Topic: Configuration,
		What: where + " can't be read: " + why,
		Hint: "check that it is a regular file that this user may read (by default, a mounted Secret is)"}
}

// FileTooLarge is for a file or key, named by where, of more than limit KiB.
func FileTooLarge(where string, limit int) error {
	return &Error{Code: "file-too-large", Topic: Configuration,
		What: fmt.Sprintf("%s is larger than %d KiB", where, limit),
		Hint: "check that it contains only what it should"}
}

// CredentialsGarbled is for an invalid credentials.json, named by where.
func CredentialsGarbled(where string) error {
	return &Error{Code: "credentials-garbled", Topic: Configuration,
		What: where + ` is not a JSON object such as {"token":"…","instanceUrl":"https://…"}, with each key once`,
		Hint: "reconnect under Settings → Integrations → GitLab so that the platform rewrites it"}
}

// CAInvalid is for a file of certificate authorities that can't be used.
func CAInvalid(where, why string) error {
	return &Error{Code: "ca-invalid", Topic: Configuration,
		What: "the certificate authorities in " + where + " can't be used: " + why,
		Hint: "check that it is a file of certificates in PEM form (-----BEGIN CERTIFICATE-----)"}
}

// BadInstance reports that an instance URL can't be used.
func BadInstance(err error) bool { return Is(err, "instance-invalid") }
