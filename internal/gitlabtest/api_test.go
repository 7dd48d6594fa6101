package gitlabtest

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	bareUnauthorized = `{"message":"401 Unauthorized"}`
	expiredBody      = `{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}`
	revokedBody      = `{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}`
	notFoundBody     = `{"error":"404 Not Found"}`
	noProject        = `{"message":"404 Project Not Found"}`
)

// scopeBody is the 403 for a token without one of an endpoint's scopes.
func scopeBody(scopes string) string {
	return `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"` + scopes + `"}`
}

// world fills a server with one of each.
func world(t *testing.T, o Options) *Server {
	t.Helper()
	s := gitlab(t, o)
	s.AddUser(User{ID: 2, Username: "root", Name: "Root", Email: "root@example.com", Admin: true})
	s.AddUser(User{ID: 3, Username: "bob", Name: "Bob", Forbidden: "Your account has been blocked."})
	s.AddUser(User{ID: 4, Username: "carol", Name: "Carol"})
	s.AddToken(Token{Value: "glpat-CanaryRoot", UserID: 2, Scopes: []string{"api"}})
	s.AddToken(Token{Value: "glpat-CanaryBob", UserID: 3, Scopes: []string{"api"}})
	s.AddToken(Token{Value: "glpat-CanaryBobDead", UserID: 3, Scopes: []string{"api"}, Revoked: true})
	s.AddToken(Token{Value: "glpat-CanaryBobNoScope", UserID: 3})
	s.AddToken(Token{Value: "glpat-CanaryCarol", UserID: 4, Scopes: []string{"read_api"}})
	s.AddToken(Token{Value: "glpat-CanaryExpired", UserID: 1, Scopes: []string{"api"}, ExpiresAt: "2026-11-22"})
	s.AddToken(Token{Value: "glpat-CanaryLastDay", UserID: 1, Scopes: []string{"api"}, ExpiresAt: "2026-11-23"})
	s.AddToken(Token{Value: "glpat-CanaryRevoked", UserID: 1, Scopes: []string{"api"}, Revoked: true})
	s.AddToken(Token{Value: "glpat-CanaryBoth", UserID: 1, Scopes: []string{"api"}, Revoked: true, ExpiresAt: "2026-11-01"})
	s.AddToken(Token{Value: "glpat-CanaryWrite", UserID: 1, Scopes: []string{"write_repository"}})
	s.AddToken(Token{Value: "glpat-CanaryReader", UserID: 1, Scopes: []string{"read_user"}})
	s.AddToken(Token{Value: "glpat-CanaryFine", UserID: 1, Granular: true})
	s.AddToken(Token{Value: "glpat-CanaryFineAll", UserID: 1, Granular: true, Scopes: []string{"api"}})
	s.AddToken(Token{Value: "CanaryOAuth", UserID: 1, Scopes: []string{"api"}, Kind: "oauth"})
	for _, p := range []Project{
		{ID: 8, Path: "group/public", Public: true},
		{ID: 9, Path: "group/moved.js", Direct: map[int]int{1: 40}, OldPaths: []string{"old/place"}, Archived: true},
		{ID: 10, Path: "group/shared", Invited: map[int]int{1: 30}, Group: map[int]int{4: 10}, NoRepository: true, MarkedForDeletionOn: "2026-12-01"},
		{ID: 12, Path: "group/minimal", Group: map[int]int{1: 5}, NoRepository: true},
		{ID: 13, Path: "group/protected", Group: map[int]int{1: 30}, Direct: map[int]int{4: 20}, ProtectedBranches: []string{"main"}},
		{ID: 15, Path: "group/guests", Direct: map[int]int{1: 10}},
		{ID: 14, Path: "group/empty", Direct: map[int]int{1: 30}, Empty: true},
	} {
		if err := s.AddProject(p); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// matches compares JSON objects. Behind a "…" are some fields of one, which are enough.
func matches(t *testing.T, got, want string) bool {
	t.Helper()
	part, isPart := strings.CutPrefix(want, "…")
	if isPart {
		want = "{" + strings.TrimSuffix(part, ",") + "}"
	}
	var g, w map[string]any
	if err := errors.Join(json.Unmarshal([]byte(got), &g), json.Unmarshal([]byte(want), &w)); err != nil {
		t.Fatalf("%v: %s, %s", err, got, want)
	}
	for key := range g {
		if _, wanted := w[key]; isPart && !wanted {
			delete(g, key)
		}
	}
	return reflect.DeepEqual(g, w)
}

func TestAPI(t *testing.T) {
	s := world(t, Options{Path: "/gitlab"})
	c := client(t, s.CAFile())
	const self, user = "personal_access_tokens/self", "user"
	for _, tt := range []struct {
		name, path, credential string
		status                 int
		body                   string // exact, or a part after "…"
		challenge              string // WWW-Authenticate
	}{
		{"nobody", self, "", 401, bareUnauthorized, ""},
		{"unknown", self, "Bearer glpat-CanaryNone", 401, bareUnauthorized, ""},
		{"malformed", self, "Bearer %00", 401, bareUnauthorized, ""},
		{"basic is not for the API", self, "Basic oauth2:" + canary, 401, bareUnauthorized, ""},
		{"expired at midnight", self, "Bearer glpat-CanaryExpired", 401, expiredBody,
			`Bearer realm="Protected by OAuth 2.0", error="invalid_token", error_description="Token is expired. You can either do re-authorization or token refresh."`},
		{"last day", self, "Bearer glpat-CanaryLastDay", 200, `…"expires_at":"2026-11-23"`, ""},
		{"revoked", self, "Bearer glpat-CanaryRevoked", 401, revokedBody,
			`Bearer realm="Protected by OAuth 2.0", error="invalid_token", error_description="Token was revoked. You have to re-authorize from the user."`},
		{"expiry before revocation", self, "Bearer glpat-CanaryBoth", 401, expiredBody, `Bearer realm="Protected by OAuth 2.0", error="invalid_token", error_description="Token is expired. You can either do re-authorization or token refresh."`},
		{"revocation before account", self, "Bearer glpat-CanaryBobDead", 401, revokedBody, `Bearer realm="Protected by OAuth 2.0", error="invalid_token", error_description="Token was revoked. You have to re-authorize from the user."`},
		{"account before scope", user, "Bearer glpat-CanaryBobNoScope", 403, `{"message":"403 Forbidden - Your account has been blocked."}`, ""},
		{"account", self, "Bearer glpat-CanaryBob", 403, `{"message":"403 Forbidden - Your account has been blocked."}`, ""},
		{"self", self, "Bearer " + canary, 200,
			`{"id":11,"name":"laptop","revoked":false,"created_at":"2025-01-02T03:04:05.000Z","description":null,"scopes":["api","write_repository"],"user_id":1,"last_used_at":null,"active":true,"expires_at":"2026-12-31"}`, ""},
		{"private token", self, "Private " + canary, 200, `…"id":11,`, ""},
		{"no expiry", self, "Bearer glpat-CanaryRoot", 200, `…"expires_at":null`, ""},
		{"self takes any scope", self, "Bearer glpat-CanaryWrite", 200, `…"scopes":["write_repository"]`, ""},
		{"granular self", self, "Bearer glpat-CanaryFine", 200, `…"scopes":["granular"],"user_id":1,"last_used_at":null,"active":true,"expires_at":null,"granular":true`, ""},
		{"oauth self", self, "Bearer CanaryOAuth", 400, `{"message":"400 Bad request - This endpoint requires token type to be a personal access token"}`, ""},
		{"oauth user", user, "Bearer CanaryOAuth", 200, `…"username":"alice"`, ""},
		{"oauth is no private token", user, "Private CanaryOAuth", 401, bareUnauthorized, ""},

		{"user", user, "Bearer " + canary, 200, `…"username":"alice","name":"Alice","state":"active","locked":false,"avatar_url":null,"web_url":"` + s.URL() + `/alice","email":"alice@example.com","commit_email":"alice@example.com"`, ""},
		{"user by read_user", user, "Bearer glpat-CanaryReader", 200, `…"id":1,`, ""},
		{"user by read_api", user, "Bearer glpat-CanaryCarol", 200, `…"id":4,`, ""},
		{"user scope", user, "Bearer glpat-CanaryWrite", 403, scopeBody("read_user api read_api"), ""},
		{"admin", user, "Bearer glpat-CanaryRoot", 200, `…"is_admin":true`, ""},
		{"granular user", user, "Bearer glpat-CanaryFine", 403, `{"error":"insufficient_granular_scope","error_description":"Access denied: This operation requires a fine-grained personal access token with the following user permissions: [read_user]."}`, ""},
		{"granular with grants", user, "Bearer glpat-CanaryFineAll", 200, `…"id":1,`, ""},
		{"nobody's user", user, "", 401, bareUnauthorized, ""},

		{"project by number", "projects/7", "Bearer " + canary, 200, `…"permissions":{"project_access":{"access_level":30,"notification_level":3},"group_access":null}`, ""},
		{"project by path", "projects/group%2Fsub%2Fproject", "Bearer " + canary, 200, `…"path_with_namespace":"group/sub/project","default_branch":"main","http_url_to_repo":"` + s.URL() + `/group/sub/project.git"`, ""},
		{"project in capitals", "projects/GROUP%2fSub%2FProject", "Bearer " + canary, 200, `…"id":7,`, ""},
		{"project with a dot", "projects/group%2Fmoved%2Ejs", "Bearer " + canary, 200, `…"archived":true`, ""},
		{"project not escaped", "projects/group/sub/project", "Bearer " + canary, 404, notFoundBody, ""},
		{"project scope", "projects/7", "Bearer glpat-CanaryWrite", 403, scopeBody("api read_api"), ""},
		{"granular project", "projects/7", "Bearer glpat-CanaryFine", 403, `…"error_description":"Access denied: This operation requires a fine-grained personal access token with the following project permissions: [read_project]."`, ""},
		{"not a member", "projects/7", "Bearer glpat-CanaryCarol", 404, noProject, ""},
		{"no such project", "projects/group%2Fnone", "Bearer " + canary, 404, noProject, ""},
		{"no such number", "projects/4711", "Bearer " + canary, 404, noProject, ""},
		{"name without group", "projects/project", "Bearer " + canary, 404, noProject, ""},
		{"nobody, private", "projects/7", "", 404, noProject, ""},
		{"nobody, public", "projects/8", "", 200, `…"visibility":"public","repository_access_level":"enabled","marked_for_deletion_on":null`, ""},
		{"dead token, public", "projects/8", "Bearer glpat-CanaryRevoked", 401, revokedBody, `Bearer realm="Protected by OAuth 2.0", error="invalid_token", error_description="Token was revoked. You have to re-authorize from the user."`},
		{"stranger, public", "projects/8", "Bearer glpat-CanaryCarol", 200, `…"permissions":{"project_access":null,"group_access":null}`, ""},
		{"invited group", "projects/10", "Bearer " + canary, 200, `…"permissions":{"project_access":null,"group_access":null}`, ""},
		{"group", "projects/10", "Bearer glpat-CanaryCarol", 200, `…"permissions":{"project_access":null,"group_access":{"access_level":10,"notification_level":3}}`, ""},
		{"guest asks for a branch", "projects/15/repository/branches/main", "Bearer " + canary, 403, `{"message":"403 Forbidden"}`, ""},
		{"admin, no member", "projects/7", "Bearer glpat-CanaryRoot", 200, `…"permissions":{"project_access":null,"group_access":null}`, ""},
		{"minimal access", "projects/12", "Bearer " + canary, 404, noProject, ""},
		{"to be deleted", "projects/10", "Bearer " + canary, 200, `…"marked_for_deletion_on":"2026-12-01"`, ""},
		{"empty", "projects/14", "Bearer " + canary, 200, `…"empty_repo":true`, ""},
		{"not empty", "projects/7", "Bearer " + canary, 200, `…"empty_repo":false`, ""},

		{"member", "projects/7/members/all/1", "Bearer " + canary, 200, `…"access_level":30`, ""},
		{"invited member", "projects/10/members/all/1", "Bearer " + canary, 200, `…"access_level":30`, ""},
		{"member by group", "projects/group%2Fprotected/members/all/1", "Bearer " + canary, 200, `…"access_level":30`, ""},
		{"not a member", "projects/7/members/all/4", "Bearer " + canary, 404, `{"message":"404 Not found"}`, ""},
		{"admin is no member", "projects/7/members/all/2", "Bearer glpat-CanaryRoot", 404, `{"message":"404 Not found"}`, ""},
		{"members of nothing", "projects/4711/members/all/1", "Bearer " + canary, 404, noProject, ""},

		{"branch", "projects/7/repository/branches/main", "Bearer " + canary, 200, `…"protected":false,"developers_can_push":false,"developers_can_merge":false,"can_push":true,"default":true`, ""},
		{"protected branch", "projects/13/repository/branches/main", "Bearer " + canary, 200, `…"protected":true,"developers_can_push":false,"developers_can_merge":false,"can_push":false,"default":true`, ""},
		{"protected branch, admin", "projects/13/repository/branches/main", "Bearer glpat-CanaryRoot", 200, `…"can_push":true`, ""},
		{"branch, reporter", "projects/13/repository/branches/main", "Bearer glpat-CanaryCarol", 200, `…"can_push":false`, ""},
		{"branch, archived", "projects/9/repository/branches/main", "Bearer " + canary, 200, `…"can_push":false`, ""},
		{"no such branch", "projects/7/repository/branches/none%2Fhere", "Bearer " + canary, 404, `{"message":"404 Branch Not Found"}`, ""},
		{"a branch is no revision", "projects/7/repository/branches/main%5E0", "Bearer " + canary, 404, `{"message":"404 Branch Not Found"}`, ""},
		{"empty has none", "projects/14/repository/branches/main", "Bearer " + canary, 404, `{"message":"404 Branch Not Found"}`, ""},

		{"no such endpoint", "nonsense", "Bearer " + canary, 404, notFoundBody, ""},
		{"rotation is a post", "personal_access_tokens/self/rotate", "Bearer " + canary, 404, notFoundBody, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := mustSend(t, c, http.MethodGet, s.URL()+"/api/v4/"+tt.path, tt.credential, "")
			if a.status != tt.status || !matches(t, a.body, tt.body) {
				t.Errorf("%d %s\nwant %d %s", a.status, a.body, tt.status, tt.body)
			}
			if got := strings.Join(a.header.Values("WWW-Authenticate"), "\n"); got != tt.challenge {
				t.Errorf("challenge %q, want %q", got, tt.challenge)
			}
			if got := a.header.Get("Content-Type"); got != "application/json" {
				t.Errorf("content type %q", got)
			}
			if a.proto != "HTTP/2.0" {
				t.Errorf("protocol %s", a.proto)
			}
		})
	}
	if a := get(t, s, "projects/15", canary); a.status != 200 || strings.Contains(a.body, "default_branch") {
		t.Errorf("a guest sees a branch: %s", a.body)
	}
	for _, who := range []string{canary, "glpat-CanaryCarol"} {
		if a := get(t, s, "user", who); strings.Contains(a.body, "is_admin") {
			t.Errorf("is_admin shown to no administrator: %s", a.body)
		}
	}
}

func TestMovedProject(t *testing.T) {
	s := world(t, Options{Path: "/gitlab"})
	to := s.URL() + "/api/v4/projects/9"
	for path, want := range map[string]string{
		"projects/old%2Fplace":                              to,
		"projects/OLD%2FPlace?statistics=true":              to + "?statistics=true",
		"projects/old%2Fplace/members/all/1":                to + "/members/all/1",
		"projects/old%2Fplace/repository/branches/fix%2F12": to + "/repository/branches/fix%2F12",
	} {
		a := get(t, s, path, canary)
		if a.status != 301 || a.header.Get("Location") != want || a.body != "This resource has been moved permanently to "+want || a.header.Get("Content-Type") != "text/plain" {
			t.Errorf("%s: %d %v %s", path, a.status, a.header, a.body)
		}
	}
	// Users without access don't see that it moved.
	if a := get(t, s, "projects/old%2Fplace", "glpat-CanaryCarol"); a.status != 404 || a.body != noProject || a.header.Get("Location") != "" {
		t.Errorf("stranger: %d %v %s", a.status, a.header, a.body)
	}
}

func TestOldGitLab(t *testing.T) {
	s := world(t, Options{})
	s.SetOld(true)
	for _, token := range []string{canary, "", "glpat-CanaryNone"} {
		if a := get(t, s, "personal_access_tokens/self", token); a.status != 404 || a.body != notFoundBody {
			t.Errorf("%q: %d %s", token, a.status, a.body)
		}
	}
	if a := get(t, s, "user", canary); a.status != 200 {
		t.Errorf("user: %d", a.status)
	}
	s.SetOld(false)
	if a := get(t, s, "personal_access_tokens/self", canary); a.status != 200 {
		t.Errorf("self: %d", a.status)
	}
}

func TestUpdates(t *testing.T) {
	s := gitlab(t, Options{})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.UpdateProject(project, func(p *Project) { p.Direct[1], p.Archived = 20, true }))
	if a := get(t, s, "projects/7", canary); !strings.Contains(a.body, `"access_level":20`) || !strings.Contains(a.body, `"archived":true`) {
		t.Errorf("project: %s", a.body)
	}
	must(s.UpdateProject(project, func(p *Project) { p.OldPaths, p.Path = append(p.OldPaths, p.Path), "new/place" }))
	if a := get(t, s, "projects/group%2Fsub%2Fproject", canary); a.status != 301 {
		t.Errorf("moved: %d", a.status)
	}
	if s.RepositoryDir("new/place") != s.RepositoryDir("new/place.git") || s.RepositoryDir("new/place") == "" || s.RepositoryDir("no/such") != "" ||
		!strings.HasSuffix(s.RepositoryDir("new/place.wiki"), ".wiki.git") {
		t.Errorf("directories: %q", s.RepositoryDir("new/place"))
	}
	s.AddUser(User{ID: 1, Username: "alice", Forbidden: "Your account has been blocked."})
	if a := get(t, s, "user", canary); a.status != 403 {
		t.Errorf("blocked: %d", a.status)
	}
	must(s.UpdateToken(canary, func(tk *Token) { tk.Revoked = true }))
	if a := get(t, s, "user", canary); a.status != 401 || a.body != revokedBody {
		t.Errorf("revoked: %d %s", a.status, a.body)
	}
	if s.UpdateToken("x", func(*Token) {}) == nil || s.UpdateProject("x/y", func(*Project) {}) == nil {
		t.Error("changed what isn't there")
	}
}

func TestRotate(t *testing.T) {
	s := world(t, Options{})
	c := client(t, s.CAFile())
	s.AddToken(Token{Value: "glpat-CanaryTurner", UserID: 1, Name: "turner", Scopes: []string{"self_rotate"}, ExpiresAt: "2026-12-31"})
	rotate := func(token, body string) answer {
		t.Helper()
		return mustSend(t, c, http.MethodPost, s.URL()+"/api/v4/personal_access_tokens/self/rotate", "Bearer "+token, body)
	}
	if a := rotate("glpat-CanaryCarol", ""); a.status != 403 || a.body != scopeBody("api self_rotate api read_api") {
		t.Errorf("read_api may rotate: %d %s", a.status, a.body)
	}
	for _, day := range []string{"2026-11-22", "2028-01-01", "soon"} {
		if a := rotate(canary, `{"expires_at":"`+day+`"}`); a.status != 400 {
			t.Errorf("%s: %d %s", day, a.status, a.body)
		}
	}
	if a := get(t, s, "user", canary); a.status != 200 {
		t.Fatalf("a rotation that failed revoked the token: %d", a.status)
	}

	a := rotate("glpat-CanaryTurner", "")
	m := a.json(t)
	second, _ := m["token"].(string)
	if a.status != 200 || !strings.HasPrefix(second, "glpat-Canary") || m["expires_at"] != "2026-11-29" || m["name"] != "turner" || m["active"] != true {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := get(t, s, "personal_access_tokens/self", "glpat-CanaryTurner"); a.status != 401 || a.body != revokedBody {
		t.Errorf("the old token lives: %d", a.status)
	}
	a = rotate(second, `{"expires_at":"2027-01-31"}`)
	third, _ := a.json(t)["token"].(string)
	if a.status != 200 || a.json(t)["expires_at"] != "2027-01-31" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := get(t, s, "personal_access_tokens/self", third); a.status != 200 {
		t.Fatalf("the new token is dead: %d", a.status)
	}
	// A revoked token elsewhere is only refused; on this path it ends them all.
	if a := rotate("glpat-CanaryTurner", ""); a.status != 401 || a.body != revokedBody {
		t.Errorf("rotated a dead token: %d %s", a.status, a.body)
	}
	if a := get(t, s, "personal_access_tokens/self", third); a.status != 401 || a.body != revokedBody {
		t.Errorf("the family lives: %d", a.status)
	}
	if a := get(t, s, "user", canary); a.status != 200 {
		t.Errorf("another family died: %d", a.status)
	}
	if tk, ok := s.Token(third); !ok || !tk.Revoked {
		t.Errorf("%+v %v", tk, ok)
	}
}

func TestRevoke(t *testing.T) {
	s := world(t, Options{})
	a := mustSend(t, client(t, s.CAFile()), http.MethodDelete, s.URL()+"/api/v4/personal_access_tokens/self", "Bearer glpat-CanaryReader", "")
	if a.status != 204 || a.body != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := get(t, s, "user", "glpat-CanaryReader"); a.status != 401 {
		t.Errorf("lives: %d", a.status)
	}
}

func TestRateLimit(t *testing.T) {
	var minutes atomic.Int64
	s := gitlab(t, Options{Now: func() time.Time { return noon().Add(time.Duration(minutes.Load()) * time.Minute) }})
	if a := get(t, s, "user", canary); a.header.Get("RateLimit-Limit") != "" {
		t.Errorf("headers without a limit: %v", a.header)
	}
	s.SetRateLimit(2, time.Minute)
	for i, want := range []struct {
		status                       int
		observed, remaining, retryIn string
	}{{200, "1", "1", ""}, {200, "2", "0", ""}, {429, "3", "0", "60"}} {
		a := get(t, s, "user", canary)
		h := a.header
		if a.status != want.status || h.Get("RateLimit-Limit") != "2" || h.Get("RateLimit-Observed") != want.observed ||
			h.Get("RateLimit-Remaining") != want.remaining || h.Get("RateLimit-Reset") != "1795348860" || h.Get("Retry-After") != want.retryIn {
			t.Errorf("request %d: %d %v", i+1, a.status, h)
		}
		if a.status == 429 && (a.body != "Retry later" || h.Get("Content-Type") != "text/plain") {
			t.Errorf("%v %q", h, a.body)
		}
	}
	if a := get(t, s, "user", "glpat-CanaryOther"); a.status != 401 || a.header.Get("RateLimit-Observed") != "1" {
		t.Errorf("another token: %d %v", a.status, a.header)
	}
	minutes.Add(1)
	if a := get(t, s, "user", canary); a.status != 200 {
		t.Errorf("next window: %d", a.status)
	}
	s.SetRateLimit(0, 0)
	if a := get(t, s, "user", canary); a.status != 200 || a.header.Get("RateLimit-Limit") != "" {
		t.Errorf("off: %d %v", a.status, a.header)
	}
}
