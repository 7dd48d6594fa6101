package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ambient-code/git-credential-acp/internal/cli"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/process"
)

func TestMain(m *testing.M) {
	testscript.Main(cleaned{m}, map[string]func(){
		cli.Name: func() { os.Exit(recorded()) },
		"ask":    func() { os.Exit(ask(os.Args[1:])) },
		"panics": panics,
		"spy":    spy,
	})
}

// cleaned removes after all tests what they share.
type cleaned struct{ *testing.M }

func (m cleaned) Run() int {
	defer func() {
		if built.dir != "" {
			_ = os.RemoveAll(built.dir)
		}
	}()
	return m.M.Run()
}

// recorded is the real program, whose output is kept as well, so that it can be
// searched for a token after the script, whoever called the program. The answer
// to git alone has one in it.
func recorded() int {
	stderr := process.Harden()
	dir := os.Getenv("ACP_TEST_RECORD")
	if dir == "" {
		return run(os.Stdout, stderr)
	}
	var stdout io.Writer = os.Stdout
	if !slices.Contains(os.Args, "get") {
		file, err := os.CreateTemp(dir, "stdout")
		if err != nil {
			panic(err)
		}
		stdout = copied{os.Stdout, file}
	}
	file, err := os.CreateTemp(dir, "stderr")
	if err != nil {
		panic(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.MultiWriter(stderr, file), reader)
	}()
	var code int
	if built := os.Getenv("ACP_TEST_PROGRAM"); built != "" {
		code = passOn(built, stdout, writer)
	} else {
		code = run(stdout, writer)
	}
	_ = writer.Close()
	<-done
	return code
}

// passOn runs the program as it is built for release in the place of this one, and
// gives its exit code.
func passOn(built string, stdout io.Writer, stderr *os.File) int {
	// What a test reads of its surroundings is not the program's.
	for _, name := range []string{"ACP_TEST_PROGRAM", "ACP_TEST_RECORD", "GORACE"} {
		_ = os.Unsetenv(name)
	}
	cmd := exec.Command(built, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		panic(err)
	}
	return cmd.ProcessState.ExitCode()
}

// copied is a file all of whose output is written to another one as well.
type copied struct{ file, copy *os.File }

func (c copied) Write(p []byte) (int, error) {
	if _, err := c.copy.Write(p); err != nil {
		panic(err)
	}
	return c.file.Write(p)
}

// Fd lets the program see whether it writes to a terminal.
func (c copied) Fd() uintptr { return c.file.Fd() }

// ask calls the program as git does, with the attributes in args on stdin:
//
//	ask [op=OPERATION] [exit=CODE] [flag=FLAG]… [via=git] [signal=TERM] [KEY=VALUE]…
//
// With via=git, git is asked to fill in a credential, and calls the program.
// With signal, it waits for an interrupt and then sends the program that one.
//
// Without protocol and host, it asks for the stand-in's. In a value, \n, \r and
// the like are as in Go. It fails when the exit code is not the one named (0).
func ask(args []string) int {
	op, want := "get", 0
	program := []string{cli.Name}
	var flags []string
	var forward os.Signal
	var in strings.Builder
	given := map[string]bool{}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "op":
			op = value
		case "exit":
			want, _ = strconv.Atoi(value)
		case "flag":
			flags = append(flags, value)
		case "via":
			program, op = []string{"git", "credential"}, "fill"
		case "signal":
			forward = map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt, "KILL": os.Kill}[value]
		case "raw":
			given["protocol"], given["host"] = true, true
			in.WriteString(unquote(value))
		default:
			given[key] = true
			fmt.Fprintf(&in, "%s=%s\n", key, unquote(value))
		}
	}
	if !given["host"] {
		fmt.Fprintf(&in, "host=%s\n", os.Getenv("GITLAB_HOST"))
	}
	if !given["protocol"] {
		fmt.Fprintln(&in, "protocol=https")
	}
	cmd := exec.Command(program[0], slices.Concat(program[1:], flags, []string{op})...)
	cmd.Stdin = strings.NewReader(in.String())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	interrupted := make(chan os.Signal, 1)
	if forward != nil {
		signal.Notify(interrupted, os.Interrupt)
	}
	err := cmd.Start()
	if err == nil {
		go func() {
			<-interrupted
			_ = cmd.Process.Signal(forward)
		}()
		late := time.AfterFunc(askLimit, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "ask:", err)
		return 99
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		fmt.Fprintf(os.Stderr, "ask: exit code %d, want %d\n", code, want)
		return 98
	}
	return 0
}

// askLimit is longer than any answer may take: whatever a script is about,
// nothing hangs.
const askLimit = time.Minute

func unquote(text string) string {
	if out, err := strconv.Unquote(`"` + text + `"`); err == nil {
		return out
	}
	return text
}

func TestScripts(t *testing.T) { runScripts(t, scripts, "") }

// scripts is where the test scripts are.
var scripts = filepath.Join(root, "testdata", "scripts")

// runScripts runs the scripts in a directory, with this program, or with one that
// is built.
func runScripts(t *testing.T, dir, built string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			if built != "" {
				env.Setenv("ACP_TEST_PROGRAM", built)
			}
			return setup(env)
		},
		Cmds:      commands(),
		Condition: condition,
	})
}

// setup gives each script a machine of its own: a home with git's
// configuration, a place for the Secret, and nothing of the caller's.
func setup(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	record := filepath.Join(env.WorkDir, "record")
	for _, dir := range []string{home, record} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	env.Setenv("HOME", home)
	env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	env.Setenv("GIT_TERMINAL_PROMPT", "0")
	env.Setenv("ACP_TEST_RECORD", record)
	// Under the race detector, each process would sleep for a second at its end;
	// and what it finds would go to a standard error that leads nowhere.
	race := filepath.Join(env.WorkDir, "race")
	env.Setenv("GORACE", "atexit_sleep_ms=0 log_path="+race)
	env.Setenv("ACP_GITLAB_SECRET_DIR", filepath.Join(env.WorkDir, "secret"))
	env.Setenv("ACP_GITLAB_TIMEOUT", "10s")
	// Scripts that are about remembering set a directory.
	env.Setenv("ACP_GITLAB_CACHE_DIR", "off")
	m := &machine{
		dir: env.WorkDir, home: home,
		bots:      map[string]string{},
		listeners: map[string][]*gitlabtest.Listener{}, secrets: map[string]bool{}, tokens: map[string]string{},
	}
	env.Values[machineKey{}] = m
	env.Defer(func() {
		m.close()
		if reports, _ := filepath.Glob(race + ".*"); len(reports) > 0 {
			text, _ := os.ReadFile(reports[0])
			env.T().Fatal("data races: " + string(text))
		}
		for name, bot := range m.bots {
			if m.gitlab.SawSecret(bot) {
				env.T().Fatal("GitLab saw the token of the session " + name)
			}
		}
		for name, value := range m.tokens {
			for _, p := range m.proxies {
				if p.SawSecret(value) {
					env.T().Fatal("a proxy saw the token " + name)
				}
			}
		}
		if where := m.leaks(); len(where) > 0 {
			env.T().Fatal("a token, or a part of one, was left in: " + strings.Join(where, ", "))
		}
	})
	return os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(gitConfig), 0o644)
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

// leaks searches all that the script left behind, and all that the program
// said, for the tokens and for parts of eight characters of them.
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

// leak finds eight characters in a row of a token's own part, or of a base64
// form of it, in data.
func (m *machine) leak(data []byte) string {
	for _, value := range m.tokens {
		own := strings.TrimPrefix(value, "glpat-")
		forms := []string{own}
		for offset := range 3 {
			// A base64 text shows its input at one of three offsets; what
			// stands at the ends depends on the neighbours.
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
