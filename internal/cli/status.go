package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/check"
	"github.com/ambient-code/git-credential-acp/internal/connection"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/lookup"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/report"
	"github.com/ambient-code/git-credential-acp/internal/source"
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
		Args: noArguments,
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

	found   source.Found
	problem error
}

// statusToken is GitLab's reply about a token.
type statusToken struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	UserID    int64  `json:"userId"`
	ExpiresAt string `json:"expiresAt,omitempty"`
}

func runStatus(ctx context.Context, d *deps, flags keeperFlags, asJSON bool) error {
	server, err := newGitLab(d)
	if err != nil {
		if !asJSON {
			return err
		}
		return concludeStatus(d, []statusPlace{}, err, asJSON)
	}
	places := statusPlaces(ctx, d, flags)
	var worst error
	connected := false
	for n := range places {
		p := &places[n]
		d.say.hideToken(p.found.Token)
		askAbout(ctx, server, p, places[:n])
		connected = connected || p.Connected
		if p.problem != nil && (worst == nil || gravity(p.problem) > gravity(worst)) {
			worst = p.problem
		}
	}
	if worst == nil && !connected {
		worst = message.NothingKept("any of these places")
	}
	return concludeStatus(d, places, worst, asJSON)
}

// gravity orders problems by how much they say about the result: wrong usage first, no
// reply last.
func gravity(problem error) int {
	return slices.Index([]int{exitUnverified, exitRefused, exitUsage}, codeOf(problem))
}

// concludeStatus prints what was found and returns the exit code; worst is nil if there is
// no problem.
func concludeStatus(d *deps, places []statusPlace, worst error, asJSON bool) error {
	code := exitGood
	if worst != nil {
		code = codeOf(worst)
	}
	differences := differences(places)
	if asJSON {
		if err := statusDocument(d, places, differences, worst, code); err != nil {
			return exitError(exitRefused)
		}
	} else {
		statusLines(&report.Lines{To: d.env.Stdout, Redact: d.say.clean}, places, differences, worst)
	}
	return exitError(code)
}

// statusPlaces reads all places that are known.
func statusPlaces(ctx context.Context, d *deps, flags keeperFlags) []statusPlace {
	var places []statusPlace
	read := func(name string, f keeperFlags) {
		keeper, err := newKeeper(ctx, d, "status", f)
		if err != nil {
			places = append(places, statusPlace{Place: name, Where: name, problem: err})
			return
		}
		kept, err := keeper.Read(ctx)
		p := newStatusPlace(name, kept)
		p.Where = keeper.Where()
		if err != nil {
			p.problem = err
		}
		places = append(places, p)
	}
	if flags.platform || flags.backend != "" || lookup.OnPlatform(d.config) {
		read("platform", keeperFlags{platform: true, backend: flags.backend})
	}
	if flags.secret != "" || d.config.Secret.Value != "" {
		read("secret", keeperFlags{secret: flags.secret})
	}
	found, looked, problem := newLookup(d).Find(ctx, credential.Request{})
	for _, f := range found {
		connected := f.Source != source.Runner || !source.NoTurn(f.Problem)
		places = append(places, newStatusPlace("here", connection.Kept{Found: f, Connected: connected, UpdatedAt: f.Changed()}))
	}
	if len(found) == 0 {
		if problem == nil && len(places) == 0 {
			problem = message.NoToken(looked, newLookup(d).Connect())
		}
		places = append(places, statusPlace{Place: "here", Where: "nowhere", problem: problem})
	}
	return places
}

func newStatusPlace(name string, kept connection.Kept) statusPlace {
	p := statusPlace{Place: name, Where: kept.Where, Connected: kept.Connected, Instance: kept.Instance.String(), Username: kept.Username,
		found: kept.Found, problem: kept.Problem}
	if !kept.UpdatedAt.IsZero() {
		p.UpdatedAt = kept.UpdatedAt.UTC().Format(time.RFC3339)
	}
	return p
}

// askAbout asks GitLab about the token of a place, unless an earlier place has the same one.
func askAbout(ctx context.Context, server connection.GitLab, p *statusPlace, earlier []statusPlace) {
	for _, other := range earlier {
		if connection.Same(other.found.Token, p.found.Token) && other.found.Instance == p.found.Instance {
			p.Token, p.problem = other.Token, other.problem
			return
		}
	}
	if p.found.Token.IsZero() || p.problem != nil {
		return
	}
	self, err := server.Self(ctx, p.found)
	if err != nil {
		p.problem = err
		return
	}
	p.Token = &statusToken{ID: self.ID, Name: self.Name, UserID: self.UserID}
	if !self.ExpiresAt.IsZero() {
		p.Token.ExpiresAt = self.ExpiresAt.Format(time.DateOnly)
	}
}

// differences are the differences between the places.
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
			case one.found.Instance != other.found.Instance:
				all = append(all, warnDisagree(one.Where+" is for "+one.Instance+", "+other.Where+" for "+other.Instance))
			case !one.found.Token.IsZero() && !other.found.Token.IsZero() && !connection.Same(one.found.Token, other.found.Token):
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
			lines.Step(report.Failed, p.Place, p.text(), "")
			lines.Step("", "", p.problem.Error(), message.As(p.problem).Hint)
		case !p.Connected:
			lines.Step(report.Skipped, p.Place, p.text(), "")
		default:
			lines.Step(report.Good, p.Place, p.text(), "")
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

// text describes a place.
func (p *statusPlace) text() string {
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

func statusDocument(d *deps, places []statusPlace, differences []error, worst error, code int) error {
	outcomes := []check.Outcome{exitGood: check.AllGood, exitRefused: check.Refused, exitUsage: check.Usage, exitUnverified: check.Unverified}
	document := struct {
		Schema      int           `json:"schemaVersion"`
		Outcome     check.Outcome `json:"outcome"`
		ExitCode    int           `json:"exitCode"`
		Reason      *reason       `json:"reason,omitempty"`
		Places      []statusPlace `json:"places"`
		Differences []string      `json:"differences"`
	}{Schema: 1, Outcome: outcomes[code], ExitCode: code, Reason: reasonOf(worst), Places: places, Differences: []string{}}
	for n := range document.Places {
		document.Places[n].Problem = reasonOf(document.Places[n].problem)
	}
	for _, d := range differences {
		document.Differences = append(document.Differences, message.As(d).What)
	}
	return report.Document(d.env.Stdout, document, d.say.clean)
}
