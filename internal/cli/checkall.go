package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/check"
	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/report"
)

// runCheckAll checks several repositories.
func runCheckAll(ctx context.Context, d *deps, flags checkFlags, args []string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	out := &checkAll{to: d.env.Stdout, color: colored(d, flags.color), json: flags.json, version: d.env.Build.known().Version}
	c, _, problem := checker(d, flags, nil)
	if flags.branchGiven && problem == nil {
		problem = errFlagsClash("--all", "--branch")
	}
	urls, wrong := args, error(nil)
	for _, url := range args {
		if _, err := check.ParseTarget(url); err != nil && problem == nil {
			problem = err
		}
	}
	if len(args) == 0 {
		urls, wrong = repositories(d.config.Repositories())
	}
	switch {
	case problem != nil:
		out.found.Result = check.Result{Outcome: check.Usage, Reason: problem}
	case wrong != nil:
		out.found.Result = check.Result{Outcome: check.Refused, Reason: message.SettingInvalid(config.RepositoriesVariable, wrong), Failures: 1}
	default:
		out.found = c.RunAll(ctx, urls)
	}
	return concludeCheck(d, flags, out.end, out.found.Result)
}

// repositories are the URLs in the value of REPOS_JSON. As on the platform, null is none,
// and an entry without a URL is passed over. The error shows nothing of the value, which
// may hold a login.
func repositories(text string) (urls []string, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var entries []json.RawMessage
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		var kind *json.UnmarshalTypeError
		if !errors.As(err, &kind) {
			return nil, errors.New("not JSON, or not all of it")
		}
		entries = []json.RawMessage{json.RawMessage(text)} // one repository alone
	}
	for n, entry := range entries {
		var repository struct {
			URL   string
			Input struct{ URL string } // older sessions
		}
		if json.Unmarshal(entry, &repository.URL) != nil && json.Unmarshal(entry, &repository) != nil {
			return nil, fmt.Errorf("not a list of repositories: number %d is neither a URL nor an object with a url", n+1)
		}
		if url := strings.TrimSpace(cmp.Or(repository.URL, repository.Input.URL)); url != "" {
			urls = append(urls, url)
		}
	}
	return urls, nil
}

// checkAll is the output of a check of several repositories.
type checkAll struct {
	to          io.Writer
	color, json bool
	version     string
	found       check.All
}

func (o *checkAll) end(result check.Result, code int) error {
	if o.json {
		return o.document(result, code)
	}
	lines := &report.Lines{To: o.to, Color: o.color, Redact: result.Redact}
	for _, row := range o.found.Repositories {
		lines.Width = min(max(lines.Width, len(row.Name), 16), 60)
	}
	shown := map[string]bool{} // hints that several repositories share are shown once
	hint := func(m error) string {
		text := message.As(m).Hint
		if shown[text] {
			return ""
		}
		shown[text] = true
		return text
	}
	show := func(name string, outcome check.Outcome, text string, warnings []error, reason error) {
		switch {
		case reason != nil:
			lines.Step(report.Failed, name, reason.Error(), hint(reason))
		case outcome == check.Passed:
			lines.Step(report.Skipped, name, "skipped: "+text, "")
		case len(warnings) == 0:
			lines.Step(report.Good, name, text, "")
		default:
			lines.Step(report.Warning, name, text, "")
		}
		for _, m := range warnings {
			lines.Step("", "", message.As(m).What, hint(m))
		}
	}
	for _, t := range o.found.Tokens {
		show("token", t.Outcome, t.Where+tokenWords(t), t.Warnings, t.Reason)
	}
	for _, r := range o.found.Repositories {
		show(r.Name, r.Outcome, roleWords(r), r.Warnings, r.Reason)
	}
	switch {
	case len(o.found.Repositories) > 0:
		lines.Print("\n%s\n", o.counts())
	case result.Reason != nil:
		lines.Step(report.Failed, "repositories", result.Reason.Error(), hint(result.Reason))
	default:
		lines.Step(report.Skipped, "repositories", "skipped: "+config.RepositoriesVariable+" names none, and no URL was given", "")
	}
	return lines.Err
}

// tokenWords say whose a token is, and until when.
func tokenWords(t check.TokenRow) string {
	text := ", for " + t.Instance
	if t.User.Username != "" {
		text += fmt.Sprintf(", of @%s (user %d)", message.Quote(t.User.Username), t.User.ID)
	}
	if t.ExpiresAt != "" {
		text += ", expires on " + t.ExpiresAt
	}
	return text
}

// roleWords say as what a user may use a repository.
func roleWords(r check.RepositoryRow) string {
	switch {
	case r.Proxy != "":
		return check.HasToken(r.Proxy)
	case r.Outcome == check.Passed:
		return "no token here is for this host"
	case r.Access == nil:
		return "the token is good; the role was not asked about"
	case r.Access.Role == "":
		return "administrator of " + r.Instance
	}
	return r.Access.Role
}

// counts are such as "3 repositories: 1 good, 2 refused".
func (o *checkAll) counts() string {
	noun := "repositories"
	if len(o.found.Repositories) == 1 {
		noun = "repository"
	}
	var parts []string
	for _, outcome := range []check.Outcome{check.AllGood, check.Refused, check.Unverified, check.Passed} {
		count := 0
		for _, r := range o.found.Repositories {
			if r.Outcome == outcome {
				count++
			}
		}
		if count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count, outcome))
		}
	}
	return fmt.Sprintf("%d %s: %s", len(o.found.Repositories), noun, strings.Join(parts, ", "))
}

// remarks are what is to be shown of a row of the document.
type remarks struct {
	Warnings []*reason `json:"warnings,omitempty"`
	Reason   *reason   `json:"reason,omitempty"`
}

func remarksOf(warnings []error, why error) remarks {
	all := remarks{Reason: reasonOf(why)}
	for _, m := range warnings {
		all.Warnings = append(all.Warnings, reasonOf(m))
	}
	return all
}

// document prints the same for programs.
func (o *checkAll) document(result check.Result, code int) error {
	type tokenRow struct {
		check.TokenRow
		remarks
	}
	type repositoryRow struct {
		check.RepositoryRow
		remarks
	}
	document := struct {
		Schema       int             `json:"schemaVersion"`
		Version      string          `json:"version"`
		Outcome      check.Outcome   `json:"outcome"`
		ExitCode     int             `json:"exitCode"`
		Reason       *reason         `json:"reason,omitempty"`
		Tokens       []tokenRow      `json:"tokens"`
		Repositories []repositoryRow `json:"repositories"`
	}{Schema: 1, Version: o.version, Outcome: result.Outcome, ExitCode: code, Reason: reasonOf(result.Reason),
		Tokens: []tokenRow{}, Repositories: []repositoryRow{}}
	for _, t := range o.found.Tokens {
		document.Tokens = append(document.Tokens, tokenRow{t, remarksOf(t.Warnings, t.Reason)})
	}
	for _, r := range o.found.Repositories {
		document.Repositories = append(document.Repositories, repositoryRow{r, remarksOf(r.Warnings, r.Reason)})
	}
	return report.Document(o.to, document, result.Redact)
}
