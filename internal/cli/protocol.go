package cli

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/trace"
)

// inputLimit is how long a request may take to arrive. git sends it at once; a
// caller that never ends it must not keep this process for ever.
const inputLimit = time.Minute

// operation is something that git asks a helper for.
type operation struct {
	name, short string
	run         func(context.Context, *deps) error
}

func operations() []operation {
	return []operation{
		{"get", "Answer a credential request from git on stdin",
			func(ctx context.Context, d *deps) error {
				d.last = credential.Quit()
				return conclude(d, newHelper(d).Get(ctx, requestInput(d)))
			}},
		// The input is left unread: git does not mind.
		{"store", "Do nothing: git does not store the token",
			func(context.Context, *deps) error { return nil }},
		{"erase", "Drop cached verdicts of a token that failed (from git on stdin)",
			func(ctx context.Context, d *deps) error {
				// The messages are about the login. Erasing itself has succeeded.
				_ = conclude(d, newHelper(d).Erase(ctx, requestInput(d)))
				return nil
			}},
		{"capability", "Print the protocol capabilities of this helper",
			func(_ context.Context, d *deps) error { return writeAnswer(d, credential.Capabilities()) }},
	}
}

// directOperation finds the operation when args are just what git calls a helper with: the
// flags of the helper's command line in any order, then the operation's name.
// Building all commands to find it there would take longer than most answers.
func directOperation(d *deps, args []string) (operation, bool) {
	given := map[string]*string{}
	for len(args) > 1 {
		name, value, joined := strings.Cut(args[0], "=")
		args = args[1:]
		if !joined {
			value, args = args[0], args[1:]
		}
		if name != "--"+flagInstance && name != "--"+flagMinAccess {
			return operation{}, false
		}
		given[name] = &value
	}
	for _, op := range operations() {
		if len(args) != 1 || op.name != args[0] {
			continue
		}
		d.flags = flags{instance: given["--"+flagInstance], minAccess: given["--"+flagMinAccess]}
		return op, true
	}
	return operation{}, false
}

func (o operation) command(d *deps) *cobra.Command {
	command := &cobra.Command{
		Use: o.name, Short: o.short, Args: alone,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), d) },
	}
	takesMinAccess(d, command)
	return command
}

// takesMinAccess adds --min-access to a command. git appends the operation to the
// helper's command line, so every operation takes the flag; only get uses it.
func takesMinAccess(d *deps, command *cobra.Command) {
	command.Flags().Func(flagMinAccess, "minimum access `level` on the project, instead of ACP_GITLAB_MIN_ACCESS"+
		": none, guest, planner, reporter, developer, maintainer, owner or a number",
		func(text string) error { d.flags.minAccess = &text; return nil })
	complete(command, flagMinAccess, words("none", "guest", "planner", "reporter", "developer", "maintainer", "owner"))
}

// requestInput is a request. A read that does not end in time ends the process: it
// can't be called off.
func requestInput(d *deps) io.Reader { return inputWithin(d, inputLimit) }

func inputWithin(d *deps, limit time.Duration) io.Reader {
	begun := time.Now()
	return readerFunc(func(p []byte) (int, error) {
		// An alarm costs a thread; git's request is nearly always there already.
		if file, ok := d.env.Stdin.(interface{ Fd() uintptr }); !ok || !ready(file.Fd()) {
			late := time.AfterFunc(limit-time.Since(begun), func() {
				d.say.tell(errRequestLate(limit), asIs)
				d.env.Exit(exitRefused)
			})
			defer late.Stop()
		}
		return d.env.Stdin.Read(p)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// conclude prints a result and turns it into an exit code.
func conclude(d *deps, result helper.Result) error {
	values := []trace.Value{{Key: trace.Outcome, Value: results[result.Outcome]}}
	for _, m := range result.Messages {
		values = append(values, reasonValue(m)...)
	}
	d.trace.Step("answer", time.Now(), values...)
	for _, m := range result.Messages {
		d.say.tell(m, result.Redact)
	}
	if err := writeAnswer(d, result.Answer); err != nil {
		return err
	}
	switch {
	case result.Outcome == helper.Answered || result.Outcome == helper.NotOurs:
		return nil
	case result.Outcome == helper.Unverified:
		return exitError(exitUnverified)
	case slices.ContainsFunc(result.Messages, func(m error) bool { return message.As(m).Topic == message.Usage }):
		return exitError(exitUsage)
	}
	return exitError(exitRefused)
}

// writeAnswer hands bytes to git, in one write: git reads as it comes.
func writeAnswer(d *deps, bytes []byte) error {
	if len(bytes) == 0 {
		return nil
	}
	if _, err := d.env.Stdout.Write(bytes); err != nil {
		return exitError(exitRefused)
	}
	return nil
}
