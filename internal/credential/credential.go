// Package credential is git's credential-helper wire format: lines of key=value
// in and out. It uses no files and no network and has no policy.
//
// The format is git's (git-credential(1), "INPUT/OUTPUT FORMAT", and
// git's credential.c). This reader is stricter than git's own, because what
// git tolerates has been used to steer credentials to other hosts: a carriage
// return (CVE-2024-52006), a second host line (CVE-2020-5260), a missing host
// or protocol (CVE-2020-11008).
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
	// MaxLine is the longest line in bytes, its line feed included, that git's
	// protocol allows.
	MaxLine = 65535
	// MaxInput bounds a whole request in bytes. git sends a few hundred; a
	// server's WWW-Authenticate headers, passed on as wwwauth[], are what can
	// make it long.
	MaxInput = 1 << 20
)

// Attribute is one line of the protocol. A key that ends in "[]" may repeat;
// the order of such lines matters.
type Attribute struct{ Key, Value string }

// MalformedError says why a request was not understood. It never quotes the
// input, which may be hostile to a terminal or hold a secret.
type MalformedError struct {
	// Line is the number of the offending line, from 1; 0 when it is the
	// request as a whole.
	Line   int
	Reason string
}

// Error says what is wrong, and in which line; it holds nothing of the line.
func (e *MalformedError) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d %s", e.Line, e.Reason)
}

// Read reads attributes up to a blank line or the end of the input. Input that
// breaks a rule of the protocol gives a *MalformedError and no attributes;
// other errors are the reader's own.
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
			reason = "repeats an attribute that may stand once"
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

// readLine returns one line without its line feed. Only LF separates lines:
// a reader that also knows CR LF would drop a carriage return unseen.
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

// parseLine splits a line at its first "="; reason is empty when it is good.
func parseLine(line []byte) (attr Attribute, reason string) {
	key, value, found := strings.Cut(string(line), "=")
	switch {
	case !found:
		return attr, `has no "="`
	case key == "":
		return attr, "has no name before the \"=\""
	}
	// A tab may stand in an HTTP header (RFC 9110, 5.5), and so in wwwauth[].
	tabAllowed := strings.HasSuffix(key, "[]")
	for _, text := range []string{key, value} {
		for i := range len(text) {
			switch c := text[i]; {
			case c == '\r':
				return attr, "holds a carriage return"
			case c == 0:
				return attr, "holds a NUL byte"
			case c == '\t' && tabAllowed:
			case c < 0x20 || c == 0x7f:
				return attr, "holds a control character"
			}
		}
	}
	return Attribute{Key: key, Value: value}, ""
}

// Marshal gives the lines for attrs. It refuses what Read would refuse, naming
// the key but never the value, so that nothing can be smuggled into an answer.
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
			return nil, fmt.Errorf("attribute %q stands twice", a.Key)
		}
		known[a.Key] = true
		out.WriteString(line)
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// Request is what git asks for. Every field is as git sent it: unverified, in
// git's raw form (the host keeps its port and its case, the path has been
// percent-decoded once by git).
type Request struct {
	Protocol string
	Host     string
	Path     string
	Username string
	// Capabilities are the names that git offers (since git 2.46).
	Capabilities []string
	// States are what helpers gave git with an answer, for the next request of the
	// same command (git 2.46). Anybody's: each helper knows its own by a prefix.
	States []string
	// Password reveals the password or the authtype credential that git sends
	// along with erase and store; nil when there is none. It is a function so
	// that printing a Request can't print it.
	Password func() string
}

// ReadRequest reads a request and refuses one without a protocol, or one over
// HTTP without a host. git asks about others that have none: for a certificate's
// password, it names a file (git's http.c, has_cert_password).
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
		return Request{}, &MalformedError{Reason: "the request names no protocol"}
	}
	if req.Host == "" && (req.Protocol == "https" || req.Protocol == "http") {
		return Request{}, &MalformedError{Reason: "the request names no host"}
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

// basic takes the user name and password out of the credential of a Basic
// Authorization header (RFC 7617), "" if it is none.
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
	// Authtype is a whole Authorization header value instead of a user name and a
	// password.
	Authtype = "authtype"
	// State has git ask again, with a state that it was given, when the login
	// with an answer fails.
	State = "state"
)

// Login is a user name and password for git.
type Login struct {
	Username string
	// Password reveals the secret; a function, so that printing can't.
	Password func() string
	// Expiry is when the password stops working; zero when it doesn't or
	// nobody knows.
	Expiry time.Time
	// State, unless it is "", comes back with git's next request in the same
	// command, which it makes if the login fails. Only for a git that offers the
	// state capability.
	State string
}

// Answer gives the bytes that hand login to git. To a git that offers the
// authtype capability it is one ephemeral Authorization header, which leaves
// nothing for another helper in the chain to keep; otherwise a user name and a
// password.
func (r Request) Answer(login Login) ([]byte, error) {
	if strings.Contains(login.Username, ":") {
		return nil, errors.New("the user name has a colon in it, which a login can't (RFC 7617)")
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

// Quit is the answer that makes git stop rather than ask the next helper or a
// terminal that isn't there.
func Quit() []byte { return []byte("quit=1\n") }

// Capabilities is the answer to git's capability operation.
func Capabilities() []byte {
	return []byte("version 0\ncapability " + Authtype + "\ncapability " + State + "\n")
}
