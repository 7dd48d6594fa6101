package gitlab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// The paths of the four requests.
const (
	atSelf    = "/personal_access_tokens/self"
	atUser    = "/user"
	atProject = "/projects/group%2Fsub%2Fproject"
	atMember  = "/projects/42/members/all/7"
)

// answering answers the one address with a body and a status, an old GitLab's
// token with 404, and everything else right.
func answering(t testing.TB, at string, status int, body string, header ...string) *Client {
	return stubbed(t, func(r *http.Request) (*http.Response, error) {
		tail := strings.TrimPrefix(r.URL.EscapedPath(), "/api/v4")
		switch {
		case tail == at:
			return reply(r, status, body, header...), nil
		case tail == atSelf && at == atUser:
			return reply(r, 404, `{"error":"404 Not Found"}`), nil
		case tail == atProject && at == atMember:
			return reply(r, 200, `{"id":42,"permissions":{"project_access":null,"group_access":null}}`), nil
		case tail == atUser && at == atMember:
			return reply(r, 200, `{"id":7,"username":"dev"}`), nil
		}
		return right(r), nil
	})
}

// A good answer with one thing changed. What is left must be whole before
// anything is granted.
func TestAnswers(t *testing.T) {
	nested := func(open, shut string, n int) string { return strings.Repeat(open, n) + "1" + strings.Repeat(shut, n) }
	deep := func(open, shut string) string { return nested(open, shut, 100_000) }
	self := func(field, value string) string {
		fields := []string{"id", "11", "user_id", "7", "name", `"n"`, "scopes", `["api","write_repository"]`, "active", "true", "revoked", "false", "expires_at", "null"}
		return objectOf(fields, field, value)
	}
	user := func(field, value string) string {
		return objectOf([]string{"id", "7", "username", `"dev"`}, field, value)
	}
	thing := func(field, value string) string {
		return objectOf([]string{"id", "42", "archived", "false", "permissions", `{"project_access":{"access_level":30},"group_access":null}`}, field, value)
	}
	member := func(field, value string) string {
		return objectOf([]string{"id", "7", "access_level", "30"}, field, value)
	}

	type row struct {
		at, field, value string
		outcome          access.Outcome
		reason           access.Reason
	}
	var tests []row
	add := func(at, field string, outcome access.Outcome, reason access.Reason, values ...string) {
		for _, value := range values {
			tests = append(tests, row{at, field, value, outcome, reason})
		}
	}
	const missing = ""
	garbled := func(at, field string, values ...string) {
		add(at, field, access.Unverified, access.Garbled, values...)
	}
	granted := func(at, field string, values ...string) { add(at, field, access.Granted, "", values...) }

	// The changes that change nothing, so that the others show something.
	granted(atSelf, "extra", `{"active":false,"scopes":[]}`, nested("[", "]", 5000), `"\ud800"`)
	granted(atSelf, "revoked", "null", missing)
	granted(atSelf, "granular", "null", missing, "false", "true")
	granted(atSelf, "expires_at", missing, `"2999-12-31"`)
	granted(atUser, "is_admin", "null", missing, "true")
	granted(atProject, "archived", "null", missing, "true")
	granted(atProject, "permissions", `{"project_access":null,"group_access":{"access_level":40}}`, `{"group_access":{"access_level":50,"notification_level":3}}`)

	garbled(atSelf, "id", missing, "null", "0", "-1", `"11"`, "1.5", "1e3", "true", "[11]", "9223372036854775808", deep("[", "]"))
	garbled(atSelf, "user_id", missing, "null", "0", "-7", `"7"`, "{}")
	garbled(atSelf, "scopes", missing, "null", "{}", `"api"`, `[1]`, `[["api"]]`, `["api",{}]`, "true")
	garbled(atSelf, "active", missing, "null", `"true"`, "1", "[]")
	garbled(atSelf, "revoked", `"false"`, "0")
	garbled(atSelf, "granular", `"true"`, "1")
	garbled(atSelf, "expires_at", `""`, `"soon"`, `"2026-13-01"`, `"2026-02-30"`, `"2026-1-1"`, `"26-01-01"`, `"2026-12-31T00:00:00Z"`, `" 2026-12-31"`, "20261231", "true", "[]")
	add(atSelf, "active", access.Refused, access.TokenInactive, "false")
	add(atSelf, "revoked", access.Refused, access.TokenRevoked, "true")
	add(atSelf, "scopes", access.Refused, access.ScopeMissing, "[]", `["API","write_repository"]`, `["api "," write_repository"]`, `["api,write_repository"]`)

	garbled(atUser, "id", missing, "null", "0", "-7", `"7"`, "7.5", deep(`{"a":`, "}"))
	garbled(atUser, "is_admin", `"true"`, "1")

	garbled(atProject, "id", missing, "null", "0", "-42", `"42"`)
	garbled(atProject, "permissions", `"x"`, "[]", "30", `{"project_access":30}`, `{"project_access":{"access_level":"30"}}`, `{"group_access":{"access_level":30.5}}`)
	garbled(atProject, "archived", `"no"`)

	garbled(atMember, "id", missing, "null", "0", "8", `"7"`)
	garbled(atMember, "access_level", `"30"`, "30.5", "[30]", "true")
	add(atMember, "access_level", access.Refused, access.LevelTooLow, missing, "null", "0", "-50", "29")

	build := map[string]func(string, string) string{atSelf: self, atUser: user, atProject: thing, atMember: member}
	for _, test := range tests {
		body := build[test.at](test.field, test.value)
		name := fmt.Sprintf("%s %s=%.40s", test.at, test.field, test.value)
		t.Run(name, func(t *testing.T) {
			wantReason(t, ask(t.Context(), t, answering(t, test.at, 200, body), guide), test.outcome, test.reason)
		})
	}

	// Bodies that are no object of the kind at all, for any of the questions.
	for at, build := range build {
		whole := build("", "")
		wantReason(t, ask(t.Context(), t, answering(t, at, 200, whole), guide), access.Granted, "")
		for _, body := range []string{
			"", " ", "null", "true", "7", `"x"`, "[]", "[" + whole + "]", "{}", `{"message":"200"}`, whole[:len(whole)-1], whole + whole, whole + "x",
			"\ufeff" + whole, "\x00" + whole, strings.ReplaceAll(whole, `"`, "'"), "<html>" + whole, deep("[", "]"), deep(`{"a":`, "}"),
		} {
			t.Run(fmt.Sprintf("%s answers %.40s", at, body), func(t *testing.T) {
				wantReason(t, ask(t.Context(), t, answering(t, at, 200, body), guide), access.Unverified, access.Garbled)
			})
		}
		// A duplicate key, in any case, makes a reply unusable.
		for _, twice := range []string{`"id":7`, `"ID":7`, `"x":{"a":1,"A":1}`, `"name":"","name":null`} {
			body := whole[:len(whole)-1] + "," + twice + "}"
			wantReason(t, ask(t.Context(), t, answering(t, at, 200, body), guide), access.Unverified, access.Garbled)
		}
		// The right body counts with the right status and type only.
		for _, status := range []int{201, 202, 203, 204, 206, 226, 299} {
			wantReason(t, ask(t.Context(), t, answering(t, at, status, whole), guide), access.Unverified, access.Garbled)
		}
		for _, contentType := range []string{"", "text/html", "text/plain; charset=utf-8", "text/json", "application/jsonp", "application/x-json",
			"application/json, text/html", "application/json;;", "application/json; a=b; a=c", "json", "application/json/x", "*/*", "\x00"} {
			t.Run(fmt.Sprintf("%s as %q", at, contentType), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					wantReason(t, ask(t.Context(), t, answering(t, at, 200, whole, "Content-Type", contentType), guide), access.Unverified, access.InFront)
				})
			})
		}
		for _, contentType := range []string{"application/json; charset=utf-8", "APPLICATION/JSON", " application/json ", "application/vnd.gitlab+json"} {
			wantReason(t, ask(t.Context(), t, answering(t, at, 200, whole, "Content-Type", contentType), guide), access.Granted, "")
		}
	}
}

// objectOf writes fields, a list of names and values, with one changed: another
// value, or left out for "".
func objectOf(fields []string, field, value string) string {
	var parts []string
	seen := field == ""
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == field {
			seen = true
			fields[i+1] = value
		}
		if fields[i+1] != "" {
			parts = append(parts, `"`+fields[i]+`":`+fields[i+1])
		}
	}
	if !seen && value != "" {
		parts = append(parts, `"`+field+`":`+value)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// All fields of a token, a user, a project and a membership are read.
func TestFacts(t *testing.T) {
	c := stubbed(t, func(r *http.Request) (*http.Response, error) {
		switch strings.TrimPrefix(r.URL.EscapedPath(), "/api/v4") {
		case atSelf:
			return reply(r, 200, `{"id":11,"user_id":7,"name":"laptop","scopes":["api","write_repository"],"granular":false,"active":true,
				"revoked":false,"expires_at":"2026-12-31","created_at":"2025-01-01T00:00:00Z","last_used_at":7,"last_used_ips":["192.0.2.1"]}`), nil
		case atUser:
			return reply(r, 200, `{"id":7,"username":"dev","name":"A Dev","is_admin":true}`), nil
		case atProject:
			return reply(r, 200, `{"id":42,"path_with_namespace":"group/new","marked_for_deletion_on":"2027-01-02","archived":true,"permissions":{"project_access":{"access_level":10},"group_access":{"access_level":20}}}`), nil
		case atMember:
			return reply(r, 200, `{"id":7,"access_level":25}`), nil
		}
		return right(r), nil
	})
	v, facts := c.Check(t.Context(), project, guide, access.Facts{})
	midnight := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	given := access.Reply{State: access.Given}
	want := access.Facts{
		Self: access.Self{Reply: given, ID: 11, UserID: 7, Scopes: []string{"api", "write_repository"}, Active: true, ExpiresAt: midnight,
			// A value for people that can't be read does no harm to the others.
			Name: "laptop", CreatedAt: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)},
		User: access.User{Reply: given, ID: 7, Admin: true, Username: "dev", Name: "A Dev"},
		// The higher of the two memberships counts.
		Project: access.Project{Reply: given, ID: 42, Level: 20, Direct: 10, Archived: true, Path: "group/new", DeletedOn: "2027-01-02"},
		Member:  access.Member{Reply: given, Level: 25},
	}
	if !reflect.DeepEqual(facts, want) {
		t.Errorf("got  %+v\nwant %+v", facts, want)
	}
	// 20 and 25 would not do, so an administrator it was.
	if v.Outcome != access.Granted || !v.ExpiresAt.Equal(midnight) && time.Now().Before(midnight) {
		t.Errorf("%+v", v)
	}
}

// GitLab's own refusals, by its source and documentation, for any question.
func TestRefusals(t *testing.T) {
	invalid := func(description string) string {
		return `{"error":"invalid_token","error_description":"` + description + `"}`
	}
	forbidden := func(text string) string { return `{"message":"403 Forbidden - ` + text + `"}` }
	tests := []struct {
		name   string
		status int
		body   string
		want   access.Reply
	}{
		{"unknown", 401, `{"message":"401 Unauthorized"}`, access.Reply{State: access.Rejected, Reason: access.TokenUnknown}},
		{"expired", 401, invalid("Token is expired. You can either do re-authorization or token refresh."), access.Reply{State: access.Rejected, Reason: access.TokenExpired}},
		{"revoked", 401, invalid("Token was revoked. You have to re-authorize from the user."), access.Reply{State: access.Rejected, Reason: access.TokenRevoked}},
		{"unknown, with a reason", 401, `{"message":"401 Unauthorized - x"}`, access.Reply{State: access.Rejected, Reason: access.TokenUnknown}},
		{"401 of another OAuth server", 401, invalid("The access token expired"), silent(access.InFront, "401, and not GitLab's")},
		{"401 of an API gateway", 401, `{"message":"Unauthorized"}`, silent(access.InFront, "401, and not GitLab's")},
		{"401 of one that goes on", 401, `{"message":"401 Unauthorizedly"}`, silent(access.InFront, "401, and not GitLab's")},
		{"401 of one with a reason of its own", 401, `{"message":"401 Unauthorized by proxy"}`, silent(access.InFront, "401, and not GitLab's")},
		{"words without the code", 401, `{"message":"expired revoked invalid_token"}`, silent(access.InFront, "401, and not GitLab's")},
		{"401 with nothing", 401, `{}`, silent(access.InFront, "401, and not GitLab's")},
		{"401 of other types", 401, `{"message":{"error":["x"]}}`, silent(access.InFront, "401, and not GitLab's")},
		{"401 of a proxy", 401, `{"error":"proxy login"}`, silent(access.InFront, "401, and not GitLab's")},
		{"401 with a code of another type", 401, `{"error":{"invalid_token":true}}`, silent(access.InFront, "401, and not GitLab's")},
		{"401, broken", 401, `{"error":"invalid_token"`, silent(access.Garbled, "broken JSON")},
		{"401, a list", 401, `["invalid_token"]`, silent(access.InFront, "401, and not GitLab's")},

		{"no scope", 403, `{"error":"insufficient_scope","error_description":"x","scope":"api read_api"}`, access.Reply{State: access.Forbidden, Reason: access.ScopeMissing}},
		{"no grant", 403, `{"error":"insufficient_granular_scope","error_description":"Access denied: x"}`, access.Reply{State: access.Forbidden, Reason: access.GrantMissing}},
		{"blocked", 403, forbidden("Your account has been blocked."), access.Reply{State: access.Forbidden, Reason: access.AccountBlocked}},
		{"pending", 403, forbidden("Your account is pending approval from your administrator and hence blocked."), access.Reply{State: access.Forbidden, Reason: access.AccountPending}},
		{"terms", 403, forbidden("You (@user) must accept the Terms of Service in order to perform this action. x"), access.Reply{State: access.Forbidden, Reason: access.AccountTerms}},
		{"deactivated", 403, forbidden("Your account has been deactivated by your administrator. x"), access.Reply{State: access.Forbidden, Reason: access.AccountInactive}},
		{"e-mail", 403, forbidden("Your primary email address is not confirmed. x"), access.Reply{State: access.Forbidden, Reason: access.AccountEmail}},
		{"password", 403, forbidden("Your password expired. x"), access.Reply{State: access.Forbidden, Reason: access.AccountPassword}},
		{"forbidden", 403, `{"message":"403 Forbidden"}`, access.Reply{State: access.Forbidden, Reason: access.AccessForbidden}},
		{"forbidden, for something new", 403, `{"message":"403 Forbidden - something new"}`, access.Reply{State: access.Forbidden, Reason: access.AccessForbidden}},
		{"forbidden, as an error", 403, `{"error":"403 Forbidden"}`, access.Reply{State: access.Forbidden, Reason: access.AccessForbidden}},
		{"403 of another type", 403, `{"message":["Your account has been blocked."]}`, silent(access.InFront, "403, and not GitLab's")},
		{"403 with nothing", 403, `{}`, silent(access.InFront, "403, and not GitLab's")},
		{"403 of an API gateway", 403, `{"message":"Forbidden"}`, silent(access.InFront, "403, and not GitLab's")},
		{"403 of a firewall", 403, `{"error":"access_denied","message":"Your account has been blocked."}`, silent(access.InFront, "403, and not GitLab's")},
		{"403 with a number", 403, `{"statusCode":403,"message":"Forbidden resource","error":"Forbidden"}`, silent(access.InFront, "403, and not GitLab's")},
		{"403 of another OAuth server", 403, `{"error":"insufficient_scope","error_description":"Missing openid scope"}`, silent(access.InFront, "403, and not GitLab's")},
		{"403 with another server's scopes", 403, `{"error":"insufficient_scope","scope":"openid profile"}`, silent(access.InFront, "403, and not GitLab's")},
		{"403 with a reason of its own", 403, `{"message":"403 Forbidden by gateway"}`, silent(access.InFront, "403, and not GitLab's")},
		{"403 of a login server", 403, `{"error":"insufficient_user_authentication"}`, silent(access.InFront, "403, and not GitLab's")},
		{"403 with an object", 403, `{"error":{"code":403,"message":"Forbidden"}}`, silent(access.InFront, "403, and not GitLab's")},
		{"403 with a text", 403, `"Forbidden"`, silent(access.InFront, "403, and not GitLab's")},
		{"403, broken", 403, `{`, silent(access.Garbled, "broken JSON")},

		{"not found", 404, `{"message":"404 Project Not Found"}`, access.Reply{State: access.Absent}},
		{"404 of a member", 404, `{"message":"404 Not found"}`, access.Reply{State: access.Absent}},
		{"404 of an address", 404, `{"error":"404 Not Found"}`, access.Reply{State: access.Absent}},
		{"404 of a branch", 404, `{"message":"404 Branch Not Found"}`, access.Reply{State: access.Absent}},
		{"404 of something else", 404, `{"detail":"no such route"}`, silent(access.InFront, "404, and not GitLab's")},
		{"404 with nothing", 404, `{}`, silent(access.InFront, "404, and not GitLab's")},
		{"404 of a router", 404, `{"message":"404 page not found"}`, silent(access.InFront, "404, and not GitLab's")},
		{"404 of another router", 404, `{"message":"404 Page Not Found"}`, silent(access.InFront, "404, and not GitLab's")},
		{"404 of a route", 404, `{"error":"404 Route Not Found"}`, silent(access.InFront, "404, and not GitLab's")},
		{"404 of a gateway", 404, `{"message":"404 no Route matched with those values"}`, silent(access.InFront, "404, and not GitLab's")},
		{"407", 407, `{"message":"401 Unauthorized"}`, silent(access.ProxyLogin, "")},
		{"404, broken", 404, `{`, silent(access.Garbled, "broken JSON")},
		{"an OAuth token", 400, `{"message":"400 Bad request - This endpoint requires token type to be a personal access token"}`,
			access.Reply{State: access.Rejected, Reason: access.TokenNotPersonal}},
		{"400", 400, `{"message":"400 Bad request"}`, silent(access.Garbled, "the status 400")},
		{"405", 405, `{}`, silent(access.Garbled, "the status 405")},
		{"418", 418, `{}`, silent(access.Garbled, "the status 418")},
		// None of these replies is GitLab's own.
		{"500 with a refusal's body", 500, invalid("Token is expired."), silent(access.ServerError, "500 Internal Server Error")},
		{"599", 599, `{}`, silent(access.ServerError, "599 ")},
		{"429 with a refusal's body", 429, invalid("Token is expired."), silent(access.RateLimited, "")},
		{"302", 302, `{}`, silent(access.InFront, "a redirect out of the API, 302")},
		{"304", 304, `{}`, silent(access.InFront, "a redirect out of the API, 304")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := answered(t, test.status, "application/json", test.body)
			if strings.TrimSpace(got.Detail) != strings.TrimSpace(test.want.Detail) {
				t.Errorf("detail %q, want %q", got.Detail, test.want.Detail)
			}
			got.Detail, test.want.Detail = "", ""
			if got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
			// The same, but not JSON: somebody else says so.
			got = answered(t, test.status, "text/html", test.body)
			want := access.InFront
			switch {
			case test.status == 429:
				want = access.RateLimited
			case test.status >= 500:
				want = access.ServerError
			case test.status == 407:
				want = access.ProxyLogin
			case test.status == 404:
				want = access.NotGitLab
			}
			if got.State != access.Silent || got.Reason != want {
				t.Errorf("as HTML: %+v, want %q", got, want)
			}
		})
	}
}

// An invalid_token in words that are new is GitLab's by its header.
func TestInvalidToken(t *testing.T) {
	got := answered(t, 401, "application/json", `{"error":"invalid_token","error_description":"Something new."}`,
		"WWW-Authenticate", `Bearer realm="Protected by OAuth 2.0", error="invalid_token"`)
	if got != (access.Reply{State: access.Rejected, Reason: access.TokenInactive}) {
		t.Errorf("%+v", got)
	}
}

// A redirect's target is reported by its host alone.
func TestRedirected(t *testing.T) {
	const api = "/api/v4/projects/42?private_token=glpat-CanaryQuery"
	for location, want := range map[string]access.Reply{
		"https://new.example.com" + api:                     silent(access.Redirected, "https://new.example.com"),
		"https://NEW.example.com:443" + api:                 silent(access.Redirected, "https://new.example.com"),
		"https://new.example.com:8443/git" + api:            silent(access.Redirected, "https://new.example.com:8443"),
		"//new.example.com" + api:                           silent(access.Redirected, "https://new.example.com"),
		"http://gitlab.example.com" + api:                   silent(access.InFront, "a redirect to http://gitlab.example.com, 302"),
		"https://me:glpat-CanaryUser@new.example.com" + api: silent(access.Redirected, "https://new.example.com"),
		"https://gitlab.example.com@new.example.com" + api:  silent(access.Redirected, "https://new.example.com"),
		"https://x\u202e.example" + api:                     silent(access.InFront, `a redirect to "https://x\u202e.example", 302`),
		"https://sso.example.com/login?to=glpat-Canary":     silent(access.InFront, "a redirect to https://sso.example.com, 302"),
		"https://new.example.com/":                          silent(access.InFront, "a redirect to https://new.example.com, 302"),
		"/users/sign_in":                                    silent(access.InFront, "a redirect to its sign-in page, 302"),
		"https://gitlab.example.com/x":                      silent(access.InFront, "a redirect out of the API, 302"),
		"javascript:alert(1)":                               silent(access.InFront, "a redirect out of the API, 302"),
		"https://[":                                         silent(access.InFront, "a redirect out of the API, 302"),
		// A number before the address is the status, else it is 302.
		"301 https://new.example.com/":             silent(access.Redirected, "https://new.example.com"),
		"308 https://new.example.com/gitlab":       silent(access.Redirected, "https://new.example.com"),
		"301 http://new.example.com/":              silent(access.InFront, "a redirect to http://new.example.com, 301"),
		"301 https://gitlab.example.com/elsewhere": silent(access.InFront, "a redirect out of the API, 301"),
	} {
		status := 302
		if number, rest, found := strings.Cut(location, " "); found {
			status, _ = strconv.Atoi(number)
			location = rest
		}
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			if r.URL.Host != "gitlab.example.com" {
				t.Errorf("%s was asked", r.URL.Host)
			}
			return reply(r, status, "", "Location", location), nil
		})
		if got := c.User(t.Context()).Reply; got != want {
			t.Errorf("%s: %+v, want %+v", location, got, want)
		}
	}
}

// A scope without a name is none, and grants nothing.
func TestEmptyScopes(t *testing.T) {
	for _, scopes := range []string{`[null]`, `[""]`} {
		body := strings.Replace(wellKnown, `["api","write_repository"]`, scopes, 1)
		v := ask(t.Context(), t, answering(t, atSelf, 200, body), guide)
		if v.Outcome == access.Granted {
			t.Errorf("scopes %s: granted", scopes)
		}
	}
}

// A token that may not even ask about itself is refused in words.
func TestSelfForbidden(t *testing.T) {
	v := ask(t.Context(), t, answering(t, atSelf, 403, `{"error":"insufficient_scope","error_description":"x","scope":"api"}`), guide)
	if m := message.Explain(v, message.Subject{Instance: "h"}); message.As(m).Topic != message.Permissions {
		t.Errorf("%+v: %v", v, m)
	}
}

// Not being told a role is not the same as having none.
func TestMemberForbidden(t *testing.T) {
	v := ask(t.Context(), t, answering(t, atMember, 403, `{"error":"insufficient_granular_scope","error_description":"x"}`), guide)
	if v.Reason == access.LevelTooLow {
		t.Errorf("%+v: %v", v, message.Explain(v, message.Subject{Instance: "h", Project: "g/p"}))
	}
}

// answered makes a reply of a status, a type and a body, as the client does.
func answered(t testing.TB, status int, contentType, body string, header ...string) access.Reply {
	t.Helper()
	var answer struct {
		ID     int64    `json:"id"`
		Name   string   `json:"name"`
		Scopes []string `json:"scopes"`
		Active *bool    `json:"active"`
	}
	resp := reply(nil, status, "", append(header, "Content-Type", contentType)...)
	got, _ := decode(connect(t, "https://gitlab.example.com", "").config.Instance, transport.Answer{Status: status, Header: resp.Header, Body: []byte(body),
		Fault: transport.AnswerFault(status, resp.Header, time.Now())}, &answer, false)
	return got
}

// A token stops at midnight UTC at the beginning of its last date.
func TestMidnight(t *testing.T) {
	date := "2026-03-29"
	if at, ok := midnight(&date); !ok || !at.Equal(time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC)) || at.Location() != time.UTC {
		t.Errorf("%v, %v", at, ok)
	}
	if at, ok := midnight(nil); !ok || !at.IsZero() {
		t.Errorf("%v, %v", at, ok)
	}
}

// Any reply: no panic, Given only for a 200 with JSON, and no text of the body in messages.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []struct {
		status            int
		contentType, body string
		at                uint8
	}{
		{200, "application/json", `{"id":11,"name":"","scopes":["api"],"active":true}`, 17},
		{200, "text/html", "<html>", 3},
		{200, "application/json", "null", 9},
		{201, "application/vnd.x+json", `{"id":1}`, 0},
		{302, "application/json", "{}", 1},
		{400, "application/json", `{"message":"400 Bad request - This endpoint requires token type to be a personal access token"}`, 13},
		{401, "application/json", `{"error":"invalid_token","error_description":"Token is expired."}`, 47},
		{403, "application/json", `{"message":"403 Forbidden - Your account has been blocked."}`, 28},
		{404, "application/json", `{"message":"404 Project Not Found"}`, 12},
		{429, "text/plain", "Retry later", 0},
		{503, "application/json; charset=x", "[[[[", 2},
	} {
		f.Add(seed.status, seed.contentType, seed.body, seed.at, "7", "1767225600")
	}
	f.Fuzz(func(t *testing.T, status int, contentType, body string, at uint8, retryAfter, reset string) {
		// The canary is somewhere in the body.
		n := min(int(at), len(body))
		body = body[:n] + canary + body[n:]
		got := answered(t, status, contentType, body, "Retry-After", retryAfter, "RateLimit-Reset", reset)
		isJSON := strings.Contains(strings.ToLower(contentType), "json") && json.Valid([]byte(body))
		if got.State == access.Given && (status != http.StatusOK || !isJSON) {
			t.Fatalf("%d %q %q: %+v", status, contentType, body, got)
		}
		if got.State == access.Unasked || (got.Reason == "") != (got.State == access.Given || got.State == access.Absent) || got.Wait < 0 {
			t.Fatalf("%d %q %q: %+v", status, contentType, body, got)
		}
		// A token is refused for what GitLab says of it with GitLab's statuses.
		if (got.State == access.Rejected || got.State == access.Forbidden || got.State == access.Absent) && (status < 400 || status > 404 || !isJSON) {
			t.Fatalf("%d %q %q: %+v", status, contentType, body, got)
		}
		for i := 0; i+8 <= len(canary); i++ {
			if strings.Contains(fmt.Sprintf("%+v", got), canary[i:i+8]) {
				t.Fatalf("%q shows: %+v", body, got)
			}
		}
	})
}
