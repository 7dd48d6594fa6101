package platform

import (
	"net/url"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// Values of CREDENTIAL_IDS. An ID becomes a part of a path.
func TestCredentialOf(t *testing.T) {
	const ksuid = "2aBcDeFgHiJkLmNoPqRsTuVwXyZ"
	tests := []struct{ ids, id, err string }{
		{`{"gitlab":"` + ksuid + `","github":"x"}`, ksuid, ""},
		{`{"gitlab":"a_b-3"}`, "a_b-3", ""},
		{`{"github":"` + ksuid + `"}`, "", ""},
		{`{"github":{"id":"x"},"new":["y"],"gitlab":"` + ksuid + `"}`, ksuid, ""},
		{`{}`, "", ""},
		{"null", "", ""},
		{`{"gitlab":""}`, "", ""},
		{`{"gitlab":null}`, "", ""},
		{"", "", "not a JSON object"},
		{ksuid, "", "not a JSON object"},
		{`["gitlab"]`, "", "not a JSON object"},
		{`{"gitlab":{"id":"x"}}`, "", "not a JSON object"},
		{`{"gitlab":"a"`, "", "not a JSON object"},
		{`{"gitlab":"a","gitlab":"b"}`, "", "not a JSON object"},
		{`{"gitlab":"a","GitLab":"b"}`, "", "not a JSON object"},
		{`{"gitlab":"../../secrets"}`, "", "is not an id"},
		{`{"gitlab":".."}`, "", "is not an id"},
		{`{"gitlab":"a/b"}`, "", "is not an id"},
		{`{"gitlab":"a%2fb"}`, "", "is not an id"},
		{`{"gitlab":"a?b"}`, "", "is not an id"},
		{`{"gitlab":"a b"}`, "", "is not an id"},
		{`{"gitlab":"a\r\nb"}`, "", "is not an id"},
		{`{"gitlab":"` + strings.Repeat("a", 200) + `"}`, "", "is not an id"},
	}
	for _, test := range tests {
		id, found, err := CredentialOf(test.ids)
		if id.String() != test.id || found != (test.id != "") || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %t, %v", test.ids, id, found, err)
		}
	}
}

// Any value of CREDENTIAL_IDS: an accepted ID is one segment of a path.
func FuzzCredentialOf(f *testing.F) {
	for _, ids := range []string{`{"gitlab":"2aB"}`, `{"gitlab":"../x"}`, `{"gitlab":"a/b"}`, `{"gitlab":"\u002e\u002e"}`, `{"GITLAB":"x"}`, `{"gitlab":"%2e"}`, `{}`, `[]`} {
		f.Add(ids)
	}
	f.Fuzz(func(t *testing.T, ids string) {
		id, found, err := CredentialOf(ids)
		switch {
		case !found || err != nil:
			if id.String() != "" {
				t.Errorf("%q: %q, %t, %v", ids, id, found, err)
			}
		case url.PathEscape(id.String()) != id.String() || strings.Trim(id.String(), ".") == "" || len(id.String()) > maxID:
			t.Errorf("%q: %q", ids, id)
		}
	})
}

// A session's id in the control plane, and what is none.
func TestIsKSUID(t *testing.T) {
	for text, want := range map[string]bool{
		"2aBcDeFgHiJkLmNoPqRsTuVwXyZ": true, "0ujsswThIGTUYm2K8FjOOfXtY1K": true,
		"": false, "session-1": false, "Fix the login": false, "session-1700000000000000000": false, "2abcdefghijklmnopqrstuvwxyz": false,
		"2aBcDeFgHiJkLmNoPqRsTuVwXy-": false, "2aBcDeFgHiJkLmNoPqRsTuVwXyZ0": false,
	} {
		if IsKSUID(text) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}

func TestCredential(t *testing.T) {
	p, _ := stand(t, gitlabtest.PlatformOptions{})
	p.AddCredential(gitlabtest.PlatformCredential{ID: "2aB", Provider: "gitlab", Token: pat, URL: " https://gitlab.example.com ", Project: "team"})
	p.AddCredential(gitlabtest.PlatformCredential{ID: "3cD", Provider: "github", Token: pat, Project: "team"})
	p.AddCredential(gitlabtest.PlatformCredential{ID: "4eF", Provider: "gitlab"})
	c := connect(t, p, bot)
	id := func(text string) Name {
		n, err := ParseID(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// Below the project, below none, and global where a project is asked for.
	for _, project := range []Name{name(t, "team"), {}, name(t, "other")} {
		got, problem := c.Credential(t.Context(), project, id("2aB"))
		want(t, problem, "", false)
		if problem == nil && got.Token() != pat {
			t.Errorf("below %q: another token", project)
		}
		url, problem := c.CredentialURL(t.Context(), project, id("2aB"))
		want(t, problem, "", false)
		if url != "https://gitlab.example.com" {
			t.Errorf("below %q: %q", project, url)
		}
	}
	url, problem := c.CredentialURL(t.Context(), Name{}, id("4eF"))
	want(t, problem, "", false)
	if url != "" {
		t.Errorf("a URL from nowhere: %q", url)
	}
	for _, test := range []struct {
		id    string
		fault gitlabtest.Fault
		code  string
		doubt bool
	}{
		{"3cD", gitlabtest.Fault{}, "platform-garbled", true},
		{"4eF", gitlabtest.Fault{}, "platform-garbled", true}, // without a token
		{"5gH", gitlabtest.Fault{}, "credential-not-found", false},
		{"2aB", gitlabtest.Fault{Body: `{"credential_id":"9zZ","provider":"gitlab","token":"` + other + `"}`}, "platform-garbled", true},
		{"2aB", gitlabtest.Fault{Body: `{"provider":"gitlab","token":"` + other + `"}`}, "platform-garbled", true},
		{"2aB", gitlabtest.Fault{Body: `{"credential_id":"2aB","token":"` + other + `"}`}, "platform-garbled", true},
		{"2aB", gitlabtest.Fault{Body: `{"credential_id":"2aB","provider":"gitlab","token":"` + other + `","Token":"` + pat + `"}`}, "platform-garbled", true},
		{"2aB", gitlabtest.Fault{Status: 401, Body: `{"kind":"Error","reason":"Canary"}`}, "platform-unauthorized", false},
		{"2aB", gitlabtest.Fault{Status: 403, Body: `{"kind":"Error","reason":"Canary"}`}, "platform-forbidden", false},
		{"2aB", gitlabtest.Fault{Status: 501}, "platform-error", true},
	} {
		p.ClearFaults()
		if test.fault.Body != "" || test.fault.Status != 0 {
			test.fault.Match = "credential-token"
			p.AddFault(test.fault)
		}
		_, problem := c.Credential(t.Context(), name(t, "team"), id(test.id))
		want(t, problem, test.code, test.doubt)
	}
	p.ClearFaults()
	for _, body := range []string{`{"id":"9zZ","provider":"gitlab","url":"https://evil.example"}`, `{"id":"2aB","provider":"github","url":"https://evil.example"}`, `{"url":"https://evil.example"}`} {
		p.AddFault(gitlabtest.Fault{Match: "credential", Body: body})
		url, problem := c.CredentialURL(t.Context(), Name{}, id("2aB"))
		want(t, problem, "platform-garbled", true)
		if url != "" {
			t.Errorf("%s: %q", body, url)
		}
		p.ClearFaults()
	}
}
