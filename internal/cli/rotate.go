package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/connection"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// rotateFlags are rotate's flags.
type rotateFlags struct {
	keeperFlags
	tokenFile, expires, recoveryDir, pods string
	anew, resume, dryRun                  bool
	grace                                 time.Duration
	// expiry is the new token's, by expires.
	expiry time.Time
}

// defaultLife is the lifetime of a token that GitLab creates, in days (the platform's
// guide).
const defaultLife = 90

// podGrace is the default of --grace with --pods. kubelet needs about a second to update an
// annotated pod.
const podGrace = 10 * time.Second

func rotateCommand(d *deps) *cobra.Command {
	var flags rotateFlags
	command := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the GitLab token in the platform or a Secret",
		Long: `rotate replaces the token with a new one from standard input (with a prompt on a
terminal) or a file. It revokes the old token only after the new one is stored, read
back and verified.

Pods that mount the Secret get the new token within two minutes. --grace keeps the
old token valid for a while; --pods makes kubelet update the pods at once.

With --new, GitLab creates the token and revokes the old one at the same moment. The
new token is saved to a file until it is stored; --resume continues after an
interruption.`,
		Example: `  git-credential-acp rotate --secret team/my-gitlab --new
  git-credential-acp rotate --secret team/my-gitlab --pods app=session
  git-credential-acp rotate --platform --token-file new-token --grace 10m`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errTokenFromArgument()
			}
			if err := flags.check(cmd, time.Now()); err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return runRotate(ctx, d, flags)
		},
	}
	flags.add(command)
	command.Flags().BoolVar(&flags.anew, "new", false, "let GitLab create the new token (GitLab 16.10)")
	command.Flags().StringVar(&flags.expires, "expires", "", "with --new: expiration `date`, such as 2027-01-31 (default: in 90 days)")
	command.Flags().StringVar(&flags.tokenFile, "token-file", "", "read the new token from this `file`")
	command.Flags().DurationVar(&flags.grace, "grace", 0, "`duration` to wait before revoking the old token, such as 10m (default: none; 10s with --pods)")
	command.Flags().StringVar(&flags.pods, "pods", "", "annotate the pods that match this label `selector` in the Secret's namespace, so that kubelet updates them at once")
	command.Flags().BoolVar(&flags.resume, "resume", false, "finish an interrupted rotate --new")
	command.Flags().BoolVar(&flags.dryRun, "dry-run", false, "show what would happen, and change nothing")
	command.Flags().StringVar(&flags.recoveryDir, "recovery-dir", "", "`directory` in which a new token is saved until it is stored (default: $XDG_STATE_HOME/git-credential-acp, else ~/.local/state/git-credential-acp)")
	complete(command, "expires", cobra.NoFileCompletions)
	complete(command, "grace", cobra.NoFileCompletions)
	complete(command, "pods", cobra.NoFileCompletions)
	complete(command, "token-file", aFile)
	complete(command, "recovery-dir", aDirectory)
	return command
}

func runRotate(ctx context.Context, d *deps, flags rotateFlags) error {
	// A closed standard output must not interrupt it.
	signal.Ignore(syscall.SIGPIPE)
	rotation, err := newRotation(ctx, d, flags)
	if err != nil {
		return err
	}
	switch {
	case flags.resume:
		err = connection.Resume(ctx, rotation)
	case flags.anew:
		err = connection.Renew(ctx, rotation, flags.expiry)
	default:
		err = connection.Replace(ctx, rotation, func() (source.Found, error) {
			tok, err := newToken(ctx, d, flags.tokenFile)
			return source.Found{Token: tok, Where: tokenOrigin(flags.tokenFile), Renew: "run rotate with it"}, err
		})
	}
	switch {
	case err != nil:
	case flags.dryRun:
		_, _ = fmt.Fprint(d.env.Stdout, "\nnothing was changed\n")
	default:
		_, _ = fmt.Fprintf(d.env.Stdout, "\nrotated: %s has the new token\n", rotation.Keeper.Where())
	}
	return err
}

// check checks the flags, and sets those that depend on others.
func (f *rotateFlags) check(command *cobra.Command, now time.Time) error {
	pods, grace := command.Flags().Changed("pods"), command.Flags().Changed("grace")
	clash := cmp.Or(exclusive(command, []string{"new"}, []string{"resume", "token-file", "grace"}),
		exclusive(command, []string{"resume"}, []string{"token-file", "grace"}),
		exclusive(command, []string{"secret", "pods"}, []string{"platform", "backend"}))
	switch {
	case f.grace < 0:
		return errFlagInvalid("--grace", "is negative")
	case pods && !kube.IsSelector(f.pods):
		return errFlagInvalid("--pods", "is not a label selector, as app=session")
	case clash != nil:
		return clash
	case f.expires != "" && !f.anew:
		return errFlagInvalid("--expires", "goes with --new only")
	}
	if pods && !grace {
		f.grace = podGrace
	}
	f.expiry = now.UTC().Truncate(24*time.Hour).AddDate(0, 0, defaultLife)
	if f.expires != "" {
		var err error
		if f.expiry, err = time.Parse(time.DateOnly, f.expires); err != nil || !f.expiry.After(now) {
			return errFlagInvalid("--expires", "is not a date to come, as 2027-01-31")
		}
	}
	return nil
}

// newRotation is the rotation that the flags and settings describe.
func newRotation(ctx context.Context, d *deps, flags rotateFlags) (r connection.Rotation, err error) {
	keeper, err := newKeeper(ctx, d, "rotate", flags.keeperFlags)
	if err != nil {
		return r, err
	}
	rules, err := rulesOf(d)
	if err != nil {
		return r, err
	}
	r = connection.Rotation{Keeper: keeper, Scopes: rules.Scopes, DryRun: flags.dryRun, AllowHTTPLoopback: d.config.AllowHTTPLoopback, Grace: flags.grace,
		Shield: func() func() { return shieldSignals(d) },
		Tell: func(step, text string) {
			_, _ = fmt.Fprintf(d.env.Stdout, "%-10s %s\n", step, d.say.clean(text))
		}}
	if r.GitLab, err = newGitLab(d); err != nil {
		return r, err
	}
	if d.flags.instance != nil {
		if r.Only, err = knownInstance(d); err != nil {
			return r, err
		}
	}
	dir, err := recoveryDir(d, flags.recoveryDir)
	if err != nil {
		return r, err
	}
	r.Recovery = connection.RecoveryIn(dir, keeper)
	if flags.recoveryDir != "" {
		r.Recovery.Flags += " --recovery-dir " + message.Quote(flags.recoveryDir)
	}
	switch keeper := keeper.(type) {
	case *connection.Secret:
		keeper.Replace = true
		if flags.pods != "" {
			r.Pods = func(ctx context.Context, dryRun bool) (int, error) {
				return keeper.AnnotatePods(ctx, flags.pods, dryRun)
			}
		}
	default:
		r.Here = func(ctx context.Context, i instance.Instance) source.Found { return keptHere(ctx, d, i) }
	}
	return r, nil
}

// shieldSignals keeps signals from ending the process until safe is called. The first one is
// answered with a message.
func shieldSignals(d *deps) (safe func()) {
	signals := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		select {
		case <-signals:
			d.say.tell(noteRotateShielded(), asIs)
		case <-done:
		}
	}()
	return func() { signal.Stop(signals); close(done) }
}

// recoveryDir is the directory for records of unfinished rotations.
func recoveryDir(d *deps, dir string) (string, error) {
	state, home := d.config.StateHome.Value, d.config.Home.Value
	switch {
	case dir != "":
		return dir, nil
	case filepath.IsAbs(state):
		return filepath.Join(state, Name), nil
	case filepath.IsAbs(home):
		return filepath.Join(home, ".local", "state", Name), nil
	}
	return "", errFlagInvalid("--recovery-dir", "is not given, and there is no home directory")
}
