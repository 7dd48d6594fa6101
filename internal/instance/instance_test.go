package instance

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func mustParse(t testing.TB, raw string) Instance {
	t.Helper()
	i, err := Parse(raw, true)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return i
}

func TestParse(t *testing.T) {
	tests := []struct{ raw, url, api string }{
		{"https://gitlab.com", "https://gitlab.com", "https://gitlab.com/api/v4"},
		{" https://gitlab.com/\n", "https://gitlab.com", "https://gitlab.com/api/v4"},
		{"HTTPS://GitLab.Example.COM:443", "https://gitlab.example.com", "https://gitlab.example.com/api/v4"},
		{"https://h:8443/gitlab/", "https://h:8443/gitlab", "https://h:8443/gitlab/api/v4"},
		{"https://h:80/a/b", "https://h:80/a/b", "https://h:80/a/b/api/v4"},
		{"https://[::1]:8443", "https://[::1]:8443", "https://[::1]:8443/api/v4"},
		{"https://192.0.2.7", "https://192.0.2.7", "https://192.0.2.7/api/v4"},
		{"https://xn--gtlab-5va.example", "https://xn--gtlab-5va.example", "https://xn--gtlab-5va.example/api/v4"},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080/api/v4"},
		{"http://localhost:80/x", "http://localhost/x", "http://localhost/x/api/v4"},
		{"http://[::1]", "http://[::1]", "http://[::1]/api/v4"},
	}
	for _, test := range tests {
		i, err := Parse(test.raw, true)
		if err != nil || i.URL() != test.url || i.API() != test.api {
			t.Errorf("%q: %q, %q, %v", test.raw, i.URL(), i.API(), err)
		}
		if at, err := url.Parse(test.url); err != nil || i.Hostname() != strings.TrimSuffix(at.Host, ":"+at.Port()) {
			t.Errorf("%q: host name %q", test.raw, i.Hostname())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ raw, want string }{
		{"", "https://"},
		{"gitlab.com", "https://"},
		{"git@gitlab.com:group/project", "https://"},
		{"ssh://git@gitlab.com", "scheme"},
		{"http://gitlab.com", "is http"},
		{"http://127.0.0.1.evil.example", "is http"},
		{"http://localhost.evil.example", "is http"},
		{"https://", "host name"},
		{"https:///path", "host name"},
		{"https://:443", "host name"},
		{"https://oauth2:glpat-CanaryInURL@gitlab.com", "user name"},
		{"https://@gitlab.com", "user name"},
		{"https://gitlab.com?private_token=glpat-CanaryInURL", "query"},
		{"https://gitlab.com/#glpat-CanaryInURL", "fragment"},
		{"https://gitlab.com:", "port"},
		{"https://gitlab.com:0", "port"},
		{"https://gitlab.com:0443", "port"},
		{"https://gitlab.com:65536", "port"},
		{"https://gitlab.com:443:443", "host name"},
		{"https://gitlab.com.", "host name"},
		{"https://gitlab..com", "host name"},
		{"https://-gitlab.com", "host name"},
		{"https://git%6Cab.com", "host name"},
		{"https://gitläb.com", "xn--"},
		{"https://gitlab.com\u2028", "xn--"},
		{"https://gitlab .com", "white space"},
		{"https://gitlab.com\x00", "invalid character"},
		{"https://[fe80::1%eth0]", "host name"},
		{"https://[::1", "host name"},
		{"https://[127.0.0.1]", "host name"},
		{"https://::1", "host name"},
		{"https://gitlab.com//", "path"},
		{"https://gitlab.com/../x", "path"},
		{"https://gitlab.com/a//b", "path"},
		{"https://gitlab.com/a%2fb", "path"},
		{"https://gitlab.com/gitlab/api/v4", "api/v4"},
	}
	for _, test := range tests {
		i, err := Parse(test.raw, true)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, error %v; want %q in it", test.raw, i, err, test.want)
		} else if strings.Contains(err.Error(), "Canary") {
			t.Errorf("the error quotes the URL: %v", err)
		}
	}
	if _, err := Parse("http://127.0.0.1:8080", false); err == nil {
		t.Error("plain http was accepted without being allowed")
	}
}

// The error suggests what was probably meant, and shows nothing else of the URL.
func TestParseInstead(t *testing.T) {
	const want = "https://gitlab.example.com"
	utf16 := func(text string, first, second string) string {
		var out strings.Builder
		for _, r := range text {
			out.WriteString(first + string(r) + second)
		}
		return out.String()
	}
	for why, raws := range map[string][]string{
		"does not begin with https://":  {"gitlab.example.com", " gitlab.example.com/\n", "GitLab.Example.com.", "https:/gitlab.example.com", "https//gitlab.example.com", "//gitlab.example.com"},
		"is an SSH address":             {"git@gitlab.example.com:group/project.git", "git@gitlab.example.com:"},
		"has a scheme other than https": {"ssh://git@gitlab.example.com:22/group/project.git", "git://gitlab.example.com/group/project", "ssh://gitlab.example.com"},
		"has quotes or other marks":     {`"https://gitlab.example.com"`, "'https://gitlab.example.com/'", "“https://gitlab.example.com”", "<https://gitlab.example.com>", "https://gitlab.example.com,", `"gitlab.example.com"`},
		"but not at the beginning":      {"instanceUrl: https://gitlab.example.com", "ACP_GITLAB_INSTANCE_URL=https://gitlab.example.com"},
		"has a scheme twice":            {"https://" + want, "https://http://gitlab.example.com"},
		"remove /api":                   {want + "/api"},
		"is text in UTF-16":             {"\xff\xfe" + utf16(want+"\r\n", "", "\x00"), "\xfe\xff" + utf16(want, "\x00", ""), utf16(want, "", "\x00"), utf16(want, "\x00", "")},
		"remove /api/v4":                {want + "/api/v4", want + "/api/v4/projects/1", want + "/api/v4/"},
		"is the address of a page":      {want + "/users/sign_in", want + "/-/profile/personal_access_tokens", want + "/-/user_settings/personal_access_tokens?page=1", want + "/explore/groups", want + "/dashboard", want + "/admin", want + "/help", want + "/search", want + "/users/jane", want + "/groups/team", want + "/projects/new", want + "/oauth/token"},
		"has a query":                   {want + "?private_token=glpat-CanaryInURL", want + "/users/sign_in?x=y"},
		"contains a fragment":           {want + "/#glpat-CanaryInURL"},
		"has no valid host name":        {want + ".", want + "..:443"},
		"has a path":                    {want + "//", want + "///"},
	} {
		for _, raw := range raws {
			_, err := Parse(raw, true)
			var mistake *Error
			if !errors.As(err, &mistake) || !strings.Contains(err.Error(), why) && !strings.Contains(err.Error(), "query") {
				t.Errorf("%q: %v, want %q", raw, err, why)
				continue
			}
			if got, whole := mistake.Instead(); got != want || !whole {
				t.Errorf("%q: instead %q, %v", raw, got, whole)
			}
		}
	}
	for raw, want := range map[string]string{
		"https://gitlab.example.com/group/project.git":     "https://gitlab.example.com +",
		"https://gitlab.example.com/a/b/-/merge_requests/": "https://gitlab.example.com +",
		"https://gitlab.com/group/project":                 "https://gitlab.com",
		"https://gitlab.com/group":                         "https://gitlab.com",
		"https://gitlab.com/group/project.git/info/refs":   "https://gitlab.com",
		"https://h.example:8443/gitlab/-/profile":          "https://h.example:8443/gitlab",
		"https://h.example/gitlab/api/v4":                  "https://h.example/gitlab",
		"h.example:8443/gitlab":                            "https://h.example:8443/gitlab",
		"10.0.0.7:8443":                                    "https://10.0.0.7:8443",
		"localhost":                                        "https://localhost",
		// A user name may be there to mislead, and what follows may be a part of a password.
		"https://gitlab.com@evil.example":                    "",
		"https://user:1234/56@h.example":                     "",
		"https://user:pass?word@h.example":                   "",
		"ssh://git:Canary@h.example":                         "",
		"user:Canary@h.example:x":                            "",
		"glpat-CanaryInTheWrongPlace":                        "",
		"https://glpat-CanaryInTheWrongPlace/-/profile":      "",
		"glpat-bzoxCnU6MnNhYWFhYWFhYWFhYWFhYWFhEA.0y04texdh": "",
		"CanaryAbcdefghijklmn":                               "",
		"my.pat-CanaryAbcdefghijklmnop":                      "",
		"${GITLAB_URL}":                                      "",
		"https://$HOST":                                      "",
		"https://a.example\nhttps://b.example":               "",
		"https://gitlab.example.com/../x":                    "",
		"nonsense":                                           "",
	} {
		_, err := Parse(raw, false)
		var mistake *Error
		got := ""
		if errors.As(err, &mistake) {
			url, whole := mistake.Instead()
			if got = url; url != "" && !whole {
				got += " +"
			}
		}
		if err == nil || got != want || strings.Contains(err.Error(), "Canary") {
			t.Errorf("%q: %v, instead %q, want %q", raw, err, got, want)
		}
	}
	if i, err := Parse(" \ufeffhttps://gitlab.example.com\r\n", false); err != nil || i.URL() != want {
		t.Errorf("with a byte order mark: %v, %v", i, err)
	}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		instance, protocol, host, path string
		want                           Match
	}{
		{"https://gitlab.com", "https", "gitlab.com", "", Ours},
		{"https://gitlab.com", "https", "gitlab.com", "group/project.git", Ours},
		{"https://gitlab.com", "https", "GitLab.COM:443", "", Ours},
		{"https://gitlab.com:443", "https", "gitlab.com", "", Ours},
		{"https://h:8443", "https", "h:8443", "a/b", Ours},
		{"https://[::1]:8443", "https", "[::1]:8443", "", Ours},
		{"https://h/gitlab", "https", "h", "gitlab/a/b.git", Ours},
		{"https://h/gitlab", "https", "h", "/gitlab/a/b.git", Ours},
		{"https://h/gitlab", "https", "h", "gitlab", Ours},
		{"https://h/gitlab", "https", "h", "", Ours},
		{"http://127.0.0.1:80", "http", "127.0.0.1", "", Ours},

		{"https://gitlab.com", "http", "gitlab.com", "", Downgraded},
		{"https://gitlab.com", "http", "gitlab.com:443", "", Foreign},
		{"https://h:8443", "http", "h:8443", "", Downgraded},

		{"https://gitlab.com", "https", "gitlab.com.evil.net", "", Foreign},
		{"https://gitlab.com", "https", "evil-gitlab.com", "", Foreign},
		{"https://gitlab.com", "https", "www.gitlab.com", "", Foreign},
		{"https://gitlab.com", "https", "gitlab.com.", "", Foreign},
		{"https://gitlab.com", "https", "gitlab.com:", "", Foreign},
		{"https://gitlab.com", "https", "gitlab.com:0443", "", Foreign},
		{"https://gitlab.com", "https", "gitlab.com:443:443", "", Foreign},
		{"https://gitlab.com", "https", "gitlab.com:8443", "", Foreign},
		{"https://h:8443", "https", "h:8443:443", "", Foreign},
		{"https://h:8443", "https", "h", "", Foreign},
		{"https://h:8443", "https", "h:443", "", Foreign},
		{"https://[::1]", "https", "[::1]:443", "", Ours},
		{"https://gitlab.com", "https", "gitlab.com/evil.com", "", Foreign},
		{"https://gitlab.com", "https", "gitlab.com ", "", Foreign},
		{"https://gitlab.com", "https", "gitlab.com%00", "", Foreign},
		{"https://gitlab.com", "https", "gitlab.com\u2028", "", Foreign},
		{"https://gitlab.com", "https", "user@gitlab.com", "", Foreign},
		{"https://gitlab.com", "https", "gitlaḅ.com", "", Foreign},
		{"https://k.example", "https", "\u212a.example", "", Foreign}, // the Kelvin sign lower-cases to k
		{"https://gitlab.com", "https", "", "", Foreign},
		{"https://gitlab.com", "HTTPS", "gitlab.com", "", Foreign},
		{"https://gitlab.com", "cert", "gitlab.com", "", Foreign},
		{"https://gitlab.com", "ssh", "gitlab.com", "", Foreign},
		{"https://[::1]:8443", "https", "[::1%lo]:8443", "", Foreign},
		{"https://[::1]:8443", "https", "[0:0:0:0:0:0:0:1]:8443", "", Foreign},
		{"https://h/gitlab", "https", "h", "other/a/b.git", Foreign},
		{"https://h/gitlab", "https", "h", "gitlabs/a/b.git", Foreign},
		{"https://h/gitlab", "https", "h", "%67itlab/a/b.git", Foreign},
		{"https://h/gitlab", "https", "h", "gitlab%2f../a/b.git", Foreign},
		{"http://127.0.0.1:80", "https", "127.0.0.1:80", "", Foreign},
	}
	for _, test := range tests {
		if got := mustParse(t, test.instance).Match(test.protocol, test.host, test.path); got != test.want {
			t.Errorf("%s, %s %q %q: %v, want %v", test.instance, test.protocol, test.host, test.path, got, test.want)
		}
	}
	if got := (Instance{}).Match("https", "", ""); got != Foreign {
		t.Errorf("no instance matches: %v", got)
	}
}

func TestProject(t *testing.T) {
	root, below := mustParse(t, "https://gitlab.com"), mustParse(t, "https://h/gitlab")
	tests := []struct{ path, want string }{
		{"group/project", "group/project"},
		{"group/project.git", "group/project"},
		{"/group/project.git/", "group/project"},
		{"a/b/c/d/e/project.git", "a/b/c/d/e/project"},
		{"group/project.git/info/lfs", "group/project"},
		{"group/project/info/lfs/objects/batch", "group/project"},
		{"group/project.wiki.git", "group/project"},
		{"group/project.wiki", "group/project"},
		{"group/project.wiki.git/info/lfs", "group/project"},
		{"group/project/snippets/42.git", "group/project"},
		{"group/project/snippets/42", "group/project"},
		{"group/project/-/snippets/42.git", "group/project"},
		{"group/project/-/tree/main/a..b", "group/project"},
		{"snippets/42.git", ""},
		{"-/snippets/42.git", ""},
		{"group/snippets/project.git", "group/snippets/project"},
		{"info/lfs.git", "info/lfs"},
		{"group/info/lfs", "group/info/lfs"},
		{"group/info/project.git", "group/info/project"},
		{"group%2Fsub%2Fproject.git", "group/sub/project"},
		{"gro%75p/project", "group/project"},
		{"group/my.git.project", "group/my.git.project"},
		{"group/..project", "group/..project"},
		{"", ""}, {"/", ""}, {"group", ""}, {"group.git", ""}, {"group/-/settings", ""},
	}
	for _, test := range tests {
		if got, err := root.Project(test.path); err != nil || got != test.want {
			t.Errorf("%q: %q, %v; want %q", test.path, got, err, test.want)
		}
		path := "gitlab/" + strings.TrimPrefix(test.path, "/")
		if got, err := below.Project(path); err != nil || got != test.want {
			t.Errorf("%q: %q, %v; want %q", path, got, err, test.want)
		}
	}
}

func TestProjectRefuses(t *testing.T) {
	for _, path := range []string{
		"../group/project", "group/../other/project", "group/./project", "group/%2e%2e/project", "group%2f..%2fproject",
		"group//project", "//group/project", "group/project//", "group%2f%2fproject",
		`group/..\evil/project`, `group\project`, "group/%5c..%5cproject",
		"group/pro%0aject", "group/pro%00ject", "group/pro%1b[2Kject", "group/pro\u0085ject", "group/pro\u2028ject",
		"group/project%", "group/project%zz", "group/.git", "group/.wiki.git", strings.Repeat("a/", 2000) + "b",
	} {
		if got, err := mustParse(t, "https://gitlab.com").Project(path); err == nil || got != "" {
			t.Errorf("%q was taken for project %q", path, got)
		}
	}
}

func TestProjectOf(t *testing.T) {
	i := mustParse(t, "https://gitlab.example.com/lab")
	for remote, want := range map[string]string{
		"https://gitlab.example.com/lab/group/project.git":          "group/project",
		"https://user:secret@GitLab.example.com:443/lab/a/b/c":      "a/b/c",
		"https://gitlab.example.com/lab/group%2Fproject":            "group/project",
		"https://gitlab.example.com/lab/group/../project":           "",
		"https://gitlab.example.com/group/project":                  "",
		"https://gitlab.example.com.evil.example/lab/group/project": "",
		"https://gitlab.example.com:8443/lab/group/project":         "",
		"http://gitlab.example.com/lab/group/project":               "",
		"git@gitlab.example.com:lab/group/project.git":              "",
		"ssh://git@gitlab.example.com/lab/group/project.git":        "",
		"/srv/git/lab/group/project":                                "",
		"https://gitlab.example.com/lab/%zz":                        "",
		"":                                                          "",
	} {
		if got, _ := i.ProjectOf(remote); got != want {
			t.Errorf("%q: %q, want %q", remote, got, want)
		}
	}
}

func TestOtherCredential(t *testing.T) {
	for name, want := range map[string]bool{
		"gitlab-ci-token": true, "my-ci-token": true, "gitlab+deploy-token-17": true,
		"": false, "oauth2": false, "alice": false, "ci-token-fan": false, "deploy-token": false,
	} {
		if OtherCredential(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

// An accepted URL is written back as one for the same instance, and only that URL's own parts
// match it.
func FuzzParse(f *testing.F) {
	for _, raw := range []string{"https://gitlab.com", "https://h:8443/gitlab/", "http://[::1]:80", "https://a@b", "https://h:0443"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		i, err := Parse(raw, true)
		if err != nil {
			return
		}
		again, err := Parse(i.URL(), true)
		if err != nil || again != i {
			t.Fatalf("%q became %q, which reads as %v, %v", raw, i.URL(), again, err)
		}
		if i.Match(i.scheme, i.host, strings.TrimPrefix(i.path, "/")) != Ours {
			t.Fatalf("%q does not match itself", i.URL())
		}
		if i.Match(i.scheme, i.host+".evil.net", "") != Foreign || i.Match(i.scheme, "evil-"+i.host, "") != Foreign {
			t.Fatalf("%q matches another host", i.URL())
		}
	})
}

// Only the very host is ours, and a project path can be asked about as it is.
func FuzzRequest(f *testing.F) {
	f.Add("gitlab.com", "group/project.git")
	f.Add("gitlab.com:443", "group/%2e%2e/x")
	f.Add("GITLAB.com", "a/b/c.wiki.git/info/lfs")
	f.Add("evilgitlab.com", "sub/a/b")
	f.Fuzz(func(t *testing.T, host, path string) {
		i := mustParse(t, "https://gitlab.com")
		i.path = "/sub" // as no GitLab on that host has
		if i.Match("https", host, path) != Ours {
			return
		}
		if lower := ascii(t, host); lower != "gitlab.com" && lower != "gitlab.com:443" {
			t.Fatalf("host %q is taken for ours", host)
		}
		project, err := i.Project(path)
		if err != nil || project == "" {
			return
		}
		if !strings.Contains(project, "/") || strings.HasPrefix(project, "/") {
			t.Fatalf("%q gave project %q", path, project)
		}
		for segment := range strings.SplitSeq(project, "/") {
			if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "\x00\r\n\x1b\x7f") {
				t.Fatalf("%q gave project %q", path, project)
			}
		}
	})
}

func TestWiki(t *testing.T) {
	i := mustParse(t, "https://gitlab.example.com/lab")
	for path, want := range map[string]bool{
		"lab/group.wiki.git": true, "lab/group/sub.wiki.git": true, "/lab/a/b/c.wiki.git/": true, "lab/group/sub.wiki": true,
		"lab/group/sub.wiki.git/info/lfs": true, "lab/group/sub.wiki.git/info/lfs/objects/batch": true, "lab/group%2Fsub%2Ewiki.git": true,
		"": false, "lab": false, "lab/group/project.git": false, "lab/group/my.wiki.project.git": false, "lab/group/project.wiki.git/snippets/7.git": false,
		"lab/group/project/-/wikis/home": false, "lab/../sub.wiki.git": false,
	} {
		if i.Wiki(path) != want {
			t.Errorf("%q: not %v", path, want)
		}
		project, wiki := i.ProjectOf("https://gitlab.example.com/" + strings.TrimPrefix(path, "/"))
		if wiki && !want || want && wiki != (project != "" || path == "lab/group.wiki.git") {
			t.Errorf("%q as a remote: %q, %v", path, project, wiki)
		}
	}
}
