package gitlab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// Any replies, of GitLab or something in front of it: a grant is in the replies, no request
// leaves the API, and no text of the replies is in messages.
func FuzzCheck(f *testing.F) {
	const (
		self    = wellKnown
		user    = `{"id":7,"username":"dev","is_admin":true}`
		thing   = `{"id":42,"archived":false,"permissions":{"project_access":{"access_level":30},"group_access":null}}`
		low     = `{"id":42,"permissions":{"project_access":{"access_level":20},"group_access":{"access_level":10}}}`
		member  = `{"id":7,"access_level":40}`
		nothing = `{"message":"404 Not found"}`
	)
	f.Add(self, thing, member, user, "", uint8(0))
	f.Add(self, low, member, user, "", uint8(9))
	f.Add(self, low, nothing, user, "", uint8(40))
	f.Add(`{"id":1,"user_id":7,"scopes":["api","write_repository"],"active":true,"Revoked":true,"revoked":false}`, thing, member, user, "", uint8(3))
	f.Add(`{"Scopes":["api"],"scopes":null,"ID":2}`, `[]`, `null`, `7`, "", uint8(1))
	f.Add(self, thing, member, user, "https://evil.example/api/v4/projects/42", uint8(0))
	f.Add(self, thing, member, user, "/api/v4/projects/42?x=y#z", uint8(7))
	f.Add(self, thing, member, user, "//gitlab.example.com/api/v4/../../x", uint8(7))
	f.Fuzz(func(t *testing.T, self, thing, member, user, location string, at uint8) {
		// The canary is somewhere in each of them.
		bodies := map[string]string{}
		for name, body := range map[string]string{atSelf: self, atProject: thing, atMember: member, atUser: user} {
			n := min(int(at), len(body))
			if bodies[name] = body; n > 0 {
				bodies[name] = body[:n] + canary + body[n:]
			}
		}
		moved := location != ""
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			tail, inside := strings.CutPrefix(r.URL.EscapedPath(), "/api/v4/")
			if r.Method != http.MethodGet || r.URL.Scheme != "https" || r.URL.Host != "gitlab.example.com" || r.URL.User != nil || !inside ||
				slices.Contains(strings.Split(r.URL.Path, "/"), "..") || r.Header.Get("Authorization") != "Bearer "+canary {
				t.Errorf("asked for %s %s", r.Method, r.URL)
			}
			if "/"+tail == atProject && moved {
				return reply(r, 301, "", "Location", location), nil
			}
			if body, known := bodies["/"+tail]; known {
				return reply(r, 200, body), nil
			}
			if strings.HasPrefix(tail, "projects/") && !strings.Contains(tail, "members") {
				return reply(r, 200, bodies[atProject]), nil // where it was moved to
			}
			return reply(r, 404, nothing), nil
		})
		v := ask(t.Context(), t, c, guide)
		if shown := fmt.Sprintf("%+v", v); strings.Contains(shown, "Canary") {
			t.Fatalf("shows %s", shown)
		}
		if v.Outcome != access.Granted {
			return
		}
		token, project := read(bodies[atSelf]), read(bodies[atProject])
		scopes := fmt.Sprint(token["scopes"])
		if token["active"] != true || token["revoked"] == true || token["granular"] != true && (!strings.Contains(scopes, "api") || !strings.Contains(scopes, "write_repository")) {
			t.Fatalf("granted for the token %s", bodies[atSelf])
		}
		permissions, _ := project["permissions"].(map[string]any)
		highest := 0.0
		for _, of := range []any{permissions["project_access"], permissions["group_access"], any(read(bodies[atMember]))} {
			if fields, ok := of.(map[string]any); ok {
				level, _ := fields["access_level"].(float64)
				highest = max(highest, level)
			}
		}
		if highest < access.Developer && read(bodies[atUser])["is_admin"] != true {
			t.Fatalf("granted for the level %v", highest)
		}
	})
}

// read gives the fields of a JSON object by their names in lower case, nil for
// one that has two of a name.
func read(body string) map[string]any {
	var lower func(any) any
	lower = func(value any) any {
		object, ok := value.(map[string]any)
		if !ok {
			return value
		}
		fields := map[string]any{}
		for key, inner := range object {
			fields[strings.ToLower(strings.ToUpper(key))] = lower(inner)
		}
		if len(fields) < len(object) {
			return nil
		}
		return fields
	}
	var value any
	if json.Unmarshal([]byte(body), &value) != nil {
		return nil
	}
	fields, _ := lower(value).(map[string]any)
	return fields
}

// Any reply to git's request for refs: only the instance is asked, the token is not in the
// result, and only a success gives refs.
func FuzzRefs(f *testing.F) {
	f.Add(118, "001e# service=git-upload-pack\n0000004895dcfa3633004da0049d3d0fa03f80589cbcaf31 refs/heads/maint\x00multi_ack\n0000", "", "", true)
	f.Add(200, "001e# service=git-upload-pack\n0000004895dcfa3633004da0049d3d0fa03f80589cbcaf31 refs/heads/maint\x00multi_ack\n0000", "application/x-git-upload-pack-advertisement", "", true)
	f.Add(200, "001f# service=git-receive-pack\n000000b27217a7c7e582c46cec22a130adf4b9d7d950fba0 HEAD\x00 report-status delete-refs\n0000", "application/x-git-receive-pack-advertisement", "", false)
	f.Add(403, "You are not allowed to push code to this project.", "text/plain", "", false)
	f.Add(301, "", "text/html", "https://gitlab.example.com/a/b.git/info/refs?service=git-upload-pack", true)
	f.Add(301, "", "text/html", "https://evil.gitlab.example.com/a/b.git/info/refs?service=git-upload-pack", true)
	f.Add(302, "%", "text/html", "http://gitlab.example.com/a/b.git/info/refs", true)
	f.Add(200, "000eversion 1\n0000", "", "", true)
	f.Fuzz(func(t *testing.T, status int, body, kind, location string, fetch bool) {
		if status < 100 || status > 599 {
			return
		}
		body = strings.ReplaceAll(body, "%", canary)
		asked := 0
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			asked++
			if r.URL.Host != "gitlab.example.com" || r.URL.Scheme != "https" {
				t.Errorf("asked %s", r.URL)
			}
			return reply(r, status, body, "Content-Type", kind, "Location", location), nil
		})
		service := Push
		if fetch {
			service = Fetch
		}
		got := c.Refs(t.Context(), "a/b.git", service, "oauth2", canary)
		if strings.Contains(fmt.Sprintf("%+v", got), "Canary") {
			t.Fatalf("a token shows: %+v", got)
		}
		if got.State == access.Given && status/100 != 2 && asked < 2 {
			t.Fatalf("given by %d: %+v", status, got)
		}
	})
}

// Any reply to the request for a new token: the request is sent once, only a success gives a
// token, and the token is not printed.
func FuzzRotate(f *testing.F) {
	f.Add(200, `{"id":1,"token":"glpat-CanaryQ7x9Zk2WvB4n","expires_at":"2030-01-01"}`, "application/json")
	f.Add(201, `{"id":"x","token":"glpat-CanaryQ7x9Zk2WvB4n","expires_at":7}`, "application/json")
	f.Add(200, `{"id":1,"token":"glpat-Canary\n12345678"}`, "application/json")
	f.Add(400, `{"message":"400 Bad request - Expiration date must be before 2027-01-01"}`, "application/json")
	f.Add(502, "", "text/html")
	f.Fuzz(func(t *testing.T, status int, body, kind string) {
		if status < 200 || status > 599 {
			return
		}
		asked := 0
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			asked++
			return reply(r, status, body, "Content-Type", kind), nil
		})
		got := c.Rotate(t.Context(), time.Now())
		if asked != 1 {
			t.Fatalf("asked %d times", asked)
		}
		if given := got.State == access.Given; given == got.Token.IsZero() || given && status/100 != 2 {
			t.Fatalf("%d: %+v", status, got)
		}
		if strings.Contains(fmt.Sprintf("%+v %#v", got, got), "Canary") {
			t.Fatal("a token shows")
		}
	})
}
