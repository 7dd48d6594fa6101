package scripttest

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// machine is the state of one script.
type machine struct {
	dir, home string
	gitlab    *gitlabtest.Server // the one started last
	platform  *gitlabtest.Platform
	bots      map[string]string // tokens for the platform, by session
	proxies   []*gitlabtest.Proxy
	at        string // name and port of the victim's GitLab
	listeners map[string][]*gitlabtest.Listener
	relays    []*relay
	closers   []func()
	users     []string
	// through returns the last proxy's requests; went is how many the command through has
	// checked.
	through func() []string
	went    int
	tokens  map[string]string // by name
	secrets map[string]bool   // files and directories that may hold a token
	before  map[string]string // files at the start, for the command left
}

type machineKey struct{}

func (m *machine) close() {
	for _, c := range m.closers {
		c()
	}
}

// commands are the scripts' own commands; the package comment describes them.
var commands = map[string]func(*machine, *testscript.TestScript, []string) error{
	"gitlab":       (*machine).startGitLab,
	"user":         (*machine).addUser,
	"token":        (*machine).addToken,
	"project":      (*machine).addProject,
	"fault":        (*machine).addFault,
	"gitrefuses":   (*machine).gitRefuses,
	"ratelimit":    (*machine).rateLimit,
	"secret":       (*machine).mountSecret,
	"requests":     (*machine).wantRequests,
	"platform":     (*machine).startPlatform,
	"session":      (*machine).addSession,
	"platformuser": (*machine).addPlatformUser,
	"connection":   (*machine).setConnection,
	"pod":          (*machine).enterPod,
	"turn":         (*machine).setTurn,
	"credential":   (*machine).addCredential,
	"pushes":       (*machine).wantPushes,
	"proxy":        (*machine).startProxy,
	"through":      (*machine).wantThrough,
	"listener":     (*machine).startListener,
	"relay":        (*machine).startRelay,
	"seen":         (*machine).wantSeen,
	"unseen":       (*machine).wantUnseen,
	"victim":       (*machine).makeVictim,
	"intercept":    (*machine).intercept,
	"exits":        (*machine).wantExit,
	"within":       (*machine).wantWithin,
	"file":         (*machine).writeFile,
	"left":         (*machine).wantLeft,
}

// options are KEY=VALUE arguments, and words (with the value "true").
type options map[string]string

func parseOptions(args []string) options {
	o := options{}
	for _, arg := range args {
		key, value, found := strings.Cut(arg, "=")
		if !found {
			value = "true"
		}
		o[key] = value
	}
	return o
}

func (o options) is(key string) bool { return o[key] != "" }

func (o options) number(key string) int {
	n, _ := strconv.Atoi(o[key])
	return n
}

func (m *machine) git(args ...string) error {
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "HOME="+m.home, "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (*machine) wantExit(ts *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	code, err := exitCode(ts.Exec(args[1], args[2:]...))
	if err == nil && code != want {
		err = fmt.Errorf("exit code %d, want %d", code, want)
	}
	return err
}

func (*machine) wantWithin(ts *testscript.TestScript, args []string) error {
	limit, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	began := time.Now()
	err = ts.Exec(args[1], args[2:]...)
	if took := time.Since(began); err == nil && took > limit {
		err = fmt.Errorf("it took %v", took)
	}
	return err
}

func (m *machine) writeFile(ts *testscript.TestScript, args []string) error {
	path := ts.MkAbs(args[0])
	m.secrets[path] = true
	text := unquote(args[1])
	if size, found := strings.CutPrefix(args[1], "size="); found {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		text = strings.Repeat("x", n)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func (m *machine) wantLeft(_ *testscript.TestScript, args []string) error {
	now := m.files()
	if slices.Equal(args, []string{"reset"}) {
		m.before = now
		return nil
	}
	for name, is := range now {
		expected := slices.ContainsFunc(args, func(path string) bool {
			return name == path || strings.HasPrefix(name, path+"/")
		})
		if is != m.before[name] && !expected {
			return fmt.Errorf("%s was left or changed", name)
		}
	}
	for name := range m.before {
		if _, there := now[name]; !there {
			return fmt.Errorf("%s is gone", name)
		}
	}
	for _, path := range args {
		if _, there := now[path]; !there {
			return fmt.Errorf("%s is not there", path)
		}
	}
	return nil
}

// files returns the mode and content of each file, except recorded output and files that may
// have a token.
func (m *machine) files() map[string]string {
	found := map[string]string{}
	_ = filepath.WalkDir(m.dir, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(m.dir, path)
		switch {
		case err != nil:
			return nil
		case (m.secrets[path] || name == recordDir) && entry.IsDir():
			return filepath.SkipDir
		case m.secrets[path]:
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		is := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			is = fmt.Sprintf("%s %x %v", is, sha256.Sum256(data), err)
		case info.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			is += " " + to
		}
		found[name] = is
		return nil
	})
	return found
}
