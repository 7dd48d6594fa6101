package gitconfig

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// place is a home and a working directory for the real git.
type place struct {
	t          *testing.T
	root, home string
}

func newPlace(t *testing.T) *place {
	root := t.TempDir()
	p := &place{t: t, root: root, home: filepath.Join(root, "home")}
	if err := os.Mkdir(p.home, 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) git(dir string, args ...string) string {
	p.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = filepath.Join(p.root, dir)
	cmd.Env = []string{"HOME=" + p.home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// reading is git's program in a place, with the settings of its environment.
type reading struct {
	Git
	command []Entry
}

func (r reading) read() Config { return r.Read(context.Background(), r.command) }

// in is git in a directory, with what more there is of an environment.
func (p *place) in(dir string, more ...string) reading {
	environ := append([]string{"HOME=" + p.home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_SYSTEM=" + filepath.Join(p.root, "system")}, more...)
	return reading{Git{Program: Find("git", os.Getenv("PATH")), Dir: filepath.Join(p.root, dir), Env: Environment(environ, nil)}, nil}
}

// all is git in the work tree "work", with pairs in its environment.
func (p *place) all(pairs ...[2]string) reading {
	r := p.in("work")
	r.command = FromEnvironment(pairs, "")
	return r
}

func (p *place) urls(dir, gitDir string) []string {
	r := p.in(dir)
	if gitDir != "" {
		r = p.in(dir, "GIT_DIR="+gitDir)
	}
	urls := r.read().RemoteURLs()
	slices.Sort(urls)
	return urls
}

func (p *place) want(dir, gitDir string, want ...string) {
	p.t.Helper()
	if got := p.urls(dir, gitDir); !slices.Equal(got, want) {
		p.t.Errorf("in %q with GIT_DIR=%q: %q, want %q", dir, gitDir, got, want)
	}
}

// In every kind of repository that git makes, the remotes are those that git
// itself names.
func TestRemoteURLs(t *testing.T) {
	const url = "https://gitlab.example.com/group/project.git"
	p := newPlace(t)
	p.want("", "")
	p.git("", "init", "-q", "-b", "main", "work")
	p.want("work", "")
	p.git("work", "remote", "add", "origin", url)
	p.git("work", "commit", "--allow-empty", "-qm", "x")
	if err := os.MkdirAll(filepath.Join(p.root, "work/a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.want("work", "", url)
	p.want("work/a/b", "", url)
	p.want("work", ".git", url)
	p.want("", filepath.Join(p.root, "work", ".git"), url)
	p.want("home", "../work/.git", url)
	p.want("work", filepath.Join(p.root, "nowhere"))

	p.git("work", "worktree", "add", "-q", "../tree")
	p.want("tree", "", url)
	p.want("", filepath.Join(p.root, "work/.git/worktrees/tree"), url)
	p.git("", "clone", "-q", "--bare", "work", "bare.git")
	p.git("bare.git", "remote", "set-url", "origin", url)
	p.want("bare.git", "", url)
	p.want("bare.git/refs", "", url)

	p.git("", "-c", "protocol.file.allow=always", "clone", "-q", "work", "lib")
	p.git("work", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", filepath.Join(p.root, "lib"), "sub")
	p.git("work/sub", "remote", "set-url", "origin", url+"-sub")
	p.want("work/sub", "", url+"-sub")
	p.want("work", filepath.Join(p.root, "work/.git/modules/sub"), url+"-sub")

	p.git("work", "remote", "add", "fork", "https://gitlab.example.com/me/project.git")
	p.git("work", "remote", "set-url", "--push", "fork", "https://gitlab.example.com/me/push.git")
	p.want("work", "", url, "https://gitlab.example.com/me/project.git", "https://gitlab.example.com/me/push.git")

	// A work tree may have configuration of its own, if the repository says so.
	p.git("work", "config", "extensions.worktreeConfig", "true")
	p.git("tree", "config", "--worktree", "remote.mine.url", "https://gitlab.example.com/tree/project.git")
	p.want("work", "", url, "https://gitlab.example.com/me/project.git", "https://gitlab.example.com/me/push.git")
	p.want("tree", "", url, "https://gitlab.example.com/me/project.git", "https://gitlab.example.com/me/push.git", "https://gitlab.example.com/tree/project.git")
	p.git("work", "config", "extensions.worktreeConfig", "false")
	p.want("tree", "", url, "https://gitlab.example.com/me/project.git", "https://gitlab.example.com/me/push.git")
}

// Rewritten URLs are those that git itself uses.
func TestInsteadOf(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	p.git("work", "config", "--global", "url.https://gitlab.example.com/.insteadOf", "git@gitlab.example.com:")
	p.git("work", "config", "--global", "--add", "url.https://gitlab.example.com/.insteadOf", "lab:")
	p.git("work", "config", "url.https://gitlab.example.com/team/.insteadOf", "lab:t/")
	// Two rules for one text: the base that comes first in the configuration counts, although
	// its rule comes later.
	p.git("work", "config", "--global", "url.https://b.example.com/.insteadOf", "both:")
	p.git("work", "config", "url.https://gitlab.example.com/.insteadOf", "both:")
	for _, url := range []string{"git@gitlab.example.com:group/project.git", "lab:group/project", "lab:t/project", "https://other.example.com/x/y", "both:group/project"} {
		p.git("work", "remote", "add", "origin", url)
		to := p.git("work", "remote", "get-url", "origin")
		p.want("work", "", to)
		if got, _, _ := p.in("work").read().Rewritten(url, false); got != strings.TrimSpace(to) {
			t.Errorf("%s is rewritten to %q, want %q", url, got, to)
		}
		p.git("work", "remote", "remove", "origin")
	}
}

// pushInsteadOf rewrites what is pushed to, but not a pushurl.
func TestPushInsteadOf(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	for key, value := range map[string]string{
		"url.https://gitlab.example.com/.insteadOf":          "lab:",
		"url.https://gitlab.example.com/push/.pushInsteadOf": "lab:",
		"url.https://gitlab.example.com/p/.pushInsteadOf":    "https://gitlab.example.com/",
	} {
		p.git("work", "config", "--global", key, value)
	}
	for name, urls := range map[string][]string{
		"both":      {"lab:group/project"},
		"rewritten": {"https://gitlab.example.com/group/project"},
		"none":      {"https://other.example/x"},
		"pushurl":   {"lab:group/project", "lab:fork/project"},
	} {
		p.git("work", "remote", "add", "origin", urls[0])
		for _, url := range urls[1:] {
			p.git("work", "remote", "set-url", "--push", "origin", url)
		}
		want := strings.Fields(p.git("work", "remote", "get-url", "--all", "origin") + " " + p.git("work", "remote", "get-url", "--all", "--push", "origin"))
		slices.Sort(want)
		got := slices.Compact(p.urls("work", ""))
		if want = slices.Compact(want); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		p.git("work", "remote", "remove", "origin")
	}
}

// A rule diverts when git's own program goes to another server, by another
// protocol or to another port.
func TestDiverted(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	const url = "https://gitlab.example.com/group/project.git"
	for _, test := range []struct {
		key, value    string
		fetches, push bool
	}{
		{"url.git@gitlab.example.com:.insteadOf", "https://gitlab.example.com/", true, true},
		{"url.https://mirror.example.com/.insteadOf", "https://gitlab.example.com/group/", true, true},
		{"url.https://gitlab.example.com:8443/.insteadOf", "https://gitlab.example.com/", true, true},
		{"url.http://gitlab.example.com/.insteadOf", "https://gitlab.example.com/", true, true},
		{"url.ssh://git@gitlab.example.com/.pushInsteadOf", "https://gitlab.example.com/", false, true},
		{"url.https://oauth2@gitlab.example.com/.insteadOf", "https://gitlab.example.com/", false, false},
		{"url.https://GitLab.example.com:443/.insteadOf", "https://gitlab.example.com/", false, false},
		{"url.https://gitlab.example.com/other/.insteadOf", "https://gitlab.example.com/group/", false, false},
		{"url.git@gitlab.example.com:.insteadOf", "https://gitlab.example.com/groups/", false, false},
	} {
		p.git("work", "config", "--global", test.key, test.value)
		p.git("work", "remote", "add", "origin", url)
		config := p.all().read()
		for push, want := range map[bool]bool{false: test.fetches, true: test.push} {
			args := []string{"remote", "get-url", "origin"}
			if push {
				args = append(args, "--push")
			}
			uses := p.git("work", args...)
			if to, _, _ := config.Rewritten(url, push); to != uses {
				t.Errorf("%s %s: %q, and git uses %q", test.key, test.value, to, uses)
			}
			if by, diverted := config.Diverted(url, push); diverted != want || diverted && by.Value() != test.value {
				t.Errorf("%s %s, push %v: %v by %v", test.key, test.value, push, diverted, by)
			}
		}
		p.git("work", "config", "--global", "--unset", test.key)
		p.git("work", "remote", "remove", "origin")
	}
}

// Rules from the environment count as well.
func TestInsteadOfPairs(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	p.git("work", "remote", "add", "origin", "git@gitlab.example.com:group/project.git")
	config := p.all([][2]string{
		{"url..insteadOf", "x"}, {"url.x", "y"}, {"user.name", "z"},
		{"URL.https://gitlab.example.com/.insteadof", "git@gitlab.example.com:"},
	}...).read()
	if got := config.RemoteURLs(); len(got) != 1 || got[0] != "https://gitlab.example.com/group/project.git" {
		t.Errorf("got %q", got)
	}
}

// Broken, hostile or missing directories are no repository, without a delay.
func TestHostile(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	config := filepath.Join(p.root, "work/.git/config")
	for _, text := range []string{"[remote \"origin\"\n", "\x00\xff", "[remote]\nurl", strings.Repeat("[a]\n", 1<<18), "[include]\npath = ../../home/.gitconfig\n"} {
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p.want("work", "")
	}
	for _, pointer := range []string{"gitdir: .git\n", "gitdir: \n", "gitdir: /dev/zero\n", "nonsense"} {
		if err := os.RemoveAll(filepath.Join(p.root, "work/.git")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.root, "work/.git"), []byte(pointer), 0o644); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			p.want("work", "")
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("%q: it hangs", pointer)
		}
	}
}

// No part of git's output is shown with a password.
func FuzzParse(f *testing.F) {
	f.Add("global\x00file:/f\x00http.https://u:p@h/.proxy\nhttps://u:p@p\x00")
	f.Add("global\x00file:/f\x00p.https://u:p@h/.prottps://u:p@\x00")
	f.Fuzz(func(t *testing.T, text string) {
		config := Config{Entries: append(Parse(text, ""), FromEnvironment(nil, text)...)}
		for _, url := range config.RemoteURLs() {
			if len(url) > 2*maxURL {
				t.Fatalf("a URL of %d bytes from %d", len(url), len(text))
			}
		}
		config.Match("http", text)
		config.Credential(text)
		for _, e := range config.Exposed(func(text string) string { return text }) {
			if hasPassword(e.Name()) {
				t.Fatalf("%s tells too much", e.Name())
			}
		}
	})
}

// A URL that is one lies below itself, with the same host and path.
func FuzzMatch(f *testing.F) {
	f.Add("https://dev:pw@gitlab.example.com:443/group/./x/../a%20b?c#d")
	f.Add("https://[::1]:8443//")
	f.Fuzz(func(t *testing.T, url string) {
		a, valid := normalize(url, false)
		if !valid {
			return
		}
		fit, found := a.match(a)
		if !found || fit.host != len(a.host) || fit.path != len(strings.TrimSuffix(a.path, "/"))+1 {
			t.Fatalf("%q: %+v matches itself by %+v, %v", url, a, fit, found)
		}
	})
}
