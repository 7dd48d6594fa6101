package scripttest

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
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

// platformToken is a token none of whose parts may appear anywhere by chance.
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
	if args[0] == "-" {
		return os.Remove(path)
	}
	value, known := m.tokens[args[0]]
	if !known {
		return fmt.Errorf("no token %q", args[0])
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o600)
}
