// Package source finds the user's token: in a mounted Kubernetes Secret, a Secret
// read through the Kubernetes API, a file, the environment, the file of the platform's
// runner, or, only if configured, on the platform. It reads again at every call, because kubelet replaces a rotated
// Secret in a running pod.
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

// Source is a kind of place that a token can come from.
type Source string

// The sources, in the order in which they are looked at. Auto is the first of
// them that is there, but for Backend: that one is asked only when it is named. Where
// the platform's runner is, Auto is Runner and nothing else.
const (
	Auto    Source = "auto"
	Mount   Source = "mount"
	API     Source = "api"
	File    Source = "file"
	Env     Source = "env"
	Backend Source = "backend"
	Runner  Source = "runner"
)

// Config says where to look. The zero value finds nothing.
type Config struct {
	// Source is the only source to look at; Auto and "" mean the first that is
	// there.
	Source Source
	// Dirs are directories in each of which a Secret may be mounted.
	Dirs []string
	// API reads a Secret through the Kubernetes API, and is false when that does
	// not exist; nil when it is not to be asked. APIWhere says where it looks.
	API      func() (Found, bool)
	APIWhere string
	// Secret is the namespace/name that API reads, "" when there is none.
	Secret string
	// TokenFile is the path of a file with a bare token, "" for none.
	TokenFile string
	// TokenEnv reads the environment variable with a bare token; a function,
	// so that printing a Config can't show it. Nil means there is none.
	TokenEnv func() string
	// InstanceURL is the instance that TokenFile and TokenEnv belong to.
	InstanceURL string
	// Backend asks the platform; nil means that there is none to ask.
	Backend func() Answer
	// RunnerDir is where the platform's runner has its files; "" when it is not here, or
	// another source was asked for.
	RunnerDir string
	// RunnerInstance says which instance a token of the runner's belongs to. Where is
	// the setting that says so, in words.
	RunnerInstance func(token.Token) Answer
	// Session says that this is a pod, where the platform gives the token.
	Session bool
	// AllowHTTPLoopback lets instances be plain http on a loopback address.
	AllowHTTPLoopback bool
}

// Answer is what a place beyond this machine has, or why that is not known.
type Answer struct {
	// Where is the place in words.
	Where string
	// Token gives the text of the token; nil when there is none.
	Token func() string
	// InstanceURL is the instance that the token belongs to; "" if nothing there says so.
	InstanceURL string
	// Problem says why nothing is known of a token.
	Problem error
}

// Found is a place with a token, or with something that should be one.
type Found struct {
	Source Source
	// Where is the place in words, Renew how to bring a new token there, and
	// Belongs what says which instance the token is for.
	Where, Renew, Belongs string
	// Trust is what people can do when the instance's authority is not trusted;
	// "" when the token's place says nothing else than usual.
	Trust string
	// Instance is the one that the token belongs to; the zero value when the
	// place is too broken to tell.
	Instance instance.Instance
	// ByDefault: nothing names the instance of a token file or of GITLAB_TOKEN, so it
	// is DefaultInstanceURL.
	ByDefault bool
	Token     token.Token
	// Problem says why Token can't be used; nil when it can.
	Problem error
	// Fault is what is wrong with the token's text, if that is the problem;
	// [token.Empty] also when a Secret has no key for one.
	Fault token.Fault
	// Path is the file or directory that it was read from, "" for none; Changed
	// is when its content last changed, zero when that is not known. People want
	// to know; nothing depends on it.
	Path    string
	Changed func() time.Time
	// Same reports whether the place still has this token; nil if the token may be used
	// even when it doesn't.
	Same func() bool
	// CA reads the certificate authorities that came with the token, in PEM
	// form; nil when the source has none. Nobody needs them until a connection
	// is made, so they are not read before.
	CA func() ([]byte, error)
}

// DefaultDir is where a session pod has its Secret, and DefaultInstanceURL the
// instance that a token without one belongs to (the platform stores "" for it).
const (
	DefaultDir         = "/var/run/secrets/acp/gitlab"
	DefaultInstanceURL = "https://gitlab.com"
)

// ofRunner reports whether the token file is that of the platform's runner.
func (c Config) ofRunner() bool { return filepath.Base(c.TokenFile) == runnerFile }

// belongsVariable says which instance a token is for whose place doesn't.
const belongsVariable = "ACP_GITLAB_INSTANCE_URL"

const reconnect = "reconnect under Settings → Integrations → GitLab"

// storing says how to bring a token into a Secret of the cluster; the platform does
// not write to it.
func storing(name string) string {
	return "store it with git-credential-acp connect --secret " + message.Quote(name)
}

// Connect says how to bring a first token to where it is looked for.
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

// writeFile says how to bring a token into the token file.
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
// platform's runner is, only its file is looked at. The second result names the places
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

// before gives a place, and those that wait for a token for another instance.
func before(f Found, waiting []Found) []Found {
	return append([]Found{f}, slices.DeleteFunc(waiting, func(w Found) bool { return w.Instance == f.Instance || w.Instance == instance.Instance{} })...)
}

// others looks at the sources that are no Secrets.
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

// Sources lists every source, in the order in which they are looked at.
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

// changed is when a file was written.
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

// setInstance reads the instance URL that stands at where. One that can't be
// used is the problem to tell, and leaves the instance unknown, since nobody can
// say whom the token belongs to; but for one that is only http.
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
