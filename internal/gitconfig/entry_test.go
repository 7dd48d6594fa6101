package gitconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// write makes a file below the place's root and returns its path.
func (p *place) write(name, content string) string {
	p.t.Helper()
	path := filepath.Join(p.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// run runs git in the work tree "work" with more of an environment.
func (p *place) run(env []string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = filepath.Join(p.root, "work")
	cmd.Env = append([]string{"HOME=" + p.home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GIT_CONFIG_SYSTEM=" + filepath.Join(p.root, "system")}, env...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return string(out), err
}

// listed is what git lists, or would, of entries: scope, name and value.
func listed(entries []Entry) []string {
	var list []string
	for _, e := range entries {
		name := e.Section
		if subsection, found := e.Subsection(); found {
			name += "." + subsection
		}
		name += "." + e.Key
		if !e.Implicit() {
			name += "\n" + e.Value()
		}
		list = append(list, e.Scope.String(), name)
	}
	return list
}

// Entries are those that git lists, with their scopes and in its order, from all files and
// includes.
func TestEntries(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	p.write("system", "[a]\n\tb = system\n[include]\n\tpath = more/system\n\tpath = missing\n[a]\n\tb = after\n")
	p.write("more/system", "[a]\n\tb = included\n[include]\n\tpath = deeper\n")
	p.write("more/deeper", "[a \"X y\"]\n\tb = deeper\n")
	p.write("home/.config/git/config", "[a]\n\tb = xdg\n[include]\n\tpath = ~/extra\n[include \"x\"]\n\tpath = extra\n")
	p.write("home/extra", "[A]\n\tB = home\n\tflag\n")
	p.write("home/.gitconfig", "[a]\n\tb = global\n[a \"s\"]\n\tb = sub\n[a]\n\tb = again\n")
	p.write("other", "[a]\n\tb = other\n")
	p.git("work", "config", "extensions.worktreeConfig", "true")
	p.git("work", "config", "--worktree", "a.b", "worktree")
	p.git("work", "config", "a.b", "local")
	pairs := [][2]string{{"include.path", filepath.Join(p.root, "other")}, {"a.b", "pair"}, {"A.Sub.With.Dots.B", "x"}, {"a.c", ""}}
	env := []string{"GIT_CONFIG_COUNT=4"}
	for n, pair := range pairs {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, pair[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, pair[1]))
	}
	given := []string{"-c", "a.b=it's !new", "-c", "a.flag", "-c", "a.x=y.b=1=2", "-c", "a.empty="}
	out, err := p.run(env, append(given, "config", "--list", "--show-scope", "--includes", "-z")...)
	if err != nil {
		t.Fatal(err)
	}
	parameters, err := p.run(nil, append(given, "-c", `alias.dump=!printf %s "$GIT_CONFIG_PARAMETERS"`, "dump")...)
	if err != nil {
		t.Fatal(err)
	}
	parameters, _, _ = strings.Cut(parameters, "'alias.dump'")
	all := p.all()
	all.command = FromEnvironment(pairs, parameters)
	all.Env = Environment(all.Env, all.command)
	all.Env = append(all.Env, "GIT_CONFIG_SYSTEM="+filepath.Join(p.root, "system"))
	config := all.read()
	want := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	// The include stands before what it includes, and here behind it.
	include := []string{"command", "include.path\n" + pairs[0][1]}
	at := slices.Index(want, include[1]) - 1
	want = slices.Insert(slices.Delete(want, at, at+2), at+2, include...)
	if got := listed(config.Entries); !slices.Equal(got, want) || config.Problem != nil {
		t.Errorf("got  %q, %v\nwant %q", got, config.Problem, want)
	}
	origins := map[string]bool{}
	for _, e := range config.Entries {
		origins[e.Origin] = true
	}
	for _, want := range []string{p.root + "/more/deeper", p.root + "/work/.git/config", p.root + "/work/.git/config.worktree", "GIT_CONFIG_KEY_1", "GIT_CONFIG_PARAMETERS"} {
		if !origins[want] {
			t.Errorf("nothing comes from %s: %v", want, origins)
		}
	}
	// Without what is the repository's.
	var trusted []string
	for i := 0; i < len(want); i += 2 {
		if want[i] != "local" && want[i] != "worktree" {
			trusted = append(trusted, want[i:i+2]...)
		}
	}
	if got := listed(config.Trusted().Entries); !slices.Equal(got, trusted) {
		t.Errorf("trusted %q\nwant    %q", got, trusted)
	}
}

// Conditional includes of the user's configuration count where git applies them; those of the
// repository's belong to the repository.
func TestConditions(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	p.git("", "init", "-q", "elsewhere")
	p.write("home/.gitconfig", "[includeIf \"gitdir:"+p.root+"/work/\"]\n\tpath = more\n")
	p.write("home/more", "[http]\n\tproxy = http://conditional:1\n")
	evil := p.write("evil", "[http]\n\tproxy = http://evil:1\n")
	p.git("work", "config", "include.path", evil)
	for dir, want := range map[string]string{"work": "http://conditional:1", "elsewhere": "", "": ""} {
		if got := p.in(dir).read().Trusted().Match("http", "https://h/x")["proxy"].Value(); got != want {
			t.Errorf("in %q: %q, want %q", dir, got, want)
		}
	}
}

// A file that git can't read is reported, and the others are still read.
func TestProblem(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	p.write("home/.gitconfig", "[a]\n\tb = global\n")
	config := filepath.Join(p.root, "work/.git/config")
	values := func(r reading) (all string) {
		c := r.read()
		for _, e := range c.Entries {
			all += e.Value() + " "
		}
		if c.Problem == nil {
			t.Errorf("no problem with %.100s", all)
		}
		return all
	}
	p.write("work/.git/config", "[a\n")
	if got := values(p.all([2]string{"a.b", "command"})); got != "global command " {
		t.Errorf("with a broken repository: %s", got)
	}
	p.write("work/.git/config", strings.Repeat("[remote \"x\"] url = https://h/"+strings.Repeat("x", 1000)+"\n", 20000))
	if got := values(p.all()); got != "global " {
		t.Errorf("with a huge repository: %d bytes", len(got))
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	if fifo, err := exec.LookPath("mkfifo"); err == nil {
		if err := exec.Command(fifo, config).Run(); err != nil {
			t.Fatal(err)
		}
		if got := values(p.all()); got != "global " {
			t.Errorf("with a FIFO: %s", got)
		}
	}
	if err := os.RemoveAll(filepath.Dir(config)); err != nil {
		t.Fatal(err)
	}
	p.write("home/.gitconfig", "[a\n")
	if got := values(p.all([2]string{"a.b", "command"})); got != "command " {
		t.Errorf("with a broken home: %s", got)
	}
	none := p.all([2]string{"a.b", "command"})
	none.Program = ""
	if got := values(none); got != "command " || !errors.Is(none.read().Problem, ErrNoGit) {
		t.Errorf("without git: %s", got)
	}
}

// However a file is made, reading it takes time in proportion, and so does what is
// made of it.
func TestLarge(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	fill := func(n int, part func(i int) string) string {
		var out strings.Builder
		for i := 0; out.Len() < n; i++ {
			out.WriteString(part(i))
		}
		whole := out.String()[:n]
		return whole[:strings.LastIndexByte(whole, '\n')+1]
	}
	same := func(part string) func(int) string { return func(int) string { return part } }
	numbered := func(format string) func(int) string { return func(i int) string { return fmt.Sprintf(format, i) } }
	for name, content := range map[string]func(size int) string{
		"subsections": func(n int) string { return fill(n, numbered("[remote \"%d\"]\nurl=x\n")) },
		"entries":     func(n int) string { return "[remote \"a\"]\n" + fill(n-20, same("url=x\n")) },
		"rules": func(n int) string {
			return fill(n/2, func(i int) string { return "[url \"b\"]\ninsteadOf=" + strings.Repeat("x", i) + "\n" }) + "\n" +
				fill(n/2, numbered("[remote \"%d\"]\nurl="+strings.Repeat("x", 1000)+"\n"))
		},
		"a long base": func(n int) string {
			return "[url \"" + strings.Repeat("b", n/2) + "\"]\ninsteadOf=x\n" + fill(n/3, numbered("[remote \"%d\"]\nurl=x\n"))
		},
		"URLs": func(n int) string {
			return "[http \"https://h" + strings.Repeat("/..", n/8) + "\"]\nproxy=" + strings.Repeat("://", n/8) +
				"\n[http \"" + strings.Repeat("://a@", n/40) + "\"]\nproxy=x\n"
		},
		"patterns": func(n int) string { return fill(n, numbered("[credential \"https://h/%d\"]\nhelper=x\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			measure := func(size int) time.Duration {
				p.write("work/.git/config", content(size))
				begun := time.Now()
				config := p.all().read()
				if urls := config.RemoteURLs(); len(urls) > 2*maxURLs || len(strings.Join(urls, "")) > 2*maxURLs*maxURL {
					t.Errorf("%d URLs of %d bytes", len(urls), len(strings.Join(urls, "")))
				}
				config.Match("http", "https://h/a/b")
				config.Credential("https://h/1")
				config.Exposed(func(text string) string { return text })
				for _, e := range config.Entries {
					_ = e.Name()
				}
				if config.Problem != nil {
					t.Fatal(config.Problem)
				}
				return time.Since(begun)
			}
			const size = 512<<10 - 8
			took := measure(size)
			t.Log(took)
			// A machine that is busy takes its time, but in proportion.
			if took > 10*time.Second {
				if less := measure(size / 4); took > 10*less {
					t.Errorf("it took %v, and %v for a quarter", took, less)
				}
			}
		})
	}
}

// No printer or encoder gets at what an entry says, nor at a password in its name.
func TestUnprintable(t *testing.T) {
	const canary = "glpat-CanaryInConfig0"
	entries := Parse("global\x00file:/f\x00url.https://oauth2:"+canary+"@h/.insteadof\nx\x00global\x00file:/f\x00http.https://u:secretword@h/.proxy\nhttps://u:secretword@p\x00"+
		"global\x00file:/f\x00a.b\n"+canary+"\x00", "")
	if len(entries) != 3 {
		t.Fatal(entries)
	}
	outer := struct {
		Entries []Entry
		one     Entry
		helper  Helper
	}{entries, entries[0], Helper{Entry: entries[2]}}
	encoded, err := json.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "e", entries, "one", entries[0])
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "e", entries, "one", entries[0], "helper", outer.helper)
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d", outer, outer, outer, entries[0], entries[1], &entries[2], entries) + fmt.Sprint(outer.helper) + string(encoded) + logged.String()
	for _, secret := range []string{canary, "Canary", "secretword", "oauth2"} {
		if strings.Contains(printed, secret) || strings.Contains(printed, fmt.Sprintf("%x", secret)) {
			t.Errorf("%q is in %s", secret, printed)
		}
	}
	if got := fmt.Sprint(entries[0]); got != `global "/f": url.https://[redacted]@h/.insteadof` {
		t.Error(got)
	}
	hostile := Parse("local\x00file:/f\x00http.https://h/\x1b[2J\x9b/...proxy\nx\x00", "")
	if len(hostile) != 1 || hostile[0].Name() != `"http.https://h/\x1b[2J\x9b/...proxy"` {
		t.Errorf("%s", hostile)
	}
	if (Entry{}).Value() != "" || (Entry{}).Implicit() || (Entry{}).Scope.Trusted() {
		t.Error("the zero value says something")
	}
}

// Booleans are what git takes them for.
func TestBool(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	for _, text := range []string{"true", "TRUE", "yes", "on", "1", "-1", "2k", "0x10", "false", "No", "off", "0", "00", "", "maybe", "truee", "1x", "k", "0k"} {
		p.git("work", "config", "a.b", text)
		out, err := p.run(nil, "config", "--type=bool", "a.b")
		got, own := ParseBool(text)
		if (err != nil) != (own != nil) || own == nil && fmt.Sprintln(got) != out {
			t.Errorf("%q: %v, %v; for git %q, %v", text, got, own, out, err)
		}
	}
}

// Paths are expanded as git expands them.
func TestExpand(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	for _, text := range []string{"/a/b", "a/b", "~/a", "~root/a", "~", "~nobody-of-this-name/a", "a~", "%(prefix)/etc/x", "%(prefix)x", "~/a/../b", "a//b"} {
		p.git("work", "config", "a.b", text)
		out, err := p.run(nil, "config", "--type=path", "a.b")
		got, own := p.all().Expand(t.Context(), text)
		if (err != nil) != (own != nil) || own == nil && got+"\n" != out {
			t.Errorf("%q: %q, %v; for git %q, %v", text, got, own, out, err)
		}
	}
	if got, err := (Git{}).Expand(t.Context(), "~/x"); !errors.Is(err, ErrNoGit) {
		t.Errorf("without git: %q, %v", got, err)
	}
}
