package cli

import (
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
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// rotateFlags are rotate's flags.
type rotateFlags struct {
	keeperFlags
	tokenFile, expires, recoveryDir, pods string
	anew, resume, dryRun                  bool
	grace                                 time.Duration
	graceGiven, podsGiven                 bool
}

// defaultLife is how long a token that GitLab makes is to live (the platform's
// guide), in days.
const defaultLife = 90

// podGrace is how long the old token lives on by default when pods are annotated:
// kubelet then needs about a second to bring them the new one.
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
			flags.graceGiven, flags.podsGiven = cmd.Flags().Changed("grace"), cmd.Flags().Changed("pods")
			if len(args) > 0 {
				return errTokenFromArgument()
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
	// A reader that goes away must not end it half-way.
	signal.Ignore(syscall.SIGPIPE)
	expires, err := flags.check(time.Now())
	if err != nil {
		return err
	}
	rotation, err := newRotation(ctx, d, flags)
	if err != nil {
		return err
	}
	switch {
	case flags.resume:
		err = connection.Resume(ctx, rotation)
	case flags.anew:
		err = connection.Renew(ctx, rotation, expires)
	default:
		err = connection.Replace(ctx, rotation, func() (source.Found, error) {
			tok, err := newToken(ctx, d, flags.tokenFile)
			return source.Found{Token: tok, Where: givenBy(flags.tokenFile), Renew: "run rotate with it"}, err
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

// check returns the expiry of a new token, or an error if the flags contradict each other.
func (f rotateFlags) check(now time.Time) (time.Time, error) {
	for _, pair := range []struct {
		clash      bool
		one, other string
	}{
		{f.anew && f.resume, "--new", "--resume"},
		{f.anew && f.tokenFile != "", "--new", "--token-file"},
		{f.resume && f.tokenFile != "", "--resume", "--token-file"},
		{f.anew && f.graceGiven, "--new", "--grace"},
		{f.resume && f.graceGiven, "--resume", "--grace"},
	} {
		if pair.clash {
			return time.Time{}, errFlagsClash(pair.one, pair.other)
		}
	}
	if f.grace < 0 {
		return time.Time{}, errFlagInvalid("--grace", "is negative")
	}
	if f.podsGiven && !kube.IsSelector(f.pods) {
		return time.Time{}, errFlagInvalid("--pods", "is not a label selector, as app=session")
	}
	if f.expires != "" && !f.anew {
		return time.Time{}, errFlagInvalid("--expires", "goes with --new only")
	}
	if f.expires == "" {
		return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, defaultLife), nil
	}
	date, err := time.Parse(time.DateOnly, f.expires)
	if err != nil || !date.After(now) {
		return time.Time{}, errFlagInvalid("--expires", "is not a date to come, as 2027-01-31")
	}
	return date, nil
}

// newRotation puts together what a rotation needs.
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
	if flags.podsGiven && !flags.graceGiven {
		r.Grace = podGrace
	}
	secret, ours := keeper.(*connection.Secret)
	switch {
	case ours && flags.podsGiven:
		r.Pods = func(ctx context.Context, dryRun bool) (int, error) {
			return secret.AnnotatePods(ctx, flags.pods, dryRun)
		}
	case flags.podsGiven:
		return r, errFlagsClash("--pods", "--platform")
	}
	if ours {
		secret.Replace = true
	} else {
		r.Here = func(ctx context.Context, i instance.Instance) source.Found { return keptHere(ctx, d, i) }
	}
	return r, nil
}

// shieldSignals keeps signals from ending the process until what it returns is called. The
// first one is answered in words.
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
