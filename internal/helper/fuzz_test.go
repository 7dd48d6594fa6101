package helper

import (
	"encoding/base64"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// Two instances, each with its own token, and any request: the answer is the token of the
// instance that another URL parser finds in the request, and no message shows either.
func FuzzInstances(f *testing.F) {
	f.Add("\x86\x86\x86\x86\x86https://", "https://gitlab.example.com:8443", "protocol=https\nhost=gitlab.example.com:8443\n\n", true)
	f.Add("https://gitlab.example.com", "https://gitlab.example.com/gitlab", "protocol=https\nhost=gitlab.example.com\npath=gitlab/group/project.git\n", false)
	f.Add("https://gitlab.example.com", "https://gitlab.example.com:8443", "protocol=https\nhost=GitLab.example.com:8443\ncapability[]=authtype\n\n", true)
	f.Add("https://one.example", "https://two.example", "protocol=https\nhost=two.example\nusername=dev\npath=a/b\n", true)
	f.Add("https://k.example", "https://two.example", "protocol=https\nhost=\u212a.example\n", false)
	f.Add("https://one.example", "https://two.example", "protocol=https\nhost=evilone.example\n", false)
	f.Add("https://h.example/a", "https://h.example/a/b", "protocol=https\nhost=h.example\npath=a/b/group/project.git\n", false)
	f.Add("https://h.example/a", "https://h.example/a/b", "protocol=https\nhost=h.example\npath=a/bc/project.git\n", false)
	f.Add("https://h.example/a", "https://h.example/b", "protocol=https\nhost=h.example\npath=c/group/project.git\n", false)
	f.Add("https://h.example/a", "https://h.example/b", "protocol=https\nhost=h.example\n", false)
	f.Add("https://one.example", "https://one.example", "protocol=http\nhost=one.example\npath=../x\n", false)
	f.Fuzz(func(t *testing.T, one, two, request string, allow bool) {
		tokens := map[string]instance.Instance{}
		var places []source.Found
		for _, p := range []struct{ url, token string }{{one, canary}, {two, next}} {
			i, err := instance.Parse(p.url, true)
			if err != nil {
				return
			}
			found := place(t, "https://gitlab.example.com")
			found.Instance, found.Token = i, pat(t, p.token)
			places, tokens[p.token] = append(places, found), i
		}
		w := &world{places: places, findings: []Finding{{Verdict: access.Verdict{Outcome: access.Unverified, Reason: access.Timeout}}}}
		if w.rules.AllowUnverified = allow; !allow {
			w.findings = []Finding{granted}
		}
		result := w.get(t, request)
		for _, m := range result.Messages {
			for _, line := range message.As(m).Lines() {
				if strings.Contains(line, "Canary") || message.Printable(line) != line {
					t.Fatalf("said %q", line)
				}
			}
		}
		answered := string(result.Answer)
		if (result.Outcome == Answered) != (answered != "" && answered != quit) {
			t.Fatalf("outcome %v with the answer %q", result.Outcome, answered)
		}
		if result.Outcome != Answered {
			return
		}
		if _, encoded, found := strings.Cut(answered, "\ncredential="); found {
			encoded, _, _ = strings.Cut(encoded, "\n")
			login, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				t.Fatalf("answered %q", answered)
			}
			answered = string(login)
		}
		asked, err := url.Parse(attribute(request, "protocol") + "://" + attribute(request, "host"))
		if err != nil {
			t.Fatalf("%q is no address: %v", request, err)
		}
		asked.Path = "/" + strings.TrimPrefix(attribute(request, "path"), "/") // git has decoded it
		lower(t, asked.Hostname())
		meant := meantOf(t, asked, attribute(request, "path") != "", tokens)
		for token, i := range tokens {
			if strings.Contains(answered, token) && i != meant {
				t.Fatalf("%q was answered with the token of %s, and means %s", request, i, meant)
			}
		}
	})
}

// meantOf is the instance that a request means to another reader: the same
// scheme, host and port, and the longest path above the one that is asked for. It
// is none when git says no path and two could be meant.
func meantOf(t *testing.T, asked *url.URL, told bool, tokens map[string]instance.Instance) instance.Instance {
	t.Helper()
	var meant instance.Instance
	longest, several := -1, false
	for _, i := range tokens {
		own, err := url.Parse(i.URL())
		if err != nil {
			t.Fatal(err)
		}
		if asked.Scheme != own.Scheme || lower(t, asked.Hostname()) != own.Hostname() || port(asked) != port(own) {
			continue
		}
		if told && own.Path != "" && !strings.HasPrefix(path.Clean(asked.Path)+"/", own.Path+"/") {
			continue
		}
		several = several || longest >= 0 && i != meant
		if len(own.Path) > longest {
			meant, longest = i, len(own.Path)
		}
	}
	if several && !told {
		return instance.Instance{}
	}
	return meant
}

// lower is a host in lower case; one with a letter beyond ASCII is never an
// instance's.
func lower(t *testing.T, host string) string {
	t.Helper()
	if strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }) {
		t.Fatalf("the host %q was answered", host)
	}
	return strings.ToLower(host)
}

// attribute is the value of an attribute of a request that was taken.
func attribute(request, name string) string {
	for line := range strings.Lines(request) {
		line = strings.TrimSuffix(line, "\n")
		if value, found := strings.CutPrefix(line, name+"="); found {
			return value
		}
		if line == "" {
			break
		}
	}
	return ""
}

func port(at *url.URL) string {
	if at.Port() == "" {
		return map[string]string{"https": "443", "http": "80"}[at.Scheme]
	}
	return at.Port()
}
