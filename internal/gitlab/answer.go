package gitlab

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/strictjson"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// lenient is a value for display only: a missing one or one of another type is empty and not
// an error.
type lenient[T any] struct{ value T }

func (s *lenient[T]) UnmarshalJSON(data []byte) error {
	var value T
	if json.Unmarshal(data, &value) == nil {
		s.value = value
	}
	return nil
}

// self asks GET /personal_access_tokens/self.
func (c *Client) self(ctx context.Context) access.Self {
	var answer struct {
		ID        int64    `json:"id"`
		UserID    int64    `json:"user_id"`
		Scopes    []string `json:"scopes"`
		Granular  bool     `json:"granular"`
		Active    *bool    `json:"active"`
		Revoked   bool     `json:"revoked"`
		ExpiresAt *string  `json:"expires_at"`

		Name       lenient[string]    `json:"name"`
		CreatedAt  lenient[time.Time] `json:"created_at"`
		LastUsedAt lenient[time.Time] `json:"last_used_at"`
	}
	reply := c.ask(ctx, "/personal_access_tokens/self", &answer)
	if reply.State != access.Given {
		return access.Self{Reply: reply}
	}
	expiresAt, dated := midnight(answer.ExpiresAt)
	if answer.ID <= 0 || answer.UserID <= 0 || answer.Scopes == nil || slices.Contains(answer.Scopes, "") || answer.Active == nil || !dated {
		return access.Self{Reply: incomplete("token")}
	}
	return access.Self{
		Reply: reply, ID: answer.ID, UserID: answer.UserID, Scopes: answer.Scopes,
		Granular: answer.Granular, Active: *answer.Active, Revoked: answer.Revoked, ExpiresAt: expiresAt,
		Name: answer.Name.value, CreatedAt: answer.CreatedAt.value, LastUsedAt: answer.LastUsedAt.value,
	}
}

// midnight is when a token with that expires_at expires: 00:00 UTC on that date (GitLab's
// documentation of token expiry). Null means never.
func midnight(date *string) (at time.Time, ok bool) {
	if date == nil {
		return time.Time{}, true
	}
	at, err := time.Parse(time.DateOnly, *date)
	return at, err == nil
}

// User asks GET /user: whose token it is.
func (c *Client) User(ctx context.Context) access.User {
	var answer struct {
		ID       int64           `json:"id"`
		Admin    bool            `json:"is_admin"`
		Username lenient[string] `json:"username"`
		Name     lenient[string] `json:"name"`
		Email    lenient[string] `json:"email"`
		Commit   lenient[string] `json:"commit_email"`
	}
	reply := c.ask(ctx, "/user", &answer)
	if reply.State == access.Given && answer.ID <= 0 {
		reply = incomplete("user")
	}
	return access.User{Reply: reply, ID: answer.ID, Admin: answer.Admin, Username: answer.Username.value, Name: answer.Name.value,
		Email: cmp.Or(answer.Commit.value, answer.Email.value)}
}

// project asks GET /projects/:id, with a full path for the id.
func (c *Client) project(ctx context.Context, path string) access.Project {
	type membership struct {
		Level int `json:"access_level"`
	}
	var answer struct {
		ID          int64           `json:"id"`
		Path        lenient[string] `json:"path_with_namespace"`
		Archived    bool            `json:"archived"`
		DeletedOn   lenient[string] `json:"marked_for_deletion_on"`
		Visibility  lenient[string] `json:"visibility"`
		Repository  lenient[string] `json:"repository_access_level"`
		Permissions struct {
			Project *membership `json:"project_access"`
			Group   *membership `json:"group_access"`
		} `json:"permissions"`
	}
	reply := c.ask(ctx, "/projects/"+url.PathEscape(path), &answer)
	if reply.State == access.Given && answer.ID <= 0 {
		reply = incomplete("project")
	}
	project := access.Project{Reply: reply, ID: answer.ID, Path: answer.Path.value,
		Archived: answer.Archived, DeletedOn: answer.DeletedOn.value}
	project.Open = (answer.Visibility.value == "internal" || answer.Visibility.value == "public") && answer.Repository.value == "enabled"
	if direct := answer.Permissions.Project; direct != nil {
		project.Direct = direct.Level
	}
	project.Level = project.Direct
	if group := answer.Permissions.Group; group != nil {
		project.Level = max(project.Level, group.Level)
	}
	return project
}

// member asks GET /projects/:id/members/all/:user_id.
func (c *Client) member(ctx context.Context, project, user int64) access.Member {
	var answer struct {
		ID    int64 `json:"id"`
		Level int   `json:"access_level"`
	}
	reply := c.ask(ctx, fmt.Sprintf("/projects/%d/members/all/%d", project, user), &answer)
	if reply.State == access.Given && answer.ID != user {
		reply = incomplete("member")
	}
	return access.Member{Reply: reply, Level: answer.Level}
}

// Branch asks GET /projects/:id/repository/branches/:branch.
func (c *Client) Branch(ctx context.Context, project int64, name string) access.Branch {
	var answer struct {
		Name      string `json:"name"`
		Protected bool   `json:"protected"`
		CanPush   bool   `json:"can_push"`
	}
	reply := c.ask(ctx, fmt.Sprintf("/projects/%d/repository/branches/%s", project, url.PathEscape(name)), &answer)
	if reply.State == access.Given && answer.Name != name {
		reply = incomplete("branch")
	}
	return access.Branch{Reply: reply, Protected: answer.Protected, CanPush: answer.CanPush}
}

func incomplete(of string) access.Reply {
	return silent(access.Garbled, "a "+of+" without the usual fields")
}

// decode turns an answer into a reply, and decodes it into value when it is a 200. A nil
// value means that nothing is to be read, and that a 204 is expected. once is for
// requests that change something.
func decode(i instance.Instance, a transport.Answer, value any, once bool) (access.Reply, transport.Fault) {
	switch {
	case a.Status == http.StatusNoContent && value == nil:
		return access.Reply{State: access.Given}, transport.Fault{}
	case a.Fault.Reason != "":
		return silence(i, a.Fault), a.Fault
	case a.Status == http.StatusOK || a.Status == http.StatusCreated && once:
		if err := strictjson.Decode(a.Body, value); err != nil {
			return silent(access.Garbled, err.Error()), transport.Fault{}
		}
		return access.Reply{State: access.Given}, transport.Fault{}
	}
	reply := readRefusal(a, once)
	if reply.Reason == access.InFront {
		return reply, a.NotOwn(reply.Detail)
	}
	return reply, transport.Fault{}
}

// silence is the reply for a fault.
func silence(i instance.Instance, f transport.Fault) access.Reply {
	switch {
	case f.Reason == access.Unreachable:
		f.Detail = i.String()
	case f.Redirect():
		return redirected(i, f)
	}
	reply := silent(f.Reason, f.Detail)
	if f.Reason == access.RateLimited || f.Reason == access.ServerError {
		reply.Wait = f.Wait
	}
	return reply
}

// redirected is the reply for a redirect that is not followed. It names only the target's
// host, since the rest of the address may be secret.
func redirected(i instance.Instance, f transport.Fault) access.Reply {
	number, at, path := strconv.Itoa(f.Status), f.To, f.Path
	switch {
	case at == i.Origin() && strings.Contains(path, "sign_in"):
		return silent(access.InFront, "a redirect to its sign-in page, "+number)
	case at == i.Origin() || at == "":
		return silent(access.InFront, "a redirect out of the API, "+number)
	case strings.HasPrefix(at, "https:") && (strings.Contains(path, "/api/v4/") || strings.HasSuffix(path, "/info/refs") ||
		f.Status == http.StatusMovedPermanently || f.Status == http.StatusPermanentRedirect):
		// The same path elsewhere, or a permanent redirect, means that the host has
		// moved; redirects to login pages are temporary.
		return silent(access.Redirected, at)
	}
	return silent(access.InFront, "a redirect to "+at+", "+number)
}

// readRefusal reads GitLab's refusals. Their text is not kept. A reply in another form is
// not GitLab's, whatever its status.
func readRefusal(a transport.Answer, once bool) access.Reply {
	var body struct {
		Error       string          `json:"error"`
		Description string          `json:"error_description"`
		Scope       json.RawMessage `json:"scope"`
		Message     json.RawMessage `json:"message"`
	}
	if err := strictjson.Decode(a.Body, &body); err != nil {
		if json.Valid(a.Body) && slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}, a.Status) {
			return silent(access.InFront, strconv.Itoa(a.Status)+", and not GitLab's")
		}
		return silent(access.Garbled, err.Error())
	}
	var text string
	_ = json.Unmarshal(body.Message, &text) // any other type says nothing to us
	switch a.Status {
	case http.StatusUnauthorized:
		known := body.Error == "invalid_token" && doorkeeper(body.Description, a.Header)
		if !known && !form(text, "401 Unauthorized") {
			return silent(access.InFront, "401, and not GitLab's")
		}
		return access.Reply{State: access.Rejected, Reason: rejection(body.Error, body.Description)}
	case http.StatusForbidden:
		// Other OAuth servers send insufficient_scope too (RFC 6750).
		scoped := body.Error == "insufficient_scope" && apiScope(body.Scope) || body.Error == "insufficient_granular_scope"
		if !scoped && !form(text, "403 Forbidden") && !form(body.Error, "403 Forbidden") {
			return silent(access.InFront, "403, and not GitLab's")
		}
		return access.Reply{State: access.Forbidden, Reason: prohibition(body.Error, text)}
	case http.StatusNotFound:
		if !notFound(text) && !notFound(body.Error) {
			return silent(access.InFront, "404, and not GitLab's")
		}
		return access.Reply{State: access.Absent}
	case http.StatusBadRequest:
		if strings.Contains(text, "token type to be a personal access token") {
			return access.Reply{State: access.Rejected, Reason: access.TokenNotPersonal}
		}
		if once {
			// The change was refused and not made.
			return access.Reply{State: access.Forbidden, Reason: access.AccessForbidden}
		}
	}
	return silent(access.Garbled, "the status "+strconv.Itoa(a.Status))
}

// form reports whether a text is GitLab's: a status, optionally with a reason
// (lib/api/helpers.rb, render_api_error_with_reason!).
func form(text, status string) bool {
	return text == status || strings.HasPrefix(text, status+" - ")
}

// missing are what GitLab calls things in its 404 (lib/api/helpers.rb, not_found!, and its
// callers for the requests made here).
var missing = []string{"Project", "Branch", "Merge Base", "User", "Member", "Repository", "Personal Access Token"}

// notFound reports whether a text is GitLab's for a 404: "404 Not found", "404 Not Found",
// or "404 Project Not Found". Routers have texts like "404 Page Not Found".
func notFound(text string) bool {
	rest, found := strings.CutPrefix(text, "404 ")
	what, named := strings.CutSuffix(rest, " Not Found")
	return found && (rest == "Not found" || rest == "Not Found" || named && slices.Contains(missing, what))
}

// apiScope reports whether the scopes in a 403 are those of a GitLab API: api, which allows
// each request, is always one of them.
func apiScope(raw json.RawMessage) bool {
	return slices.Contains(strings.FieldsFunc(string(raw), func(r rune) bool { return strings.ContainsRune(`[", ]`, r) }), "api")
}

// doorkeeper reports whether an invalid_token, which other OAuth servers use too, is
// GitLab's: by its header, or by its text if a proxy removed that.
func doorkeeper(description string, header http.Header) bool {
	return strings.Contains(header.Get("WWW-Authenticate"), `realm="Protected by OAuth 2.0"`) ||
		strings.HasPrefix(description, "Token is expired.") || strings.HasPrefix(description, "Token was revoked.")
}

// rejection is the reason for a 401: GitLab sends invalid_token only for a token that it
// knows.
func rejection(code, description string) access.Reason {
	switch {
	case code != "invalid_token":
		return access.TokenUnknown
	case strings.Contains(description, "expired"):
		return access.TokenExpired
	case strings.Contains(description, "revoked"):
		return access.TokenRevoked
	}
	return access.TokenInactive
}

// prohibition is the reason for a 403.
func prohibition(code, text string) access.Reason {
	switch code {
	case "insufficient_scope":
		return access.ScopeMissing
	case "insufficient_granular_scope":
		return access.GrantMissing
	}
	for _, known := range []struct {
		part   string
		reason access.Reason
	}{
		// "pending approval … and hence blocked" before "blocked".
		{"pending approval", access.AccountPending},
		{"has been blocked", access.AccountBlocked},
		{"Terms of Service", access.AccountTerms},
		{"deactivated", access.AccountInactive},
		{"not confirmed", access.AccountEmail},
		{"password expired", access.AccountPassword},
	} {
		if strings.Contains(text, known.part) {
			return known.reason
		}
	}
	return access.AccessForbidden
}

func silent(reason access.Reason, detail string) access.Reply {
	return access.Reply{State: access.Silent, Reason: reason, Detail: detail}
}
