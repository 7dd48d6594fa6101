package check

import (
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// canary is no part of any address in these tests but as a login.
const canary = "Canary5j7k9m2pQx"

func TestParseTarget(t *testing.T) {
	for _, test := range []struct{ raw, protocol, host, path string }{
		{"https://gitlab.example.com/group/project.git", "https", "gitlab.example.com", "group/project.git"},
		{"https://gitlab.example.com/group/project/", "https", "gitlab.example.com", "group/project"},
		{"HTTPS://GitLab.Example.com:8443/gitlab/a/b/c", "https", "GitLab.Example.com:8443", "gitlab/a/b/c"},
		{"https://gitlab.example.com/a/b/-/tree/main/x@y?ref=a@b#L1", "https", "gitlab.example.com", "a/b"},
		{"https://gitlab.example.com/a/b?x=@y", "https", "gitlab.example.com", "a/b"},
		{"https://gitlab.example.com//group/project//", "https", "gitlab.example.com", "group/project"},
		{"https://gitlab.example.com", "https", "gitlab.example.com", ""},
		{"https://gitlab.example.com?x", "https", "gitlab.example.com", ""},
		{"https://[::1]:8443/a/b", "https", "[::1]:8443", "a/b"},
		{"http://127.0.0.1:8080/a/b", "http", "127.0.0.1:8080", "a/b"},
	} {
		target, problem := ParseTarget(test.raw)
		got := target.Request
		if problem != nil || got.Protocol != test.protocol || got.Host != test.host || got.Path != test.path {
			t.Errorf("%s: %q %q %q, %v", test.raw, got.Protocol, got.Host, got.Path, problem)
		}
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for _, test := range []struct{ raw, code, says string }{
		{"", "url-invalid", "does not begin with https://"},
		{"nonsense", "url-invalid", "does not begin with https://"},
		{"https://", "url-invalid", "does not begin with https://"},
		{"gitlab.example.com/group/project", "url-invalid", "does not begin with https://"},
		{"gitlab.example.com:8443/group/project", "url-invalid", "does not begin with https://"},
		{"ftp://gitlab.example.com/group/project", "url-invalid", "does not begin with https://"},
		{"file:///tmp/project", "url-invalid", "does not begin with https://"},
		{"https:///group/project", "url-invalid", "has no valid host name"},
		{"https://gitlab..com/group/project", "url-invalid", "has no valid host name"},
		{"https://gitlab.example.com:0/group/project", "url-invalid", "has a port"},
		{"https://gitlab.example.com:x/group/project", "url-invalid", "has a port"},
		{"https://gitlab.exämple.com/group/project", "url-invalid", "write an international name in its xn-- form"},
		{"https://gitlab.example.com\x1b[2J/group/project", "url-invalid", "contains an invalid character"},
		{"https://gitlab.example.com/group/pro\x1bject", "url-invalid", "has a path that contains a control character"},
		{"https://gitlab.example.com/group/pro%0aject", "url-invalid", "has a path that contains a control character"},
		{"https://gitlab.example.com/group/../project", "url-invalid", "has a path that contains a . or .."},
		{"https://gitlab.example.com/group/%2e%2e/project", "url-invalid", "has a path that contains a . or .."},
		{"https://gitlab.example.com/group//project", "url-invalid", "has a path that contains an empty segment"},
		{"https://gitlab.example.com/group/project%", "url-invalid", "contains an invalid percent encoding"},
		{"https://gitlab.example.com/group/" + strings.Repeat("x", 5000), "url-invalid", "is too long for a GitLab path"},

		{"https://user@gitlab.example.com/group/project", "url-has-login", "contains a user name or a token"},
		{"https://oauth2:" + canary + "@gitlab.example.com/group/project", "url-has-login", ""},
		{"HTTP://" + canary + "@gitlab.example.com/group/project", "url-has-login", ""},
		{"https:/oauth2:" + canary + "@gitlab.example.com/group/project", "url-has-login", ""},
		{"oauth2:" + canary + "@gitlab.example.com/group/project", "url-has-login", ""},
		{"https://gitlab.example.com/oauth2:" + canary + "@gitlab.example.com/group/project", "url-has-login", ""},
		{"https://gitlab.example.com/group/project?private_token=glpat-" + canary, "url-has-login", ""},
		{"ssh://git:" + canary + "@gitlab.example.com/group/project", "url-has-login", ""},
		{"git@gitlab.example.com:" + canary + "@group/project", "url-has-login", ""},
		{"git:" + canary + "@gitlab.example.com:group/project", "url-has-login", ""},

		{"git@gitlab.example.com:group/project.git", "url-is-ssh", "https://gitlab.example.com/group/project.git"},
		{"git@gitlab.example.com:/group/project", "url-is-ssh", "https://gitlab.example.com/group/project.git"},
		{"gitlab.example.com:a/b/c.git", "url-is-ssh", "https://gitlab.example.com/a/b/c.git"},
		{"ssh://git@gitlab.example.com/group/project.git", "url-is-ssh", "https://gitlab.example.com/group/project.git"},
		{"SSH://git@gitlab.example.com:2222/group/project.git", "url-is-ssh", "https://gitlab.example.com/group/project.git"},
		{"git+ssh://gitlab.example.com/group/project", "url-is-ssh", "https://gitlab.example.com/group/project.git"},
		// The https URL can't be derived from these.
		{"git@gitlab.example.com:project", "url-is-ssh", "give the https URL of the repository"},
		{"git@gitlab..com:group/project", "url-is-ssh", "give the https URL of the repository"},
		{"git@gitlab.example.com:group/../project", "url-is-ssh", "give the https URL of the repository"},
		{"ssh://", "url-is-ssh", "give the https URL of the repository"},
	} {
		target, problem := ParseTarget(test.raw)
		if problem == nil {
			t.Errorf("%q is taken: %+v", test.raw, target)
			continue
		}
		lines := strings.Join(message.As(problem).Lines(), "\n")
		if message.As(problem).Code != test.code || !strings.Contains(lines, test.says) || message.As(problem).Hint == "" {
			t.Errorf("%q: %s: %s; want %s, %q", test.raw, message.As(problem).Code, lines, test.code, test.says)
		}
		if strings.Contains(lines, canary) {
			t.Errorf("%q: the login is shown: %s", test.raw, lines)
		}
	}
}

// Any argument: an accepted one is an address that git can use, and a login is never shown.
func FuzzParseTarget(f *testing.F) {
	for _, raw := range []string{
		"https://gitlab.example.com/a/b", "https://u:@h/a/b", "git@h:a/b", "ssh://git@h:22/a/b", "h:1/a", "http://[::1]/%2e/@",
		"https:/u:@h/a/b?x#y", "https://h/a/b/-/x@y",
	} {
		for at := range len(raw) + 1 {
			f.Add(raw, at)
		}
	}
	f.Fuzz(func(t *testing.T, raw string, at int) {
		if at >= 0 && at <= len(raw) {
			raw = raw[:at] + "oauth2:" + canary + "@" + raw[at:]
		}
		target, problem := ParseTarget(raw)
		if problem != nil {
			for _, line := range message.As(problem).Lines() {
				if strings.Contains(line, canary) || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
					t.Fatalf("%q: said %q", raw, line)
				}
			}
			return
		}
		r := target.Request
		i, err := instance.Parse("https://"+r.Host, false)
		if err != nil || r.Protocol != "https" && r.Protocol != "http" {
			t.Fatalf("%q: %+v, %v", raw, r, err)
		}
		project, err := i.Project(r.Path)
		if err != nil || strings.Contains(project, canary) {
			t.Fatalf("%q: %q, %v", raw, r.Path, err)
		}
	})
}
