package config

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

var update = flag.Bool("update", false, "write the tables of the documents")

// Read asks for the variables of the table, each once, and for no others. TMPDIR is
// read by os.TempDir.
func TestRead(t *testing.T) {
	want := map[string]int{}
	for _, group := range groups {
		for _, v := range group.Variables {
			if strings.HasSuffix(v.Name, "_") {
				v.Name += "0"
			}
			if v.Name != "TMPDIR" {
				want[v.Name]++
			}
			if v.Meaning == "" {
				t.Errorf("%s has no meaning", v.Name)
			}
		}
	}
	got := map[string]int{}
	Read(func(name string) (string, bool) {
		got[name]++
		if name == "GIT_CONFIG_COUNT" {
			return "1", true
		}
		return "", false
	})
	if !maps.Equal(got, want) {
		t.Errorf("reads %v\nhas in the table %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// environment is a lookup in pairs of name and value.
func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for n := 0; n < len(pairs); n += 2 {
			if pairs[n] == name {
				return pairs[n+1], true
			}
		}
		return "", false
	}
}

// A Config can't be printed with a token in it.
func TestTokens(t *testing.T) {
	names := TokenVariables()
	if !slices.Equal(names, []string{"GITLAB_TOKEN", "ACP_TOKEN", "BOT_TOKEN"}) {
		t.Fatalf("token variables %q", names)
	}
	c := Read(environment(names[0], "glpat-CanaryOfAConfig01", names[1], "CanaryOfThePlatform02", names[2], "CanaryOfThePod03"))
	if c.Token() != "glpat-CanaryOfAConfig01" || c.PlatformToken() != "CanaryOfThePlatform02" || c.BotToken() != "CanaryOfThePod03" {
		t.Errorf("tokens %q, %q and %q", c.Token(), c.PlatformToken(), c.BotToken())
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(verb, c); strings.Contains(text, "Canary") {
			t.Errorf("%s shows a token", verb)
		}
	}
}

// A wrong value is an error that names the variable, and does not show the value;
// without a value there is none.
func TestWrongValues(t *testing.T) {
	methods := map[string]func(Config) error{
		"ACP_GITLAB_MIN_ACCESS":      func(c Config) error { _, err := c.Policy(); return err },
		"ACP_GITLAB_REQUIRED_SCOPES": func(c Config) error { _, err := c.Policy(); return err },
		"ACP_GITLAB_ON_UNVERIFIED":   func(c Config) error { _, err := c.AllowUnverified(); return err },
		"ACP_GITLAB_TIMEOUT":         func(c Config) error { _, err := c.Timeout(); return err },
		"ACP_GITLAB_RATE_LIMIT_WAIT": func(c Config) error { _, err := c.RateLimitWait(); return err },
		"ACP_GITLAB_CACHE_TTL":       func(c Config) error { _, err := c.CacheTTL(); return err },
		"GIT_CONFIG_COUNT":           func(c Config) error { _, err := c.GitPairs(); return err },
	}
	for name, method := range methods {
		err := method(Read(environment(name, "-Canary1")))
		if !message.Is(err, "setting-invalid") || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "Canary") {
			t.Errorf("%s: %v", name, err)
		}
		for _, pairs := range [][]string{nil, {name, ""}} {
			if err := method(Read(environment(pairs...))); err != nil {
				t.Errorf("%s=%q: %v", name, pairs, err)
			}
		}
	}
	if _, err := Read(environment("GIT_CONFIG_COUNT", "1001")).GitPairs(); err == nil {
		t.Error("1001 pairs are read")
	}
}

// The first variable that is set names the proxy, even to nothing.
func TestProxy(t *testing.T) {
	for _, test := range []struct {
		https bool
		pairs []string
		want  Setting
	}{
		{true, nil, Setting{}},
		{true, []string{"HTTPS_PROXY", "b", "ALL_PROXY", "d", "http_proxy", "e"}, Setting{"HTTPS_PROXY", "b", true}},
		{true, []string{"https_proxy", "", "HTTPS_PROXY", "b"}, Setting{"https_proxy", "", true}},
		{true, []string{"http_proxy", "e"}, Setting{}},
		{false, []string{"https_proxy", "a", "http_proxy", "e"}, Setting{"http_proxy", "e", true}},
		{false, []string{"https_proxy", "a", "HTTP_PROXY", "f", "all_proxy", "c"}, Setting{"all_proxy", "c", true}},
	} {
		if got := Read(environment(test.pairs...)).Proxy(test.https); got != test.want {
			t.Errorf("%q, https %t: %v, want %v", test.pairs, test.https, got, test.want)
		}
	}
}

func TestCacheDirs(t *testing.T) {
	for _, test := range []struct{ pairs, want []string }{
		{nil, []string{"/t/git-credential-acp-7"}},
		{[]string{"XDG_RUNTIME_DIR", "/run/u"}, []string{"/run/u/git-credential-acp", "/t/git-credential-acp-7"}},
		{[]string{"XDG_RUNTIME_DIR", "/run/u", "ACP_GITLAB_CACHE_DIR", "/c"}, []string{"/c"}},
		{[]string{"XDG_RUNTIME_DIR", "/run/u", "ACP_GITLAB_CACHE_DIR", "off"}, nil},
	} {
		if got := Read(environment(test.pairs...)).CacheDirs("/t", 7); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.pairs, got, test.want)
		}
	}
}

// The tables of docs/settings.md are those of Groups. With -update, they are written.
func TestDocuments(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "settings.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, group := range groups {
		tables += strings.Count(string(text), group.head())
	}
	if tables != len(groups) {
		t.Errorf("the document has %d tables of variables, want %d", tables, len(groups))
	}
	switch updated := Update(string(text)); {
	case updated == string(text):
	case *update:
		if err := os.WriteFile(path, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("the table of variables is not the one of variables.go: go test ./internal/config -update writes it")
	}
}

// Help for a terminal names each variable, without Markdown, in lines that fit.
func TestText(t *testing.T) {
	text := Text()
	for _, group := range groups {
		for _, v := range group.Variables {
			if !strings.Contains(text, "\n  "+v.Name) {
				t.Errorf("it lacks %s", v.Name)
			}
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 81 || strings.ContainsAny(line, "`[]") && !strings.Contains(line, "[,") || strings.Contains(line, "**") {
			t.Errorf("a line is too long, or has Markdown in it: %q", line)
		}
	}
}

// The runner's container is distinguished from pods that have only some of its variables.
func TestInRunner(t *testing.T) {
	tests := []struct {
		environment []string
		want        bool
	}{
		{nil, false},
		{[]string{"AGENTIC_SESSION_NAME"}, false},
		{[]string{"AGENTIC_SESSION_NAME", "AGENTIC_SESSION_NAMESPACE", "PROJECT_NAME", "BACKEND_API_URL"}, false},    // to use the platform as a source
		{[]string{"SESSION_NAME", "NAMESPACE", "BOT_TOKEN", "BACKEND_API_URL", "PROJECT_NAME", "REPOS_JSON"}, false}, // init-hydrate
		{[]string{"SESSION_ID", "USER_ID", "WORKSPACE_PATH", "BACKEND_API_URL"}, false},
		{[]string{"AGENTIC_SESSION_NAME", "AGENTIC_SESSION_NAMESPACE", "SESSION_ID", "PROJECT_NAME", "WORKSPACE_PATH", "USER_ID", "BACKEND_API_URL", "REPOS_JSON"}, true}, // the operator
		{[]string{"AGENTIC_SESSION_NAME", "AGENTIC_SESSION_NAMESPACE", "SESSION_ID", "PROJECT_NAME", "WORKSPACE_PATH", "BACKEND_API_URL"}, true},                          // the control plane
		{[]string{"AGENTIC_SESSION_NAME", "WORKSPACE_PATH", "USER_ID"}, true},
	}
	for _, test := range tests {
		var pairs []string
		for _, name := range test.environment {
			pairs = append(pairs, name, "x")
		}
		if got := Read(environment(pairs...)).InRunner(); got != test.want {
			t.Errorf("%q: %t", test.environment, got)
		}
	}
	if Read(environment("AGENTIC_SESSION_NAME", "one", "WORKSPACE_PATH", "", "USER_ID", "", "BACKEND_API_URL", "x")).InRunner() {
		t.Error("empty variables count")
	}
	if !Read(environment("AGENTIC_SESSION_NAME", "", "WORKSPACE_PATH", "x", "USER_ID", "x")).InRunner() {
		t.Error("a session with an empty display name is not recognized")
	}
}
