package setup

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Whether git finds the helper: on the PATH, or beside its own programs.
func TestFinds(t *testing.T) {
	h := newHome(t, "")
	dir := t.TempDir()
	if Finds(t.Context(), h.git, dir) {
		t.Error("found in an empty directory")
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && !Finds(t.Context(), h.git, dir) {
		t.Error("not found on the PATH")
	}
	h.git.Env = append(h.git.Env, "GIT_EXEC_PATH="+dir)
	if runtime.GOOS != "windows" && !Finds(t.Context(), h.git, "") {
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
	if _, problem := Open(t.Context(), h.git, Local, ""); problem == nil || message.As(problem).Code != "no-repository" ||
		!strings.Contains(message.As(problem).What, "not a git repository") {
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
	if want := string(before) + "[include]\n\tpath = config-acp\n"; err != nil || string(after) != want {
		t.Errorf("the file is\n%s, want\n%s (%v)", after, want, err)
	}
	read := h.git
	read.Dir = filepath.Join(dir, "below")
	if !asks(read.Read(t.Context(), nil), Helper(a, Program)) {
		t.Error("git does not ask for it")
	}
	if _, problem := c.Remove(t.Context(), Part{}); problem != nil {
		t.Fatal(problem)
	}
	if after, err = os.ReadFile(filepath.Join(dir, ".git", "config")); err != nil || string(after) != string(before) {
		t.Errorf("the file is\n%s (%v)", after, err)
	}
	h.want("")
}
