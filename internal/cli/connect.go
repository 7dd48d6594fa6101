package cli

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/check"
	"github.com/ambient-code/git-credential-acp/internal/connection"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/report"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// connectFlags are connect's flags.
type connectFlags struct {
	keeperFlags
	tokenFile, caFile, owner string
	force                    bool
}

func connectCommand(d *deps) *cobra.Command {
	var flags connectFlags
	command := &cobra.Command{
		Use: "connect [REPOSITORY-URL]", SuggestFor: []string{"login", "auth", "add"},
		Short: "Check a GitLab token and store it in the platform or a Secret",
		Long: `connect reads a token from standard input (with a prompt on a terminal) or a file,
never from an argument. It checks the token, and with a repository URL the
project, and stores the token if the checks pass.`,
		Example: `  git-credential-acp connect --platform --instance https://gitlab.example.com
  git-credential-acp connect --secret team/my-gitlab --owner my-session < token`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return runConnect(ctx, d, flags, args)
		},
	}
	flags.add(command)
	command.Flags().StringVar(&flags.tokenFile, "token-file", "", "read the token from this `file`")
	command.Flags().StringVar(&flags.caFile, "ca-file", "", "store the CA certificates in this `file` in the Secret")
	command.Flags().StringVar(&flags.owner, "owner", "", "`name` of the AgenticSession that owns a new Secret")
	command.Flags().BoolVar(&flags.force, "force", false, "overwrite keys of the Secret that another program has set")
	complete(command, "token-file", aFile)
	complete(command, "ca-file", aFile)
	complete(command, "owner", cobra.NoFileCompletions)
	return command
}

func runConnect(ctx context.Context, d *deps, flags connectFlags, args []string) error {
	target, problem := connectTarget(args)
	if problem != nil {
		return failed(d, problem, asIs)
	}
	i, problem := chosenInstance(d)
	if problem != nil {
		return failed(d, problem, asIs)
	}
	limit, problem := d.config.Timeout()
	if problem != nil {
		return failed(d, problem, asIs)
	}
	keeper, problem := newKeeper(ctx, d, "connect", flags.keeperFlags, limit)
	if problem == nil {
		problem = connectSecret(ctx, keeper, flags, limit)
	}
	if problem != nil {
		return failed(d, problem, asIs)
	}
	tok, problem := newToken(ctx, d, flags.tokenFile)
	if problem != nil {
		return failed(d, problem, asIs)
	}
	lines := &checkLines{Lines: report.Lines{To: d.env.Stdout, Color: colored(d, "auto")}}
	_, secret := keeper.(*connection.Secret)
	result := checkNew(ctx, d, tok, i, flags.caFile, trustToConnect(secret, flags.caFile), limit, target, lines)
	redact := redactAll(tok)
	if result.Outcome != check.AllGood {
		return failed(d, errNotStored(keeper.Where(), result.Reason), redact)
	}
	if problem := keep(ctx, keeper, tok, i, limit); problem != nil {
		return failed(d, problem, redact)
	}
	lines.Print("\nconnected: %s has the token of %s\n", keeper.Where(), i.String())
	return written(lines.Err)
}

// connectTarget is the repository to check the token with, if one is named.
func connectTarget(args []string) (check.Target, error) {
	switch {
	case len(args) == 0:
		return check.Target{}, nil
	case len(args) > 1:
		return check.Target{}, errTokenFromArgument()
	}
	target, problem := check.ParseTarget(args[0])
	if problem != nil && !check.IsSSH(problem) {
		return target, errTokenFromArgument()
	}
	return target, problem
}

// connectSecret hands the flags that are about a Secret to the keeper. A Secret
// that can't be changed is refused before the token is asked for.
func connectSecret(ctx context.Context, keeper connection.Keeper, flags connectFlags, limit time.Duration) error {
	s, ours := keeper.(*connection.Secret)
	switch {
	case ours:
		s.Session, s.Force = flags.owner, flags.force
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if kept, problem := s.Read(ctx); problem != nil || kept.Fixed != nil {
			return cmp.Or(problem, kept.Fixed)
		}
	case flags.owner != "":
		return errFlagsClash("--owner", "--platform")
	case flags.caFile != "":
		return errFlagsClash("--ca-file", "--platform")
	case flags.force:
		return errFlagsClash("--force", "--platform")
	}
	if flags.caFile == "" {
		return nil
	}
	pem, problem := readCA(flags.caFile)
	s.CA = pem
	return problem
}

// checkNew makes the checks of a token that is not kept anywhere yet.
func checkNew(ctx context.Context, d *deps, tok token.Token, i instance.Instance, caFile, trust string, limit time.Duration, target check.Target, out checkOutput) check.Result {
	d.trace.Hide(tok)
	found := source.Found{Source: "given", Where: "the input", Renew: "connect with it", Token: tok, Instance: i, Trust: trust,
		Belongs: "--instance", Changed: func() time.Time { return time.Time{} }}
	if caFile != "" {
		found.CA = func() ([]byte, error) { return readCA(caFile) }
	}
	h := newHelper(d)
	h.Source = helper.Given{Source: h.Source, Place: found}
	h.Known, h.KnownProblem = &i, nil
	h.Remotes = func() []string { return nil }
	c := checkWith(d, h, limit)
	c.TokenOnly = true
	c.Report = out.step
	return c.Run(ctx, target)
}

// keep stores a token, and sees that it is there.
func keep(ctx context.Context, keeper connection.Keeper, tok token.Token, i instance.Instance, limit time.Duration) error {
	step := func(f func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return f(ctx)
	}
	var old, now connection.Kept
	read := func(into *connection.Kept) func(context.Context) error {
		return func(ctx context.Context) (problem error) {
			*into, problem = keeper.Read(ctx)
			return problem
		}
	}
	if problem := step(read(&old)); problem != nil {
		return problem
	}
	if problem := step(func(ctx context.Context) error { return keeper.Write(ctx, old, tok, i) }); problem != nil {
		return problem
	}
	if problem := step(read(&now)); problem != nil {
		return problem
	}
	if now.Problem != nil {
		return now.Problem
	}
	if !now.Connected || now.Instance != i || !now.Token.IsZero() && !connection.Same(now.Token, tok) {
		return message.NotKept(keeper.Where())
	}
	return nil
}

// written turns trouble with standard output, which exitCode tells, into an exit
// code.
func written(err error) error {
	if err != nil {
		return exitError(exitRefused)
	}
	return nil
}

// maxAuthorities bounds a file of authorities in bytes, as a Secret's key is.
const maxAuthorities = 1 << 20

// readCA reads authorities that are to be stored.
func readCA(path string) ([]byte, error) {
	pem, err := file.Read(path, maxAuthorities)
	where := message.Quote(path) + ", which --ca-file names,"
	switch {
	case err != nil:
		return nil, message.CAInvalid(where, file.Cause(err))
	case transport.PEMProblem(pem) != "":
		return nil, message.CAInvalid(where, transport.PEMProblem(pem))
	}
	return pem, nil
}
