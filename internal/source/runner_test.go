//go:build unix

package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// foreign is a user that is neither root nor this one.
const foreign = 23456

// aTurn are the settings of a runner, with everything else that may have a token.
func aTurn(t *testing.T) (c Config, path string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secret", "token"), "glpat-CanaryOfTheSecret")
	write(t, filepath.Join(dir, "file"), "glpat-CanaryOfTheFile00")
	return Config{Dirs: []string{filepath.Join(dir, "secret")}, TokenFile: filepath.Join(dir, "file"),
		TokenEnv:  func() string { return "glpat-CanaryOfTheVariable" },
		RunnerDir: dir, InstanceURL: "https://set.example.com",
		RunnerInstance: func(tok token.Token) Answer {
			if tok.Reveal() != canary {
				t.Errorf("asked about another token")
			}
			return Answer{Where: "the platform", InstanceURL: "https://gitlab.example.com/git"}
		}}, filepath.Join(dir, runnerFile)
}

// The runner's file alone counts, and only what the runner can have written.
func TestFindRunner(t *testing.T) {
	tests := []struct {
		name string
		make func(path string) error
		code string
	}{
		{"a token", func(path string) error { return os.WriteFile(path, []byte(canary), 0o600) }, ""},
		{"a line", func(path string) error { return os.WriteFile(path, []byte(canary+"\n"), 0o644) }, ""},
		{"nothing", func(string) error { return nil }, "no-turn"},
		{"an empty file", func(path string) error { return os.WriteFile(path, nil, 0o600) }, string(token.Empty)},
		{"half of a token", func(path string) error { return os.WriteFile(path, []byte("glpat-"), 0o600) }, string(token.Placeholder)},
		{"two lines", func(path string) error { return os.WriteFile(path, []byte(canary+"\n"+canary), 0o600) }, string(token.Broken)},
		{"a directory", func(path string) error { return os.Mkdir(path, 0o755) }, "file-unreadable"},
		{"a FIFO", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "file-unreadable"},
		{"a link", func(path string) error {
			return errors.Join(os.WriteFile(path+"-elsewhere", []byte(canary), 0o600), os.Symlink(path+"-elsewhere", path))
		}, "file-unreadable"},
		{"a link to nothing", func(path string) error { return os.Symlink("/nowhere", path) }, "file-unreadable"},
		{"a huge file", func(path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o600) }, "file-too-large"},
		{"another user's file", func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(canary), 0o644), os.Chown(path, foreign, foreign))
		}, "turn-foreign"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, path := aTurn(t)
			if err := test.make(path); errors.Is(err, os.ErrPermission) {
				t.Skip("only root can give files away")
			} else if err != nil {
				t.Fatal(err)
			}
			found, looked := c.Find()
			if len(found) != 1 || len(looked) != 1 || found[0].Source != Runner || !strings.Contains(looked[0], path) {
				t.Fatalf("found %d places, looked at %q", len(found), looked)
			}
			f := found[0]
			switch {
			case test.code == "" && (f.Problem != nil || f.Token.Reveal() != canary || f.Instance.URL() != "https://gitlab.example.com/git" || f.Belongs != "the platform"):
				t.Errorf("%v, instance %s, as %s says", f.Problem, f.Instance.URL(), f.Belongs)
			case strings.HasPrefix(test.code, "file-") && !strings.Contains(message.As(f.Problem).Hint, "start a new turn"):
				t.Errorf("the hint is %q", message.As(f.Problem).Hint)
			case test.code != "" && (!message.Is(f.Problem, test.code) || !f.Token.IsZero() || f.Instance.URL() != "https://set.example.com"):
				t.Errorf("%v, want %s; instance %s", f.Problem, test.code, f.Instance.URL())
			}
		})
	}
}

// The runner truncates its file before it writes it.
func TestRunnerHalfWritten(t *testing.T) {
	c, path := aTurn(t)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(path, []byte(canary), 0o600) }()
	found, _ := c.Find()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if found[0].Problem != nil || found[0].Token.Reveal() != canary {
		t.Error(found[0].Problem)
	}
}

// A token is there as long as its own turn runs.
func TestRunnerSame(t *testing.T) {
	c, path := aTurn(t)
	write(t, path, canary)
	found, _ := c.Find()
	same := found[0].Same
	if !same() {
		t.Error("the turn has ended at once")
	}
	write(t, path, canary+"\n")
	if !same() {
		t.Error("the same token in other words is another one")
	}
	write(t, path, "glpat-CanaryOfBob0000000")
	if same() {
		t.Error("another user's turn is the same")
	}
	if err := os.Remove(path); err != nil || same() {
		t.Error("a turn outlives its end", err)
	}
}

// If a token's instance is unknown, there is no token.
func TestRunnerDoubt(t *testing.T) {
	c, path := aTurn(t)
	write(t, path, canary)
	doubt := &message.Error{Code: "doubt"}
	c.RunnerInstance = func(token.Token) Answer { return Answer{Problem: doubt} }
	found, _ := c.Find()
	if f := found[0]; !errors.Is(f.Problem, doubt) || !f.Token.IsZero() || f.Instance != (instance.Instance{}) {
		t.Errorf("%v, instance %s", f.Problem, f.Instance.URL())
	}
	c.RunnerInstance = func(token.Token) Answer { return Answer{Where: belongsVariable} }
	if found, _ = c.Find(); found[0].Problem != nil || found[0].Instance.URL() != DefaultInstanceURL || !found[0].ByDefault {
		t.Errorf("%v, instance %s", found[0].Problem, found[0].Instance.URL())
	}
	c.RunnerInstance = func(token.Token) Answer { return Answer{Where: "the platform", InstanceURL: "https://a b"} }
	if found, _ = c.Find(); !message.BadInstance(found[0].Problem) || !found[0].Token.IsZero() {
		t.Error(found[0].Problem)
	}
}

func TestRunnerTraces(t *testing.T) {
	for _, name := range []string{runnerFile, runnerScript} {
		dir := t.TempDir()
		if RunnerTraces(dir) || RunnerTraces(filepath.Join(dir, "missing")) {
			t.Error("an empty directory has traces")
		}
		path := filepath.Join(dir, name)
		link(t, "/etc/passwd", path)
		if RunnerTraces(dir) {
			t.Error("a link is a trace")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		write(t, path, "")
		if !RunnerTraces(dir) {
			t.Errorf("%s is no trace", name)
		}
		if os.Chown(path, foreign, foreign) == nil && RunnerTraces(dir) {
			t.Error("another user's file is a trace")
		}
	}
}

// A mounted Secret has no token in the runner, but says which requests to refuse.
func TestUnused(t *testing.T) {
	c, path := aTurn(t)
	write(t, filepath.Join(c.Dirs[0], "instanceUrl"), "https://mounted.example.com")
	unused := func() []Found {
		found, _ := c.Find()
		return c.Unused(found[0])
	}
	for code, turn := range map[string]string{"no-turn": "", "other-instance": canary} {
		if turn != "" {
			write(t, path, turn)
		}
		places := unused()
		if len(places) != 1 || places[0].Instance.URL() != "https://mounted.example.com" || !message.Is(places[0].Problem, code) || !places[0].Token.IsZero() {
			t.Errorf("%s: %d places, %v", code, len(places), places)
		}
		_ = os.Remove(path)
	}
	write(t, path, canary)
	for _, same := range []string{"https://gitlab.example.com/git", "", "not a URL"} {
		write(t, filepath.Join(c.Dirs[0], "instanceUrl"), same)
		if places := unused(); len(places) != 0 {
			t.Errorf("%q: %d places", same, len(places))
		}
	}
}
