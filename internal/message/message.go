// Package message holds the words of the program: every line that people read
// when something is wrong, in one place, so that code, documents and tests
// agree. A message says first what is wrong and then what to do. No message
// ever holds a token or text that a server sent.
package message

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ambient-code/git-credential-acp/internal/instance"
)

// Topic is the beginning of a message, in the words that readers of the
// platform's guide search for.
type Topic string

// The topics. RateLimit and NotVerified mean that nothing was learned; Warning
// and Waiting stop nobody; the others are refusals.
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

// Error is something to tell people: what is wrong and what to do about it.
type Error struct {
	// Code is the stable name of the message, and its anchor in
	// docs/troubleshooting.md.
	Code  string
	Topic Topic
	// What says what is wrong; Hint what to do about it, or is empty.
	What, Hint string
}

// Error is the message without its hint: "topic: what".
func (e *Error) Error() string { return string(e.Topic) + ": " + e.What }

// Lines are what is printed of an error, a line each, without prefix.
func (e *Error) Lines() []string {
	if e.Hint == "" {
		return []string{e.Error()}
	}
	return []string{e.Error(), "hint: " + e.Hint}
}

// As is err as an Error; nil for nil. An error of another type is a bug: its text
// could hold anything, so it is not shown.
func As(err error) *Error {
	var e *Error
	if err != nil && !errors.As(err, &e) {
		return &Error{Code: "bug", Topic: Internal, What: "an unexpected error", Hint: reportHint}
	}
	return e
}

// Is reports whether err has that code.
func Is(err error, code string) bool { return err != nil && As(err).Code == code }

// Unverified reports whether err says that nothing was learned, rather than that
// something is wrong.
func Unverified(err error) bool {
	return err != nil && (As(err).Topic == RateLimit || As(err).Topic == NotVerified)
}

// add is err with more at the end of what it says.
func add(err error, text string) error {
	e := *As(err)
	e.What += text
	return &e
}

// Signed adds who signed the certificate that err is about, in the certificate's
// own words.
func Signed(err error, signer string) error { return add(err, " (signer: "+Quote(signer)+")") }

// Holding adds the scopes that the token does hold.
func Holding(err error, scopes []string) error {
	held := "none"
	if len(scopes) > 0 {
		var quoted []string
		for _, scope := range scopes {
			quoted = append(quoted, Quote(scope))
		}
		held = and(quoted)
	}
	return add(err, "; it holds "+held)
}

// BrokenOff adds that there had been a connection.
func BrokenOff(err error) error { return add(err, " any more: it broke off before an answer") }

// Besides adds the warnings among notes: what was tried in vain.
func Besides(err error, notes []error) error {
	for _, note := range notes {
		if m := As(note); m.Topic == Warning {
			err = add(err, "; "+m.What)
		}
	}
	return err
}

// maxQuoted bounds what is shown of a text from outside, in bytes.
const maxQuoted = 200

// Quote makes a text from outside fit for a terminal and a log: as it is when
// it is plain, else quoted with escapes, and never longer than a line.
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

// MalformedRequest is for input that breaks git's protocol. It has one line
// only: it may well be an attack, and there is nobody to help.
func MalformedRequest(why error) error {
	return &Error{Code: "malformed-request", Topic: Malformed, What: why.Error() + "; nothing was answered"}
}

// RequestLate is for a request that has not ended after limit.
func RequestLate(limit time.Duration) error {
	return &Error{Code: "request-late", Topic: Malformed, What: "it did not end within " + limit.String() + "; nothing was answered"}
}

// Overtime is said when the check goes on although its time is up.
func Overtime() error {
	return &Error{Code: "overtime", Topic: NotVerified,
		What: "the check did not end when its time was up",
		Hint: "see whether a file of certificate authorities is on a disk that does not answer"}
}

// MalformedPath is for a request for our instance whose path names no place
// that GitLab can have.
func MalformedPath(why error) error {
	return &Error{Code: "malformed-path", Topic: Malformed, What: "the path " + why.Error() + "; nothing was answered"}
}

// Downgraded is for a request for our host over plain http.
func Downgraded(url string) error {
	return &Error{Code: "plain-http", Topic: Configuration,
		What: "git asks for the token over plain http, which would show it to the network; use " + url + " in the remote instead"}
}

// SettingInvalid is for an environment variable or flag with a value that
// can't be. The value is not shown: it could be a secret in the wrong place.
func SettingInvalid(name string, why error) error {
	return &Error{Code: "setting-invalid", Topic: Configuration,
		What: "the value of " + name + " is " + why.Error(),
		Hint: "correct " + name + ", or unset it to get the default"}
}

// TokenFileUnset is for a source that needs the path of a file.
func TokenFileUnset() error {
	return &Error{Code: "token-file-unset", Topic: Configuration,
		What: "ACP_GITLAB_SOURCE is file, and ACP_GITLAB_TOKEN_FILE is not set",
		Hint: "set ACP_GITLAB_TOKEN_FILE to the path of the file with the token"}
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
			hint = "write " + Quote(url) + ", and behind it the path of GitLab itself, if it has one"
		}
	}
	return &Error{Code: "instance-invalid", Topic: ruledBy(where), What: "the instance URL in " + where + " " + why.Error(), Hint: hint}
}

// ruledBy is the topic of a value that can't be: who typed a flag has used the
// program wrongly, and everything else is configuration.
func ruledBy(where string) Topic {
	if strings.HasPrefix(where, "--") {
		return Usage
	}
	return Configuration
}

// NotConnected is for a request for an instance that is known, but of which
// there is no token. Places are where one was looked for, and connect says how to
// bring one there.
func NotConnected(instance string, places []string, connect string) error {
	return &Error{Code: "not-connected", Topic: Configuration,
		What: "GitLab is not connected: there is no token for " + instance + " (looked at " + strings.Join(places, ", ") + ")", Hint: connect}
}

// TokenFileMissing is for a token file that does not exist, where there is no other
// source; connect is as for NotConnected.
func TokenFileMissing(path, connect string) error {
	return &Error{Code: "token-file-missing", Topic: Configuration,
		What: "GitLab is not connected: the token file " + Quote(path) + ", which ACP_GITLAB_TOKEN_FILE names, does not exist", Hint: connect}
}

// NoTurn is for the token file of the platform's runner, while it does not exist.
func NoTurn(path string) error {
	return &Error{Code: "no-turn", Topic: Configuration,
		What: "no user's turn is running: the platform's runner writes the token to " + Quote(path) + " at each turn, and removes it afterwards",
		Hint: "run git within a turn; if this is one, its user has to connect GitLab under Settings → Integrations → GitLab"}
}

// OtherInstance is for a request for an instance that is known, while the only
// token, found at where, belongs to another one, as the setting belongs says.
func OtherInstance(asked, have, where, belongs string) error {
	hint := "connect " + asked + " under Settings → Integrations → GitLab, or correct " + belongs
	if strings.HasPrefix(belongs, "ACP_") {
		hint = "if the token is for " + asked + ", set " + belongs + " to its URL; else put a token of " + asked + " there"
	}
	return &Error{Code: "other-instance", Topic: Configuration,
		What: "the token from " + where + " belongs to " + have + ", not to " + asked,
		Hint: hint + " (without it, a token belongs to gitlab.com)"}
}

// Ambiguous is for a request without a path for a host with two instances.
func Ambiguous(one, other string) error {
	return &Error{Code: "ambiguous-instance", Topic: Configuration,
		What: "git does not say whether it wants the token of " + one + " or of " + other,
		Hint: "set credential.useHttpPath to true in git's configuration"}
}

// AllowedUnverified is said when ACP_GITLAB_ON_UNVERIFIED=allow lets a token
// out over why.
func AllowedUnverified(why error) error {
	m := *As(why)
	m.Code = "allowed-unverified"
	m.What += "; the token is handed to its own instance all the same"
	m.Hint = "ACP_GITLAB_ON_UNVERIFIED=allow says so; unset it to refuse what can't be verified"
	return &m
}

// Unanswerable is for a credential that git's protocol can't carry.
func Unanswerable(err error) error {
	return &Error{Code: "unanswerable", Topic: Configuration, What: err.Error(),
		Hint: "take the user name out of the remote's URL"}
}

// SecretNotDirectory is for a Secret's place that is something else.
func SecretNotDirectory(path string) error {
	return &Error{Code: "secret-not-directory", Topic: Configuration,
		What: Quote(path) + " is not a directory",
		Hint: "set ACP_GITLAB_SECRET_DIR to the directory where the Secret is mounted; for a single file there is ACP_GITLAB_TOKEN_FILE"}
}

// FileUnreadable is for a file, named by where, that can't be read.
func FileUnreadable(where, why string) error {
	return &Error{Code: "file-unreadable", Topic: Configuration,
		What: where + " can't be read: " + why,
		Hint: "see that it is a regular file that this user id may read (a mounted Secret is, by default)"}
}

// FileTooLarge is for a file or key, named by where, that can't be what it should
// be, because of its size; limit is in KiB.
func FileTooLarge(where string, limit int) error {
	return &Error{Code: "file-too-large", Topic: Configuration,
		What: fmt.Sprintf("%s is larger than %d KiB", where, limit),
		Hint: "see that it holds what its name says and nothing else"}
}

// TokenKeyMissing is for a Secret, named by where, that holds no token. renew says
// how to bring one there.
func TokenKeyMissing(where, renew string) error {
	return &Error{Code: "token-key-missing", Topic: Configuration,
		What: where + " has neither a key token nor a key credentials.json",
		Hint: renew + ", or write the token to the Secret's key token"}
}

// TwoForms is for a Secret, named by where, that has the keys of both forms, key
// among them, so that nobody knows which counts.
func TwoForms(where, key string) error {
	return &Error{Code: "two-forms", Topic: Configuration,
		What: where + " has both a key " + key + " and a key credentials.json",
		Hint: "remove one of the two keys from the Secret"}
}

// CredentialsGarbled is for a credentials.json, named by where, that can't be
// understood.
func CredentialsGarbled(where string) error {
	return &Error{Code: "credentials-garbled", Topic: Configuration,
		What: where + ` is not a JSON object such as {"token":"…","instanceUrl":"https://…"}, with each key once`,
		Hint: "reconnect under Settings → Integrations → GitLab so that the platform writes it anew"}
}

// CAInvalid is for a file of certificate authorities that can't be used.
func CAInvalid(where, why string) error {
	return &Error{Code: "ca-invalid", Topic: Configuration,
		What: "the certificate authorities in " + where + " can't be used: " + why,
		Hint: "see that it is a file of certificates in PEM form (-----BEGIN CERTIFICATE-----)"}
}

// SourceUnknown is for an ACP_GITLAB_SOURCE that is none; known lists the ones
// there are.
func SourceUnknown(known []string) error {
	return SettingInvalid("ACP_GITLAB_SOURCE", fmt.Errorf("not one of %s", strings.Join(known, ", ")))
}
