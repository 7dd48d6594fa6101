package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/check"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/report"
)

// checkFlags are check's flags.
type checkFlags struct {
	branch, color, terminationLog string
	branchGiven, json, all        bool
}

func checkCommand(d *deps) *cobra.Command {
	var flags checkFlags
	command := &cobra.Command{
		Use: "check [REPOSITORY-URL | --all [URL]...]", SuggestFor: []string{"verify", "test", "doctor", "validate"},
		Short: "Check everything that git needs for a push, one line per step",
		Long: `check tests everything that git needs, in order, and prints one line per step:
✓ good, ! warning, ✗ failed, - skipped, with a hint.

It checks the project of the repository URL, or of the repository in the working
directory; without either, everything up to the token. The token goes only to its
own GitLab instance.

--all checks what GitLab says of several repositories, those of REPOS_JSON or the
URLs, one line each. Repositories on hosts that no token is for are skipped.

Exit codes: 0 good, possibly with warnings; 1 something is wrong; 2 wrong usage;
3 could not be verified.`,
		Example: `  git-credential-acp check https://gitlab.example.com/group/project.git
  git-credential-acp check --branch main
  git-credential-acp check --all
  git-credential-acp check --json | jq -r .outcome`,
		Args: cobra.ArbitraryArgs, // reported by runCheck, in JSON too
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.branchGiven = cmd.Flags().Changed("branch")
			if flags.all {
				return runCheckAll(cmd.Context(), d, flags, args)
			}
			return runCheck(cmd.Context(), d, flags, args)
		},
	}
	takesMinAccess(d, command)
	command.Flags().StringVar(&flags.branch, "branch", "", "check whether you may push to this `branch`")
	command.Flags().BoolVar(&flags.all, "all", false, "check the repositories of REPOS_JSON, or those of the arguments")
	command.Flags().BoolVar(&flags.json, "json", false, "print one JSON document (docs/check.schema.json describes it, docs/check-all.schema.json that of --all)")
	command.Flags().StringVar(&flags.color, "color", "auto", "`when` to color the marks: auto (on a terminal, without NO_COLOR), always or never")
	command.Flags().StringVar(&flags.terminationLog, "termination-log", "", "on failure, also write the reason and the hint to this `file` (/dev/termination-log in a pod)")
	complete(command, "branch", cobra.NoFileCompletions)
	complete(command, "color", words("auto", "always", "never"))
	complete(command, "termination-log", aFile)
	return command
}

func runCheck(ctx context.Context, d *deps, flags checkFlags, args []string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process, whatever it waits for.
	defer context.AfterFunc(ctx, stop)()
	lines := &checkLines{Lines: report.Lines{To: d.env.Stdout, Color: colored(d, flags.color)}}
	steps := []check.Step{}
	show, end := lines.step, lines.end
	if flags.json {
		show = func(s check.Step) { steps = append(steps, s) }
		end = func(result check.Result, code int) error { return checkDocument(d, steps, result, code) }
	}
	c, target, problem := checker(d, flags, args)
	if problem != nil {
		return concludeCheck(d, flags, end, check.Result{Outcome: check.Usage, Reason: problem})
	}
	c.Report = show
	return concludeCheck(d, flags, end, c.Run(ctx, target))
}

// checker puts together what a check takes. The message is about the command
// line.
func checker(d *deps, flags checkFlags, args []string) (c check.Check, target check.Target, problem error) {
	switch flags.color {
	case "auto", "always", "never":
	default:
		return c, target, errFlagInvalid("--color", "is neither auto, always nor never")
	}
	if _, wrong := knownInstance(d); wrong != nil && d.flags.instance != nil {
		return c, target, wrong
	}
	if d.flags.minAccess != nil {
		if _, wrong := rulesOf(d); wrong != nil && message.As(wrong).Topic == message.Usage {
			return c, target, wrong
		}
	}
	if len(args) > 1 {
		return c, target, errURLsSeveral()
	}
	if len(args) == 1 {
		if target, problem = check.ParseTarget(args[0]); problem != nil {
			return c, target, problem
		}
	}
	if flags.branchGiven {
		var err error
		if target.Branch, err = check.ParseBranch(flags.branch); err != nil {
			return c, target, errFlagInvalid("--branch", err.Error())
		}
	}
	limit, invalid := d.config.Timeout()
	h := newHelper(d)
	if d.flags.minAccess != nil {
		h.MinAccess = nil // what is asked for here counts
	}
	// get needs these settings later than its rules, and refuses over them too.
	h.Rules = func(url string) (helper.Rules, error) {
		found, problem := rulesFor(d, url)
		if problem == nil {
			problem = invalid
		}
		if problem == nil {
			_, problem = verdictStore(d)
		}
		if problem == nil {
			_, problem = d.config.RateLimitWait()
		}
		return found, problem
	}
	return checkWith(d, h, limit), target, nil
}

// checkWith is a check of what a helper would answer.
func checkWith(d *deps, h helper.Helper, limit time.Duration) check.Check {
	h.Attempts = cache.Store{} // retry failed rescues
	return check.Check{
		Helper: h,
		Connect: func(q helper.Question) (*gitlab.Client, error) {
			return newClients(d).Connect(q, limit, nil)
		},
		Limit:      limit,
		OnLimit:    newWaitBudget(d).Wait,
		Connection: newLookup(d).Connected,
		Cache: func() (string, error) {
			store, problem := verdictStore(d)
			if problem != nil {
				return "", problem // another step tells it
			}
			return store.Usable()
		},
		Net:    gitNetwork(d),
		Here:   check.Machine{Path: d.config.Path, Home: d.config.Home.Value, Environ: d.env.Environ, MinAccess: d.flags.minAccess},
		Redact: d.say.clean,
	}
}

// checkCodes are the exit codes for how a check ends.
var checkCodes = map[check.Outcome]int{
	check.AllGood: exitGood, check.Refused: exitRefused, check.Unverified: exitUnverified, check.Usage: exitUsage,
}

// concludeCheck ends the output with end, and turns the outcome into an exit code.
func concludeCheck(d *deps, flags checkFlags, end func(check.Result, int) error, result check.Result) error {
	code := checkCodes[result.Outcome]
	if flags.terminationLog != "" && result.Reason != nil {
		if err := replaceContent(flags.terminationLog, terminationMessage(d.say, result)); err != nil {
			d.say.tell(warnTerminationLog(flags.terminationLog, file.Cause(err)), asIs)
		}
	}
	if result.Outcome == check.Usage && !flags.json {
		d.say.tell(result.Reason, asIs)
		return exitError(code)
	}
	if err := end(result, code); err != nil {
		return exitError(exitRefused)
	}
	if code == exitGood {
		return nil
	}
	return exitError(code)
}

// maxTermination is what the kubelet shows of a termination log, in bytes; of a
// longer one it shows the end (MaxContainerTerminationMessageLength).
const maxTermination = 4096

// terminationMessage is the reason and its hint, a line each. The kubelet takes the
// file for the container's message as it is, so it does not end with a line feed.
func terminationMessage(say *printer, result check.Result) string {
	text := strings.Join(say.lines(result.Reason, result.Redact), "\n")
	if len(text) > maxTermination {
		text = strings.ToValidUTF8(text[:maxTermination], "")
	}
	return text
}

// replaceContent replaces the content of a file. It does not wait for the other end
// of a FIFO, or not for long.
func replaceContent(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NONBLOCK, 0o644) //nolint:gosec // the operator names it, and Kubernetes reads it
	if err != nil {
		return err
	}
	_ = f.SetWriteDeadline(time.Now().Add(time.Second)) // not for files, which take no time
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}

// colored reports whether marks are to be coloured (https://no-color.org).
func colored(d *deps, when string) bool {
	if when != "auto" {
		return when == "always"
	}
	out, ok := d.env.Stdout.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(out.Fd())) && d.config.Color()
}

// checkLines prints steps as lines for people, each when it was made.
type checkLines struct {
	report.Lines
	// instance is the last step's.
	instance string
	// failed and warned are the names of those steps, with repeats.
	failed, warned []string
}

func (l *checkLines) step(s check.Step) {
	if s.Instance != "" && l.instance != "" && s.Instance != l.instance {
		l.Print("\n")
	}
	l.instance = s.Instance
	text := s.Text
	switch s.Status {
	case report.Failed:
		l.failed = append(l.failed, s.Name)
	case report.Warning:
		l.warned = append(l.warned, s.Name)
	case report.Skipped:
		text = "skipped: " + text
	}
	l.Step(s.Status, s.Name, text, s.Hint)
}

func (l *checkLines) end(check.Result, int) error {
	var parts []string
	if len(l.failed) > 0 {
		parts = append(parts, tally(l.failed, "failure"))
	}
	if len(l.warned) > 0 {
		parts = append(parts, tally(l.warned, "warning"))
	}
	if len(parts) == 0 {
		parts = []string{"all is well"}
	}
	l.Print("\n%s\n", strings.Join(parts, ", "))
	return l.Err
}

// tally is such as "2 failures (dns, token)".
func tally(steps []string, noun string) string {
	if len(steps) > 1 {
		noun += "s"
	}
	var names []string
	for _, name := range steps {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return fmt.Sprintf("%d %s (%s)", len(steps), noun, strings.Join(names, ", "))
}

// reason is a message in JSON.
type reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

func reasonOf(m error) *reason {
	if m == nil {
		return nil
	}
	return &reason{Code: message.As(m).Code, Text: m.Error(), Hint: message.As(m).Hint}
}

// checkDocument prints the JSON document of a check.
func checkDocument(d *deps, steps []check.Step, result check.Result, code int) error {
	return report.Document(d.env.Stdout, struct {
		Schema   int           `json:"schemaVersion"`
		Version  string        `json:"version"`
		Outcome  check.Outcome `json:"outcome"`
		ExitCode int           `json:"exitCode"`
		Reason   *reason       `json:"reason,omitempty"`
		Failures int           `json:"failures"`
		Warnings int           `json:"warnings"`
		Steps    []check.Step  `json:"steps"`
	}{Schema: 1, Version: d.env.Build.known().Version, Outcome: result.Outcome, ExitCode: code, Reason: reasonOf(result.Reason),
		Failures: result.Failures, Warnings: result.Warnings, Steps: steps}, result.Redact)
}
