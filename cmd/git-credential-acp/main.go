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

// version is set when a release is built.
var version string

func main() {
	os.Exit(run(os.Stdout, process.Seal()))
}

func run(stdout, stderr io.Writer) int {
	return cli.Run(context.Background(), cli.Env{
		Stdin: os.Stdin, Stdout: stdout, Stderr: stderr,
		Getenv: os.Getenv, LookupEnv: os.LookupEnv, Environ: os.Environ, Getwd: os.Getwd, Exit: os.Exit,
		TempDir: os.TempDir(), UserID: os.Getuid(), Version: version,
	}, os.Args[1:])
}
