package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// surroundings is an environment for git without any configuration.
func surroundings(home string) []string {
	return []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C"}
}

func git(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env, cmd.Dir = surroundings(t.TempDir()), t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("git %q: %v\n%s", args, err, exit.Stderr)
	}
	return string(out)
}

// home is a user's home with a file of configuration.
type home struct {
	t    testing.TB
	dir  string
	file string
	git  gitconfig.Git
}

const missing = "\x00 no such file"

func newHome(t testing.TB, text string) *home {
	t.Helper()
	dir := t.TempDir()
	program := gitconfig.Find("git", os.Getenv("PATH"))
	if program == "" {
		t.Fatal("no git")
	}
	h := &home{t: t, dir: dir, file: filepath.Join(dir, ".gitconfig"), git: gitconfig.Git{Program: program, Env: surroundings(dir)}}
	if text != missing {
		if err := os.WriteFile(h.file, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *home) open() *Config {
	h.t.Helper()
	c, problem := Open(h.t.Context(), h.git, Global, h.file)
	if problem != nil {
		h.t.Fatal(problem)
	}
	return c
}

// write reports whether anything had to be changed.
func (h *home) write(sections ...Section) bool {
	h.t.Helper()
	changed, problem := h.open().Write(h.t.Context(), sections)
	if problem != nil {
		h.t.Fatal(problem)
	}
	return changed
}

func (h *home) remove() []Section {
	h.t.Helper()
	removed, problem := h.open().Remove(h.t.Context(), Part{})
	if problem != nil {
		h.t.Fatal(problem)
	}
	return removed
}

func (h *home) text() string {
	h.t.Helper()
	data, err := os.ReadFile(h.file)
	if errors.Is(err, os.ErrNotExist) {
		return missing
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

func (h *home) put(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.file, []byte(text), 0o640); err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) want(text string) {
	h.t.Helper()
	if got := h.text(); got != text {
		h.t.Errorf("the file is\n%q, want\n%q", got, text)
	}
}

// config runs git config on the file, and gives its output without the last
// line feed; "" when there is no such key.
func (h *home) config(args ...string) string {
	h.t.Helper()
	cmd := exec.Command("git", append([]string{"config", "--global", "--includes"}, args...)...)
	cmd.Env, cmd.Dir = surroundings(h.dir), h.dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		h.t.Fatalf("git config %q: %v", args, err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

const (
	urlA = "https://gitlab.example.com"
	urlB = "https://gitlab.example.org:8443/gitlab"
	helA = "credential." + urlA + ".helper"
	useA = "acp --instance " + urlA
	useB = "acp --instance " + urlB
)

// files are what may be there before.
var files = map[string]string{
	"missing":                     missing,
	"empty":                       "",
	"a line feed":                 "\n",
	"blank lines":                 "[user]\n\tname = x\n\n\n \t\n",
	"a comment at the end":        "[user]\n\tname = x\n# the end\n",
	"no line feed at the end":     "[user]\n\tname = x",
	"no line feed after a header": "[user]",
	"no line feed after a remark": "# nothing but this",
	"white space at the end":      "[user]\n\tname = x\n\t ",
	"CRLF":                        "[user]\r\n\tname = x\r\n",
	"CRLF, cut":                   "[user]\r\n\tname = x\r",
	"byte order mark":             "\ufeff[user]\n\tname = x\n",
	"another helper":              "[credential]\n\thelper = store\n[user]\n\tname = x\n",
	"same section, others":        "[credential \"" + urlA + "\"]\n\thelper = \n\thelper = !glab auth git-credential\n[user]\n\tname = x\n",
	"same section, comments":      "[credential \"" + urlA + "\"]\n\t# mine\n\thelper = \n\thelper = store ; remark\n\tuseHttpPath = true\n# end\n\n",
	"same section, at the end":    "[user]\n[credential \"" + urlA + "\"]\n\tusername = oauth2\n\tuseHttpPath = true",
	"same section, odd spacing":   " [credential    \"" + urlA + "\"]helper=\"\"\n   ; remark\n\thelper = store\n",
	"same section, capital":       "[Credential \"" + urlA + "\"]\n\thelper = store\n",
	"same section, capitals":      "[CREDENTIAL \"" + urlA + "\"]\n\thelper = store\n",
	"same section, escaped":       "[credential \"\\https://gitlab.exam\\ple.com\"]\n\thelper =\n\thelper = store\n",
	"same section, empty":         "[credential \"" + urlA + "\"]\n[user]\n\tname = x\n",
	"same section, twice":         "[credential \"" + urlA + "\"]\n\thelper = one\n[credential \"" + urlA + "\"]\n\thelper = two\n",
	"trailing slash":              "[credential \"" + urlA + "/\"]\n\thelper = store\n",
	"a rule of others":            "[url \"" + urlA + "/\"]\n\tinsteadOf = gl:\n",
	"one of our rules":            "[url \"" + urlA + "/\"]\n\tinsteadOf = git@gitlab.example.com:\n",
	"an include":                  "[include]\n\tpath = other.inc\n",
	"no value":                    "[core]\n\tbare\n[credential]\n\tuseHttpPath\n",
	"a long line":                 "[user]\n\tname = " + strings.Repeat("x", 5000) + "[credential \"" + urlA + "\"] x\n",
	"a line that goes on":         "[alias]\n\tx = \"!f() { \\\n[credential \\\"" + urlA + "\\\"] ; }; f\"\n",
	"a comment alone":             "# the end\n",
	"empty sections":              "[include]\n[credential]\n",
	"a signing key":               "[user]\n\tsigningKey = ABC\n# end\n",
}

// Added to any file, it is written once, git reads it, and removing it restores the file byte
// for byte.
func TestWriteRemove(t *testing.T) {
	who, err := Identity("Dev", "dev@example.com", IdentityKeys())
	if err != nil {
		t.Fatal(err)
	}
	a, b, six := instanceAt(t, urlA), instanceAt(t, urlB), instanceAt(t, "https://[::1]:8443/gitlab")
	refusing, _ := PlainHTTP(a, Program)
	kinds := map[string][]Section{
		"helper": {Helper(a, Program)},
		"all": append(HelpersBelow(a, urlA+"/docs", Program, "reporter"), Helper(a, `/opt/a\ b/git-credential-acp`), refusing,
			Helper(b, Program), Helper(six, Program), Rewrite(a, 2222), Rewrite(b, 0), Rewrite(six, 2222), who),
	}
	for name, before := range files {
		for kind, sections := range kinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				h := newHome(t, before)
				if !h.write(sections...) {
					t.Error("nothing was written")
				}
				whole := h.git.Read(t.Context(), nil)
				for _, s := range sections {
					if s.IsHelper() && !asks(whole, s) {
						t.Errorf("git does not ask for %s:\n%s", s, h.text())
					}
				}
				if kind == "all" && (!strings.Contains(h.config("--get-all", "user.email"), "dev@example.com") || h.config("--get", "user.name") == "") {
					t.Error("no identity")
				}
				once := h.text()
				if h.write(sections...) {
					t.Errorf("there is more to write after\n%s", once)
				}
				h.want(once)
				if kind == "helper" && before != missing && !strings.HasPrefix(once, before) {
					t.Errorf("what was there has changed:\n%q", once)
				}
				if removed := h.remove(); len(removed) != len(sections) {
					t.Errorf("removed %v of %v", removed, sections)
				}
				if removed := h.remove(); removed != nil {
					t.Errorf("removed twice: %v", removed)
				}
				h.want(before)
				left, err := os.ReadDir(h.dir)
				if err != nil || len(left) > 1 || before == missing && len(left) > 0 {
					t.Errorf("left behind: %v, %v", left, err)
				}
				if info, err := os.Stat(h.file); err == nil && info.Mode().Perm() != 0o640 && runtime.GOOS != "windows" {
					t.Errorf("the mode is %v", info.Mode())
				}
			})
		}
	}
}

// An instance below another one keeps its helper when that is set up later, with
// the program that it had; so does a group with a level of its own.
func TestWriteAbove(t *testing.T) {
	above, inner, deep := instanceAt(t, urlA), instanceAt(t, urlA+"/gitlab"), instanceAt(t, urlA+"/gitlab/deep")
	path, err := AbsoluteProgram("/opt/git-credential-acp")
	if err != nil {
		t.Fatal(err)
	}
	h := newHome(t, "[core]\n\tbare = false\n")
	h.write(HelpersBelow(above, urlA+"/docs", Program, "none")...)
	h.write(Helper(deep, Program), Helper(instanceAt(t, urlA+"/gitlabs"), Program))
	h.write(Helper(inner, path))
	h.write(Helper(above, Program))
	config := h.git.Read(t.Context(), nil)
	for url, want := range map[string]string{
		urlA + "/x": useA, urlA + "/gitlab/x": path + " --instance " + urlA + "/gitlab",
		urlA + "/gitlab/deep/x": useA + "/gitlab/deep", urlA + "/gitlabs/x": useA + "/gitlabs",
		urlA + "/docs/x.git": useA + " --min-access none", urlA + "/docs.git": useA + " --min-access none", urlA + "/docsx/y": useA,
	} {
		if helpers := config.Credential(url).Helpers; len(helpers) != 1 || helpers[0].Value() != want {
			t.Errorf("for %s, git asks %v, want %q, by\n%s", url, helpers, want, h.text())
		}
	}
	if h.write(Helper(above, Program)) {
		t.Error("written again")
	}
}

// It writes one line in git's file, and a file of its own.
func TestWritten(t *testing.T) {
	h := newHome(t, "[include]\n\tpath = other\n[user]\n\tname = x\n")
	h.write(Helper(instanceAt(t, urlA), Program))
	h.want("[include]\n\tpath = other\n[user]\n\tname = x\n[include]\n\tpath = .gitconfig-acp\n")
	ours, err := os.ReadFile(h.file + "-acp")
	if want := header + File([]Section{Helper(instanceAt(t, urlA), Program)}); err != nil || string(ours) != want {
		t.Errorf("our file is\n%s(%v), want\n%s", ours, err, want)
	}
	if info, err := os.Stat(h.file + "-acp"); err != nil || info.Mode().Perm() != 0o644 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// The file can have any name; git expands some in an include, and needs others escaped.
func TestFileNames(t *testing.T) {
	names := []string{"~", "~user", "%(prefix)", "a b ", " a", `a"b\c`, "a;b", "a#b", "$HOME", "line\nbreak", "tab\t", "cr\r", "[x]", "-"}
	if runtime.GOOS == "windows" {
		names = []string{"~", "%(prefix)", "a b", "a;b", "a#b", "$HOME", "[x]", "-"}
	}
	for _, name := range names {
		h := newHome(t, missing)
		h.file = filepath.Join(h.dir, name)
		h.git.Env = append(h.git.Env, "GIT_CONFIG_GLOBAL="+h.file)
		s := Helper(instanceAt(t, urlA), Program)
		h.write(s)
		if !asks(h.git.Read(t.Context(), nil), s) || h.write(s) {
			t.Errorf("%q: git does not use\n%s", name, h.text())
		}
		h.remove()
		if left, err := os.ReadDir(h.dir); err != nil || len(left) > 0 {
			t.Errorf("%q: left is %v, %v", name, left, err)
		}
	}
}

// Later changes of others stay when ours are removed.
func TestRemoveAfterOthers(t *testing.T) {
	const before = "[user]\n\tsigningKey = ABC\n"
	who, err := Identity("Dev", "dev@example.com", IdentityKeys())
	if err != nil {
		t.Fatal(err)
	}
	a := instanceAt(t, urlA)
	header := "[credential \"" + urlA + "\"]\n"
	tests := map[string]struct {
		change func(h *home)
		want   string
	}{
		"a section":           {func(h *home) { h.config("alias.st", "status") }, before + "[alias]\n\tst = status\n"},
		"a section by hand":   {func(h *home) { h.put(h.text() + "\n# mine\n[alias]\n\tst = status\n") }, before + "\n# mine\n[alias]\n\tst = status\n"},
		"a comment before":    {func(h *home) { h.put("# mine\n" + h.text()) }, "# mine\n" + before},
		"another helper":      {func(h *home) { h.config("--add", helA, "store") }, before + header + "\thelper = store\n"},
		"another name":        {func(h *home) { h.config("user.name", "Somebody") }, before + "[user]\n\tname = Somebody\n"},
		"another include":     {func(h *home) { h.config("--add", "include.path", "other") }, before + "[include]\n\tpath = other\n"},
		"another setting":     {func(h *home) { h.config("user.signingKey", "DEF") }, "[user]\n\tsigningKey = DEF\n"},
		"CRLF":                {func(h *home) { h.put(strings.ReplaceAll(h.text(), "\n", "\r\n")) }, "[user]\r\n\tsigningKey = ABC\r\n[user]\r\n\tname = Dev\r\n[user]\r\n\temail = dev@example.com\r\n"},
		"ours twice":          {func(h *home) { h.config("--add", "include.path", ".gitconfig-acp") }, before},
		"without our include": {func(h *home) { h.config("--unset", "include.path") }, before},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, before)
			h.write(Helper(a, Program), Rewrite(a, 0), who)
			test.change(h)
			h.remove()
			h.want(test.want)
			if left := h.config("--get-regexp", "acp"); left != "" {
				t.Errorf("left of ours: %q", left)
			}
		})
	}
}

// One of several instances can go on its own.
func TestRemoveOne(t *testing.T) {
	a, b := instanceAt(t, urlA), instanceAt(t, urlB)
	who, err := Identity("Dev", "dev@example.com", IdentityKeys())
	if err != nil {
		t.Fatal(err)
	}
	const before = "[core]\n\tbare = false\n"
	h := newHome(t, before)
	h.write(Helper(a, Program), Helper(b, Program), Rewrite(a, 0), Rewrite(b, 0), who)
	removed, problem := h.open().Remove(t.Context(), Part{Instance: a.URL()})
	if problem != nil || fmt.Sprint(removed) != "[credential."+urlA+" url."+urlA+"/]" {
		t.Errorf("%v, %v", removed, problem)
	}
	if h.config("--get-all", helA) != "" || h.config("--get", "credential."+urlB+".helper") != useB || h.config("--get", "user.name") != "Dev" {
		t.Errorf("left is\n%s", h.text())
	}
	other := instanceAt(t, "https://other.example.com")
	if removed, problem := h.open().Remove(t.Context(), Part{Instance: other.URL()}); problem != nil || removed != nil {
		t.Errorf("%v, %v", removed, problem)
	}
	if removed, problem := h.open().Remove(t.Context(), Part{Instance: b.URL()}); problem != nil || len(removed) != 3 {
		t.Errorf("%v, %v", removed, problem)
	}
	h.want(before)
}

// Settings that differ from the wanted ones, or have no effect any more, are written again.
func TestWriteAnew(t *testing.T) {
	a := instanceAt(t, urlA)
	path, err := AbsoluteProgram("/opt/git-credential-acp")
	if err != nil {
		t.Fatal(err)
	}
	const before = "[core]\n\tbare = false\n\n"
	tests := map[string]func(h *home){
		"another program":  func(h *home) { h.write(Helper(a, path)) },
		"a reset after it": func(h *home) { h.config("--add", helA, "") },
		"another after it": func(h *home) { h.config("--add", helA, ""); h.config("--add", helA, "store") },
		"another for all":  func(h *home) { h.config("credential.helper", "store") },
		"another spelling": func(h *home) { h.config("credential."+urlA+"/.helper", "store") },
		"another user":     func(h *home) { h.config("credential.https://dev@gitlab.example.com.helper", "") },
		"a name for all":   func(h *home) { h.config("credential.username", "me") },
		"another value":    func(h *home) { h.config("credential."+urlA+".useHttpPath", "false") },
		"our file changed": func(h *home) { _ = os.WriteFile(h.file+"-acp", []byte("[credential]\n\thelper = store\n"), 0o644) },
		"added to our file": func(h *home) {
			_ = os.WriteFile(h.file+"-acp", []byte(header+File([]Section{Helper(a, Program)})+"[credential]\n\thelper = store\n"), 0o644)
		},
		"our file gone": func(h *home) { _ = os.Remove(h.file + "-acp") },
		"no include":    func(h *home) { h.put(before) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, before)
			h.write(Helper(a, Program))
			change(h)
			if !h.write(Helper(a, Program)) {
				t.Errorf("nothing was written to\n%s", h.text())
			}
			if !asks(h.git.Read(t.Context(), nil), Helper(a, Program)) || h.write(Helper(a, Program)) {
				t.Errorf("it does not hold:\n%s", h.text())
			}
			if count := strings.Count(h.text(), "-acp"); count != 1 {
				t.Errorf("included %d times", count)
			}
		})
	}
	// Another port takes the place of the first.
	h := newHome(t, before)
	h.write(Rewrite(a, 2222))
	h.write(Rewrite(a, 2223))
	if got := h.config("--get-all", "url."+urlA+"/.insteadOf"); strings.Contains(got, "2222") || !strings.HasSuffix(got, "2223/") {
		t.Errorf("rules are %q", got)
	}
}

// A link stays a link; a file's mode stays.
func TestLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links take a privilege")
	}
	a := instanceAt(t, urlA)
	for name, before := range map[string]string{"there": "[user]\n\tname = x\n", "dangling": missing} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, missing)
			target := filepath.Join(t.TempDir(), "dotfiles")
			if err := os.Symlink(target, h.file); err != nil {
				t.Fatal(err)
			}
			if before != missing {
				h.put(before)
				if err := os.Chmod(target, 0o400); err != nil {
					t.Fatal(err)
				}
			}
			h.write(Helper(a, Program))
			if got := h.config("--get-all", helA); got != "\n"+useA {
				t.Errorf("the file is\n%s", h.text())
			}
			h.remove()
			h.want(before)
			if to, err := os.Readlink(h.file); err != nil || to != target {
				t.Errorf("the link is %q, %v", to, err)
			}
			if info, err := os.Stat(target); err == nil && info.Mode().Perm() != 0o400 {
				t.Errorf("the mode is %v", info.Mode())
			}
			if left, err := os.ReadDir(filepath.Dir(target)); err != nil || len(left) > 1 || before == missing && len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A lock that stays is named, and nothing is changed; one that goes is waited
// for.
func TestLocked(t *testing.T) {
	a := instanceAt(t, urlA)
	h := newHome(t, "[user]\n\tname = x\n")
	put := func() {
		if err := os.WriteFile(h.file+".lock", nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if _, problem := h.open().Write(t.Context(), []Section{Helper(a, Program)}); problem == nil || message.As(problem).Code != "git-config-locked" ||
		!strings.Contains(message.As(problem).What, h.file+".lock") {
		t.Errorf("%v", problem)
	}
	h.want("[user]\n\tname = x\n")
	free := func() { time.Sleep(200 * time.Millisecond); _ = os.Remove(h.file + ".lock") }
	go free()
	h.write(Helper(a, Program))
	put()
	go free()
	h.remove()
	h.want("[user]\n\tname = x\n")
}

// Files that can't be configuration are named and left alone: git would replace a device by a
// file.
func TestNoFile(t *testing.T) {
	a := instanceAt(t, urlA)
	h := newHome(t, "[user\n")
	if _, problem := h.open().Write(t.Context(), []Section{Helper(a, Program)}); problem == nil || message.As(problem).Code != "git-failed" ||
		!strings.Contains(message.As(problem).What, "bad config") {
		t.Errorf("%v", problem)
	}
	h.want("[user\n")
	for name, path := range map[string]string{"a directory": h.dir, "a device": os.DevNull} {
		if _, problem := Open(t.Context(), h.git, Global, path); problem == nil || message.As(problem).Code != "git-config-file" {
			t.Errorf("%s: %v", name, problem)
		}
	}
	h.put(strings.Repeat("#", maxConfig+1))
	if _, problem := Open(t.Context(), h.git, Global, h.file); problem == nil || message.As(problem).Code != "git-config-file" {
		t.Errorf("too large: %v", problem)
	}
	// git would write into a line that goes on; a backslash for itself is no matter.
	const open, closed = "[user]\n\tname = x\\\\\\", "[user]\n\tname = x\\\\"
	h.put(open)
	if _, problem := h.open().Write(t.Context(), []Section{Helper(a, Program)}); problem == nil || message.As(problem).Code != "git-config-file" {
		t.Errorf("a line that goes on: %v", problem)
	}
	h.want(open)
	h.put(closed)
	h.write(Helper(a, Program))
	if name := h.config("user.name"); name != `x\` {
		t.Errorf("the name is %q", name)
	}
	h.remove()
	h.want(closed)
	if _, problem := Open(t.Context(), h.git, Global, filepath.Join(h.file, "below")); problem == nil || message.As(problem).Code != "git-config-file" {
		t.Errorf("below a file: %v", problem)
	}
}

// wrapper makes a program that stands in git's place: a shell script which has
// the real one as $GIT.
func (h *home) wrapper(script string) {
	h.t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		h.t.Skip("no POSIX shell")
	}
	name := filepath.Join(h.t.TempDir(), "git")
	if err := os.WriteFile(name, []byte("#!"+sh+"\nGIT='"+h.git.Program+"'\n"+script), 0o755); err != nil {
		h.t.Fatal(err)
	}
	h.git.Program = name
}

// After an interruption at any point, nothing half done has an effect, and a second run
// completes it.
func TestCutOff(t *testing.T) {
	a := instanceAt(t, urlA)
	sections := []Section{Helper(a, Program), Rewrite(a, 0)}
	for after := range 20 {
		h := newHome(t, "[user]\n\tname = x\n\n")
		real := h.git
		h.wrapper(fmt.Sprintf(`n=$(cat "$HOME/calls" 2>/dev/null || echo 0)
echo $((n+1)) > "$HOME/calls"
[ $n -lt %d ] || exit 9
exec "$GIT" "$@"
`, after))
		_, problem := h.open().Write(t.Context(), sections)
		if got := h.config("--get-all", helA); got != "" && got != "\n"+useA {
			t.Errorf("after %d calls: helpers are %q", after, got)
		}
		h.git = real
		h.write(sections...)
		if !asks(h.git.Read(t.Context(), nil), sections[0]) {
			t.Errorf("after %d calls, and all of them: %q", after, h.text())
		}
		h.remove()
		if left := h.config("--get-all", "include.path"); left != "" {
			t.Errorf("after %d calls: %q is included", after, left)
		}
		if problem == nil {
			if after < 1 {
				t.Errorf("it was never cut off")
			}
			return
		}
		if message.As(problem).Code != "git-failed" {
			t.Errorf("after %d calls: %v", after, problem)
		}
	}
	t.Error("it never ended")
}

// Concurrent runs do no harm.
func TestManyAtOnce(t *testing.T) {
	a := instanceAt(t, urlA)
	h := newHome(t, "[user]\n\tname = x\n")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, problem := h.open().Write(context.WithoutCancel(t.Context()), []Section{Helper(a, Program)}); problem != nil {
				t.Error(problem)
			}
		})
	}
	group.Wait()
	if !asks(h.git.Read(t.Context(), nil), Helper(a, Program)) {
		t.Errorf("it does not hold:\n%s", h.text())
	}
	h.remove()
	h.want("[user]\n\tname = x\n")
}

// The git program has a time limit and stops on a signal; a missing or killed one is reported.
func TestGitEnds(t *testing.T) {
	a := instanceAt(t, urlA)
	sections := []Section{Helper(a, Program)}
	h := newHome(t, "")
	h.wrapper("sleep 60\n")
	h.git.Limit = 100 * time.Millisecond
	begun := time.Now()
	if _, problem := h.open().Write(t.Context(), sections); problem == nil || message.As(problem).Code != "git-late" {
		t.Errorf("%v", problem)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	h.git.Limit = 0
	if _, problem := h.open().Write(ctx, sections); problem == nil || message.As(problem).Code != "git-interrupted" {
		t.Errorf("%v", problem)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	h = newHome(t, "")
	h.wrapper("kill -9 $$\n")
	if _, problem := h.open().Write(t.Context(), sections); problem == nil || message.As(problem).Code != "git-broken" {
		t.Errorf("%v", problem)
	}
	h.git.Program = filepath.Join(h.dir, "nothing")
	if _, problem := h.open().Write(t.Context(), sections); problem == nil || message.As(problem).Code != "git-broken" {
		t.Errorf("%v", problem)
	}
	h.want("")
}

// A file that can't be written is named, not its lock: no file can have the lock's name here,
// which would be too long.
func TestRemoveWithoutRight(t *testing.T) {
	h := newHome(t, missing)
	h.write(Helper(instanceAt(t, urlA), Program))
	ours, err := os.ReadFile(h.file + "-acp")
	if err != nil {
		t.Fatal(err)
	}
	once := h.text()
	h.file = filepath.Join(h.dir, strings.Repeat("x", 251))
	h.git.Env = append(h.git.Env, "GIT_CONFIG_GLOBAL="+h.file)
	h.put(once)
	if err := os.WriteFile(h.file+"-acp", ours, 0o600); err != nil {
		t.Fatal(err)
	}
	_, problem := h.open().Remove(t.Context(), Part{})
	if problem == nil || message.As(problem).Code != "git-config-unwritable" || !strings.Contains(message.As(problem).What, " can't be written: \"file name too long\"") {
		t.Errorf("%v", problem)
	}
	h.want(once)
}
