package gitconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
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

// all is a Place with everything that run gives git.
func (p *place) all() Place {
	return Place{Dir: filepath.Join(p.root, "work"), System: filepath.Join(p.root, "system"), Home: p.home, Path: os.Getenv("PATH"),
		Global: []string{filepath.Join(p.home, ".config/git/config"), filepath.Join(p.home, ".gitconfig")}}
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

// Entries are those that git lists, with their scopes, in its order, wherever
// they stand and whatever includes them.
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
	pairs := [][2]string{{"a.b", "pair"}, {"A.Sub.With.Dots.B", "x"}, {"include.path", filepath.Join(p.root, "other")}, {"a.c", ""}}
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
	all.Pairs, all.Parameters = pairs, parameters
	config := all.Read()
	want := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	if got := listed(config.Entries); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(config.Skipped) > 0 {
		t.Errorf("skipped: %+v", config.Skipped)
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
	if got := listed(all.WithoutRepository().Read().Entries); !slices.Equal(got, trusted) {
		t.Errorf("trusted %q\nwant    %q", got, trusted)
	}
	section := all.Section("Include")
	if len(section.Entries) != 6 {
		t.Errorf("of one section: %q", listed(section.Entries))
	}
}

func everything(Entry) bool { return true }

// bareComment is a key without a value before a comment.
var bareComment = regexp.MustCompile(`(?m)(^|\])[ \t\r]*[A-Za-z][A-Za-z0-9-]*[ \t\r]*[;#]`)

// parses compares what is read of a file with what git reads of it.
func (p *place) parses(content string) {
	p.t.Helper()
	path := p.write("form", content)
	out, err := p.run(nil, "config", "-f", path, "--no-includes", "--list", "-z")
	entries, own := parse([]byte(content), Global, path, everything)
	var got []string
	for i, text := range listed(entries) {
		if i%2 == 1 {
			got = append(got, text)
		}
	}
	// git before 2.45 makes a space of a tab; what is in no section is no setting.
	var want []string
	for text := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		if name, _, _ := strings.Cut(text, "\n"); strings.IndexByte(name, '.') > 0 {
			want = append(want, strings.ReplaceAll(text, "\t", " "))
		}
	}
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], "\t", " ")
	}
	switch {
	case err != nil && bareComment.MatchString(content):
		// git refuses this, and then asks no helper.
	case (err != nil) != (own != nil):
		p.t.Errorf("%q: %v, for git %v", content, own, err)
	case own != nil && !errors.Is(own, ErrBroken):
		p.t.Errorf("%q: %v", content, own)
	case own == nil && !slices.Equal(got, want):
		p.t.Errorf("%q: %q, want %q", content, got, want)
	}
}

// Files are read as git reads them, in all the forms that it knows.
func TestForms(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	for _, content := range []string{
		"", "\n\n", "# comment\n; another\n", "[a]", "[a]\nb", "[a]\nb\n", "[a]\nb=", "[a]\nb = \n", "[a] b = c", "[a] b = c ; d\n[e]f\n",
		"[a][b]\nc = d\n", "[a]\n[b] c = d # e\n", "[A]\nB-c9 = D\n", "[9a]\nb = c\n", "[-]\nb = c\n", "[a]\n9 = c\n", "[a]\n_ = c\n",
		"[a.B.c]\nd = e\n", "[a.b \"C\"]\nd = e\n", "[.b]\nc = d\n", "[a.]\nc = d\n", "[a \"B.c\"]\nd = e\n", "[a \"\"]\nd = e\n", "[a\t  \"b\"]\nd = e\n",
		"[a\"b\"]\nd = e\n", "[a \"b\" ]\nd = e\n", "[a \"b\nc\"]\nd = e\n", "[a \"b]\nd = e\n", "[ a]\nd = e\n", "[a ]\nd = e\n", "[]\nd = e\n",
		`[a "b\"c\\d\x\n"]` + "\nd = e\n", `[a "b\`, "[a b]\nc = d\n", "[a\nb = c\n", "b = c\n", "[a]\nb c\n", "[a]\nb : c\n", "[a]\n= c\n",
		"\ufeff[a]\nb = c\n", "\xef\xbb[a]\nb = c\n", "[a]\r\nb = c\r\nd = \"e\" \r\n", "[a \"b\"]\r\nc\r\n",
		"[a]\nb = caf\xe9\nc = \xff\x80\nd = \u20ac\n", "[a \"caf\xe9\"]\nb = c\n", "[a]\nb\xe9 = c\n",
		"[a]\nb = c  d\t \n", "[a]\nb = \" c \" d\n", "[a]\nb = c\"d;e\"f;g\n", "[a]\nb = \"c#d\" # e\n", "[a]\nb = \"c\n\"\n", "[a]\nb = \"c\n",
		`[a]` + "\n" + `b = c\n\t\"\\d` + "\n", "[a]\nb = \\q\n", "[a]\nb = \\", "[a]\nb = c\\\n", "[a]\nb = c\\\nd\n", "[a]\nb = c\\\r\n d\r\n",
		"[a]\nb = \"c\\\nd\"\n", "[a]\nb = c\\\n[d]\ne = f\n", "[a]\nb = \\\n  [ -n \"$1\" ] && x\n", "[a]\nb = \\\n[c \"d\"]\ne = f\n", "[a]\nb = c # d\\\n[e]\nf = g\n",
		"[a]\n# b\\\n[c]\nd = e\n", "[a]\nb = \"c # \\\n[d]\"\ne = f\n", "[a]\nb = c \\\\\n[d]\ne = f\n", "[a]\nb = c=d\n", "[a]\n  b  =c\n",
		"[alias]\n\tx = \"!f() { \\\n\t[ -n \\\"$1\\\" ]; \\\n }; f\"\n[b]\nc = d\n",
	} {
		p.parses(content)
	}
	// And files made by chance from the parts that matter.
	chance := rand.New(rand.NewPCG(1, 2))
	parts := []string{"[", "]", "\"", "\\", "\n", "\r\n", " ", "\t", "=", ";", "#", ".", "a", "B", "x1", "-", "\xe9", "[a]\n", "[b \"c\"]\n", "\nk = ", "\nk\n"}
	for range 400 {
		content := "[s]\n"
		for range 1 + chance.IntN(12) {
			content += parts[chance.IntN(len(parts))]
		}
		p.parses(content)
	}
}

// What is not read is told, with where it stands and why, and the rest is read.
func TestSkipped(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	p.write("system", "[a]\n\tb = 1\n[include]\n\tpath = ring\n\tpath = ~nobody-of-this-name/x\n[includeIf \"gitdir:/w/\"]\n\tpath = cond\n[a]\n\tb = 2\n")
	ring := p.write("ring", "[include]\n\tpath = ring\n[a]\n\tb = ring\n")
	broken := p.write("home/.gitconfig", "[a]\n\tb = \"\n")
	large := p.write("home/.config/git/config", strings.Repeat("#\n", maxFile/2+1))
	local := p.write("work/.git/config", "[include]\n\tpath = ../../ring\n[a]\n\tb = local\n")
	place := p.all()
	place.Global = append(place.Global, os.DevNull, "/dev/zero", p.root, filepath.Join(broken, "below"))
	place.Pairs = [][2]string{{"nosection", "x"}, {"include.path", "ring"}, {"a.", "x"}}
	place.Parameters = "'a.b'='c' 'x"
	config := place.Read()
	want := []Skipped{
		{System, ring, "", "", ErrTooMany},
		{System, p.root + "/system", "include.path", "~nobody-of-this-name/x", ErrNoHome},
		{System, p.root + "/system", "includeif.gitdir:/w/.path", "cond", ErrConditional},
		{Global, large, "", "", file.ErrTooLarge},
		{Global, broken, "", "", ErrBroken},
		{Global, "/dev/zero", "", "", file.ErrNotRegular},
		{Global, p.root, "", "", file.ErrNotRegular},
		{Local, local, "include.path", "../../ring", ErrUntrusted},
		{Command, "GIT_CONFIG_KEY_0", "", "", ErrBroken},
		{Command, "GIT_CONFIG_KEY_1", "include.path", "ring", ErrRelative},
		{Command, "GIT_CONFIG_KEY_2", "", "", ErrBroken},
		{Command, "GIT_CONFIG_PARAMETERS", "", "", ErrBroken},
	}
	if !slices.Equal(config.Skipped, want) {
		t.Errorf("skipped\n%+v, want\n%+v", config.Skipped, want)
	}
	values := ""
	for _, e := range config.Entries {
		if e.Name() == "a.b" {
			values += e.Value() + " "
		}
	}
	if values != "1 "+strings.Repeat("ring ", maxDepth)+"2 local " {
		t.Errorf("read: %s", values)
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
		return out.String()[:n]
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
		"includes":    func(n int) string { return "[include]\n" + fill(n-20, same("path=x\n")) },
		"one line":    func(n int) string { return "[a]\nb=" + fill(n-20, same("x\\n")) + "\n" },
		"backslashes": func(n int) string { return "[a]\nb=" + fill(n-20, same("\\\n")) + "\n" },
		"brackets":    func(n int) string { return fill(n, same("[a]")) },
		"quotes":      func(n int) string { return "[a]\nb=" + fill(n-20, same("\"")) + "\n" },
		"URLs": func(n int) string {
			return "[http \"https://h" + strings.Repeat("/..", n/8) + "\"]\nproxy=" + strings.Repeat("://", n/8) +
				"\n[http \"" + strings.Repeat("://a@", n/40) + "\"]\nproxy=x\n"
		},
		"patterns":   func(n int) string { return fill(n, numbered("[credential \"https://h/%d\"]\nhelper=x\n")) },
		"NUL":        func(n int) string { return strings.Repeat("\x00", n) },
		"high bytes": func(n int) string { return "[a]\nb=" + strings.Repeat("\xff", n-20) + "\n" },
	} {
		t.Run(name, func(t *testing.T) {
			measure := func(size int) time.Duration {
				p.write("work/.git/config", content(size))
				begun := time.Now()
				place := p.all()
				if urls := place.RemoteURLs(); len(urls) > 2*maxURLs || len(strings.Join(urls, "")) > 2*maxURLs*maxURL {
					t.Errorf("%d URLs of %d bytes", len(urls), len(strings.Join(urls, "")))
				}
				config := place.Read()
				config.Match("http", "https://h/a/b")
				config.Credential("https://h/1")
				config.Exposed(func(text string) string { return text })
				for _, e := range config.Entries {
					_ = e.Name()
				}
				if len(config.Skipped) > maxSkipped {
					t.Errorf("%d parts skipped", len(config.Skipped))
				}
				for _, s := range config.Skipped {
					if errors.Is(s.Why, file.ErrTooLarge) {
						t.Fatalf("%d bytes: not even read", size)
					}
				}
				return time.Since(begun)
			}
			const size = maxFile - 8
			took := measure(size)
			t.Log(took)
			// A machine that is busy takes its time, but in proportion.
			if took > 2*time.Second {
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
	entries, err := parse([]byte("[url \"https://oauth2:"+canary+"@h/\"]\n\tinsteadOf = x\n[http \"https://u:secretword@h/\"]\n\tproxy = https://u:secretword@p\n[a]\n\tb = "+canary+"\n"), Global, "/f", everything)
	if err != nil || len(entries) != 3 {
		t.Fatal(err, entries)
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
	hostile, err := parse([]byte("[http \"https://h/\x1b[2J\x9b/..\"]\n\tproxy = x\n"), Local, "/f", everything)
	if err != nil || hostile[0].Name() != `"http.https://h/\x1b[2J\x9b/...proxy"` {
		t.Errorf("%s, %v", hostile, err)
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
		got, own := p.all().Expand(text)
		if (err != nil) != (own != nil) || own == nil && got+"\n" != out {
			t.Errorf("%q: %q, %v; for git %q, %v", text, got, own, out, err)
		}
	}
	if got, err := (Place{Home: "", Path: ""}).Expand("~/x"); !errors.Is(err, ErrNoHome) {
		t.Errorf("without a home: %q, %v", got, err)
	}
	if got, err := (Place{Path: "bin:" + p.root}).Expand("%(prefix)/x"); !errors.Is(err, ErrNoPrefix) {
		t.Errorf("without git: %q, %v", got, err)
	}
	for _, programs := range []string{"bin", "libexec/git-core", "lib/git-core"} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, programs), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, programs, "git"), nil, 0o755); err != nil {
			t.Fatal(err)
		}
		place := Place{Path: "/nowhere:" + filepath.Join(root, programs)}
		if got, err := place.Expand("%(prefix)/x"); err != nil || got != root+"/x" {
			t.Errorf("%s: %q, %v", programs, got, err)
		}
		if got := place.SystemFile(); got != "/etc/gitconfig" {
			t.Errorf("%s: the system's file is %s", programs, got)
		}
		own := filepath.Join(root, "etc", "gitconfig")
		if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(own, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := place.SystemFile(); got != own {
			t.Errorf("%s: the system's file is %s", programs, got)
		}
	}
}
