package gitconfig

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A URL matches the same patterns as for git, and the same one wins.
func TestMatch(t *testing.T) {
	patterns := []string{
		"", "https://", "gitlab.example.com", "https://gitlab.example.com", "https://gitlab.example.com/", "https://gitlab.example.com:443",
		"https://gitlab.example.com:0443/", "https://gitlab.example.com:8443", "https://gitlab.example.com:", "https://gitlab.example.com:x", "https://gitlab.example.com:99999",
		"https://gitlab.example.com:0", "HTTPS://GitLab.Example.COM", "http://gitlab.example.com", "http://gitlab.example.com:80",
		"https://*.example.com", "https://gitlab.*.com", "https://*.*.*", "https://*", "https://*.com", "https://git*.example.com", "https://gitlab.example.com.",
		"https://gitlab.example.com/group", "https://gitlab.example.com/group/", "https://gitlab.example.com/grou", "https://gitlab.example.com/group/project",
		"https://gitlab.example.com/group/project.git", "https://gitlab.example.com/group/project.git/", "https://gitlab.example.com/./group/x/../project.git",
		"https://gitlab.example.com/..", "https://gitlab.example.com/%67roup", "https://gitlab.example.com/group%2Fproject.git", "https://gitlab.example.com/a%zz",
		"https://gitlab.example.com/a b", "https://gitlab.example.com/a%20b", "https://gitlab.example.com//group", "https://gitlab.example.com/group?x=1", "https://gitlab.example.com/group#x",
		"https://dev@gitlab.example.com", "https://dev@gitlab.example.com/group", "https://dev:pw@gitlab.example.com/", "https://@gitlab.example.com", "https://d%65v@gitlab.example.com",
		"https://dev@*.example.com/group", "https://[::1]", "https://[::1]:8443/x", "https://gitlab example.com", "https://gitlab%2eexample.com", "https://gitlab.example.com@evil.example",
		"file:///a", "ssh://git@gitlab.example.com", "1https://gitlab.example.com", "https:/gitlab.example.com", "https:///x", "https://:443/",
	}
	urls := []string{
		"https://gitlab.example.com", "https://gitlab.example.com/", "https://gitlab.example.com/group/project.git", "https://gitlab.example.com/group/project.git/", "https://gitlab.example.com/group/project",
		"https://gitlab.example.com/groups", "https://gitlab.example.com:443/group/", "https://gitlab.example.com:8443/group", "https://GITLAB.example.com/GROUP", "http://gitlab.example.com/group", "http://gitlab.example.com:80/",
		"https://dev@gitlab.example.com/group/project.git", "https://dev:pw@gitlab.example.com/group", "https://@gitlab.example.com/x", "https://other@gitlab.example.com/group",
		"https://gitlab.example.com./group", "https://gitlab.example.com/a%20b/c", "https://gitlab.example.com/a b", "https://gitlab.example.com/group%2Fproject.git", "https://gitlab.example.com/group/../x/./y/", "https://gitlab.example.com/../x",
		"https://gitlab.example.com//group/x", "https://gitlab.example.com/group?x=1", "https://gitlab.example.com?x", "https://evil.example/gitlab.example.com", "https://a.b.c/", "https://localhost/x", "https://[::1]/x", "https://[::1]:8443/x/y",
		"https://*.example.com/", "git@gitlab.example.com:group/project.git", "ssh://git@gitlab.example.com/group", "nonsense", "", "https://gitlab.example.com:abc/", "https://gitlab.example.com:0/", "file:///a/b",
	}
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	file := func(patterns []string) []Entry {
		var out strings.Builder
		for i, pattern := range patterns {
			fmt.Fprintf(&out, "[http \"%s\"]\n\tx = %d\n\tonly%d = y\n", pattern, i, i)
			if i == len(patterns)/2 {
				out.WriteString("[http]\n\tx = plain\n\tplain = z\n")
			}
		}
		path := filepath.Join(p.home, ".gitconfig")
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return p.all().read().Entries
	}
	reversed := slices.Clone(patterns)
	slices.Reverse(reversed)
	matches := 0
	for _, order := range [][]string{patterns, reversed} {
		config := Config{Entries: file(order)}
		for _, url := range urls {
			// git lists all keys that match, each with the value that wins.
			out, err := p.run(nil, "config", "--get-urlmatch", "http", url)
			if err != nil && out != "" {
				t.Fatal(err)
			}
			var got []string
			for key, e := range config.Match("HTTP", url) {
				got = append(got, "http."+key+" "+e.Value())
			}
			slices.Sort(got)
			want := strings.Split(strings.TrimSpace(out), "\n")
			slices.Sort(want)
			if _, valid := normalize(url, false); !valid {
				// git config asks for a URL; git itself goes on without one.
				if want = []string{"http.plain z", "http.x plain"}; out != "" {
					t.Errorf("git takes %q for a URL", url)
				}
			}
			if matches += len(got); !slices.Equal(got, want) {
				t.Errorf("%q:\ngot  %q\nwant %q", url, got, want)
			}
		}
	}
	t.Log(matches, "matches")
}

// Helpers are those that git runs, in its order and with its input.
func TestCredential(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	log := filepath.Join(p.root, "log")
	helper := filepath.Join(p.root, "helper")
	if err := os.WriteFile(helper, []byte("#!/bin/sh\n{ echo \"$1\"; grep -e '^path=' -e '^username='; } >>"+log+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.write("system", "[credential]\n\thelper = "+helper+" system\n\thelper =\n\thelper = "+helper+" system2\n")
	p.write("home/.gitconfig", strings.ReplaceAll(`[credential]
	helper = HELPER plain
[credential "https://gitlab.example.com"]
	helper = !HELPER host
[credential "https://*.example.com"]
	helper = HELPER star
[credential "https://gitlab.example.com/group"]
	helper = HELPER group
	useHttpPath = true
[credential "https://reset.example.com"]
	helper =
	helper = HELPER reset
	username = someone
[credential "gitlab.example.com"]
	helper = HELPER partial-host
[credential "GitLab.example.com"]
	helper = HELPER partial-upper
[credential "https://"]
	helper = HELPER partial-scheme
[credential "/group/project.git"]
	helper = HELPER partial-path
[credential "dev@gitlab.example.com"]
	helper = HELPER partial-user
[credential ""]
	helper = HELPER empty
[credential "https://dev@gitlab.example.com"]
	helper = HELPER user
[credential "https://gitlab.example.com:8443"]
	helper = HELPER port
[credential "http://gitlab.example.com"]
	helper = HELPER http
[credential "https://gitlab.example.com/other"]
	helper = HELPER other
	username = other
	useHttpPath = false
[credential]
	helper = HELPER last
`, "HELPER", helper))
	p.git("work", "config", "credential.helper", helper+" local")
	p.git("work", "config", "credential.https://gitlab.example.com/other.useHttpPath", "yes")
	pairs := [][2]string{{"credential.https://gitlab.example.com.helper", helper + " pair"}, {"credential.https://quiet.example.com.helper", ""}}
	env := []string{"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=" + pairs[0][0], "GIT_CONFIG_VALUE_0=" + pairs[0][1],
		"GIT_CONFIG_KEY_1=" + pairs[1][0], "GIT_CONFIG_VALUE_1=", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=false"}
	all := p.all(pairs...)
	asked := 0
	for _, url := range []string{
		"https://gitlab.example.com", "https://gitlab.example.com/", "https://gitlab.example.com/group/project.git", "https://gitlab.example.com/group/project.git/", "https://gitlab.example.com/groups/x",
		"https://gitlab.example.com:443/group", "https://gitlab.example.com:8443/x", "https://GitLab.example.com/group", "http://gitlab.example.com/x", "https://dev@gitlab.example.com/group/project.git",
		"https://d%65v@gitlab.example.com/", "https://other@gitlab.example.com/other", "https://gitlab.example.com/other/x", "https://reset.example.com/x", "https://dev@reset.example.com", "https://quiet.example.com/x", "https://a.b.example.com/x", "https://elsewhere.example/group/project.git",
		"https://gitlab.example.com/a%20b", "https://gitlab.example.com/%67roup/x", "https://gitlab.example.com%2fevil/x",
	} {
		if err := os.RemoveAll(log); err != nil {
			t.Fatal(err)
		}
		credential := all.read().Credential(url)
		// No helper answers, so git asks them all and gives up.
		_, _ = p.run(append(env, "URL="+url), "-c", `alias.fill=!echo "url=$URL" | git credential fill`, "fill")
		data, _ := os.ReadFile(log)
		var want strings.Builder
		for _, h := range credential.Helpers {
			name := strings.Fields(h.Value())[1]
			fmt.Fprintln(&want, name)
			if path := parseLogin(url).path; credential.UseHTTPPath && path != "" {
				fmt.Fprintln(&want, "path="+path)
			}
			if credential.Username != "" {
				fmt.Fprintln(&want, "username="+credential.Username)
			}
			if wanted := helper; h.Program != wanted && (name != "host" || h.Program != "!") {
				t.Errorf("%s: the program is %q", name, h.Program)
			}
			asked++
		}
		if want.String() != string(data) {
			t.Errorf("%s: foretold\n%s\nbut git asked\n%s", url, want.String(), data)
		}
	}
	t.Log(asked, "helpers asked")
	last := all.read().Credential("https://gitlab.example.com").Helpers
	if h := last[len(last)-1]; h.Scope != Command || h.Origin != "GIT_CONFIG_KEY_0" || last[0].Scope != System {
		t.Errorf("the chain is %v", last)
	}
}

// What is reported for an instance's URL holds for every URL below it.
func TestBelow(t *testing.T) {
	const text = `[credential]
	helper = plain
[credential "https://*.example.com/gitlab/group"]
	helper = group
[credential "https://dev@gitlab.example.com"]
	helper = user
[credential "ops@gitlab.example.com/gitlab/a%20b/"]
	helper = both
[credential "/gitlab/project.git"]
	helper = path
[credential "https://gitlab.example.com/gitlabs"]
	helper = beside
[credential "https://elsewhere.example.com/gitlab/group"]
	helper = elsewhere
`
	p := newPlace(t)
	p.write("home/.gitconfig", text)
	config := p.in("home").read()
	asked := func(urls ...string) []string {
		var all []string
		for _, url := range urls {
			var names []string
			for _, h := range config.Credential(url).Helpers {
				names = append(names, h.Program)
			}
			if chain := strings.Join(names, " "); !slices.Contains(all, chain) {
				all = append(all, chain)
			}
		}
		slices.Sort(all)
		return all
	}
	below := config.Below("https://gitlab.example.com/gitlab")
	for _, url := range below {
		if !strings.HasSuffix(url, "@gitlab.example.com/gitlab") && !strings.HasPrefix(strings.Replace(url, "ops@", "", 1)+"/", "https://gitlab.example.com/gitlab/") {
			t.Errorf("%s is not there", url)
		}
	}
	want := asked("https://gitlab.example.com/gitlab/x", "https://gitlab.example.com/gitlab/group/x", "https://dev@gitlab.example.com/gitlab/x",
		"https://ops@gitlab.example.com/gitlab/a%20b/c", "https://gitlab.example.com/gitlab/project.git")
	for _, chain := range want {
		if !slices.Contains(asked(below...), chain) {
			t.Errorf("nobody learns of %q by %q", chain, below)
		}
	}
	if chain := strings.Join(asked(below...), ", "); strings.Contains(chain, "beside") || strings.Contains(chain, "elsewhere ") {
		t.Errorf("%s by %q", chain, below)
	}
}

// Only plain-text secrets are named.
func TestExposed(t *testing.T) {
	p := newPlace(t)
	p.git("", "init", "-q", "work")
	const canary = "glpat-CanaryExposed00"
	secret := map[string]string{
		"remote.one.url":     "https://oauth2:" + canary + "@gitlab.example.com/a/b",
		"remote.two.pushurl": "https://" + canary + "@gitlab.example.com/a/b",
		"remote.three.url":   "https://u:p@gitlab.example.com/a/b",
		"url.https://u:" + canary + "@gitlab.example.com/.insteadof": "lab:",
		"http.https://gitlab.example.com/.extraheader":               "Authorization: Bearer x",
		"http.extraheader": "PRIVATE-TOKEN:x",
		"http.proxy":       "http://user:pass@proxy:3128",
		"credential.https://gitlab.example.com.helper": "!echo password=" + canary,
	}
	for key, value := range secret {
		p.git("work", "config", key, value)
	}
	for key, value := range map[string]string{
		"remote.four.url": "https://oauth2@gitlab.example.com/a:b@c", "remote.five.url": "git@gitlab.example.com:a/b", "remote.six.url": "ssh://git@gitlab.example.com:22/a",
		"http.https://dev@gitlab.example.com/.proxy": "http://user@proxy:3128", "http.extraHeader": "X-Request: a", "url.ssh://git@h/.insteadOf": "https://h/", "a.b": "https://h:443/@x:y",
	} {
		p.git("work", "config", "--add", key, value)
	}
	var got, want []string
	for _, e := range p.all().read().Exposed(func(text string) string { return text }) {
		subsection, _ := e.Subsection()
		got = append(got, strings.TrimSuffix(e.Section+"."+subsection, ".")+"."+e.Key)
		if name := e.Name(); strings.Contains(name, "Canary") || e.Origin != filepath.Join(p.root, "work/.git/config") {
			t.Errorf("%s in %s", name, e.Origin)
		}
	}
	for key := range secret {
		want = append(want, key)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
