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
	run         func(*app, context.Context) error
}

func operations() []operation {
	return []operation{
		{"get", "Answer a credential request from git on stdin",
			func(a *app, ctx context.Context) error {
				a.last = credential.Quit()
				return a.conclude(a.helper().Get(ctx, a.input()))
			}},
		// The input is left unread: git does not mind.
		{"store", "Do nothing: git does not store the token",
			func(*app, context.Context) error { return nil }},
		{"erase", "Drop cached verdicts of a token that failed (from git on stdin)",
			func(a *app, ctx context.Context) error {
				// What people are told is about the login. That it is forgotten is
				// what git asked for.
				_ = a.conclude(a.helper().Erase(ctx, a.input()))
				return nil
			}},
		{"capability", "Print the protocol capabilities of this helper",
			func(a *app, _ context.Context) error { return a.answer(credential.Capabilities()) }},
	}
}

// direct finds the operation when args are just what git calls a helper with: the
// flags of the helper's command line in any order, then the operation's name.
// Building all commands to find it there would take longer than most answers.
func (a *app) direct(args []string) (operation, bool) {
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
		if url := given["--"+flagInstance]; url != nil {
			a.instanceFlag, a.instanceGiven = *url, true
		}
		a.minAccess = given["--"+flagMinAccess]
		return op, true
	}
	return operation{}, false
}

func (o operation) command(a *app) *cobra.Command {
	command := &cobra.Command{
		Use: o.name, Short: o.short, Args: alone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.instanceGiven = cmd.Flags().Changed(flagInstance)
			return o.run(a, cmd.Context())
		},
	}
	a.takesMinAccess(command)
	return command
}

// takesMinAccess adds --min-access to a command. git appends the operation to the
// helper's command line, so every operation takes the flag; only get uses it.
func (a *app) takesMinAccess(command *cobra.Command) {
	command.Flags().Func(flagMinAccess, "minimum access `level` on the project, instead of ACP_GITLAB_MIN_ACCESS"+
		": none, guest, planner, reporter, developer, maintainer, owner or a number",
		func(text string) error { a.minAccess = &text; return nil })
	complete(command, flagMinAccess, words("none", "guest", "planner", "reporter", "developer", "maintainer", "owner"))
}

// input is a request. A read that does not end in time ends the process: it
// can't be called off.
func (a *app) input() io.Reader { return a.inputWithin(inputLimit) }

func (a *app) inputWithin(limit time.Duration) io.Reader {
	begun := time.Now()
	return readerFunc(func(p []byte) (int, error) {
		// An alarm costs a thread; git's request is nearly always there already.
		if file, ok := a.env.Stdin.(interface{ Fd() uintptr }); !ok || !ready(file.Fd()) {
			late := time.AfterFunc(limit-time.Since(begun), func() {
				a.tell(errRequestLate(limit), asIs)
				a.env.Exit(exitRefused)
			})
			defer late.Stop()
		}
		return a.env.Stdin.Read(p)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// conclude prints a result and turns it into an exit code.
func (a *app) conclude(result helper.Result) error {
	values := []trace.Value{{Key: trace.Outcome, Value: results[result.Outcome]}}
	for _, m := range result.Messages {
		values = append(values, reasonValue(m)...)
	}
	a.trace.Step("answer", time.Now(), values...)
	for _, m := range result.Messages {
		a.tell(m, result.Redact)
	}
	if err := a.answer(result.Answer); err != nil {
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

// answer hands bytes to git, in one write: git reads as it comes.
func (a *app) answer(bytes []byte) error {
	if len(bytes) == 0 {
		return nil
	}
	if _, err := a.env.Stdout.Write(bytes); err != nil {
		return exitError(exitRefused)
	}
	return nil
}
