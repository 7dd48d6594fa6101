package check

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// What steps found, for programs. docs/check.schema.json describes them.
type (
	// SourceData is where the token comes from.
	SourceData struct {
		Source    string `json:"source"`
		Path      string `json:"path,omitempty"`
		ChangedAt string `json:"changedAt,omitempty"`
	}
	// InstanceData is the instance's address.
	InstanceData struct {
		URL string `json:"url"`
	}
	// ProxyData is the proxy in use, without user and password.
	ProxyData struct {
		Proxy string `json:"proxy"`
	}
	// DNSData is what the host's name stands for.
	DNSData struct {
		Addresses []string `json:"addresses"`
	}
	// TCPData is what was connected to: the instance, or its proxy.
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
	// TokenData is what GitLab tells of a token and its owner.
	TokenData struct {
		ID         int64  `json:"id,omitempty"`
		Name       string `json:"name,omitempty"`
		UserID     int64  `json:"userId"`
		Username   string `json:"username,omitempty"`
		UserName   string `json:"userName,omitempty"`
		CreatedAt  string `json:"createdAt,omitempty"`
		LastUsedAt string `json:"lastUsedAt,omitempty"`
		Granular   bool   `json:"granular,omitempty"`
	}
	// ExpiryData is when a token stops working: at 00:00 UTC on that date. It
	// is empty for one that never does.
	ExpiryData struct {
		ExpiresAt string `json:"expiresAt,omitempty"`
		DaysLeft  *int   `json:"daysLeft,omitempty"`
	}
	// ScopesData is what a token may do.
	ScopesData struct {
		Held     []string `json:"held"`
		Required []string `json:"required,omitempty"`
		Implied  []string `json:"implied,omitempty"`
		TooBroad []string `json:"tooBroad,omitempty"`
	}
	// ProjectData is the project as GitLab has it now.
	ProjectData struct {
		ID        int64  `json:"id"`
		Path      string `json:"path,omitempty"`
		MovedFrom string `json:"movedFrom,omitempty"`
		Archived  bool   `json:"archived,omitempty"`
		DeletedOn string `json:"deletedOn,omitempty"`
	}
	// AccessData is the role on the project, and where it comes from: "project",
	// "group", "invited group" or "administrator".
	AccessData struct {
		Level   int    `json:"level"`
		Role    string `json:"role,omitempty"`
		From    string `json:"from"`
		Minimum int    `json:"minimum"`
	}
	// BranchData is whether a branch can be pushed to.
	BranchData struct {
		Name      string `json:"name"`
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
	// HelpersData are the helpers that git asks, in that order.
	HelpersData struct {
		Helpers     []HelperData `json:"helpers"`
		UseHTTPPath bool         `json:"useHttpPath"`
	}
	// HelperData is one helper: the program, without its arguments, and where it
	// is configured.
	HelperData struct {
		Program string `json:"program"`
		Scope   string `json:"scope"`
		Origin  string `json:"origin"`
	}
	// VersionData is the version of a program.
	VersionData struct {
		Version string `json:"version"`
	}
)

func (r *run) report(s Step) {
	if s.Instance == "" {
		s.Instance = r.found.Instance.String()
	}
	redact := r.found.Token.Redact
	s.Text, s.Hint = redact(s.Text), redact(s.Hint)
	if s.Data != nil {
		// No character of JSON's own is one that a token has.
		data, err := json.Marshal(s.Data)
		if err != nil {
			data = []byte("null")
		}
		s.Data = json.RawMessage(token.Mask(redact(string(data))))
	}
	r.Report(s)
}

func (r *run) good(name string, data any, format string, args ...any) {
	r.report(Step{Name: name, Status: Good, Data: data, Text: fmt.Sprintf(format, args...)})
}

func (r *run) warn(name string, data any, m *message.Message) {
	r.result.Warnings++
	r.report(Step{Name: name, Status: Warning, Data: data, Text: m.What, Hint: m.Hint, Code: m.Code})
}

func (r *run) fail(name string, m *message.Message) { r.failWith(name, nil, m) }

func (r *run) failWith(name string, data any, m *message.Message) {
	r.result.Failures++
	// What is wrong for good comes before what could not be learned.
	if r.result.Reason == nil || r.result.Reason.Unverified() && !m.Unverified() {
		r.result.Reason = m
	}
	r.report(Step{Name: name, Status: Failed, Data: data, Text: m.Error(), Hint: m.Hint, Code: m.Code})
}

func (r *run) skip(why string, names ...string) {
	for _, name := range names {
		if name != stepBranch || r.branch != "" {
			r.report(Step{Name: name, Status: Skipped, Text: why})
		}
	}
}

// after are the steps that ask GitLab and come after one.
func after(step string) []string {
	remote := Steps()[:slices.Index(Steps(), stepPush)+1]
	return slices.Clone(remote[slices.Index(remote, step)+1:])
}

// limited bounds one question, as get's are.
func (r *run) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.ctx, r.Limit)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
