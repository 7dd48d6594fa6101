package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/cli"
	"github.com/ambient-code/git-credential-acp/internal/process"
)

// panics is the program with a panic of its second argument, in the main goroutine or in a
// library's. With "open", it is not hardened.
func panics() {
	where, value := os.Args[1], os.Args[2]
	stderr := os.Stderr
	if len(os.Args) < 4 || os.Args[3] != "open" {
		stderr = process.Harden()
	}
	fail := func(string) (string, bool) { panic(value) }
	env := cli.Env{Stdin: strings.NewReader("protocol=https\nhost=h\n"), Stdout: os.Stdout, Stderr: stderr, LookupEnv: fail}
	if where == "library" {
		env.LookupEnv = func(string) (string, bool) {
			transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				panic(value)
			}}
			_, err := (&http.Client{Transport: transport}).Get("http://127.0.0.1")
			return err.Error(), true
		}
	}
	os.Exit(cli.Run(context.Background(), env, []string{"get"}))
}

// A panic prints no data, in any goroutine and with any environment.
func TestPanicPrintsNothing(t *testing.T) {
	const canary = "glpat-CanaryInAPanic0123"
	run := func(traceback string, args ...string) (code int, said string) {
		cmd := exec.Command("panics", args...)
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = io.Discard, &stderr
		cmd.Env = append(os.Environ(), "GOTRACEBACK="+traceback, "GODEBUG=http2debug=2,netdns=2,gctrace=1")
		_ = cmd.Run() // its exit code counts
		return cmd.ProcessState.ExitCode(), stderr.String()
	}
	for _, traceback := range []string{"", "none", "all", "system"} {
		code, said := run(traceback, "main", canary)
		if code != 1 || strings.Count(said, "\n") != 2 || !strings.HasPrefix(said, "git-credential-acp: internal error: this is a bug in git-credential-acp ") {
			t.Errorf("%q, main: exit code %d, said:\n%s", traceback, code, said)
		}
		// In another goroutine, nothing can be printed.
		if code, said := run(traceback, "library", canary); code != 2 || said != "" {
			t.Errorf("%q, library: exit code %d, said:\n%s", traceback, code, said)
		}
	}
	if _, said := run("none", "library", canary, "open"); !strings.Contains(said, canary) {
		t.Errorf("a process that is not hardened prints no value either: %q", said)
	}
}
