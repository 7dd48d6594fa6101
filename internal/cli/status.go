package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/check"
	"github.com/ambient-code/git-credential-acp/internal/connection"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/lookup"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/report"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

func statusCommand(d *deps) *cobra.Command {
	var flags keeperFlags
	var asJSON bool
	command := &cobra.Command{
		Use: "status", SuggestFor: []string{"whoami", "show", "list"},
		Short: "Show the GitLab connection in the platform, a Secret and here",
		Long: `status shows the connection in the platform (--platform, or if ACP_BACKEND_URL or
BACKEND_API_URL is set), in a Secret (--secret, or ACP_GITLAB_SECRET) and the token
that git gets here. It asks GitLab about each token and reports differences.`,
		Args: alone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return runStatus(ctx, d, flags, asJSON)
		},
	}
	flags.add(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print one JSON document (docs/status.schema.json describes it)")
	return command
}

// statusPlace is the connection as one place sees it. docs/status.schema.json
// describes it.
type statusPlace struct {
	Place     string       `json:"place"` // platform, secret or here
	Where     string       `json:"where"`
	Connected bool         `json:"connected"`
	Instance  string       `json:"instance,omitempty"`
	UpdatedAt string       `json:"updatedAt,omitempty"`
	Username  string       `json:"username,omitempty"`
	Token     *statusToken `json:"token,omitempty"`
	Problem   *reason      `json:"problem,omitempty"`

	instance instance.Instance
	token    token.Token
	ca       authorities
	problem  error
}

// statusToken is what GitLab says of a token.
type statusToken struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	UserID    int64  `json:"userId"`
	ExpiresAt string `json:"expiresAt,omitempty"`
}

func runStatus(ctx context.Context, d *deps, flags keeperFlags, asJSON bool) error {
	limit, problem := d.config.Timeout()
	if problem != nil {
		if !asJSON {
			return failed(d, problem, asIs)
		}
		return concludeStatus(d, []statusPlace{}, problem, asJSON)
	}
	places := statusPlaces(ctx, d, flags, limit)
	for n := range places {
		askAbout(ctx, d, &places[n], places[:n])
	}
	var worst error
	connected := false
	for n := range places {
		p := &places[n]
		connected = connected || p.Connected
		if p.problem != nil && (worst == nil || graver(p.problem, worst)) {
			worst = p.problem
		}
	}
	if worst == nil && !connected {
		worst = message.NothingKept("any of these places")
	}
	return concludeStatus(d, places, worst, asJSON)
}

// graver reports whether one problem says more about how a status ends than
// another: the command line's first, what could not be learned last.
func graver(one, other error) bool {
	weight := func(m error) int {
		switch {
		case message.As(m).Topic == message.Usage:
			return 2
		case message.Unverified(m):
			return 0
		}
		return 1
	}
	return weight(one) > weight(other)
}

// concludeStatus prints what was found and gives the exit code; worst is nil when
// all is well.
func concludeStatus(d *deps, places []statusPlace, worst error, asJSON bool) error {
	code, outcome := exitGood, check.AllGood
	switch {
	case worst == nil:
	case message.As(worst).Topic == message.Usage:
		code, outcome = exitUsage, check.Usage
	case message.Unverified(worst):
		code, outcome = exitUnverified, check.Unverified
	default:
		code, outcome = exitRefused, check.Refused
	}
	var tokens []token.Token
	for _, p := range places {
		tokens = append(tokens, p.token)
	}
	redact := func(text string) string { return d.say.clean(redactAll(tokens...)(text)) }
	differences := differences(places)
	var err error
	if asJSON {
		err = statusDocument(d.env.Stdout, redact, places, differences, worst, outcome, code)
	} else {
		lines := report.Lines{To: d.env.Stdout, Redact: redact}
		statusLines(&lines, places, differences, worst)
		err = lines.Err
	}
	if err != nil {
		return written(err)
	}
	if code == exitGood {
		return nil
	}
	return exitError(code)
}

// statusPlaces looks at all places that are known.
func statusPlaces(ctx context.Context, d *deps, flags keeperFlags, limit time.Duration) []statusPlace {
	var places []statusPlace
	look := func(name string, f keeperFlags) {
		p := statusPlace{Place: name, Where: name}
		keeper, problem := newKeeper(ctx, d, "status", f, limit)
		if problem == nil {
			p.Where = keeper.Where()
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			var kept connection.Kept
			kept, problem = keeper.Read(ctx)
			p.take(kept)
		}
		if problem != nil {
			p.problem = problem
		}
		places = append(places, p)
	}
	if flags.platform || flags.backend != "" || lookup.OnPlatform(d.config) {
		look("platform", keeperFlags{platform: true, backend: flags.backend})
	}
	if flags.secret != "" || d.config.Secret.Value != "" {
		look("secret", keeperFlags{secret: flags.secret})
	}
	found, looked, problem := newLookup(d).Find(ctx, credential.Request{})
	for _, f := range found {
		p := statusPlace{Place: "here", Where: f.Where, Connected: f.Source != source.Runner || !source.NoTurn(f.Problem), instance: f.Instance, token: f.Token, ca: f.CA, problem: f.Problem}
		p.Instance = f.Instance.String()
		if at := f.Changed(); !at.IsZero() {
			p.UpdatedAt = at.UTC().Format(time.RFC3339)
		}
		places = append(places, p)
	}
	if len(found) == 0 {
		p := statusPlace{Place: "here", Where: "nowhere", problem: problem}
		if problem == nil && len(places) == 0 {
			p.problem = message.NoToken(looked, newLookup(d).Connect())
		}
		places = append(places, p)
	}
	return places
}

func (p *statusPlace) take(kept connection.Kept) {
	p.Connected, p.instance, p.token, p.ca, p.problem = kept.Connected, kept.Instance, kept.Token, kept.CA, kept.Problem
	p.Instance, p.Username = kept.Instance.String(), kept.Username
	if !kept.UpdatedAt.IsZero() {
		p.UpdatedAt = kept.UpdatedAt.UTC().Format(time.RFC3339)
	}
}

// askAbout asks GitLab about the token of a place, unless it was asked before.
func askAbout(ctx context.Context, d *deps, p *statusPlace, before []statusPlace) {
	for _, other := range before {
		if connection.Same(other.token, p.token) && other.instance == p.instance {
			p.Token, p.problem = other.Token, other.problem
			return
		}
	}
	if p.token.IsZero() || p.problem != nil {
		return
	}
	self, problem := askSelf(ctx, d, p.token, p.instance, p.ca, p.Where)
	if problem != nil {
		p.problem = problem
		return
	}
	p.Token = &statusToken{ID: self.ID, Name: self.Name, UserID: self.UserID}
	if !self.ExpiresAt.IsZero() {
		p.Token.ExpiresAt = self.ExpiresAt.Format(time.DateOnly)
	}
}

// differences are what the places don't agree about.
func differences(places []statusPlace) []error {
	var all []error
	for n, one := range places {
		for _, other := range places[n+1:] {
			switch {
			case source.NoTurn(one.problem) || source.NoTurn(other.problem): // both may be right
			case one.problem != nil && one.Instance == "" || other.problem != nil && other.Instance == "":
			case one.Connected != other.Connected:
				there, missing := one, other
				if other.Connected {
					there, missing = other, one
				}
				all = append(all, warnDisagree(there.Where+" has a token, "+missing.Place+" has none"))
			case !one.Connected:
			case one.instance != other.instance:
				all = append(all, warnDisagree(one.Where+" is for "+one.Instance+", "+other.Where+" for "+other.Instance))
			case !one.token.IsZero() && !other.token.IsZero() && !connection.Same(one.token, other.token):
				all = append(all, warnDisagree(one.Where+" and "+other.Where+" have different tokens"))
			}
		}
	}
	return all
}

func statusLines(lines *report.Lines, places []statusPlace, differences []error, worst error) {
	for _, p := range places {
		switch {
		case p.problem != nil:
			lines.Step(report.Failed, p.Place, p.words(), "")
			lines.Step("", "", p.problem.Error(), message.As(p.problem).Hint)
		case !p.Connected:
			lines.Step(report.Skipped, p.Place, p.words(), "")
		default:
			lines.Step(report.Good, p.Place, p.words(), "")
			if t := p.Token; t != nil {
				expiry := "never expires"
				if t.ExpiresAt != "" {
					expiry = "expires on " + t.ExpiresAt
				}
				lines.Step("", "", fmt.Sprintf("GitLab: the token %s (%d) of user %d is alive; it %s", message.Quote(t.Name), t.ID, t.UserID, expiry), "")
			}
		}
	}
	for _, d := range differences {
		lines.Step(report.Warning, "difference", message.As(d).What, message.As(d).Hint)
	}
	if message.Empty(worst) {
		lines.Step(report.Failed, "connection", worst.Error(), message.As(worst).Hint)
	}
}

// words say what a place has.
func (p *statusPlace) words() string {
	switch {
	case p.Connected && p.Instance == "":
		return p.Where + ": nothing that can be used"
	case !p.Connected && p.problem != nil && p.Place != "here":
		return p.Where + ": not known"
	case !p.Connected:
		return p.Where + ": no token"
	}
	text := p.Where + ": a token of " + p.Instance
	if p.Username != "" {
		text += " of @" + message.Quote(p.Username)
	}
	if p.UpdatedAt != "" {
		text += ", stored at " + p.UpdatedAt
	}
	return text
}

func statusDocument(to io.Writer, redact func(string) string, places []statusPlace, differences []error, worst error, outcome check.Outcome, code int) error {
	document := struct {
		Schema      int           `json:"schemaVersion"`
		Outcome     check.Outcome `json:"outcome"`
		ExitCode    int           `json:"exitCode"`
		Reason      *reason       `json:"reason,omitempty"`
		Places      []statusPlace `json:"places"`
		Differences []string      `json:"differences"`
	}{Schema: 1, Outcome: outcome, ExitCode: code, Reason: reasonOf(worst), Places: places, Differences: []string{}}
	for n := range document.Places {
		document.Places[n].Problem = reasonOf(document.Places[n].problem)
	}
	for _, d := range differences {
		document.Differences = append(document.Differences, message.As(d).What)
	}
	return report.Document(to, document, redact)
}
