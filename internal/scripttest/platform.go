package scripttest

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

func (m *machine) startPlatform(ts *testscript.TestScript, args []string) error {
	o := parseOptions(args)
	p, err := gitlabtest.StartPlatform(gitlabtest.PlatformOptions{
		Dir: filepath.Join(m.dir, "gitlab"), PlainHTTP: o.is("http"), GitLab: m.gitlab})
	if err != nil {
		return err
	}
	p.SetOld(o.is("old"))
	m.platform, m.closers = p, append(m.closers, p.Close)
	ts.Setenv("PLATFORM", p.URL()+"/api")
	ts.Setenv("PLATFORM_HOST", p.Addr())
	return nil
}

func (m *machine) addSession(ts *testscript.TestScript, args []string) error {
	name := args[0]
	bot := platformToken("CanaryBot", name)
	m.bots[name], m.tokens["bot of "+name] = bot, bot
	ts.Setenv("BOT_"+name, bot)
	m.platform.AddSession("team", name, parseOptions(args[1:])["user"], bot)
	return nil
}

func (m *machine) addPlatformUser(ts *testscript.TestScript, args []string) error {
	name := args[0]
	own := platformToken("CanaryUser", name)
	m.tokens["platform user "+name] = own
	ts.Setenv("USER_"+name, own)
	m.platform.AddUser(name, own)
	return nil
}

// platformToken is a token without parts that could appear by chance.
func platformToken(kind, name string) string {
	return fmt.Sprintf("eyJh.%s%08X.c2ln", kind, crc32.ChecksumIEEE([]byte(name)))
}

func (m *machine) setConnection(_ *testscript.TestScript, args []string) error {
	if args[1] == "-" {
		m.platform.SetConnection(args[0], nil)
		return nil
	}
	value, known := m.tokens[args[1]]
	if !known {
		return fmt.Errorf("no token %q", args[1])
	}
	at := m.gitlab.URL()
	if instance, given := parseOptions(args[2:])["instance"]; given {
		at = instance
	}
	m.platform.SetConnection(args[0], &gitlabtest.PlatformConnection{Token: value, InstanceURL: at, UpdatedAt: time.Now()})
	return nil
}

func (m *machine) enterPod(ts *testscript.TestScript, args []string) error {
	name := args[0]
	bot := filepath.Join(m.dir, "bot-token")
	m.secrets[bot] = true
	for variable, value := range map[string]string{
		"AGENTIC_SESSION_NAME": name, "AGENTIC_SESSION_NAMESPACE": "team", "SESSION_ID": name, "PROJECT_NAME": "team",
		"WORKSPACE_PATH": "/workspace", "USER_ID": parseOptions(args[1:])["user"], "BACKEND_API_URL": m.platform.URL() + "/api",
		"ACP_TOKEN_FILE": bot, "GIT_SSL_CAINFO": m.platform.CAFile(),
	} {
		ts.Setenv(variable, value)
	}
	return os.WriteFile(bot, []byte(m.bots[name]), 0o600)
}

func (m *machine) setTurn(_ *testscript.TestScript, args []string) error {
	path := filepath.Join(m.dir, "runner", ".ambient_gitlab_token")
	m.secrets[path] = true
	value, known := m.tokens[args[0]]
	switch o := parseOptions(args); {
	case args[0] == "-":
		return os.Remove(path)
	case o.is("as"):
		var err error
		if value, err = m.beginTurn(o["as"], o["session"]); err != nil {
			return err
		}
	case !known:
		return fmt.Errorf("no token %q", args[0])
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o600)
}

// beginTurn gets the token with a user's platform token, and sets the user's identity.
func (m *machine) beginTurn(user, session string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, m.platform.URL()+"/api/projects/team/agentic-sessions/"+session+"/credentials/gitlab", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+m.tokens["platform user "+user])
	req.Header.Set("X-Runner-Current-User", user)
	authority, err := os.ReadFile(m.platform.CAFile())
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	way := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer way.CloseIdleConnections()
	resp, err := (&http.Client{Transport: way, Timeout: askLimit}).Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct{ Token, UserName, Email string }
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the platform answers %s (%w)", resp.Status, err)
	}
	return body.Token, errors.Join(m.git("config", "--global", "user.name", body.UserName), m.git("config", "--global", "user.email", body.Email))
}

func (m *machine) addCredential(_ *testscript.TestScript, args []string) error {
	o := parseOptions(args[2:])
	value, known := m.tokens[args[1]]
	if !known {
		return fmt.Errorf("no token %q", args[1])
	}
	url := cmp.Or(o["url"], m.gitlab.URL())
	if url == "-" {
		url = ""
	}
	m.platform.AddCredential(gitlabtest.PlatformCredential{ID: args[0], Token: value, URL: url,
		Provider: cmp.Or(o["provider"], "gitlab"), Project: cmp.Or(o["project"], "team")})
	return nil
}

// wantPushes reads who pushed from the reflog of GitLab's repository.
func (m *machine) wantPushes(_ *testscript.TestScript, args []string) error {
	out, err := exec.Command("git", "--git-dir", m.gitlab.RepositoryDir(args[0]), "log", "--walk-reflogs", "--format=%gs %gn", "main").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var users []string
	for line := range strings.Lines(string(out)) {
		if user, pushed := strings.CutPrefix(strings.TrimSpace(line), "push "); pushed {
			users = append(users, user)
		}
	}
	slices.Reverse(users) // the last push comes first
	if !slices.Equal(users, args[1:]) {
		return fmt.Errorf("%q have pushed, want %q", users, args[1:])
	}
	return nil
}
