package helper

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/secret"
)

// Two instances, each with a token of its own, and whatever request: what is
// answered is the token of the instance that another reader of addresses finds
// in the request, and of no other; and no message shows either.
func FuzzInstances(f *testing.F) {
	f.Add("https://gitlab.example.com", "https://gitlab.example.com/gitlab", "protocol=https\nhost=gitlab.example.com\npath=gitlab/group/project.git\n", false)
	f.Add("https://gitlab.example.com", "https://gitlab.example.com:8443", "protocol=https\nhost=GitLab.example.com:8443\ncapability[]=authtype\n\n", true)
	f.Add("https://one.example", "https://two.example", "protocol=https\nhost=two.example\nusername=dev\npath=a/b\n", true)
	f.Add("https://one.example", "https://one.example", "protocol=http\nhost=one.example\npath=../x\n", false)
	f.Fuzz(func(t *testing.T, one, two, request string, allow bool) {
		tokens := map[string]instance.Instance{}
		var places []secret.Found
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
			for _, line := range m.Lines() {
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
		asked, err := url.Parse(attribute(request, "protocol") + "://" + attribute(request, "host") + "/" + strings.TrimPrefix(attribute(request, "path"), "/"))
		if err != nil {
			t.Fatalf("%q is no address: %v", request, err)
		}
		for token, i := range tokens {
			own, err := url.Parse(i.URL())
			if err != nil {
				t.Fatal(err)
			}
			same := asked.Scheme == own.Scheme && strings.EqualFold(asked.Hostname(), own.Hostname()) && port(asked) == port(own)
			if strings.Contains(answered, token) && !same {
				t.Fatalf("%q was answered with the token of %s", request, i)
			}
		}
	})
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
