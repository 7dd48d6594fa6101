package setup

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// git's program gets what it needs, and no token, wherever one may stand.
func TestEnvironment(t *testing.T) {
	const canary = "glpat-CanaryF00D1234"
	environ := []string{
		"HOME=/home/me", "PATH=/bin", "GITLAB_TOKEN=" + canary, "ACP_TOKEN=" + canary, "MY_OWN=" + canary, "GIT_DIR=/x/.git",
		"GIT_ASKPASS=/bin/echo " + canary, "GIT_CONFIG=/elsewhere", "GIT_TRACE=1", "HOMER=1",
		"GIT_CONFIG_COUNT=3", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Bearer " + canary,
		"GIT_CONFIG_GLOBAL=/tmp/a=b", "GIT_CONFIG_PARAMETERS='http.extraheader=" + canary + "'", "LC_ALL=de_DE.UTF-8", "odd",
	}
	pairs := [][2]string{{"http.extraHeader", "Authorization: Bearer " + canary}, {"Safe.Directory", "*"}, {"user.name", "x"}}
	want := []string{
		"LC_ALL=C", "HOME=/home/me", "PATH=/bin", "GIT_DIR=/x/.git", "GIT_CONFIG_GLOBAL=/tmp/a=b",
		"GIT_CONFIG_KEY_0=Safe.Directory", "GIT_CONFIG_VALUE_0=*", "GIT_CONFIG_KEY_1=user.name", "GIT_CONFIG_VALUE_1=x", "GIT_CONFIG_COUNT=2",
	}
	if got := Environment(environ, pairs); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes of files")
	}
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"one/git": 0o644, "two/git": 0o755, "three/git": 0o755} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "four/git"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "three"))
	one, two, four := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "four")
	for list, want := range map[string]string{
		"":                           "",
		one:                          "",
		two:                          filepath.Join(two, "git"),
		one + ":" + four + ":" + two: filepath.Join(two, "git"),
		".::../three":                "",
		".:" + two:                   filepath.Join(two, "git"),
	} {
		if got := Find("git", list); got != want {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

// Whether git finds the helper: on the PATH, or beside its own programs.
func TestFinds(t *testing.T) {
	h := newHome(t, "")
	dir := t.TempDir()
	if h.git.Finds(t.Context(), dir) {
		t.Error("found in an empty directory")
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && !h.git.Finds(t.Context(), dir) {
		t.Error("not found on the PATH")
	}
	h.git.Env = append(h.git.Env, "GIT_EXEC_PATH="+dir)
	if runtime.GOOS != "windows" && !h.git.Finds(t.Context(), "") {
		t.Error("not found beside git's own")
	}
}

// A repository's file is found by git, from below as well; without one, that is
// told.
func TestLocal(t *testing.T) {
	a := instanceAt(t, urlA)
	h := newHome(t, "")
	dir := t.TempDir()
	t.Chdir(dir)
	if _, problem := Open(t.Context(), h.git, Local, ""); problem == nil || problem.Code != "no-repository" ||
		!strings.Contains(problem.What, "not a git repository") {
		t.Errorf("%v", problem)
	}
	git(t, "init", "--quiet", dir)
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "below"))
	before, err := os.ReadFile(filepath.Join(dir, ".git", "config"))
	if err != nil {
		t.Fatal(err)
	}
	c, problem := Open(t.Context(), h.git, Local, "")
	if problem != nil {
		t.Fatal(problem)
	}
	if _, problem := c.Write(t.Context(), []Section{Helper(a, Program)}); problem != nil {
		t.Fatal(problem)
	}
	after, err := os.ReadFile(filepath.Join(dir, ".git", "config"))
	if want := string(before) + File([]Section{Helper(a, Program)}); err != nil || string(after) != want {
		t.Errorf("the file is\n%s, want\n%s (%v)", after, want, err)
	}
	if _, problem := c.Remove(t.Context(), Part{}); problem != nil {
		t.Fatal(problem)
	}
	if after, err = os.ReadFile(filepath.Join(dir, ".git", "config")); err != nil || string(after) != string(before) {
		t.Errorf("the file is\n%s (%v)", after, err)
	}
	h.want("")
}
