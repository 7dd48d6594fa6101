package check

import (
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

// steps reports steps, and keeps what they add up to.
type steps struct {
	to     func(Step)
	result Result
	// branch is the branch to check, "" for none.
	branch string
	// instance is the one being checked, "" for none, and done are its reported steps.
	instance string
	done     map[string]bool
	// warned are the steps with warnings; sound: none failed.
	warned map[string]bool
	sound  bool
}

// begin starts the steps for an instance.
func (s *steps) begin(instance string) {
	s.instance, s.done, s.warned, s.sound = instance, map[string]bool{}, map[string]bool{}, true
}

func (s *steps) report(step Step) {
	s.done[step.Name] = true
	step.Instance = s.instance
	step.Text, step.Hint = s.result.Redact(step.Text), s.result.Redact(step.Hint)
	s.to(step)
}

func (s *steps) good(name string, data any, format string, args ...any) {
	s.report(Step{Name: name, Status: report.Good, Data: data, Text: fmt.Sprintf(format, args...)})
}

func (s *steps) warn(name string, data any, m error) {
	s.result.Warnings++
	s.warned[name] = true
	s.report(Step{Name: name, Status: report.Warning, Data: data, Text: message.As(m).What, Hint: message.As(m).Hint, Code: message.As(m).Code})
}

func (s *steps) fail(name string, m error) { s.failWith(name, nil, m) }

func (s *steps) failWith(name string, data any, m error) {
	s.result.Failures++
	s.sound = false
	// Definite failures come before unverified ones.
	if s.result.Reason == nil || message.Unverified(s.result.Reason) && !message.Unverified(m) {
		s.result.Reason = m
	}
	s.report(Step{Name: name, Status: report.Failed, Data: data, Text: m.Error(), Hint: message.As(m).Hint, Code: message.As(m).Code})
}

func (s *steps) skip(why string, names ...string) {
	for _, name := range names {
		s.report(Step{Name: name, Status: report.Skipped, Text: why})
	}
}

// skipThrough skips the remaining steps up to last.
func (s *steps) skipThrough(last, why string) {
	for _, name := range Steps()[:slices.Index(Steps(), last)+1] {
		if !s.done[name] && (name != stepBranch || s.branch != "") {
			s.skip(why, name)
		}
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
