package gitlabtest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// noon is when these tests take place, by the server's clock.
func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

const (
	canary  = "glpat-CanaryAlice"
	project = "group/sub/project"
)

// gitlab starts a server with an account, a token of all scopes and a private
// project in which that account is a developer.
func gitlab(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Now == nil {
		o.Now = noon
	}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.AddUser(User{ID: 1, Username: "alice", Name: "Alice", Email: "alice@example.com"})
	s.AddToken(Token{Value: canary, ID: 11, UserID: 1, Name: "laptop", Scopes: []string{"api", "write_repository"}, ExpiresAt: "2026-12-31"})
	if err := s.AddProject(Project{ID: 7, Path: project, Direct: map[int]int{1: 30}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// client trusts the CA file and follows no redirect.
func client(t *testing.T, caFile string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the CA file")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type answer struct {
	status int
	proto  string
	header http.Header
	body   string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return m
}

// send asks for a path below the instance's URL. A credential is "Bearer …",
// "Private …" or "Basic user:password".
func send(t *testing.T, c *http.Client, method, url, credential, body string) (answer, error) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	kind, value, _ := strings.Cut(credential, " ")
	switch kind {
	case "Bearer":
		r.Header.Set("Authorization", credential)
	case "Private":
		r.Header.Set("PRIVATE-TOKEN", value)
	case "Basic":
		user, password, _ := strings.Cut(value, ":")
		r.SetBasicAuth(user, password)
	}
	if strings.HasPrefix(body, "{") {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Proto, res.Header, string(b)}, err
}

func mustSend(t *testing.T, c *http.Client, method, url, credential, body string) answer {
	t.Helper()
	a, err := send(t, c, method, url, credential, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// get asks the API with the Bearer token.
func get(t *testing.T, s *Server, path, token string) answer {
	t.Helper()
	if token != "" {
		token = "Bearer " + token
	}
	return mustSend(t, client(t, s.CAFile()), http.MethodGet, s.URL()+"/api/v4/"+path, token, "")
}

// gitRun runs git by itself: no configuration, no environment but what is
// here, credentials from a helper that only these tests have.
func gitRun(t *testing.T, caFile, credentials, dir string, args ...string) (string, error) {
	t.Helper()
	all := []string{"-c", "http.sslCAInfo=" + caFile, "-c", "init.defaultBranch=main", "-c", "http.followRedirects=initial"}
	if user, password, ok := strings.Cut(credentials, ":"); ok {
		all = append(all, "-c", "credential.helper=!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' '"+user+"' '"+password+"'; }; f")
	}
	cmd := exec.Command("git", append(all, args...)...)
	cmd.Dir = dir
	home := t.TempDir()
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// mustGit runs git with the canary and expects it to work.
func mustGit(t *testing.T, s *Server, dir string, args ...string) string {
	t.Helper()
	out, err := gitRun(t, s.CAFile(), "oauth2:"+canary, dir, args...)
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

// failGit runs git with some credentials and expects it to fail with a text.
func failGit(t *testing.T, s *Server, credentials, dir, want string, args ...string) {
	t.Helper()
	out, err := gitRun(t, s.CAFile(), credentials, dir, args...)
	if err == nil || !strings.Contains(out, want) {
		t.Errorf("git %v: %v, want a failure with %q\n%s", args, err, want, out)
	}
}

// cloned is a clone of the project with one more commit.
func cloned(t *testing.T, s *Server) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "work")
	mustGit(t, s, t.TempDir(), "clone", "--quiet", s.URL()+"/"+project+".git", dir)
	if err := os.WriteFile(filepath.Join(dir, "new.txt"), []byte("new\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustGit(t, s, dir, "add", "new.txt")
	mustGit(t, s, dir, "commit", "--quiet", "-m", "new")
	return dir
}

// eventually waits for what happens on other goroutines.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("never: %s", what)
}
