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
			if err := exclusive(cmd, []string{"secret", "owner", "ca-file", "force"}, []string{"platform", "backend"}); err != nil {
				return err
			}
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
	target, err := connectTarget(args)
	if err != nil {
		return err
	}
	i, err := chosenInstance(d)
	if err != nil {
		return err
	}
	keeper, err := newKeeper(ctx, d, "connect", flags.keeperFlags)
	if err != nil {
		return err
	}
	secret, ours := keeper.(*connection.Secret)
	if ours {
		if err := prepareSecret(ctx, secret, flags); err != nil {
			return err
		}
	}
	tok, err := newToken(ctx, d, flags.tokenFile)
	if err != nil {
		return err
	}
	lines := &checkLines{Lines: report.Lines{To: d.env.Stdout, Color: colored(d, "auto")}}
	result, err := checkNew(ctx, d, tok, i, flags.caFile, trustToConnect(ours, flags.caFile), target, lines.step)
	switch {
	case err != nil:
		return err
	case result.Outcome != check.AllGood:
		return errNotStored(keeper.Where(), result.Reason)
	}
	if err := connection.Store(ctx, keeper, tok, i); err != nil {
		return err
	}
	lines.Print("\nconnected: %s has the token of %s\n", keeper.Where(), i.String())
	return nil
}

// chosenInstance is the instance of --instance or the environment, else gitlab.com.
func chosenInstance(d *deps) (instance.Instance, error) {
	known, err := knownInstance(d)
	switch {
	case err != nil:
		return instance.Instance{}, err
	case known != nil:
		return *known, nil
	}
	i, err := instance.Parse(source.DefaultInstanceURL, false)
	if err != nil {
		return i, message.InstanceInvalid("this program", err)
	}
	return i, nil
}

// connectTarget is the repository to check the token with, if any.
func connectTarget(args []string) (check.Target, error) {
	switch {
	case len(args) == 0:
		return check.Target{}, nil
	case len(args) > 1:
		return check.Target{}, errTokenFromArgument()
	}
	target, err := check.ParseTarget(args[0])
	if err != nil && !check.IsSSH(err) {
		return target, errTokenFromArgument()
	}
	return target, err
}

// prepareSecret passes flags to the Secret. A Secret that can't be changed is refused before the
// token is asked for.
func prepareSecret(ctx context.Context, s *connection.Secret, flags connectFlags) error {
	s.Session, s.Force = flags.owner, flags.force
	if kept, err := s.Read(ctx); err != nil || kept.Unwritable != nil {
		return cmp.Or(err, kept.Unwritable)
	}
	if flags.caFile == "" {
		return nil
	}
	var err error
	s.CA, err = readCA(flags.caFile)
	return err
}

// checkNew makes the checks of a token that is not stored anywhere yet.
func checkNew(ctx context.Context, d *deps, tok token.Token, i instance.Instance, caFile, trust string, target check.Target, show func(check.Step)) (check.Result, error) {
	limit, err := d.config.Timeout()
	if err != nil {
		return check.Result{}, err
	}
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
	c.Report = show
	return c.Run(ctx, target), nil
}

// maxAuthorities is the limit of a file of authorities in bytes, as for a Secret's key.
const maxAuthorities = 1 << 20

// readCA reads the authorities to store.
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
