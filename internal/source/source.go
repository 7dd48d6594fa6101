// Package source finds the user's token: in a mounted Kubernetes Secret, a Secret read
// through the Kubernetes API, a file, the environment, the file of the platform's runner,
// or, only if configured, on the platform. It reads at every call, because kubelet updates
// the Secret of a running pod.
package source

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Source is a kind of place for a token.
type Source string

// The sources in order. Auto is the first of them that exists, except Backend, which must
// be named. Where the platform's runner is, Auto is Runner and nothing else.
const (
	Auto    Source = "auto"
	Mount   Source = "mount"
	API     Source = "api"
	File    Source = "file"
	Env     Source = "env"
	Backend Source = "backend"
	Runner  Source = "runner"
)

// Config has the places to search. The zero value finds nothing.
type Config struct {
	// Source is the only source to use; Auto and "" mean the first that exists.
	Source Source
	// Dirs are mount points of Secrets.
	Dirs []string
	// API reads a Secret through the Kubernetes API, and is false if it does not
	// exist; nil for none. APIWhere names the Secret.
	API      func() (Found, bool)
	APIWhere string
	// Secret is the namespace/name that API reads, "" for none.
	Secret string
	// TokenFile is the path of a file with a bare token, "" for none.
	TokenFile string
	// TokenEnv returns the token in the environment; nil for none. It is a function,
	// so that printing a Config can't show it.
	TokenEnv func() string
	// InstanceURL is the instance that TokenFile and TokenEnv belong to.
	InstanceURL string
	// Backend asks the platform; nil for none.
	Backend func() Answer
	// RunnerDir is where the platform's runner has its files; "" when it is not here, or
	// another source was asked for.
	RunnerDir string
	// RunnerInstance says which instance a token of the runner's belongs to. Where is
	// the setting that says so, in words.
	RunnerInstance func(token.Token) Answer
	// Session: this is a pod of the platform.
	Session bool
	// AllowHTTPLoopback lets instances be plain http on a loopback address.
	AllowHTTPLoopback bool
}

// Answer is a token from the platform, or why there is none.
type Answer struct {
	// Where names the place.
	Where string
	// Token returns the token's text; nil for none.
	Token func() string
	// InstanceURL is the instance that the token belongs to; "" if nothing there says so.
	InstanceURL string
	// Problem is why the token is unknown.
	Problem error
}

// Found is a place with a token, possibly an invalid one.
type Found struct {
	Source Source
	// Where names the place, Renew says how to store a new token there, and Belongs
	// names what sets the token's instance.
	Where, Renew, Belongs string
	// Trust is the hint for an untrusted authority; "" for the default.
	Trust string
	// Instance is the token's; the zero value if it can't be read.
	Instance instance.Instance
	// ByDefault: no setting names the instance of a token file or of GITLAB_TOKEN, so
	// it is DefaultInstanceURL.
	ByDefault bool
	Token     token.Token
	// Problem is why Token can't be used; nil if it can.
	Problem error
	// Fault is what is wrong with the token's text, if anything; [token.Empty] also
	// for a Secret without a key for it.
	Fault token.Fault
	// Path is the file or directory that it was read from, "" for none; Changed is
	// when it last changed, zero if unknown. Both are for display.
	Path    string
	Changed func() time.Time
	// Same reports whether the place still has this token; nil if the token may be used
	// even when it doesn't.
	Same func() bool
	// CA reads the certificate authorities of the source in PEM form; nil for none.
	// They are read only for a connection.
	CA func() ([]byte, error)
}

// DefaultDir is the Secret's mount point in a session pod, and DefaultInstanceURL the
// instance of a token without one (the platform stores "" for it).
const (
	DefaultDir         = "/var/run/secrets/acp/gitlab"
	DefaultInstanceURL = "https://gitlab.com"
)

// ofRunner reports whether the token file is that of the platform's runner.
func (c Config) ofRunner() bool { return filepath.Base(c.TokenFile) == runnerFile }

// belongsVariable says which instance a token is for whose place doesn't.
const belongsVariable = "ACP_GITLAB_INSTANCE_URL"

const reconnect = "reconnect under Settings → Integrations → GitLab"

// storing says how to store a token in a Secret of the cluster.
func storing(name string) string {
	return "store it with git-credential-acp connect --secret " + message.Quote(name)
}

// Connect says how to store a first token.
func (c Config) Connect() string {
	const (
		connect  = "connect GitLab under Settings → Integrations → GitLab"
		mounted  = connect + ", and check that the Secret is mounted"
		variable = "set GITLAB_TOKEN to a PAT, or ACP_GITLAB_TOKEN_FILE to a file with one"
	)
	switch {
	case c.RunnerDir != "":
		return turnHint
	case c.Source == Backend:
		return connect
	case c.Source == Env:
		return "create a PAT on GitLab, then set GITLAB_TOKEN to it"
	case c.wants(File) && c.TokenFile != "":
		return "create a PAT on GitLab, then " + c.writeFile()
	case c.wants(API) && c.Secret != "":
		return "create a PAT on GitLab, then " + storing(c.Secret)
	case c.Session && c.wants(Env):
		return mounted + "; in the platform's runner, a token is there only during a user's turn"
	case c.Session, c.Source == Mount:
		return mounted
	case !slices.Equal(c.Dirs, []string{DefaultDir}):
		return mounted + "; or " + variable
	}
	return variable
}

// writeFile says how to store a token in the token file.
func (c Config) writeFile() string {
	if c.ofRunner() {
		return reconnect
	}
	return "write it to " + message.Quote(c.TokenFile)
}

// Find looks at the sources in their order and returns what the first has that
// is there: several places only when several directories have a Secret, or when a
// Secret without a token is for another instance than the token that was found. An
// empty directory, as kubelet makes it for an optional Secret that does not
// exist, is not there. A Secret without a token counts only when no other source
// has one, and a mounted one with a broken token only when the cluster's has no
// better one: kubelet takes a minute or two to bring a new version in. Where the
// platform's runner is, only its file has a token. The second result names the places
// looked at.
func (c Config) Find() (found []Found, looked []string) {
	if c.RunnerDir != "" {
		f := c.runner()
		return []Found{f}, []string{f.Where}
	}
	var mounts []Found
	if c.wants(Mount) {
		for _, dir := range c.Dirs {
			looked = append(looked, "the Secret at "+message.Quote(dir))
			if f, there := c.mount(dir); there {
				mounts = append(mounts, f)
			}
		}
		if slices.ContainsFunc(mounts, func(f Found) bool { return f.Fault == "" }) {
			return mounts, looked
		}
	}
	broken := slices.ContainsFunc(mounts, func(f Found) bool { return f.Fault != token.Empty })
	waiting := mounts
	if c.wants(API) && c.API != nil {
		looked = append(looked, c.APIWhere)
		f, there := c.API()
		switch {
		case there && f.Fault == token.Empty:
			waiting = append(waiting, f)
		case there && (f.Problem == nil || !broken):
			return before(f, waiting), looked
		}
	}
	if broken {
		return mounts, looked
	}
	found, more := c.others()
	looked = append(looked, more...)
	if len(found) == 0 && c.wants(File) && c.TokenFile != "" {
		missing, _ := c.file()
		waiting = append(waiting, missing)
	}
	if len(found) == 0 {
		return waiting, looked
	}
	return before(found[0], waiting), looked
}

// before is a place, after those without a token for other instances.
func before(f Found, waiting []Found) []Found {
	return append([]Found{f}, slices.DeleteFunc(waiting, func(w Found) bool { return w.Instance == f.Instance || w.Instance == instance.Instance{} })...)
}

// others searches the sources other than Secrets.
func (c Config) others() ([]Found, []string) {
	var looked []string
	if c.wants(File) && c.TokenFile != "" {
		looked = append(looked, "the token file "+message.Quote(c.TokenFile))
		if f, there := c.file(); there {
			return []Found{f}, looked
		}
	}
	if c.wants(Env) {
		looked = append(looked, "the environment variable GITLAB_TOKEN")
		if f, there := c.env(); there {
			return []Found{f}, looked
		}
	}
	if c.Source == Backend && c.Backend != nil {
		answer := c.Backend()
		looked = append(looked, answer.Where)
		if f, there := c.backend(answer); there {
			return []Found{f}, looked
		}
	}
	return nil, looked
}

func (c Config) wants(s Source) bool { return c.Source == "" || c.Source == Auto || c.Source == s }

// Sources lists every source in order.
func Sources() []Source { return []Source{Auto, Mount, API, File, Env, Backend, Runner} }

// ParseSource reads the name of a source; "" is Auto.
func ParseSource(text string) (Source, error) {
	if text == "" {
		return Auto, nil
	}
	if s := Source(text); slices.Contains(Sources(), s) {
		return s, nil
	}
	var known []string
	for _, s := range Sources() {
		known = append(known, string(s))
	}
	return Auto, sourceUnknown(known)
}

// file reads the token file; there is false, and the place says so, when it does not
// exist.
func (c Config) file() (f Found, there bool) {
	f = Found{Source: File, Path: c.TokenFile, Changed: func() time.Time { return changed(os.Stat(c.TokenFile)) },
		Where: "the token file " + message.Quote(c.TokenFile),
		Renew: c.writeFile(), Belongs: belongsVariable}
	text, there, problem := readPath(c.TokenFile)
	switch {
	case problem != nil:
		f.Problem = problem
	case there:
		f.setToken(text)
	case c.ofRunner():
		f.Problem, f.Fault = errNoTurn(c.TokenFile), token.Empty
	default:
		f.Problem, f.Fault = errTokenFileMissing(c.TokenFile, c.Connect()), token.Empty
	}
	f.ByDefault = strings.TrimSpace(c.InstanceURL) == ""
	f.setInstance(c.InstanceURL, belongsVariable, c.AllowHTTPLoopback)
	return f, there
}

func (c Config) env() (Found, bool) {
	if c.TokenEnv == nil || c.TokenEnv() == "" {
		return Found{}, false
	}
	f := Found{Source: Env, Where: "the environment variable GITLAB_TOKEN", Renew: "set GITLAB_TOKEN to it",
		Belongs: belongsVariable, Changed: func() time.Time { return time.Time{} }}
	f.ByDefault = strings.TrimSpace(c.InstanceURL) == ""
	f.setToken(c.TokenEnv())
	f.setInstance(c.InstanceURL, belongsVariable, c.AllowHTTPLoopback)
	return f, true
}

func (c Config) backend(answer Answer) (Found, bool) {
	f := Found{Source: Backend, Where: answer.Where, Renew: reconnect, Belongs: "the instance URL of the connection there",
		Changed: func() time.Time { return time.Time{} }, Problem: answer.Problem}
	if f.Problem != nil || answer.Token == nil {
		return f, f.Problem != nil
	}
	f.setToken(answer.Token())
	url, where := answer.InstanceURL, "the reply of "+answer.Where
	if url == "" {
		url, where, f.Belongs = c.InstanceURL, belongsVariable, belongsVariable
		f.ByDefault = strings.TrimSpace(url) == ""
	}
	f.setInstance(url, where, c.AllowHTTPLoopback)
	return f, true
}

// changed is a file's modification time.
func changed(info os.FileInfo, err error) time.Time {
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (f *Found) setToken(text string) {
	tok, err := token.Parse(text)
	var fault *token.Error
	if errors.As(err, &fault) {
		f.Problem, f.Fault = message.TokenFault(fault, f.Where, f.Renew), fault.Fault
		return
	}
	f.Token = tok
}

// setInstance reads the instance URL from where. An invalid one is the Problem, and leaves
// the instance unknown, except for a URL that is only http.
func (f *Found) setInstance(raw, where string, allowHTTPLoopback bool) {
	if strings.Trim(raw, " \t\r\n\ufeff") == "" {
		raw = DefaultInstanceURL
	}
	i, err := instance.Parse(raw, allowHTTPLoopback)
	if err != nil {
		f.Problem, f.Token, f.Fault = message.InstanceInvalid(where, err), token.Token{}, ""
		var insecure *instance.InsecureError
		if errors.As(err, &insecure) {
			i = insecure.Meant
		}
	}
	f.Instance = i
}
