package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/connection"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/report"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
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

// rotatedAt is the annotation whose change makes kubelet sync a pod.
const rotatedAt = Name + "/rotated-at"

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
				return failed(d, errTokenFromArgument(), asIs)
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
	expires, problem := flags.check(time.Now())
	if problem != nil {
		return failed(d, problem, asIs)
	}
	rotation, problem := newRotation(ctx, d, flags)
	if problem != nil {
		return failed(d, problem, asIs)
	}
	lines := &checkLines{Lines: report.Lines{To: d.env.Stdout}}
	var tokens []token.Token
	redact := func(text string) string { return redactAll(tokens...)(text) }
	var old source.Found
	if here := rotation.Here; here != nil {
		rotation.Here = func(ctx context.Context, i instance.Instance) (token.Token, string) {
			tok, where := here(ctx, i)
			old = source.Found{Token: tok, Instance: i}
			return tok, where
		}
	}
	connect := rotation.Connect
	rotation.Connect = remembering(&tokens, connect)
	rotation.Tell = func(step, text string) { lines.Print("%-10s %s\n", step, token.Mask(redact(text))) }
	switch {
	case flags.resume:
		problem = rotation.Resume(ctx)
	case flags.anew:
		problem = rotation.Renew(ctx, expires)
	default:
		problem = rotation.Replace(ctx, func() (token.Token, error) {
			fresh, problem := newToken(ctx, d, flags.tokenFile)
			tokens = append(tokens, fresh)
			return fresh, problem
		})
	}
	if problem != nil {
		return failed(d, problem, redact)
	}
	if flags.dryRun {
		lines.Print("\nnothing was changed\n")
	} else {
		noteOldCopies(ctx, d, lines, old)
		lines.Print("\nrotated: %s has the new token\n", rotation.Keeper.Where())
	}
	return written(lines.Err)
}

// noteOldCopies says where the old token, which was found on this machine, still
// is: it is dead.
func noteOldCopies(ctx context.Context, d *deps, lines *checkLines, old source.Found) {
	if old.Token.IsZero() {
		return
	}
	if found := tokenHere(ctx, d, old.Instance); connection.Same(found.Token, old.Token) {
		lines.Print("%-10s %s still has the old token; replace it there, too\n", "note", found.Where)
	}
}

// check sees that the flags fit together, and gives the expiry of a new token.
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

// newRotation puts together what a rotation takes.
func newRotation(ctx context.Context, d *deps, flags rotateFlags) (connection.Rotation, error) {
	limit, problem := d.config.Timeout()
	if problem != nil {
		return connection.Rotation{}, problem
	}
	keeper, problem := newKeeper(ctx, d, "rotate", flags.keeperFlags, limit)
	if problem != nil {
		return connection.Rotation{}, problem
	}
	rules, problem := rulesOf(d)
	if problem != nil {
		return connection.Rotation{}, problem
	}
	r := connection.Rotation{Keeper: keeper, Connect: newConnector(d, limit), Limit: limit, Scopes: rules.Scopes, DryRun: flags.dryRun,
		AllowHTTPLoopback: d.config.AllowHTTPLoopback, NewFrom: givenBy(flags.tokenFile), Grace: flags.grace}
	if flags.podsGiven && !flags.graceGiven {
		r.Grace = podGrace
	}
	if d.flags.instance != nil {
		if r.Only, problem = knownInstance(d); problem != nil {
			return r, problem
		}
	}
	r.Shield = func() func() { return shieldSignals(d) }
	if r.Recovery.Path, problem = recoveryPath(d, flags.recoveryDir, keeper.Where()); problem != nil {
		return r, problem
	}
	switch keeper := keeper.(type) {
	case *connection.Secret:
		keeper.Replace = true
		if flags.podsGiven {
			r.Pods = func(ctx context.Context, dryRun bool) (int, error) {
				return keeper.Client.AnnotatePods(ctx, keeper.Name.Namespace, flags.pods, rotatedAt, time.Now().UTC().Format(time.RFC3339Nano), dryRun)
			}
		}
	case connection.Platform:
		if flags.podsGiven {
			return r, errFlagsClash("--pods", "--platform")
		}
		r.Here = func(ctx context.Context, i instance.Instance) (token.Token, string) {
			found := keptHere(ctx, d, i)
			return found.Token, found.Where
		}
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

// remembering records every token that a client is made for, to redact it in output.
func remembering(tokens *[]token.Token, connect connector) connector {
	return func(tok token.Token, i instance.Instance, ca authorities) (*gitlab.Client, error) {
		*tokens = append(*tokens, tok)
		return connect(tok, i, ca)
	}
}

// recoveryPath is the file for an unfinished rotation in one place.
func recoveryPath(d *deps, dir, where string) (string, error) {
	if dir == "" {
		state, home := d.config.StateHome.Value, d.config.Home.Value
		switch {
		case filepath.IsAbs(state):
			dir = filepath.Join(state, Name)
		case filepath.IsAbs(home):
			dir = filepath.Join(home, ".local", "state", Name)
		default:
			return "", errFlagInvalid("--recovery-dir", "is not given, and there is no home directory")
		}
	}
	sum := sha256.Sum256([]byte(where))
	return filepath.Join(dir, fmt.Sprintf("rotation-%s.json", hex.EncodeToString(sum[:8]))), nil
}
