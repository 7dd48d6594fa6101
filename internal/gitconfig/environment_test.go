package gitconfig

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// Relative paths belong to the repository.
func TestEnvironmentRelative(t *testing.T) {
	environ := []string{"HOME=.", "XDG_CONFIG_HOME=x", "GIT_EXEC_PATH=bin", "GIT_CONFIG_GLOBAL=.gitconfig", "GIT_CONFIG_SYSTEM="}
	want := []string{"LC_ALL=C", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull, "GIT_CONFIG_COUNT=0"}
	if got := Environment(environ, nil); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

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
		"GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*", "GIT_CONFIG_KEY_1=user.name", "GIT_CONFIG_VALUE_1=x",
		"GIT_CONFIG_KEY_2=user.email", "GIT_CONFIG_VALUE_2=a@b", "GIT_CONFIG_COUNT=3",
	}
	if got := Environment(environ, FromEnvironment(pairs, "'user.email'='a@b' 'http.cookiefile'='/x'")); !slices.Equal(got, want) {
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
