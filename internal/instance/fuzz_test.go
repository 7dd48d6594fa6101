package instance

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

// address is what the standard library makes of an address: scheme, host and
// port, which is the scheme's own where none stands there.
func address(t *testing.T, text string) (scheme, host, port string) {
	t.Helper()
	at, err := url.Parse(text)
	if err != nil || at.User != nil || at.Host == "" {
		t.Fatalf("%q is no address: %v", text, err)
	}
	if port = at.Port(); port == "" {
		port = map[string]string{"https": "443", "http": "80"}[at.Scheme]
	}
	return at.Scheme, ascii(t, at.Hostname()), port
}

// ascii is a host in lower case. One with any letter beyond ASCII is never an
// instance's: strings.ToLower would make a k of the Kelvin sign.
func ascii(t *testing.T, host string) string {
	t.Helper()
	for _, c := range []byte(host) {
		if c >= 0x80 {
			t.Fatalf("the host %q was taken", host)
		}
	}
	return strings.ToLower(host)
}

// Any instance and request: for an accepted request, another URL parser finds the same scheme,
// host and port, and a path below the instance's.
func FuzzMatch(f *testing.F) {
	f.Add("https://gitlab.com", "https", "GitLab.com:443", "group/project.git")
	f.Add("https://gitlab.com:8443/gitlab", "https", "gitlab.com:8443", "gitlab/../x")
	f.Add("http://[::1]:80", "http", "[::1]", "a/b")
	f.Add("https://k.example", "https", "\u212a.example", "")
	f.Add("https://127.0.0.1", "http", "127.0.0.1:80", "%2e%2e/x")
	f.Add("https://h/a", "https", "h:0443", "a%2f../b")
	f.Add("https://k.example/a", "https", "k.example", "b/c")
	f.Add("https://k.example", "https", "evilk.example", "")
	f.Fuzz(func(t *testing.T, raw, protocol, host, sub string) {
		i, err := Parse(raw, true)
		if err != nil {
			return
		}
		match := i.Match(protocol, host, sub)
		if match == Foreign {
			return
		}
		own, ownHost, ownPort := address(t, i.URL())
		scheme, name, port := address(t, protocol+"://"+host+"/")
		switch {
		case match == Ours && (scheme != own || name != ownHost || port != ownPort):
			t.Fatalf("%s is taken for %s", host, i)
		case match == Downgraded && (scheme != "http" || own != "https" || name != ownHost):
			t.Fatalf("%s over %s is taken for %s", host, scheme, i)
		}
		if _, err := i.Project(sub); err != nil || sub == "" {
			return
		}
		decoded, err := url.PathUnescape(sub)
		if err != nil {
			t.Fatalf("the path %q: %v", sub, err)
		}
		clean := path.Clean("/" + strings.ReplaceAll(decoded, `\`, "/"))
		if clean != i.path && !strings.HasPrefix(clean, i.path+"/") {
			t.Fatalf("the path %q is taken for one below %s", sub, i)
		}
	})
}

// Any remote's URL: a project is found on the instance only.
func FuzzProjectOf(f *testing.F) {
	f.Add("https://user:x@gitlab.example.com:443/lab/group/project.git")
	f.Add("https://gitlab.example.com@evil.example/lab/group/project.git")
	f.Add("https://gitlab.example.com/lab/%2e%2e/x/y")
	f.Add("https:\\\\gitlab.example.com/lab/a/b")
	f.Add("https://gitlab.example.com:8443/lab/a/b")
	f.Add("https://evilgitlab.example.com/lab/a/b")
	f.Fuzz(func(t *testing.T, remote string) {
		i := mustParse(t, "https://gitlab.example.com/lab")
		project, _ := i.ProjectOf(remote)
		if project == "" {
			return
		}
		at, err := url.Parse(remote)
		if err != nil || at.Scheme != "https" || ascii(t, at.Hostname()) != "gitlab.example.com" || at.Port() != "" && at.Port() != "443" {
			t.Fatalf("%q is %q on %s", remote, project, i)
		}
		if path.Clean("/"+project) != "/"+project || strings.ContainsAny(project, "\\\x00\r\n\x1b") || !strings.Contains(project, "/") {
			t.Fatalf("%q gave %q", remote, project)
		}
	})
}
