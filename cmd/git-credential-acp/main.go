// Command git-credential-acp is a git credential helper that hands a GitLab
// token to its own instance, after asking GitLab whether it will work.
package main

import (
	"context"
	"io"
	"os"

	"github.com/ambient-code/git-credential-acp/internal/cli"
	"github.com/ambient-code/git-credential-acp/internal/process"
)

// What the program was built from; the linker sets them (Makefile and
// .goreleaser.yaml).
var version, commit, committed string

func main() {
	os.Exit(run(os.Stdout, process.Seal()))
}

func run(stdout, stderr io.Writer) int {
	return cli.Run(context.Background(), cli.Env{
		Stdin: os.Stdin, Stdout: stdout, Stderr: stderr,
		Getenv: os.Getenv, LookupEnv: os.LookupEnv, Environ: os.Environ, Getwd: os.Getwd, Exit: os.Exit,
		TempDir: os.TempDir(), UserID: os.Getuid(),
		Build: cli.Build{Version: version, Commit: commit, Date: committed},
	}, os.Args[1:])
}
