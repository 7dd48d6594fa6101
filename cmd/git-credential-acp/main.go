// Command git-credential-acp is a git credential helper that gives git a GitLab
// token for the token's own instance, after asking GitLab whether it will work.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/cli"
	"github.com/ambient-code/git-credential-acp/internal/config"
	_ "github.com/ambient-code/git-credential-acp/internal/onecpu" // a faster start
	"github.com/ambient-code/git-credential-acp/internal/process"
)

// What the program was built from; the linker sets them (Makefile and
// .goreleaser.yaml).
var version, commit, committed string

func main() {
	os.Exit(run(os.Stdout, process.Harden()))
}

func run(stdout, stderr io.Writer) int {
	return cli.Run(context.Background(), surroundings(stdout, stderr), os.Args[1:])
}

func surroundings(stdout, stderr io.Writer) cli.Env {
	if slices.ContainsFunc(os.Args[1:], isForOutput) && process.StdoutClosed() {
		stdout = closed{}
	}
	return cli.Env{
		Stdin: os.Stdin, Stdout: stdout, Stderr: stderr, NoFiles: process.NoFiles(),
		LookupEnv: hiding(config.TokenVariables()), Environ: os.Environ, Getwd: os.Getwd, Exit: os.Exit,
		TempDir: os.TempDir(), UserID: os.Getuid(),
		Build: cli.Build{Version: version, Commit: commit, Date: committed},
	}
}

// isForOutput reports whether an argument asks for nothing but output, so that a
// command without a reader has failed. For other commands, /dev/null may be meant:
// a caller that opens it for reading and writing looks the same (Python's DEVNULL,
// Node's "ignore").
func isForOutput(argument string) bool {
	name, _, _ := strings.Cut(argument, "=")
	return slices.Contains([]string{"get", "capability", "completion", "--json", "--print", "--env"}, name)
}

// closed is a standard output that was closed when the program began.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("standard output is closed") }

// hiding removes variables with a token from the process's environment, so that child
// processes don't inherit them: client-go passes all of it to exec plugins. It returns a
// lookup function with all variables.
func hiding(names []string) func(string) (string, bool) {
	hidden := map[string]string{}
	for _, name := range names {
		if value, set := os.LookupEnv(name); set && os.Unsetenv(name) == nil {
			hidden[name] = value
		}
	}
	return func(name string) (string, bool) {
		if value, set := hidden[name]; set {
			return value, true
		}
		return os.LookupEnv(name)
	}
}
