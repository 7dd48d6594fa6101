package gitlabtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCloneAndPush(t *testing.T) {
	for _, o := range []Options{{}, {Path: "/gitlab"}, {PlainHTTP: true}, {HTTP1Only: true}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			o.Dir = ""
			s := gitlab(t, o)
			dir := cloned(t, s)
			if b, err := os.ReadFile(filepath.Join(dir, "README.md")); err != nil || string(b) != "# project\n" {
				t.Errorf("README: %q %v", b, err)
			}
			mustGit(t, s, dir, "push", "--quiet", "origin", "HEAD:main", "HEAD:feature/x")
			head := strings.TrimSpace(mustGit(t, s, dir, "rev-parse", "HEAD"))
			a := get(t, s, "projects/7/repository/branches/feature%2Fx", canary)
			if !strings.Contains(a.body, head) {
				t.Errorf("pushed %s, GitLab has %s", head, a.body)
			}
			if out := mustGit(t, s, dir, "--git-dir="+s.RepositoryDir(project), "rev-parse", "main"); strings.TrimSpace(out) != head {
				t.Errorf("main is %s", out)
			}
			mustGit(t, s, dir, "fetch", "--quiet", "--depth=1", "origin", "main")
			if s.Count("git") < 6 || s.Count("api") != 1 {
				t.Errorf("%d git, %d api requests", s.Count("git"), s.Count("api"))
			}
		})
	}
}

// A pack of over 1 MiB is sent in chunks, which CGI as such doesn't take.
func TestLargePush(t *testing.T) {
	for _, http1 := range []bool{false, true} {
		s := gitlab(t, Options{HTTP1Only: http1})
		dir := cloned(t, s)
		noise := make([]byte, 3<<20)
		_, _ = rand.Read(noise)
		if err := os.WriteFile(filepath.Join(dir, "noise"), noise, 0o644); err != nil {
			t.Fatal(err)
		}
		mustGit(t, s, dir, "add", "noise")
		mustGit(t, s, dir, "commit", "--quiet", "-m", "noise")
		mustGit(t, s, dir, "push", "--quiet", "origin", "HEAD:main")
		again := filepath.Join(t.TempDir(), "again")
		mustGit(t, s, t.TempDir(), "clone", "--quiet", s.URL()+"/"+project+".git", again)
		if b, err := os.ReadFile(filepath.Join(again, "noise")); err != nil || string(b) != string(noise) {
			t.Errorf("http1 %v: came back otherwise: %v", http1, err)
		}
	}
}

// TestGitStatuses asks as git does, and reads what git doesn't show.
func TestGitStatuses(t *testing.T) {
	s := world(t, Options{Path: "/gitlab"})
	s.AddUser(User{ID: 5, Username: "dora", Forbidden: "You (@dora) must accept the Terms of Service in order to perform this action."})
	for _, tk := range []Token{
		{Value: "glpat-CanaryDora", UserID: 5, Scopes: []string{"api"}},
		{Value: "glpat-CanaryReadRepo", UserID: 1, Scopes: []string{"read_repository"}},
	} {
		s.AddToken(tk)
	}
	if err := s.AddProject(Project{ID: 20, Path: "group/disabled", Direct: map[int]int{1: 40}, RepositoryAccessLevel: "disabled"}); err != nil {
		t.Fatal(err)
	}
	c := client(t, s.CAFile())
	const pull, push = "git-upload-pack", "git-receive-pack"
	denied := "HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect or you're required to use a token instead of a password. If a token was provided, it was either incorrect, expired, or improperly scoped. See " + s.URL() + "/help"
	for _, tt := range []struct {
		name, repo, service, credential string
		status                          int
		text                            string // how the body begins
	}{
		{"pull", project, pull, "Basic oauth2:" + canary, 200, "001e# service=git-upload-pack\n"},
		{"push", project, push, "Basic oauth2:" + canary, 200, "001f# service=git-receive-pack\n"},
		{"any user name", project, pull, "Basic whoever:" + canary, 200, "001e#"},
		{"wiki", project + ".wiki", pull, "Basic oauth2:" + canary, 200, "001e#"},
		{"capitals", strings.ToUpper(project), pull, "Basic oauth2:" + canary, 200, "001e#"},
		{"moved", "old/place", pull, "Basic oauth2:" + canary, 200, "001e#"},
		{"public, nobody", "group/public", pull, "", 200, "001e#"},
		{"public, push, nobody", "group/public", push, "", 401, denied},
		{"public, dead token", "group/public", pull, "Basic oauth2:glpat-CanaryRevoked", 401, denied},
		{"nobody", project, pull, "", 401, denied},
		{"missing, nobody", "group/none", pull, "", 401, denied},
		{"missing", "group/none", pull, "Basic oauth2:" + canary, 404, "The project you were looking for could not be found or you don't have permission to view it."},
		{"not a member", project, pull, "Basic oauth2:glpat-CanaryCarol", 404, textNotFound},
		{"bearer is not for git", project, pull, "Bearer " + canary, 401, denied},
		{"unknown", project, pull, "Basic oauth2:glpat-CanaryNone", 401, denied},
		{"no password", project, pull, "Basic oauth2:", 401, denied},
		{"expired", project, pull, "Basic oauth2:glpat-CanaryExpired", 401, denied},
		{"revoked", project, pull, "Basic oauth2:glpat-CanaryRevoked", 401, denied},
		{"blocked", project, pull, "Basic oauth2:glpat-CanaryBob", 401, denied},
		{"terms", project, pull, "Basic oauth2:glpat-CanaryDora", 403, "You (@dora) must accept the Terms of Service in order to perform this action."},
		{"job token's name", project, pull, "Basic gitlab-ci-token:" + canary, 401, denied},
		{"service's name", project, pull, "Basic drone-ci-token:" + canary, 401, denied},
		{"deploy token's name", project, pull, "Basic gitlab+deploy-token-1:" + canary, 401, denied},
		{"oauth", project, pull, "Basic oauth2:CanaryOAuth", 200, "001e#"},
		{"oauth, another name", project, pull, "Basic x:CanaryOAuth", 401, denied},
		{"scope, pull", project, pull, "Basic oauth2:glpat-CanaryReader", 403, "You are not allowed to download code."},
		{"scope, push", project, push, "Basic oauth2:glpat-CanaryReader", 403, "You are not allowed to upload code."},
		{"scope before project", "group/none", push, "Basic oauth2:glpat-CanaryReader", 403, "You are not allowed to upload code."},
		{"granular", project, pull, "Basic oauth2:glpat-CanaryFine", 403, "You are not allowed to download code."},
		{"read_repository, pull", project, pull, "Basic x:glpat-CanaryReadRepo", 200, "001e#"},
		{"read_repository, push", project, push, "Basic x:glpat-CanaryReadRepo", 403, "You are not allowed to upload code."},
		{"write_repository, push", project, push, "Basic x:glpat-CanaryWrite", 200, "001f#"},
		{"read_api, pull", "group/protected", pull, "Basic x:glpat-CanaryCarol", 200, "001e#"},
		{"administrator, push", project, push, "Basic x:glpat-CanaryRoot", 200, "001f#"},
		{"archived, pull", "group/moved.js", pull, "Basic x:" + canary, 200, "001e#"},
		{"archived, push", "group/moved.js", push, "Basic x:" + canary, 403, "You can't push code to an archived project."},
		{"role, push", "group/public", push, "Basic x:" + canary, 403, "You are not allowed to push code to this project."},
		{"role, wiki", "group/public.wiki", push, "Basic x:" + canary, 403, "You are not allowed to write to this project's wiki."},
		{"disabled, pull", "group/disabled", pull, "Basic x:" + canary, 403, "You are not allowed to download code from this project."},
		{"disabled, push", "group/disabled", push, "Basic x:" + canary, 403, textRolePush},
		{"no repository", "group/shared", pull, "Basic x:" + canary, 404, "A repository for this project does not exist yet."},
		{"empty", "group/empty", pull, "Basic x:" + canary, 200, "001e#"},
		{"no service", project, "git-nonsense", "Basic x:" + canary, 403, "The command you're trying to execute is not allowed."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := mustSend(t, c, http.MethodGet, s.URL()+"/"+tt.repo+".git/info/refs?service="+tt.service, tt.credential, "")
			if a.status != tt.status || !strings.HasPrefix(a.body, tt.text) {
				t.Errorf("%d %.200q\nwant %d %q", a.status, a.body, tt.status, tt.text)
			}
			want := ""
			if tt.status == 401 {
				want = `Basic realm="GitLab"`
			}
			if got := a.header.Get("Www-Authenticate"); got != want {
				t.Errorf("challenge %q, want %q", got, want)
			}
			if ct := a.header.Get("Content-Type"); tt.status != 200 && ct != "text/plain; charset=utf-8" || tt.status == 200 && ct != "application/x-"+tt.service+"-advertisement" {
				t.Errorf("content type %q", ct)
			}
		})
	}
	guest := func(p *Project) { p.Direct = map[int]int{1: 10} }
	if err := s.UpdateProject(project, guest); err != nil {
		t.Fatal(err)
	}
	a := mustSend(t, c, http.MethodGet, s.URL()+"/"+project+".git/info/refs?service="+pull, "Basic x:"+canary, "")
	if a.status != 403 || a.body != textRoleDownload {
		t.Errorf("guest: %d %s", a.status, a.body)
	}
	a = mustSend(t, c, http.MethodGet, s.URL()+"/"+project+"/info/refs?service="+pull, "", "")
	if a.status != 301 || a.header.Get("Location") != s.URL()+"/"+project+".git/info/refs?service="+pull {
		t.Errorf("without .git: %d %v", a.status, a.header)
	}
}

func TestGitMessages(t *testing.T) {
	s := world(t, Options{})
	dir := cloned(t, s)
	// Without .git, by the old path, with a notice after the push only.
	moved := s.URL() + "/old/place"
	if out := mustGit(t, s, dir, "ls-remote", moved); strings.Contains(out, "was moved") || !strings.Contains(out, "refs/heads/main") {
		t.Errorf("ls-remote: %s", out)
	}
	if err := s.UpdateProject("group/moved.js", func(p *Project) { p.Archived = false }); err != nil {
		t.Fatal(err)
	}
	out := mustGit(t, s, dir, "push", moved, "HEAD:refs/heads/new")
	if !strings.Contains(out, "remote: Project 'old/place' was moved to 'group/moved.js'.") || !strings.Contains(out, "git remote set-url origin "+s.URL()+"/group/moved.js.git") {
		t.Errorf("push: %s", out)
	}
	// A protected branch is refused in the push, not before it.
	failGit(t, s, "oauth2:"+canary, dir, "GitLab: You are not allowed to push code to protected branches on this project.",
		"push", "--force", s.URL()+"/group/protected.git", "HEAD:main")
	mustGit(t, s, dir, "push", "--force", s.URL()+"/group/protected.git", "HEAD:other")
	if err := s.UpdateProject("group/protected", func(p *Project) { p.Direct[1] = 40 }); err != nil {
		t.Fatal(err)
	}
	mustGit(t, s, dir, "push", "--force", s.URL()+"/group/protected.git", "HEAD:main")

	mustGit(t, s, dir, "clone", "--quiet", s.URL()+"/group/empty.git", filepath.Join(t.TempDir(), "empty"))
	if out, err := gitRun(t, s.CAFile(), "", dir, "ls-remote", s.URL()+"/group/public.git"); err != nil {
		t.Errorf("public, without credentials: %v %s", err, out)
	}
	failGit(t, s, "", dir, "could not read Username", "ls-remote", s.URL()+"/"+project+".git")
	failGit(t, s, "oauth2:glpat-CanaryReader", dir, "You are not allowed to upload code.", "push", s.URL()+"/"+project+".git", "HEAD:main")
}

// Without Git-Protocol reaching the backend, git would fall back in silence.
func TestGitProtocolVersion(t *testing.T) {
	s := gitlab(t, Options{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/"+project+".git/info/refs?service=git-upload-pack", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("oauth2", canary)
	r.Header.Set("Git-Protocol", "version=2")
	res, err := client(t, s.CAFile()).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); !strings.Contains(string(b), "version 2") {
		t.Errorf("%s", b)
	}
}

func TestGitBan(t *testing.T) {
	s := gitlab(t, Options{})
	c := client(t, s.CAFile())
	ask := func(credential string) answer {
		t.Helper()
		return mustSend(t, c, http.MethodGet, s.URL()+"/"+project+".git/info/refs?service=git-upload-pack", credential, "")
	}
	good, bad := "Basic x:"+canary, "Basic x:glpat-CanaryNone"
	expect := func(what, credential string, status int) {
		t.Helper()
		if a := ask(credential); a.status != status || status == 403 && a.body != "Too many failed authentication attempts from this IP" {
			t.Errorf("%s: %d %.80s, want %d", what, a.status, a.body, status)
		}
	}
	s.SetGitBan(3)
	expect("first failure", bad, 401)
	expect("second failure", bad, 401)
	expect("nobody does not count", "", 401)
	expect("a good login resets", good, 200)
	expect("first", bad, 401)
	expect("second", bad, 401)
	if a := get(t, s, "user", "glpat-CanaryNone"); a.status != 401 {
		t.Errorf("api: %d", a.status)
	}
	expect("rest does not count", good, 200)
	for range 3 {
		expect("to the limit", bad, 401)
	}
	expect("banned, good credentials", good, 403)
	expect("banned, none", "", 403)
	failGit(t, s, "oauth2:"+canary, t.TempDir(), "The requested URL returned error: 403", "ls-remote", s.URL()+"/"+project+".git")
	if a := get(t, s, "user", canary); a.status != 200 {
		t.Errorf("the ban is for git alone: %d", a.status)
	}
	s.SetGitBan(0)
	expect("lifted", good, 200)
}

func TestGitRefuses(t *testing.T) {
	s := gitlab(t, Options{})
	c := client(t, s.CAFile())
	url := s.URL() + "/" + project + ".git/info/refs?service=git-upload-pack"
	s.SetGitRefuses("Cannot find valid SSO session.", 403)
	if a := mustSend(t, c, http.MethodGet, url, "Basic x:"+canary, ""); a.status != 403 || a.body != "Cannot find valid SSO session." || a.header.Get("Www-Authenticate") != "" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if a := get(t, s, "user", canary); a.status != 200 {
		t.Errorf("api: %d", a.status)
	}
	s.SetGitRefuses("HTTP Basic: Access denied.", 401)
	if a := mustSend(t, c, http.MethodGet, url, "Basic x:"+canary, ""); a.status != 401 || a.header.Get("Www-Authenticate") != `Basic realm="GitLab"` {
		t.Errorf("%d %v", a.status, a.header)
	}
	s.SetGitRefuses("", 0)
	if a := mustSend(t, c, http.MethodGet, url, "Basic x:"+canary, ""); a.status != 200 {
		t.Errorf("%d", a.status)
	}
}

func TestLFS(t *testing.T) {
	s := world(t, Options{Path: "/gitlab"})
	c := client(t, s.CAFile())
	content := "a large file"
	sum := sha256.Sum256([]byte(content))
	oid := hex.EncodeToString(sum[:])
	repo := s.URL() + "/" + project + ".git"
	good := "Basic oauth2:" + canary
	request := func(op string) string {
		return fmt.Sprintf(`{"operation":%q,"transfers":["basic"],"objects":[{"oid":%q,"size":%d}]}`, op, oid, len(content))
	}
	batch := func(url, credential, op string) (answer, lfsObject) {
		t.Helper()
		a := mustSend(t, c, http.MethodPost, url+"/info/lfs/objects/batch", credential, request(op))
		var b struct {
			Transfer string
			Objects  []lfsObject
		}
		_ = json.Unmarshal([]byte(a.body), &b)
		if len(b.Objects) == 0 {
			b.Objects = []lfsObject{{}}
		}
		return a, b.Objects[0]
	}
	if a, _ := batch(repo, "", "download"); a.status != 401 || a.header.Get("Www-Authenticate") != challenge {
		t.Errorf("nobody: %d", a.status)
	}
	if a, _ := batch(repo, "Basic x:glpat-CanaryCarol", "download"); a.status != 404 {
		t.Errorf("not a member: %d", a.status)
	}
	if a, _ := batch(s.URL()+"/group/public.git", good, "upload"); a.status != 403 || !strings.HasPrefix(a.body, `{"message":"Access forbidden. Check your access level.","documentation_url":`) {
		t.Errorf("not a developer: %d %s", a.status, a.body)
	}
	if a, o := batch(repo, good, "download"); a.status != 200 || o.Error == nil || o.Error.Code != 404 {
		t.Errorf("missing object: %d %s", a.status, a.body)
	}
	a, o := batch(repo, good, "upload")
	up := o.Actions["upload"]
	if a.status != 200 || a.header.Get("Content-Type") != "application/vnd.git-lfs+json" || up.Header["Authorization"] == "" || o.Actions["verify"].Href == "" {
		t.Fatalf("upload: %d %s", a.status, a.body)
	}
	if a := mustSend(t, c, http.MethodPut, up.Href, good, "another file"); a.status != 422 {
		t.Errorf("took a wrong object: %d", a.status)
	}
	one := fmt.Sprintf(`{"oid":%q,"size":%d}`, oid, len(content))
	if a := mustSend(t, c, http.MethodPost, o.Actions["verify"].Href, good, one); a.status != 404 {
		t.Errorf("verified what isn't there: %d", a.status)
	}
	if a := mustSend(t, c, http.MethodPut, up.Href, good, content); a.status != 200 {
		t.Errorf("upload: %d %s", a.status, a.body)
	}
	if a := mustSend(t, c, http.MethodPost, o.Actions["verify"].Href, good, one); a.status != 200 {
		t.Errorf("verify: %d", a.status)
	}
	_, o = batch(repo, good, "download")
	if a := mustSend(t, c, http.MethodGet, o.Actions["download"].Href, good, ""); a.status != 200 || a.body != content {
		t.Errorf("download: %d %q", a.status, a.body)
	}
	if a := mustSend(t, c, http.MethodGet, o.Actions["download"].Href, "", ""); a.status != 401 {
		t.Errorf("download by nobody: %d", a.status)
	}
	if _, o := batch(repo, good, "upload"); len(o.Actions) != 0 {
		t.Errorf("upload again: %+v", o)
	}
	if a := mustSend(t, c, http.MethodPost, repo+"/info/lfs/locks/verify", good, `{}`); a.status != 200 {
		t.Errorf("locks: %d", a.status)
	}
	if s.Count("lfs") == 0 || s.Count("git") != 0 {
		t.Errorf("%d lfs, %d git", s.Count("lfs"), s.Count("git"))
	}
}
