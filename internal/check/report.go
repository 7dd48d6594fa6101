package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/report"
)

// The steps' results for programs. docs/check.schema.json describes them.
type (
	// SourceData is where the token comes from.
	SourceData struct {
		Source    string `json:"source"`
		Path      string `json:"path,omitempty"`
		ChangedAt string `json:"changedAt,omitempty"`
	}
	// SettingsData is what a token needs, and whether git gets an unverified one.
	SettingsData struct {
		Scopes          []string `json:"scopes"`
		Minimum         int      `json:"minimum"`
		AllowUnverified bool     `json:"allowUnverified"`
	}
	// InstanceData is the instance's address.
	InstanceData struct {
		URL string `json:"url"`
	}
	// ProxyData is the proxy in use, without user and password, "" for none.
	ProxyData struct {
		Proxy string `json:"proxy"`
	}
	// DNSData are the host's addresses.
	DNSData struct {
		Addresses []string `json:"addresses"`
	}
	// TCPData is the address of the connection: the instance's, or its proxy's.
	TCPData struct {
		Address string `json:"address"`
	}
	// TLSData is about the instance's certificate.
	TLSData struct {
		Version  string `json:"version"`
		Issuer   string `json:"issuer"`
		NotAfter string `json:"notAfter"`
	}
	// APIData is how the REST API answered.
	APIData struct {
		URL          string `json:"url"`
		Milliseconds int64  `json:"milliseconds"`
	}
	// ClockData is how far GitLab's clock is ahead of the one here.
	ClockData struct {
		AheadSeconds int `json:"aheadSeconds"`
	}
	// TokenData describes a token and its owner. Kind is "personal", "project" or "group",
	// or empty if unknown.
	TokenData struct {
		ID         int64    `json:"id,omitempty"`
		Name       string   `json:"name,omitempty"`
		Kind       string   `json:"kind,omitempty"`
		Granular   bool     `json:"granular,omitempty"`
		User       UserData `json:"user"`
		CreatedAt  string   `json:"createdAt,omitempty"`
		LastUsedAt string   `json:"lastUsedAt,omitempty"`
	}
	// UserData is the token's user.
	UserData struct {
		ID       int64  `json:"id"`
		Username string `json:"username,omitempty"`
		Name     string `json:"name,omitempty"`
	}
	// ExpiryData is when a token expires: at 00:00 UTC on that date. It is empty for never.
	ExpiryData struct {
		ExpiresAt string `json:"expiresAt,omitempty"`
		DaysLeft  *int   `json:"daysLeft,omitempty"`
	}
	// ScopesData is what a token may do.
	ScopesData struct {
		Held     []string `json:"held"`
		Required []string `json:"required,omitempty"`
		Missing  []string `json:"missing,omitempty"`
		Implied  []string `json:"implied,omitempty"`
		TooBroad []string `json:"tooBroad,omitempty"`
	}
	// ProjectData is the project on GitLab.
	ProjectData struct {
		ID        int64  `json:"id"`
		Path      string `json:"path,omitempty"`
		MovedFrom string `json:"movedFrom,omitempty"`
		Archived  bool   `json:"archived,omitempty"`
		DeletedOn string `json:"deletedOn,omitempty"`
	}
	// AccessData is the role on the project, and where it comes from: "project",
	// "group", "invited-group" or "administrator".
	AccessData struct {
		Level   int    `json:"level"`
		Role    string `json:"role,omitempty"`
		From    string `json:"from"`
		Minimum int    `json:"minimum"`
	}
	// BranchData is whether a branch can be pushed to. For one that does not exist, nothing
	// else is known.
	BranchData struct {
		Name      string `json:"name"`
		Exists    bool   `json:"exists"`
		Protected bool   `json:"protected"`
		CanPush   bool   `json:"canPush"`
	}
	// RateData is what is left of the rate limit.
	RateData struct {
		Limit     int    `json:"limit"`
		Remaining int    `json:"remaining"`
		ResetAt   string `json:"resetAt"`
	}
	// RefsData is what git advertises.
	RefsData struct {
		Refs int `json:"refs"`
	}
	// HelpersData are the helpers that git asks, in that order, and the proxy of serve that
	// it uses instead.
	HelpersData struct {
		Helpers     []HelperData `json:"helpers"`
		UseHTTPPath bool         `json:"useHttpPath"`
		Proxy       string       `json:"proxy,omitempty"`
	}
	// HelperData is one helper: the program, without its arguments, and where it
	// is configured.
	HelperData struct {
		Program string `json:"program"`
		Scope   string `json:"scope"`
		Origin  string `json:"origin"`
	}
	// ConfigData are the places that git's configuration was read from.
	ConfigData struct {
		Origins []string `json:"origins"`
	}
	// StoredData is a git setting with a secret, and its place.
	StoredData struct {
		Setting string `json:"setting"`
		Origin  string `json:"origin"`
	}
	// VersionData is the version of a program.
	VersionData struct {
		Version string `json:"version"`
	}
)

func (r *run) report(s Step) {
	if r.done == nil {
		r.done = map[string]bool{}
	}
	r.done[s.Name] = true
	s.Instance = r.instance
	s.Text, s.Hint = r.result.Redact(s.Text), r.result.Redact(s.Hint)
	r.Report(s)
}

func (r *run) good(name string, data any, format string, args ...any) {
	r.report(Step{Name: name, Status: report.Good, Data: data, Text: fmt.Sprintf(format, args...)})
}

func (r *run) warn(name string, data any, m error) {
	r.result.Warnings++
	r.warned[name] = true
	r.report(Step{Name: name, Status: report.Warning, Data: data, Text: message.As(m).What, Hint: message.As(m).Hint, Code: message.As(m).Code})
}

func (r *run) fail(name string, m error) { r.failWith(name, nil, m) }

func (r *run) failWith(name string, data any, m error) {
	r.result.Failures++
	r.sound = false
	// Definite failures come before unverified ones.
	if r.result.Reason == nil || message.Unverified(r.result.Reason) && !message.Unverified(m) {
		r.result.Reason = m
	}
	r.report(Step{Name: name, Status: report.Failed, Data: data, Text: m.Error(), Hint: message.As(m).Hint, Code: message.As(m).Code})
}

func (r *run) skip(why string, names ...string) {
	for _, name := range names {
		r.report(Step{Name: name, Status: report.Skipped, Text: why})
	}
}

// skipThrough skips the remaining steps up to last.
func (r *run) skipThrough(last, why string) {
	for _, name := range Steps()[:slices.Index(Steps(), last)+1] {
		if !r.done[name] && (name != stepBranch || r.branch != "") {
			r.skip(why, name)
		}
	}
}

// limited is a context with the time limit of one question, as for get.
func (r *run) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.ctx, r.Limit)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
