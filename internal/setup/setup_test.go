package setup

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/ambient-code/git-credential-acp/internal/instance"
)

func instanceAt(t testing.TB, url string) instance.Instance {
	t.Helper()
	i, err := instance.Parse(url, false)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// odd is a section whose values are all that a form might trip over.
func odd() Section {
	return Section{Name: "user", Lines: []Line{
		{"name", `O'Brien "the $HOME" \n $(id) $$ ; # x`},
		{"email", " leading and trailing "},
		{"signingKey", "ünïcode 😀 \u2028 <&>"},
		{"empty", ""},
	}}
}

// The printed file is read by git, and is what git itself would write.
func TestFile(t *testing.T) {
	i := instanceAt(t, "https://gitlab.example.com:8443/gitlab")
	sections := []Section{Helper(i, Program), Rewrite(i, 2222), odd(), {Name: "url", Sub: `a"b\c`, Lines: []Line{{"insteadOf", "x"}}}}
	printed, written := filepath.Join(t.TempDir(), "printed"), filepath.Join(t.TempDir(), "written")
	if err := os.WriteFile(printed, []byte(File(sections)), 0o644); err != nil {
		t.Fatal(err)
	}
	var want string
	for _, s := range sections {
		for _, line := range s.Lines {
			git(t, "config", "--file", written, "--add", s.String()+"."+line.Key, line.Value)
			key := s.Name + "." + strings.ToLower(line.Key)
			if s.Sub != "" {
				key = s.Name + "." + s.Sub + "." + strings.ToLower(line.Key)
			}
			want += key + "\n" + line.Value + "\x00"
		}
	}
	if got := git(t, "config", "--file", printed, "-z", "--list"); got != want {
		t.Errorf("git reads %q, want %q", got, want)
	}
	data, err := os.ReadFile(written)
	if err != nil || string(data) != File(sections) {
		t.Errorf("git writes\n%s\nprinted is\n%s (%v)", data, File(sections), err)
	}
}

func TestShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no POSIX shell")
	}
	sections := []Section{Helper(instanceAt(t, "https://gitlab.example.com"), Program), odd()}
	ours := pairsOf(sections)
	one, two := [2]string{"a.b", "c"}, [2]string{"d.e", ""}
	theirs := [2]string{"credential.helper", "store"}
	tests := map[string]struct {
		there, want [][2]string
	}{
		"a helper before":           {append([][2]string{theirs}, ours...), append([][2]string{theirs}, ours...)},
		"a helper after":            {append(slices.Clone(ours), theirs), slices.Concat(ours, [][2]string{theirs}, ours)},
		"a helper after, and ours":  {slices.Concat(ours, [][2]string{theirs}, ours), slices.Concat(ours, [][2]string{theirs}, ours)},
		"a helper for others after": {append(slices.Clone(ours), [2]string{"credential.https://h.example.helper", "store"}), append(slices.Clone(ours), [2]string{"credential.https://h.example.helper", "store"})},
		"nothing there":             {nil, ours},
		"others there":              {[][2]string{one, two}, append([][2]string{one, two}, ours...)},
		"there already":             {ours, ours},
		"there, others before":      {append([][2]string{one}, ours...), append([][2]string{one}, ours...)},
		"there, others after":       {slices.Concat(ours, [][2]string{one}), slices.Concat(ours, [][2]string{one})},
		"there, others all around":  {slices.Concat([][2]string{two}, ours, [][2]string{one}), slices.Concat([][2]string{two}, ours, [][2]string{one})},
		"a part there":              {ours[:3], append(slices.Clone(ours[:3]), ours...)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(sh, "-c", Shell(sections, test.there)+"exec git config --list --show-origin -z")
			cmd.Env = append(surroundings(t.TempDir()), "GIT_CONFIG_COUNT=0")
			for _, v := range variables(test.there, 0, 0) {
				cmd.Env = append(cmd.Env, v[0]+"="+v[1])
			}
			cmd.Dir = t.TempDir()
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var want string
			for _, pair := range test.want {
				section, key := pair[0][:strings.LastIndex(pair[0], ".")], pair[0][strings.LastIndex(pair[0], "."):]
				want += "command line:\x00" + section + strings.ToLower(key) + "\n" + pair[1] + "\x00"
			}
			if string(out) != want {
				t.Errorf("git reads\n%q, want\n%q", out, want)
			}
		})
	}
}

// The list is YAML, and after Kubernetes' own reading of dollar signs it is what
// was meant.
func TestKubernetes(t *testing.T) {
	sections := []Section{Helper(instanceAt(t, "https://gitlab.example.com"), Program), odd()}
	var list []struct{ Name, Value string }
	if err := yaml.UnmarshalStrict([]byte(Kubernetes(sections)), &list); err != nil {
		t.Fatal(err)
	}
	var got [][2]string
	for _, v := range list {
		if strings.Contains(strings.ReplaceAll(v.Value, "$$", ""), "$") {
			t.Errorf("Kubernetes would read a variable in %q", v.Value)
		}
		got = append(got, [2]string{v.Name, strings.ReplaceAll(v.Value, "$$", "$")})
	}
	if want := variables(pairsOf(sections), 0, 0); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	var object map[string]string
	if err := json.Unmarshal([]byte(Registry(sections)), &object); err != nil || len(object) != len(list) {
		t.Errorf("%v: %s", err, Registry(sections))
	}
	for _, v := range list {
		if value, found := object[v.Name]; !found || value != v.Value {
			t.Errorf("the registry has %q for %s, not %q", value, v.Name, v.Value)
		}
	}
	if got[0] != [2]string{"GIT_CONFIG_COUNT", "8"} || got[1] != [2]string{"GIT_CONFIG_KEY_0", "credential.https://gitlab.example.com.helper"} ||
		got[2] != [2]string{"GIT_CONFIG_VALUE_0", ""} || got[4] != [2]string{"GIT_CONFIG_VALUE_1", "acp --instance https://gitlab.example.com"} {
		t.Errorf("%q", got[:5])
	}
}

func TestRewrite(t *testing.T) {
	tests := []struct {
		url, want string
		port      int
	}{
		{"https://gitlab.example.com", "git@gitlab.example.com: ssh://git@gitlab.example.com/", 0},
		{"https://gitlab.example.com", "git@gitlab.example.com: ssh://git@gitlab.example.com/", 22},
		{"https://gitlab.example.com", "git@gitlab.example.com: ssh://git@gitlab.example.com/ ssh://git@gitlab.example.com:2222/", 2222},
		// The port and the path are those of https.
		{"https://gitlab.example.com:8443/gitlab", "git@gitlab.example.com: ssh://git@gitlab.example.com/", 0},
		{"https://192.0.2.7:8443", "git@192.0.2.7: ssh://git@192.0.2.7/", 0},
		{"https://[2001:db8::1]:8443", "git@[2001:db8::1]: ssh://git@[2001:db8::1]/ [git@2001:db8::1]:", 0},
	}
	for _, test := range tests {
		s := Rewrite(instanceAt(t, test.url), test.port)
		var got []string
		for _, line := range s.Lines {
			got = append(got, line.Value)
		}
		if s.String() != "url."+test.url+"/" || strings.Join(got, " ") != test.want {
			t.Errorf("%s: %s %q, want %q", test.url, s, got, test.want)
		}
	}
}

// git itself makes of the ssh addresses that GitLab shows what was meant.
func TestRewriteByGit(t *testing.T) {
	tests := []struct {
		url, remote, want string
		port              int
	}{
		{"https://h.example", "git@h.example:group/sub/p.git", "https://h.example/group/sub/p.git", 0},
		{"https://h.example", "ssh://git@h.example/group/p.git", "https://h.example/group/p.git", 0},
		{"https://h.example:8443/gitlab", "git@h.example:group/p.git", "https://h.example:8443/gitlab/group/p.git", 0},
		{"https://h.example:8443/gitlab", "ssh://git@h.example:2222/group/p.git", "https://h.example:8443/gitlab/group/p.git", 2222},
		{"https://[2001:db8::1]", "[git@2001:db8::1]:group/p.git", "https://[2001:db8::1]/group/p.git", 0},
		// Others are left alone: another host, another port, another user.
		{"https://h.example", "git@h.example.evil.com:group/p.git", "git@h.example.evil.com:group/p.git", 0},
		{"https://h.example", "ssh://git@h.example:2222/group/p.git", "ssh://git@h.example:2222/group/p.git", 0},
		{"https://h.example", "alice@h.example:p.git", "alice@h.example:p.git", 2222},
	}
	for _, test := range tests {
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(File([]Section{Rewrite(instanceAt(t, test.url), test.port)})), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("git", "ls-remote", "--get-url", test.remote)
		cmd.Env = append(surroundings(t.TempDir()), "GIT_CONFIG_GLOBAL="+file)
		cmd.Dir = t.TempDir()
		out, err := cmd.Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != test.want {
			t.Errorf("%s for %s: %q, %v; want %q", test.remote, test.url, got, err, test.want)
		}
	}
}

func TestAbsoluteProgram(t *testing.T) {
	for path, want := range map[string]string{
		"/opt/acp/git-credential-acp":            "/opt/acp/git-credential-acp",
		"/opt/a b/git-credential-acp":            `/opt/a\ b/git-credential-acp`,
		`/opt/$(id)'";|&/git-credential-acp`:     `/opt/\$\(id\)\'\"\;\|\&/git-credential-acp`,
		"/opt/ünï/git-credential-acp":            "/opt/ünï/git-credential-acp",
		"/opt/git-credential-acp.exe":            "/opt/git-credential-acp.exe",
		"git-credential-acp":                     "",
		"./git-credential-acp":                   "",
		"":                                       "",
		"/opt/acp":                               "",
		"/opt/git-credential-acp/":               "",
		"/opt/git-credential-acp/other":          "",
		"/opt/a\nb/git-credential-acp":           "",
		"/opt/a\x1b[2J/git-credential-acp":       "",
		"/opt/a\xff/git-credential-acp":          "",
		"/opt/x-git-credential-acp":              "",
		"/opt/git-credential-acp --instance foo": "",
	} {
		got, err := AbsoluteProgram(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", path, got, err, want)
		}
	}
}

// git runs a helper with any path, and with its arguments.
func TestAbsoluteProgramByGit(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("file names with these characters")
	}
	dir := filepath.Join(t.TempDir(), `a b'"$(id)`, `;|&\ü`)
	file := filepath.Join(dir, fileName)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho username=me\necho \"password=$1,$2,$3\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := AbsoluteProgram(file)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	config := File([]Section{Helper(instanceAt(t, "https://gitlab.example.com"), program)})
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("git", "credential", "fill")
	cmd.Env, cmd.Dir = append(surroundings(home), "GIT_TERMINAL_PROMPT=0"), home
	cmd.Stdin = strings.NewReader("url=https://gitlab.example.com/group/project.git\n\n")
	out, err := cmd.Output()
	if err != nil || !bytes.Contains(out, []byte("\npassword=--instance,https://gitlab.example.com,get\n")) ||
		!bytes.Contains(out, []byte("\npath=group/project.git\n")) {
		t.Errorf("%s, %v", out, err)
	}
}

func TestOwn(t *testing.T) {
	const url = "https://gitlab.example.com"
	for value, want := range map[string]bool{
		"acp --instance " + url:                           true,
		"/opt/git-credential-acp --instance " + url:       true,
		`/opt/a\ b/git-credential-acp --instance ` + url:  true,
		"C:/acp/git-credential-acp.exe --instance " + url: true,
		"acp":                               false,
		"acp --instance " + url + "/gitlab": false,
		"acp --instance " + url + " get":    false,
		"store --instance " + url:           false,
		"!glab auth git-credential":         false,
		"":                                  false,
	} {
		if got := own(value, url); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func TestIdentity(t *testing.T) {
	both := IdentityKeys()
	good := func(name, email string, keys []string, want string) {
		t.Helper()
		s, err := Identity(name, email, keys)
		if got := File([]Section{s}); err != nil || got != want {
			t.Errorf("%q %q: %q, %v; want %q", name, email, got, err, want)
		}
	}
	good("Dev Eloper", "dev@example.com", both, "[user]\n\tname = Dev Eloper\n\temail = dev@example.com\n")
	good(" Zoë O'Brien; # \n", " dev@example.com", both, "[user]\n\tname = \"Zoë O'Brien; #\"\n\temail = dev@example.com\n")
	good("", "dev@example.com", both[1:], "[user]\n\temail = dev@example.com\n")
	good("Dev", "not asked for", both[:1], "[user]\n\tname = Dev\n")
	for _, bad := range [][2]string{
		{"", "dev@example.com"}, {" \t", "dev@example.com"}, {"Dev", ""}, {"Dev", "nobody"}, {"Dev", "a b@example.com"},
		{"De\nv", "dev@example.com"}, {"Dev\x1b[2J", "dev@example.com"}, {"Dev <x>", "dev@example.com"}, {"Dev", "<dev@example.com>"},
		{"De\u2028v", "dev@example.com"}, {"De\u0085v", "dev@example.com"}, {"De\xffv", "dev@example.com"}, {"De\x00v", "dev@example.com"},
		{strings.Repeat("x", 2000), "dev@example.com"},
	} {
		if s, err := Identity(bad[0], bad[1], both); err == nil {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}
