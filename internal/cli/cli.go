// Package cli is the command line: it parses flags and settings, wires the other
// packages together, runs a command and prints the result.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/trace"
)

// Name is the program's name, and the prefix of its messages.
const Name = "git-credential-acp"

const (
	flagInstance  = "instance"
	flagMinAccess = "min-access"
	flagVersion   = "version"
)

// Exit codes. ExitCodes says what they mean.
const (
	exitGood = iota
	exitRefused
	exitUsage
	exitUnverified
)

// ExitCodes are the meanings of the exit codes, in order from 0.
func ExitCodes() []string {
	return []string{
		exitGood:       "all is well, warnings included; or git asked for something that is not this program's",
		exitRefused:    "refused or failed",
		exitUsage:      "wrong usage",
		exitUnverified: "could not be verified: GitLab or the cluster did not answer",
	}
}

// Env is what the program takes from the system.
type Env struct {
	// NoFiles is why too few files can be opened; nil if enough can.
	NoFiles        error
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// LookupEnv reads a variable of the environment; false if it is not set.
	LookupEnv func(string) (string, bool)
	// Environ is the whole environment, for child processes.
	Environ func() []string
	// Getwd is the working directory.
	Getwd func() (string, error)
	// Exit ends the process, for work that does not return in time.
	Exit func(code int)
	// RunnerDir is the directory of the platform's runner; "" means /tmp.
	RunnerDir string
	// TempDir is the directory for temporary files, and UserID the user's ID.
	TempDir string
	UserID  int
	// Build is what the program was built from.
	Build Build
}

// exitError ends a command with an exit code, after all messages were printed.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Run runs the command in args and returns the exit code.
func Run(ctx context.Context, env Env, args []string) (code int) {
	// Libraries log through the standard logger; net/http's debug output has the
	// Authorization header.
	log.SetOutput(io.Discard)
	ctx = deadline.Begin(ctx)
	d := &deps{out: &output{Writer: env.Stdout}, say: &printer{to: env.Stderr}}
	env.Stdout = d.out
	d.env = env
	defer func() {
		if recover() != nil {
			d.say.tell(message.Bug(env.Build.known().Version, panicSite()), asIs)
			code = exitRefused
		}
	}()
	d.config = config.Read(env.LookupEnv)
	d.git = gitOnce(d)
	op, found := directOperation(d, args)
	if env.NoFiles != nil {
		d.say.tell(errFilesExhausted(env.NoFiles.Error()), asIs)
		if op.name == "get" {
			_, _ = d.out.Write(credential.Quit())
		}
		return exitRefused
	}
	d.trace = newTracer(d)
	began := time.Now()
	if found {
		return traceEnd(d, began, op.name, exitCode(d, op.run(ctx, d)))
	}
	root := rootCommand(d, args)
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetErr(env.Stderr)
	command, err := root.ExecuteContextC(ctx)
	return traceEnd(d, began, command.Name(), exitCode(d, err))
}

// traceEnd traces the end of a command.
func traceEnd(d *deps, began time.Time, command string, code int) int {
	if d.trace != nil {
		d.trace.Step("end", began, trace.Value{Key: trace.Operation, Value: command},
			trace.Value{Key: trace.Version, Value: d.env.Build.known().Version}, trace.Value{Key: trace.Status, Value: code})
	}
	return code
}

// exitCode prints the error that a command returned, and returns its exit code. A command
// whose output was lost has failed.
func exitCode(d *deps, err error) int {
	var m *message.Error
	if errors.As(err, &m) {
		d.say.tell(m, asIs)
	}
	if d.out.err != nil {
		d.say.tell(errOutputLost(file.Cause(d.out.err)), asIs)
		return exitRefused
	}
	var code exitError
	switch {
	case err == nil:
		return exitGood
	case errors.As(err, &code):
		return int(code)
	case m != nil && m.Topic == message.Warning:
		return exitGood
	case m != nil:
		return codeOf(m)
	}
	// The others are cobra's, about the command line. A flag's value is not shown, since it
	// could be a token.
	text := err.Error()
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		text = "the flag --" + value.GetFlag().Name + " can't have that value"
	}
	d.say.line(text)
	d.say.line("hint: run " + Name + " help for the commands and flags")
	return exitUsage
}

// codeOf is the exit code for a message that ends a command.
func codeOf(m error) int {
	switch {
	case message.As(m).Topic == message.Usage:
		return exitUsage
	case message.Unverified(m):
		return exitUnverified
	}
	return exitRefused
}

// output is standard output. It keeps the first error of a write, for exitCode.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// Fd is the file descriptor, to find out whether it is a terminal.
func (o *output) Fd() uintptr {
	if file, ok := o.Writer.(interface{ Fd() uintptr }); ok {
		return file.Fd()
	}
	return ^uintptr(0)
}

// deps is what commands use.
type deps struct {
	env    Env
	config config.Config
	flags  flags
	out    *output
	say    *printer
	// trace is nil without ACP_GITLAB_TRACE.
	trace *trace.Tracer
	// git returns git's configuration in the working directory, which is read once.
	git func() gitconfig.Config
	// last is the answer to git if the process exceeds its time limit.
	last []byte
}

// flags are flags of several commands; nil if not set.
type flags struct{ instance, minAccess *string }

func rootCommand(d *deps, args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   Name,
		Short: "git credential helper for GitLab on the Ambient Code Platform",
		Long: `git-credential-acp gives git the user's GitLab token: only for the user's own
instance, over TLS, and after asking GitLab whether the token is active, has the
required scopes and gives access to the project. When it refuses, it says why and
what to do.

After setup, git runs it with get, store, erase or capability.`,
		Example: `  git-credential-acp check
  git-credential-acp setup`,
		Args:                       cobra.ArbitraryArgs,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if wanted, _ := cmd.Flags().GetBool(flagVersion); wanted {
				return printVersion(d)
			}
			// git gives a helper a pipe, and only one argument.
			if _, interactive := terminal(d); len(args) > 1 || len(args) == 1 && interactive {
				return unknownCommand(cmd, args[0])
			}
			if len(args) == 1 {
				// An unknown operation of a newer git, to be ignored
				// (gitcredentials(7)).
				return nil
			}
			d.say.line("no command given")
			d.say.line("hint: run " + Name + " help for the commands and flags")
			return exitError(exitUsage)
		},
	}
	root.PersistentFlags().Func(flagInstance, "`URL` of the only instance to answer for; a missing token is then reported",
		func(url string) error { d.flags.instance = &url; return nil })
	complete(root, flagInstance, cobra.NoFileCompletions)
	takesMinAccess(d, root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if word := firstWord(args); cmd == root && word != "" {
			return unknownCommand(cmd, word)
		}
		return err
	})
	root.Flags().Bool(flagVersion, false, "the same as the command version")
	// Only flags and arguments that say so complete to files.
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	for _, op := range operations() {
		root.AddCommand(op.command(d))
	}
	root.AddCommand(&cobra.Command{Use: "environment", Short: "The environment variables that are read", Long: config.Text()},
		setupCommand(d), checkCommand(d), connectCommand(d), statusCommand(d), rotateCommand(d), disconnectCommand(d), serveCommand(d), installCommand(d), versionCommand(d))
	// cobra's completion commands keep the output of the time when they are created.
	root.SetOut(d.env.Stdout)
	rejectUnknown(root)
	return root
}

// noArguments is cobra.NoArgs without the argument in the error: it could be a token.
func noArguments(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New(command.Name() + " takes no arguments")
	}
	return nil
}

// exclusive is an error if one of the flags and one of the others are set.
func exclusive(command *cobra.Command, flags, others []string) error {
	set := func(name string) bool {
		flag := command.Flags().Lookup(name)
		return flag.Changed && flag.Value.String() != "" && flag.Value.String() != "false"
	}
	for _, one := range flags {
		for _, other := range others {
			if set(one) && set(other) {
				return errFlagsClash("--"+one, "--"+other)
			}
		}
	}
	return nil
}

// unknownCommand is for a command that does not exist. It is not shown: it could be a token.
func unknownCommand(root *cobra.Command, typed string) error {
	return errCommandUnknown(root.SuggestionsFor(typed))
}

// firstWord is the first argument that is neither a flag nor the value of one of the root's;
// "" if there is none.
func firstWord(args []string) string {
	for n := 0; n < len(args); n++ {
		switch arg := args[n]; {
		case arg == "--"+flagInstance || arg == "--"+flagMinAccess:
			n++
		case !strings.HasPrefix(arg, "-"):
			return arg
		}
	}
	return ""
}

// rejectUnknown makes cobra's own commands refuse unknown commands. The root takes any
// argument, so they would show its help.
func rejectUnknown(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		switch command.Name() {
		case "help":
			command.Args = func(_ *cobra.Command, args []string) error {
				command, rest, err := root.Find(args)
				if command == root && len(rest) > 0 {
					return unknownCommand(root, rest[0])
				}
				if err != nil || len(rest) > 0 {
					return errors.New(command.Name() + " has no such command")
				}
				return nil
			}
		case "completion":
			// cobra checks arguments only of commands that run.
			command.RunE = func(command *cobra.Command, _ []string) error { return command.Help() }
		}
	}
}

// panicSite names this program's function that is nearest to a panic. The panic's value is not
// shown: it could contain a token.
func panicSite() string {
	var callers [64]uintptr
	// Skip runtime.Callers and this function.
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for panicked := false; ; {
		frame, more := frames.Next()
		inner, ours := strings.CutPrefix(frame.Function, module)
		switch {
		case ours && panicked:
			return fmt.Sprintf("%s, %s:%d", inner, filepath.Base(frame.File), frame.Line)
		case !more:
			return "an unknown place"
		}
		panicked = panicked || strings.HasPrefix(frame.Function, "runtime.")
	}
}

// module is the prefix of the names of this program's functions.
const module = "github.com/ambient-code/git-credential-acp/internal/"
