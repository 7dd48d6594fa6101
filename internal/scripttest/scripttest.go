// Package scripttest runs the scripts in testdata/scripts against git, the
// program and the fakes of package gitlabtest. Each script gets a home directory
// of its own and nothing of the caller's environment. After each script, all
// files and all output of the program are searched for parts of the script's
// tokens.
//
// Scripts use the commands and conditions of testscript, and these. Values are
// quoted as in Go (\n, \x1b). [x] is optional, a word such as old is a flag.
//
// # The program
//
//	exec ask [op=OPERATION] [exit=CODE] [flag=FLAG]… [via=git] [signal=TERM|INT|KILL] [raw=TEXT] [KEY=VALUE]…
//
// calls the program as git does, with the attributes KEY=VALUE on standard
// input, or raw=TEXT alone. Without host and protocol, the request is for the
// fake GitLab. It fails unless the exit code is the given one (0). With via=git,
// "git credential fill" makes the call. With signal, it waits for an interrupt
// and then sends the program that signal.
//
//	exits CODE PROGRAM [ARGUMENT]…
//
// runs a program and fails unless it exits with that code.
//
//	within DURATION PROGRAM [ARGUMENT]…
//
// runs a program and fails if it does, or takes longer. Leave room for a slow machine.
//
// # GitLab
//
//	gitlab [path=/gitlab] [hosts=a,b] [cert=KIND] [http1] [http] [old] [clients] [untrusted]
//
// starts a fake GitLab and sets GITLAB (its URL), GITLAB_HOST, GITLAB_PORT and
// GITLAB_CA. git trusts it by http.sslCAInfo in ~/.gitconfig, unless it is
// untrusted. With clients it asks for a client certificate, and makes CLIENT_CERT
// and CLIENT_KEY.
//
//	user NAME [admin] [forbidden=TEXT] [name=TEXT] [commit=ADDRESS]
//
// adds an account with the e-mail address NAME@example.com.
//
//	token NAME user=USER [name=TEXT] [scopes=a,b] [expires=DATE|never|DAYSd] [revoked] [used] [granular] [kind=oauth] [value=TOKEN]
//
// adds or changes a token, with all four scopes and a year to live by default.
// It sets TOKEN_NAME, and BASIC_NAME (its Basic credential).
//
//	project PATH [USER=LEVEL] [group:USER=LEVEL] [invited:USER=LEVEL] [archived] [public] [old=PATH] [deleted=DATE] [protected=BRANCH] [empty] [norepo] [disabled] [group]
//
// adds or changes a project. With group, it is a group.
//
//	fault [platform:]MATCH [status=503] [times=2] [retry=SECONDS] [date=+1h] [delay=1s] [html] [hang] [close] [cut] [endless] [drip=GAP] [size=N] [to=URL] [http2] [unless=HEADER:TEXT] [BODY]
//	fault clear
//	fault ban LIMIT
//
// makes GitLab (or the platform) answer wrong; see [gitlabtest.Fault]. BODY is
// body=TEXT, nested=LEVELS, bomb=MiB (compressed) or headers=KiB. With nothing
// but times, that many requests are answered right. clear removes all faults; ban
// blocks git after that many failed logins.
//
//	gitrefuses [STATUS TEXT]
//
// makes git refuse every login, or (without arguments) no longer.
//
//	pushes PROJECT [USER]…
//
// fails unless these users have pushed to the project, in this order.
//
//	ratelimit N
//
// allows each token N API requests an hour.
//
//	secret TOKEN|- [dir=DIR] [form=json] [KEY=VALUE|KEY]…
//
// mounts a Secret as kubelet does, or replaces it. It has the keys token,
// instanceUrl and ca.crt; KEY=VALUE replaces one, KEY alone leaves it out.
//
//	requests [[platform:]ENDPOINT=N]… [connections=N]
//	requests reset
//	requests await ENDPOINT=N…
//
// fails unless GitLab (or the platform) got that many requests since the last
// call; await waits for them.
//
// # The platform
//
//	platform [http] [old]
//
// starts a fake platform and sets PLATFORM (the URL of its API) and
// PLATFORM_HOST. It has the CA of the fake GitLab, which it tries tokens on.
//
//	session NAME user=USER
//	platformuser NAME
//
// add a session in the project team, and a user. They set BOT_NAME and USER_NAME,
// the tokens for the platform.
//
//	connection USER TOKEN [instance=URL]
//	connection USER -
//
// stores a user's GitLab token on the platform, or removes it.
//
//	pod SESSION [user=USER]
//
// sets the variables of the platform's runner in a session's pod, and the file with its
// bot token.
//
//	turn TOKEN|-
//	turn as=USER session=SESSION
//
// writes the token of the user whose turn it is, or removes it, as the runner does in
// /tmp; for scripts, that is $WORK/runner. With as, it begins the turn of a user as the
// runner does: the platform gives the token and the identity for commits.
//
//	credential ID TOKEN [provider=gitlab] [project=team] [url=URL|-]
//
// adds a credential of the control plane for the fake GitLab.
//
// # Proxies and attackers
//
//	proxy [NAME:PORT]… [status=CODE] [login] [tls] [socks]
//
// starts a forward proxy that sends each NAME:PORT to GitLab, and sets PROXY (its
// URL), PROXY_HOST, and PROXY_CA with tls. With status, it answers every request
// with that; with login, it demands one.
//
//	through N|some
//
// fails unless the last proxy was asked for N connections since the last call, or
// for some, all of them to the victim's GitLab.
//
//	listener NAME [to=URL] [http] [any] [at=NAME:PORT]
//
// starts a foreign host that git trusts, and sets NAME (its URL) and NAME_HOST.
// It redirects to a URL, or asks for credentials. With any, it has a certificate
// for every name. With at, the proxies send that name and port there. Several may
// have one name.
//
//	seen NAME TEXT
//
// fails unless the listener got a text, perhaps in credentials.
//
//	unseen NAME [N]
//
// fails if the listener got any credentials or a proxy a token, and unless the
// listener got some requests, or N. With 0, proxies must have been asked for the
// victim's GitLab only.
//
//	victim [host=NAME[:PORT]] [OPTION OF gitlab]…
//
// sets up a machine to attack: GITLAB is gitlab.example.com, with the user and
// token dev and the project group/project; a Secret is mounted; and a proxy sends
// every other name and port to the listener EVIL, which has a trusted
// certificate. The cache is in $WORK/cache.
//
//	intercept [plain]
//
// puts an attacker in the place of the victim's GitLab, whose certificate is from
// an untrusted CA, or who speaks no TLS.
//
//	relay
//
// finds a free port for a program, sets RELAY_TO to its address, and RELAY to the URL
// of a relay to it. After the script, all that came back through it is searched for
// parts of tokens.
//
// # Files
//
//	file PATH TEXT
//	file PATH size=N
//
// writes a file that may hold a token.
//
//	left [PATH]…
//	left reset
//
// fails if files were made, changed or removed since the script began (or since
// reset), except those named and what is below them, which must exist.
//
// # Conditions
//
// [root], [gitstate] (git 2.46 and newer) and [bindmounts] (unshare can mount).
package scripttest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// Main is a TestMain that makes the program and ask available to scripts, and
// the given programs as well. run is the program without its main function.
func Main(m testscript.TestingM, name string, run func(stdout, stderr io.Writer) int, programs map[string]func()) {
	all := map[string]func(){
		name:  func() { os.Exit(recorded(run)) },
		"ask": func() { os.Exit(ask(name, os.Args[1:])) },
	}
	for other, main := range programs {
		all[other] = main
	}
	testscript.Main(m, all)
}

// Params says which scripts to run.
type Params struct {
	Dir string
	// Program is the path of a built program to run instead of the test binary.
	Program string
	// Commands are further commands for the scripts.
	Commands map[string]func(ts *testscript.TestScript, args []string) error
}

// Run runs the scripts in a directory, each as a subtest.
func Run(t *testing.T, p Params) {
	t.Helper()
	cmds := map[string]func(*testscript.TestScript, bool, []string){}
	add := func(name string, f func(*testscript.TestScript, []string) error) {
		cmds[name] = func(ts *testscript.TestScript, negated bool, args []string) {
			if negated {
				ts.Fatalf("can't be negated")
			}
			if err := f(ts, args); err != nil {
				ts.Fatalf("%v", err)
			}
		}
	}
	for name, f := range commands {
		add(name, func(ts *testscript.TestScript, args []string) error {
			m, _ := ts.Value(machineKey{}).(*machine)
			return f(m, ts, args)
		})
	}
	for name, f := range p.Commands {
		add(name, f)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 p.Dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                cmds,
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			if p.Program != "" {
				env.Setenv(programVariable, p.Program)
			}
			return setup(env)
		},
	})
}

func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Getuid() == 0, nil
	case "gitstate":
		out, err := exec.Command("git", "credential", "capability").Output()
		return err == nil && strings.Contains(string(out), "capability state\n"), nil
	case "bindmounts":
		return exec.Command("unshare", "-rm", "mount", "--bind", "/etc/passwd", "/etc/passwd").Run() == nil, nil
	}
	return false, fmt.Errorf("no condition %q", name)
}

const gitConfig = `[user]
	name = Test
	email = test@example.com
[init]
	defaultBranch = main
[credential]
	helper = acp
	useHttpPath = true
[protocol "file"]
	allow = always
[advice]
	detachedHead = false
`

// setup makes a script's machine, and checks it for leaks at the script's end.
func setup(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	record := filepath.Join(env.WorkDir, recordDir)
	for _, dir := range []string{home, record, filepath.Join(env.WorkDir, "runner")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// With the race detector, each process would sleep a second at its end, and print races
	// to standard error, which Harden closes.
	race := filepath.Join(env.WorkDir, "race")
	for name, value := range map[string]string{
		"HOME": home, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
		RunnerDir: filepath.Join(env.WorkDir, "runner"), recordVariable: record, "GORACE": "atexit_sleep_ms=0 log_path=" + race,
		"ACP_GITLAB_SECRET_DIR": filepath.Join(env.WorkDir, "secret"), "ACP_GITLAB_TIMEOUT": "10s",
		// Scripts about the cache set a directory.
		"ACP_GITLAB_CACHE_DIR": "off",
	} {
		env.Setenv(name, value)
	}
	m := &machine{
		dir: env.WorkDir, home: home, bots: map[string]string{},
		listeners: map[string][]*gitlabtest.Listener{}, secrets: map[string]bool{}, tokens: map[string]string{},
	}
	env.Values[machineKey{}] = m
	env.Defer(func() {
		m.close()
		if reports, _ := filepath.Glob(race + ".*"); len(reports) > 0 {
			text, _ := os.ReadFile(reports[0])
			env.T().Fatal("data races: " + string(text))
		}
		if err := m.checkServers(); err != nil {
			env.T().Fatal(err)
		}
		if where := m.leaks(); len(where) > 0 {
			env.T().Fatal("a token, or a part of one, was left in: " + strings.Join(where, ", "))
		}
	})
	return os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(gitConfig), 0o644)
}

// checkServers fails if GitLab got a session's platform token, or a proxy any token.
func (m *machine) checkServers() error {
	for session, bot := range m.bots {
		if m.gitlab.SawSecret(bot) {
			return fmt.Errorf("GitLab saw the token of the session %s", session)
		}
	}
	return errors.Join(m.checkProxies(), m.checkRelays())
}

func (m *machine) checkProxies() error {
	for name, value := range m.tokens {
		for _, p := range m.proxies {
			if p.SawSecret(value) {
				return fmt.Errorf("a proxy saw the token %s", name)
			}
		}
	}
	return nil
}

// leaks returns the script's files, with recorded output, that have eight consecutive
// characters of a token.
func (m *machine) leaks() []string {
	var found []string
	_ = filepath.WalkDir(m.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		name, _ := filepath.Rel(m.dir, path)
		switch {
		case m.secrets[path] && entry.IsDir():
			return filepath.SkipDir
		case m.secrets[path]:
			return nil
		}
		if part := m.leak([]byte(name)); part != "" {
			found = append(found, "the name of "+name)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil && m.leak(data) != "" {
			found = append(found, name+" ("+m.leak(data)+")")
		}
		return nil
	})
	return found
}

// leak finds eight consecutive characters of a token's random part, or of its base64 forms.
func (m *machine) leak(data []byte) string {
	for _, value := range m.tokens {
		own := strings.TrimPrefix(value, "glpat-")
		forms := []string{own}
		for offset := range 3 {
			// base64 depends on the offset (one of three), and at the ends on the neighbors.
			encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + own))
			forms = append(forms, encoded[4:len(encoded)-2])
		}
		for _, form := range forms {
			for i := 0; i+8 <= len(form); i++ {
				if bytes.Contains(data, []byte(form[i:i+8])) {
					return form[i : i+8]
				}
			}
		}
	}
	return ""
}
