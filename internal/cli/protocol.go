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

// inputLimit is the time limit for a request to arrive. git sends it at once.
const inputLimit = time.Minute

// operation is one of git's helper operations.
type operation struct {
	name, short string
	run         func(context.Context, *deps) error
}

func operations() []operation {
	return []operation{
		{"get", "Answer a credential request from git on stdin",
			func(ctx context.Context, d *deps) error {
				d.last = credential.Quit()
				return conclude(d, newHelper(d).Get(ctx, inputWithin(d, inputLimit)))
			}},
		// The input is not read.
		{"store", "Do nothing: git does not store the token",
			func(context.Context, *deps) error { return nil }},
		{"erase", "Drop cached verdicts of a token that failed (from git on stdin)",
			func(ctx context.Context, d *deps) error {
				// The messages are about the login; erase itself succeeds.
				_ = conclude(d, newHelper(d).Erase(ctx, inputWithin(d, inputLimit)))
				return nil
			}},
		{"capability", "Print the protocol capabilities of this helper",
			func(_ context.Context, d *deps) error { _, err := d.out.Write(credential.Capabilities()); return err }},
	}
}

// directOperation finds the operation if args are like git's: the flags of the helper's command
// line in any order, then the operation. Building cobra's commands would take longer than most
// answers.
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
		Use: o.name, Short: o.short, Args: noArguments,
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

// inputWithin is standard input. A read that exceeds the limit ends the process, since it can't
// be canceled.
func inputWithin(d *deps, limit time.Duration) io.Reader {
	begun := time.Now()
	return readerFunc(func(p []byte) (int, error) {
		// A timer costs a thread; git's request is nearly always there already.
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

// conclude prints a result and returns its exit code.
func conclude(d *deps, result helper.Result) error {
	values := []trace.Value{{Key: trace.Outcome, Value: results[result.Outcome]}}
	for _, m := range result.Messages {
		values = append(values, trace.Value{Key: trace.Reason, Value: message.As(m).Code})
	}
	d.trace.Step("answer", time.Now(), values...)
	for _, m := range result.Messages {
		d.say.tell(m, result.Redact)
	}
	if len(result.Answer) > 0 {
		_, _ = d.out.Write(result.Answer) // at once, since git reads as it comes
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
