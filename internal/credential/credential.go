// Package credential is git's credential-helper wire format: lines of key=value. It uses
// no files and no network and has no policy.
//
// The format is git's (git-credential(1), "INPUT/OUTPUT FORMAT", and git's credential.c).
// This reader is stricter than git's, because input that git accepted has been used to
// send credentials to other hosts: a carriage return (CVE-2024-52006), a second host line
// (CVE-2020-5260), a missing host or protocol (CVE-2020-11008).
package credential

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxLine is the longest line that git's protocol allows, in bytes with the line
	// feed.
	MaxLine = 65535
	// MaxInput is the longest request in bytes. git sends a few hundred, plus a
	// server's WWW-Authenticate headers as wwwauth[].
	MaxInput = 1 << 20
)

// Attribute is one line of the protocol. A key that ends in "[]" may repeat;
// the order of such lines matters.
type Attribute struct{ Key, Value string }

// MalformedError says why a request is malformed. It never quotes the input, which may
// contain terminal escapes or a secret.
type MalformedError struct {
	// Line is the line's number, from 1; 0 for the request as a whole.
	Line   int
	Reason string
}

// Error names the line and the problem.
func (e *MalformedError) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d %s", e.Line, e.Reason)
}

// Read reads attributes up to a blank line or the end of the input. For input that
// violates the protocol, it returns a *MalformedError and no attributes; other errors are
// the reader's.
func Read(r io.Reader) ([]Attribute, error) {
	limited := &io.LimitedReader{R: r, N: MaxInput + 1}
	in := bufio.NewReaderSize(limited, 4096)
	var attrs []Attribute
	known := map[string]bool{}
	for number := 1; ; number++ {
		line, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			var malformed *MalformedError
			if errors.As(err, &malformed) {
				malformed.Line = number
			}
			return nil, err
		}
		if limited.N <= 0 {
			return nil, &MalformedError{Reason: "the request is longer than 1 MiB"}
		}
		if len(line) == 0 {
			return attrs, nil
		}
		attr, reason := parseLine(line)
		if reason == "" && !strings.HasSuffix(attr.Key, "[]") && known[attr.Key] {
			reason = "repeats an attribute that may appear only once"
		}
		known[attr.Key] = true
		if reason != "" {
			return nil, &MalformedError{Line: number, Reason: reason}
		}
		attrs = append(attrs, attr)
		if errors.Is(err, io.EOF) {
			return attrs, nil
		}
	}
}

// readLine returns one line without its line feed. Only LF separates lines: a reader that
// accepts CR LF would silently drop a carriage return.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > MaxLine {
			return nil, &MalformedError{Reason: "is longer than 65535 bytes"}
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
}

// parseLine splits a line at its first "="; reason is "" if it is valid.
func parseLine(line []byte) (attr Attribute, reason string) {
	key, value, found := strings.Cut(string(line), "=")
	switch {
	case !found:
		return attr, `has no "="`
	case key == "":
		return attr, "has no name before the \"=\""
	}
	// HTTP headers may contain tabs (RFC 9110, 5.5), and so may wwwauth[].
	tabAllowed := strings.HasSuffix(key, "[]")
	for _, text := range []string{key, value} {
		for i := range len(text) {
			switch c := text[i]; {
			case c == '\r':
				return attr, "contains a carriage return"
			case c == 0:
				return attr, "contains a NUL byte"
			case c == '\t' && tabAllowed:
			case c < 0x20 || c == 0x7f:
				return attr, "contains a control character"
			}
		}
	}
	return Attribute{Key: key, Value: value}, ""
}

// Marshal returns the lines for attrs. It rejects what Read would reject, so that nothing
// can be injected into an answer; the error names the key, never the value.
func Marshal(attrs []Attribute) ([]byte, error) {
	var out bytes.Buffer
	known := map[string]bool{}
	for _, a := range attrs {
		line := a.Key + "=" + a.Value
		if len(line)+1 > MaxLine {
			return nil, fmt.Errorf("attribute %q is longer than a line of git's protocol", a.Key)
		}
		parsed, reason := parseLine([]byte(line))
		if strings.Contains(line, "\n") || reason != "" || parsed != a {
			return nil, fmt.Errorf("attribute %q can't be written as a line of git's protocol", a.Key)
		}
		if !strings.HasSuffix(a.Key, "[]") && known[a.Key] {
			return nil, fmt.Errorf("attribute %q appears twice", a.Key)
		}
		known[a.Key] = true
		out.WriteString(line)
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// Request is git's request. Fields are as git sent them and unverified: the host has its
// port and case, and git has percent-decoded the path once.
type Request struct {
	Protocol string
	Host     string
	Path     string
	Username string
	// Capabilities are the names that git offers (since git 2.46).
	Capabilities []string
	// States are what helpers gave git with an answer, for the next request of the
	// same command (git 2.46). Each helper's has its own prefix.
	States []string
	// Password returns the password or the authtype credential that git sends with
	// erase and store; nil for none. It is a function so that printing a Request
	// can't print it.
	Password func() string
}

// ReadRequest reads a request. It rejects one without a protocol, or over HTTP without a
// host. For a certificate's password, git sends a file and no host (git's http.c,
// has_cert_password).
func ReadRequest(r io.Reader) (Request, error) {
	attrs, err := Read(r)
	if err != nil {
		return Request{}, err
	}
	var req Request
	var password, credential string
	for _, a := range attrs {
		switch a.Key {
		case "protocol":
			req.Protocol = a.Value
		case "host":
			req.Host = a.Value
		case "path":
			req.Path = a.Value
		case "username":
			req.Username = a.Value
		case "capability[]":
			req.Capabilities = append(req.Capabilities, a.Value)
		case "state[]":
			req.States = append(req.States, a.Value)
		case "password":
			password = a.Value
		case "credential":
			credential = a.Value
		}
	}
	if req.Protocol == "" {
		return Request{}, &MalformedError{Reason: "the request has no protocol"}
	}
	if req.Host == "" && (req.Protocol == "https" || req.Protocol == "http") {
		return Request{}, &MalformedError{Reason: "the request has no host"}
	}
	if password == "" {
		var name string
		if name, password = basic(credential); req.Username == "" {
			req.Username = name
		}
	}
	if password != "" {
		req.Password = func() string { return password }
	}
	return req, nil
}

// basic returns the user name and password in the credential of a Basic Authorization
// header (RFC 7617), "" if it is not one.
func basic(credential string) (name, password string) {
	decoded, err := base64.StdEncoding.DecodeString(credential)
	if err != nil {
		return "", ""
	}
	name, password, _ = strings.Cut(string(decoded), ":")
	return name, password
}

// Offers reports whether git offers the capability.
func (r Request) Offers(capability string) bool {
	for _, c := range r.Capabilities {
		if c == capability {
			return true
		}
	}
	return false
}

// The capabilities of this helper (git 2.46).
const (
	// Authtype is an Authorization header instead of a user name and a password.
	Authtype = "authtype"
	// State makes git ask again, with the state of the answer, if the login fails.
	State = "state"
)

// Login is a user name and password for git.
type Login struct {
	Username string
	// Password returns the secret; a function, so that printing can't show it.
	Password func() string
	// Expiry is when the password expires; zero if never or unknown.
	Expiry time.Time
	// State, unless "", comes back with git's next request in the same command if the
	// login fails. Only for a git that offers the state capability.
	State string
}

// Answer returns the answer with login. For a git that offers the authtype capability, it
// is an ephemeral Authorization header, which no other helper stores; otherwise a user
// name and a password.
func (r Request) Answer(login Login) ([]byte, error) {
	if strings.Contains(login.Username, ":") {
		return nil, errors.New("the user name contains a colon, which is not allowed in a login (RFC 7617)")
	}
	var attrs []Attribute
	if r.Offers(Authtype) {
		basic := base64.StdEncoding.EncodeToString([]byte(login.Username + ":" + login.Password()))
		attrs = []Attribute{{"capability[]", Authtype}, {"authtype", "Basic"}, {"credential", basic}, {"ephemeral", "1"}}
	} else {
		attrs = []Attribute{{"username", login.Username}, {"password", login.Password()}}
	}
	if login.State != "" && r.Offers(State) {
		attrs = append([]Attribute{{"capability[]", State}}, attrs...)
		attrs = append(attrs, Attribute{"state[]", login.State}, Attribute{"continue", "1"})
	}
	if !login.Expiry.IsZero() {
		attrs = append(attrs, Attribute{"password_expiry_utc", strconv.FormatInt(login.Expiry.Unix(), 10)})
	}
	return Marshal(attrs)
}

// Quit is the answer that makes git stop instead of asking another helper or the user.
func Quit() []byte { return []byte("quit=1\n") }

// Capabilities is the answer to git's capability operation.
func Capabilities() []byte {
	return []byte("version 0\ncapability " + Authtype + "\ncapability " + State + "\n")
}
