package helper

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

const (
	canary = "glpat-CanaryQ7x9Zk2WvB4n"
	// next is the token after a rotation.
	next = "glpat-CanaryNextT5y8Mf1LpR"
	ours = "protocol=https\nhost=gitlab.example.com\npath=group/project.git\n"
	// pathless is what git sends unless useHttpPath is on.
	pathless = "protocol=https\nhost=gitlab.example.com\n"
	quit     = "quit=1\n"
)

var midnight = time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)

func parse(t testing.TB, url string) instance.Instance {
	t.Helper()
	i, err := instance.Parse(url, true)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func pat(t testing.TB, text string) token.Token {
	t.Helper()
	tok, err := token.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// place is a Secret with the canary for an instance.
func place(t testing.TB, url string) source.Found {
	return source.Found{Source: source.Mount, Where: "the Secret at /s", Renew: "reconnect", Belongs: "the key instanceUrl of the Secret",
		Instance: parse(t, url), Token: pat(t, canary)}
}

// broken is a place with a problem, whose instance is not known for url "".
func broken(t testing.TB, url string) source.Found {
	f := source.Found{Source: source.Mount, Where: "the Secret at /s", Renew: "reconnect", Belongs: "the key instanceUrl of the Secret",
		Problem: &message.Error{Code: "token-key-missing", Topic: message.Configuration, What: "the Secret at /s has no token"}}
	if url != "" {
		f.Instance = parse(t, url)
	}
	return f
}

// silentPlace is a Secret of a cluster that does not answer.
func silentPlace(t testing.TB, url string) source.Found {
	f := broken(t, url)
	f.Source, f.Problem = source.API, &message.Error{Code: "kube-timeout", Topic: message.NotVerified, What: "the server did not answer"}
	return f
}

// world is what a Helper gets to know, and counts how often it asked.
type world struct {
	places         []source.Found
	secretsProblem error
	known          *instance.Instance
	knownProblem   error
	only           bool
	rules          Rules
	noRole         bool
	rulesProblem   error
	// configured is the level that git's configuration sets; nil for none.
	configured *int
	// remotes are those of the repository that git is working in.
	remotes []string
	// findings are the answers to Verify, the last one again and again.
	findings []Finding
	// remembered are the tokens of which Forget finds something.
	remembered []string
	// backup says that there is a Secret in the cluster, newer is what it has, and
	// newerProblem why it can't be read.
	backup       bool
	newer        source.Found
	newerProblem error
	attempts     cache.Store
	// onVerify happens while GitLab is asked.
	onVerify func()

	calls []string
	asked []Question
}

func (w *world) helper() Helper {
	backup := ""
	if w.backup {
		backup = "team/mine"
	}
	return Helper{
		Source:   w,
		Verifier: w,
		Backup:   backup,
		Attempts: w.attempts,
		Known:    w.known, KnownProblem: w.knownProblem,
		MinAccess: func(Question) (int, bool) {
			w.calls = append(w.calls, "config")
			if w.configured == nil {
				return 0, false
			}
			return *w.configured, true
		},
		Only: w.only,
		Rules: func(string) (Rules, error) {
			w.calls = append(w.calls, "rules")
			if w.rules.Minimum == 0 && !w.noRole {
				w.rules.Minimum = access.Developer
			}
			return w.rules, w.rulesProblem
		},
		Remotes: func() []string {
			w.calls = append(w.calls, "remotes")
			return w.remotes
		},
	}
}

// Find gives the places.
func (w *world) Find(context.Context, credential.Request) ([]source.Found, []string, error) {
	w.calls = append(w.calls, "secrets")
	return slices.Clone(w.places), []string{"the Secret at /s", "the environment variable GITLAB_TOKEN"}, w.secretsProblem
}

// Newer gives what the cluster has.
func (w *world) Newer(context.Context) (source.Found, error) {
	w.calls = append(w.calls, "newer")
	return w.newer, w.newerProblem
}

// Connect gives a hint.
func (w *world) Connect() string { return "reconnect" }

// Verify gives the next of the findings.
func (w *world) Verify(_ context.Context, q Question) Finding {
	w.calls = append(w.calls, "verify")
	w.asked = append(w.asked, q)
	if w.onVerify != nil {
		w.onVerify()
	}
	return w.findings[min(len(w.asked), len(w.findings))-1]
}

// Forget knows the remembered tokens.
func (w *world) Forget(t token.Token) bool {
	w.calls = append(w.calls, "forget")
	return slices.Contains(w.remembered, t.Reveal())
}

// count is how often one of the functions was called.
func (w *world) count(name string) (n int) {
	for _, call := range w.calls {
		if call == name {
			n++
		}
	}
	return n
}

// get asks, and holds the result to what is true of all.
func (w *world) get(t *testing.T, request string) Result {
	t.Helper()
	result := w.helper().Get(t.Context(), strings.NewReader(request))
	hold(t, result)
	if w.count("verify") > 0 && (result.Outcome == Failed || result.Outcome == NotOurs) {
		t.Errorf("GitLab was asked over a request that is not ours: %+v", w.calls)
	}
	return result
}

func hold(t *testing.T, result Result) {
	t.Helper()
	if result.Redact == nil {
		t.Fatalf("no Redact: %+v", result)
	}
	if result.Redact("plain text") != "plain text" {
		t.Errorf("Redact makes %q", result.Redact("plain text"))
	}
	for _, secret := range []string{canary, next} {
		for _, m := range result.Messages {
			for i := 0; i+8 <= len(secret); i++ {
				if strings.Contains(fmt.Sprintf("%+v", *message.As(m)), secret[i:i+8]) {
					t.Errorf("a message holds the token: %+v", *message.As(m))
				}
			}
		}
	}
	shown := string(result.Answer)
	if _, encoded, found := strings.Cut(shown, "credential="); found {
		decoded, err := base64.StdEncoding.DecodeString(strings.SplitN(encoded, "\n", 2)[0])
		if err != nil {
			t.Error(err)
		}
		shown += string(decoded)
	}
	switch held := strings.Contains(shown, "Canary"); {
	case held != (result.Outcome == Answered):
		t.Errorf("outcome %v with the answer %q", result.Outcome, result.Answer)
	case !held && shown != "" && shown != quit:
		t.Errorf("the answer %q", result.Answer)
	case shown == quit && result.Outcome != Refused && result.Outcome != Unverified:
		t.Errorf("outcome %v makes git stop", result.Outcome)
	case (result.Outcome == NotOurs) != (len(result.Messages) == 0) && result.Outcome != Answered:
		t.Errorf("outcome %v with %v", result.Outcome, result.Messages)
	}
}

// want compares outcome, answer and the codes of the messages.
func (r Result) want(t *testing.T, outcome Outcome, answer string, codes ...string) {
	t.Helper()
	var got []string
	for _, m := range r.Messages {
		got = append(got, message.As(m).Code)
	}
	if r.Outcome != outcome || string(r.Answer) != answer || !slices.Equal(got, codes) {
		t.Errorf("outcome %v, answer %q, messages %q\nwant    %v, answer %q, messages %q", r.Outcome, r.Answer, got, outcome, answer, codes)
	}
}

var (
	granted  = Finding{Verdict: access.Verdict{Outcome: access.Granted, ExpiresAt: midnight}}
	refused  = Finding{Verdict: access.Verdict{Outcome: access.Refused, Reason: access.TokenRevoked}}
	silent   = Finding{Verdict: access.Verdict{Outcome: access.Unverified, Reason: access.ServerError, Detail: "502 Bad Gateway"}}
	answered = "username=oauth2\npassword=" + canary + "\npassword_expiry_utc=1798675200\n"
)

// Requests that have nothing to do with the instance: no word, no answer, and
// neither settings read nor anybody asked.
func TestGetForeign(t *testing.T) {
	tests := []struct {
		name, request string
		// unread requests end before even a Secret is looked at.
		unread bool
	}{
		{"another host", "protocol=https\nhost=evil.example\npath=group/project.git\n", false},
		{"our host as a beginning", "protocol=https\nhost=gitlab.example.com.evil.example\n", false},
		{"our host as an end", "protocol=https\nhost=evil-gitlab.example.com\n", false},
		{"our host's subdomain", "protocol=https\nhost=www.gitlab.example.com\n", false},
		{"our host as a user", "protocol=https\nhost=gitlab.example.com@evil.example\n", false},
		{"another port", "protocol=https\nhost=gitlab.example.com:8443\n", false},
		{"another host over http", "protocol=http\nhost=evil.example\n", false},
		{"another protocol", "protocol=ssh\nhost=gitlab.example.com\n", true},
		{"a certificate's password", "protocol=cert\nhost=gitlab.example.com\npath=/k\n", true},
		{"protocol in capitals", "protocol=HTTPS\nhost=gitlab.example.com\n", true},
		{"a CI job's token", ours + "username=gitlab-ci-token\n", true},
		{"a deploy token", ours + "username=gitlab+deploy-token-7\n", true},
	}
	known := parse(t, "https://gitlab.example.com")
	worlds := map[string]world{
		"token":                 {places: []source.Found{place(t, "https://gitlab.example.com")}},
		"broken Secret":         {places: []source.Found{broken(t, "https://gitlab.example.com")}},
		"known":                 {known: &known},
		"known, in doubt":       {known: &known, places: []source.Found{broken(t, "")}, secretsProblem: error(&message.Error{Code: "two-forms", Topic: message.Configuration, What: "the Secret at /s" + " has two forms"})},
		"known, only":           {known: &known, only: true, places: []source.Found{place(t, "https://gitlab.example.com")}},
		"known, token of other": {known: &known, places: []source.Found{place(t, "https://other.example")}},
	}
	for name, start := range worlds {
		for _, test := range tests {
			t.Run(name+"/"+test.name, func(t *testing.T) {
				w := start
				w.rulesProblem, w.findings = message.SettingInvalid("X", errors.New("wrong")), []Finding{granted}
				w.get(t, test.request).want(t, NotOurs, "")
				if w.count("rules")+w.count("remotes")+w.count("verify") > 0 || test.unread && len(w.calls) > 0 || w.only && w.count("secrets") > 0 {
					t.Errorf("called %q", w.calls)
				}
			})
		}
	}
}

// Malformed and impossible requests end before anything is looked up.
func TestGetMalformed(t *testing.T) {
	// Nothing is called for these: the request is read first.
	for name, request := range map[string]string{
		"nothing":         "",
		"carriage return": "protocol=https\r\nhost=gitlab.example.com\r\n",
		"two hosts":       "protocol=https\nhost=gitlab.example.com\nhost=evil.example\n",
		"NUL":             "protocol=https\nhost=gitlab.example.com\x00.evil.example\n",
		"no host":         "protocol=https\n",
		"no protocol":     "host=gitlab.example.com\n",
		"token in a line": "protocol=https\nhost=gitlab.example.com\n" + canary + "\n",
		"endless line":    ours + "x=" + strings.Repeat("x", 70000) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, findings: []Finding{granted}}
			w.get(t, request).want(t, Failed, "", "malformed-request")
			if len(w.calls) > 0 {
				t.Errorf("called %q", w.calls)
			}
		})
	}
	t.Run("reader fails", func(t *testing.T) {
		w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, findings: []Finding{granted}}
		// The required attributes arrived, but not the end of the request.
		in := io.MultiReader(strings.NewReader(ours), iotest.ErrReader(errors.New("it broke")))
		result := w.helper().Get(t.Context(), in)
		hold(t, result)
		result.want(t, Failed, "", "malformed-request")
		if len(w.calls) > 0 {
			t.Errorf("called %q", w.calls)
		}
	})
	for name, request := range map[string]struct{ text, code string }{
		"http":                {"protocol=http\nhost=gitlab.example.com\npath=group/project.git\n", "plain-http"},
		"path climbs":         {pathless + "path=group/../other/project.git\n", "malformed-path"},
		"path climbs encoded": {pathless + "path=group/%2e%2e/other/project.git\n", "malformed-path"},
		"path breaks a line":  {pathless + "path=group/pro%0aject.git\n", "malformed-path"},
		"path is endless":     {pathless + "path=" + strings.Repeat("a/", 3000) + "b\n", "malformed-path"},
	} {
		for _, found := range []source.Found{place(t, "https://gitlab.example.com"), broken(t, "https://gitlab.example.com")} {
			t.Run(name, func(t *testing.T) {
				w := &world{places: []source.Found{found}, findings: []Finding{granted}}
				w.get(t, request.text).want(t, Failed, "", request.code)
				if w.count("rules")+w.count("verify") > 0 {
					t.Errorf("called %q", w.calls)
				}
			})
		}
	}
}

// Without a good token for the request's host, words and quit=1 depend on
// whether it is known that the host is ours.
func TestGetWithoutToken(t *testing.T) {
	us, other := parse(t, "https://gitlab.example.com"), parse(t, "https://other.example")
	below := parse(t, "https://gitlab.example.com/gitlab")
	doubt := error(&message.Error{Code: "two-forms", Topic: message.Configuration, What: "the Secret at /s" + " has two forms"})
	invalid := message.InstanceInvalid("--instance", errors.New("is wrong"))
	good, unknown := place(t, "https://gitlab.example.com"), broken(t, "")
	unheard := source.Found{Source: source.Backend, Where: "the platform", Problem: &message.Error{Code: "platform-error", Topic: message.NotVerified, What: "the platform answers 502"}}
	elsewhere := place(t, "https://other.example")
	tests := []struct {
		name    string
		world   world
		request string
		outcome Outcome
		answer  string
		codes   []string
	}{
		{"nothing at all", world{}, ours, NotOurs, "", nil},
		{"token of another", world{places: []source.Found{elsewhere}}, ours, NotOurs, "", nil},
		{"broken place of another", world{places: []source.Found{broken(t, "https://other.example")}}, ours, NotOurs, "", nil},

		// The token's instance is unknown: a message, but git goes on to other helpers.
		{"in doubt", world{places: []source.Found{unknown}}, ours, Failed, "", []string{"token-key-missing"}},
		{"in doubt, nothing learned", world{places: []source.Found{unheard}}, ours, Unverified, "", []string{"platform-error"}},
		{"in doubt over http", world{places: []source.Found{unknown}}, "protocol=http\nhost=gitlab.example.com\n", Failed, "", []string{"token-key-missing"}},
		{"known can't be read", world{knownProblem: invalid}, ours, Failed, "", []string{"instance-invalid"}},
		{"all of it", world{knownProblem: invalid, secretsProblem: doubt, places: []source.Found{unknown}}, ours, Failed, "", []string{"instance-invalid"}},
		{"in doubt beside another's", world{places: []source.Found{elsewhere, unknown}}, ours, Failed, "", []string{"token-key-missing"}},

		// A wrong setting is none of the business of hosts that aren't ours.
		{"wrong setting, nothing there", world{secretsProblem: doubt}, ours, NotOurs, "", nil},
		{"wrong setting, another's", world{secretsProblem: doubt, places: []source.Found{elsewhere}}, ours, NotOurs, "", nil},
		{"wrong setting, ours", world{secretsProblem: doubt, places: []source.Found{good}}, ours, Refused, quit, []string{"two-forms"}},

		// It is ours: a word, and git stops.
		{"known, in doubt", world{known: &us, places: []source.Found{unknown}}, ours, Refused, quit, []string{"token-key-missing"}},
		{"known, Secrets can't be read", world{known: &us, secretsProblem: doubt}, ours, Refused, quit, []string{"two-forms"}},
		{"known, nothing learned", world{known: &us, places: []source.Found{unheard}}, ours, Unverified, quit, []string{"platform-error"}},
		{"known, nothing there", world{known: &us}, ours, Refused, quit, []string{"not-connected"}},
		{"known, token of another", world{known: &us, places: []source.Found{elsewhere}}, ours, Refused, quit, []string{"other-instance"}},
		{"known, broken place of another", world{known: &us, places: []source.Found{broken(t, "https://gitlab.com")}}, ours, Refused, quit, []string{"token-key-missing"}},
		{"known, token of another, in doubt", world{known: &us, places: []source.Found{elsewhere, unknown}}, ours, Refused, quit, []string{"token-key-missing"}},
		{"known, over http", world{known: &us}, "protocol=http\nhost=gitlab.example.com\n", Failed, "", []string{"plain-http"}},
		{"known below a path, no path sent", world{known: &below}, pathless, Refused, quit, []string{"not-connected"}},
		{"known below another path", world{known: &below}, ours, NotOurs, "", nil},
		{"known is another", world{known: &other, places: []source.Found{unknown}, secretsProblem: doubt}, ours, NotOurs, "", nil},

		// A broken place of ours: the same, whether known or not.
		{"broken", world{places: []source.Found{broken(t, "https://gitlab.example.com")}}, ours, Refused, quit, []string{"token-key-missing"}},
		{"broken, known", world{known: &us, places: []source.Found{broken(t, "https://gitlab.example.com")}}, ours, Refused, quit, []string{"token-key-missing"}},

		// A good source is used although others are broken.
		{"in doubt, not answered", world{places: []source.Found{silentPlace(t, "")}}, ours, Unverified, "", []string{"kube-timeout"}},
		{"known, not answered", world{known: &us, places: []source.Found{silentPlace(t, "")}}, ours, Unverified, quit, []string{"kube-timeout"}},
		{"not answered", world{places: []source.Found{silentPlace(t, "https://gitlab.example.com")}}, ours, Unverified, quit, []string{"kube-timeout"}},
		{"not answered, another's", world{places: []source.Found{silentPlace(t, "https://other.example")}}, ours, NotOurs, "", nil},
		{"good after unknown", world{places: []source.Found{unknown, good}}, ours, Answered, answered, nil},
		{"good, known is another", world{known: &other, places: []source.Found{good}}, ours, Answered, answered, nil},
		{"good, known can't be read", world{knownProblem: invalid, places: []source.Found{good}}, ours, Answered, answered, nil},
		{"good after another's", world{places: []source.Found{elsewhere, good}}, ours, Answered, answered, nil},

		// With Only, one instance and no other.
		{"only this one", world{only: true, known: &us, places: []source.Found{elsewhere, good}}, ours, Answered, answered, nil},
		{"only another one", world{only: true, known: &other, places: []source.Found{good}}, ours, NotOurs, "", nil},
		{"only another one, in doubt", world{only: true, known: &other, places: []source.Found{unknown}, secretsProblem: doubt}, ours, NotOurs, "", nil},
		{"only another one, over http", world{only: true, known: &other, places: []source.Found{good}}, "protocol=http\nhost=gitlab.example.com\n", NotOurs, "", nil},
		{"only this one, over http", world{only: true, known: &us, places: []source.Found{good}}, "protocol=http\nhost=gitlab.example.com\n", Failed, "", []string{"plain-http"}},
		{"only this one, nothing there", world{only: true, known: &us}, ours, Refused, quit, []string{"not-connected"}},
		{"only one that can't be read", world{only: true, knownProblem: invalid, places: []source.Found{good}}, ours, Failed, "", []string{"instance-invalid"}},
		{"only a part of the host", world{only: true, known: &below, places: []source.Found{good}}, ours, NotOurs, "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := test.world
			w.findings = []Finding{granted}
			w.get(t, test.request).want(t, test.outcome, test.answer, test.codes...)
			wantVerify := 0
			if test.outcome == Answered {
				wantVerify = 1
			}
			if w.count("verify") != wantVerify || w.count("rules") != wantVerify || w.only && test.outcome == Failed && w.count("secrets") > 0 {
				t.Errorf("called %q", w.calls)
			}
		})
	}
}

// The words name what was looked at and what belongs to whom.
func TestGetWithoutTokenWords(t *testing.T) {
	us := parse(t, "https://gitlab.example.com")
	w := &world{known: &us}
	if text := message.As(w.get(t, ours).Messages[0]).What; !strings.Contains(text, "no token for gitlab.example.com (looked at the Secret at /s, the environment variable GITLAB_TOKEN)") {
		t.Error(text)
	}
	w = &world{known: &us, places: []source.Found{place(t, "https://a.example"), place(t, "https://b.example")}}
	if text := message.As(w.get(t, ours).Messages[0]).What; !strings.Contains(text, "the Secret at /s belongs to a.example, not to gitlab.example.com") {
		t.Error(text)
	}
}

func TestGetVerdict(t *testing.T) {
	allow := Rules{Minimum: access.Developer, Scopes: access.DefaultScopes(), AllowUnverified: true}
	interrupted := Finding{Verdict: access.Verdict{Outcome: access.Unverified, Reason: access.Interrupted}}
	lateProject := silent
	lateProject.Verdict.ExpiresAt = midnight
	note := error(&message.Error{Code: "waiting", Topic: message.Waiting, What: "gitlab.example.com answered with an error"})
	noted := func(f Finding) Finding {
		f.Notes = []error{note}
		return f
	}
	tests := []struct {
		name    string
		rules   Rules
		finding Finding
		outcome Outcome
		answer  string
		codes   []string
	}{
		{"granted", Rules{}, granted, Answered, answered, nil},
		{"granted, no expiry", Rules{}, Finding{Verdict: access.Verdict{Outcome: access.Granted}}, Answered, "username=oauth2\npassword=" + canary + "\n", nil},
		{"granted, with a note", Rules{}, noted(granted), Answered, answered, []string{"waiting"}},
		{"refused", Rules{}, refused, Refused, quit, []string{"token-revoked"}},
		{"refused, with a note", Rules{}, noted(refused), Refused, quit, []string{"waiting", "token-revoked"}},
		{"unverified", Rules{}, silent, Unverified, quit, []string{"server-error"}},
		{"interrupted", Rules{}, interrupted, Unverified, quit, []string{"interrupted"}},
		// The zero value never answers.
		{"no finding", Rules{}, Finding{}, Unverified, quit, []string{""}},
		{"could not ask", Rules{}, Finding{Problem: message.CAInvalid("x", "y")}, Refused, quit, []string{"ca-invalid"}},
		{"could not ask, whatever the verdict", Rules{}, Finding{Problem: message.CAInvalid("x", "y"), Verdict: granted.Verdict}, Refused, quit, []string{"ca-invalid"}},

		{"allowed: granted", allow, granted, Answered, answered, nil},
		{"allowed: refused", allow, refused, Refused, quit, []string{"token-revoked"}},
		{"allowed: unverified", allow, silent, Answered, "username=oauth2\npassword=" + canary + "\n", []string{"allowed-unverified"}},
		{"allowed: unverified, expiry known", allow, lateProject, Answered, answered, []string{"allowed-unverified"}},
		{"allowed: unverified, with a note", allow, noted(lateProject), Answered, answered, []string{"waiting", "allowed-unverified"}},
		// Ctrl-C ends the request without an answer.
		{"allowed: interrupted", allow, interrupted, Unverified, quit, []string{"interrupted"}},
		{"allowed: could not ask", allow, Finding{Problem: message.CAInvalid("x", "y")}, Refused, quit, []string{"ca-invalid"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, rules: test.rules, findings: []Finding{test.finding}}
			result := w.get(t, ours)
			result.want(t, test.outcome, test.answer, test.codes...)
			if got := result.Redact("it is " + canary + "!"); got != "it is [redacted]!" {
				t.Errorf("Redact makes %q", got)
			}
			if w.count("verify") != 1 || w.count("rules") != 1 || slices.Index(w.calls, "rules") < slices.Index(w.calls, "secrets") {
				t.Errorf("called %q", w.calls)
			}
		})
	}
	t.Run("a setting is wrong", func(t *testing.T) {
		w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, findings: []Finding{granted},
			rules: allow, rulesProblem: message.SettingInvalid("X", errors.New("wrong"))}
		w.get(t, ours).want(t, Refused, quit, "setting-invalid")
		if w.count("verify") > 0 {
			t.Errorf("called %q", w.calls)
		}
	})
	t.Run("words for what was allowed", func(t *testing.T) {
		w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, rules: allow, findings: []Finding{silent}}
		if m := w.get(t, ours).Messages[0]; !strings.Contains(message.As(m).What, "to its own instance anyway") || message.As(m).Topic != message.NotVerified {
			t.Errorf("%+v", *message.As(m))
		}
	})
}

// The question for the verifier: this token, the request's project, the settings.
func TestGetQuestion(t *testing.T) {
	rules := Rules{Minimum: access.Maintainer, Scopes: []string{"api", "sudo"}}
	tests := []struct{ instance, path, project string }{
		{"https://gitlab.example.com", "path=group/sub/project.git\n", "group/sub/project"},
		{"https://gitlab.example.com", "path=group/project.wiki.git/info/lfs\n", "group/project"},
		{"https://gitlab.example.com", "path=group%2Fproject\n", "group/project"},
		{"https://gitlab.example.com", "path=\n", ""},
		{"https://gitlab.example.com", "", ""},
		{"https://gitlab.example.com", "path=snippets/7.git\n", ""},
		{"https://gitlab.example.com/gitlab", "path=gitlab/group/project.git\n", "group/project"},
		{"https://gitlab.example.com/gitlab", "", ""},
	}
	for _, test := range tests {
		w := &world{places: []source.Found{place(t, "https://other.example"), place(t, test.instance)}, rules: rules, findings: []Finding{granted}}
		w.get(t, pathless+test.path).want(t, Answered, answered)
		if len(w.asked) != 1 {
			t.Fatalf("%q: asked %d times", test.path, len(w.asked))
		}
		q := w.asked[0]
		if q.Project != test.project || q.Found.Instance != parse(t, test.instance) || q.Found.Token.Reveal() != canary {
			t.Errorf("%q: %+v", test.path, q)
		}
		if q.Policy.Project != (test.project != "") || q.Policy.Minimum != rules.Minimum || !slices.Equal(q.Policy.Scopes, rules.Scopes) {
			t.Errorf("%q: the policy is %+v", test.path, q.Policy)
		}
	}
}

// With the minimum none, the project is not asked about. A lower level that git's
// configuration sets for a URL counts when the role is too low, and only then.
func TestGetMinAccess(t *testing.T) {
	low := Finding{Verdict: access.Verdict{Outcome: access.Refused, Reason: access.LevelTooLow, Minimum: access.Developer}}
	level := func(n int) *int { return &n }
	for _, test := range []struct {
		name       string
		world      world
		minimums   []int
		withoutAPI bool // the last question leaves out the project
	}{
		{"none", world{noRole: true, findings: []Finding{granted}}, []int{access.NoRole}, true},
		{"guest", world{rules: Rules{Minimum: access.Guest}, findings: []Finding{granted}}, []int{access.Guest}, false},
		{"granted: not looked up", world{configured: level(access.Reporter), findings: []Finding{granted}}, []int{access.Developer}, false},
		{"revoked: not looked up", world{configured: level(access.Reporter), findings: []Finding{refused}}, []int{access.Developer}, false},
		{"too low, nothing set", world{findings: []Finding{low}}, []int{access.Developer}, false},
		{"too low, reporter set", world{configured: level(access.Reporter), findings: []Finding{low, granted}}, []int{access.Developer, access.Reporter}, false},
		{"too low, none set", world{configured: level(access.NoRole), findings: []Finding{low, granted}}, []int{access.Developer, access.NoRole}, true},
		{"too low, a higher one set", world{configured: level(access.Owner), findings: []Finding{low}}, []int{access.Developer}, false},
		{"too low for that, too", world{configured: level(access.Reporter), findings: []Finding{low}}, []int{access.Developer, access.Reporter}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := &test.world
			w.places = []source.Found{place(t, "https://gitlab.example.com")}
			w.get(t, pathless+"path=group/project.git\n")
			var minimums []int
			for _, q := range w.asked {
				minimums = append(minimums, q.Policy.Minimum)
			}
			if last := w.asked[len(w.asked)-1]; !slices.Equal(minimums, test.minimums) || last.Policy.Project == test.withoutAPI {
				t.Errorf("asked %+v", w.asked)
			}
			if looked := w.count("config") > 0; looked != (w.findings[0].Verdict.Reason == access.LevelTooLow) {
				t.Errorf("called %q", w.calls)
			}
		})
	}
}

// Without a path, the project is the one that the remotes name, if they name
// one; with a path they are not so much as looked at.
func TestGetRemotes(t *testing.T) {
	const at = "https://gitlab.example.com/"
	tests := []struct {
		name    string
		path    string
		remotes []string
		project string
	}{
		{"none", "", nil, ""},
		{"one", "", []string{at + "group/project.git"}, "group/project"},
		{"one, empty path", "path=\n", []string{at + "group/project.git"}, "group/project"},
		{"the same twice", "", []string{at + "group/project.git", at + "group/project", "https://alice@gitlab.example.com:443/group/project.wiki.git"}, "group/project"},
		{"two", "", []string{at + "group/project.git", at + "group/other.git"}, ""},
		{"two, and the first again", "", []string{at + "group/project.git", at + "group/other.git", at + "group/project.git"}, ""},
		{"three", "", []string{at + "a/a", at + "b/b", at + "c/c"}, ""},
		{"among others' remotes", "", []string{"https://github.com/a/b", "git@gitlab.example.com:a/c.git", "/srv/a/d", at + "group/project.git", "\x00:\n"}, "group/project"},
		{"others' remotes only", "", []string{"https://evil.example/group/project", "http://gitlab.example.com/group/project", at + "group/../project"}, ""},
		{"a path besides", "path=group/asked.git\n", []string{at + "group/project.git"}, "group/asked"},
		{"a path that names no project", "path=snippets/7.git\n", []string{at + "group/project.git"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, remotes: test.remotes, findings: []Finding{granted}}
			w.get(t, pathless+test.path).want(t, Answered, answered)
			if len(w.asked) != 1 || w.asked[0].Project != test.project || w.asked[0].Policy.Project != (test.project != "") {
				t.Errorf("asked %+v", w.asked)
			}
			if looked := w.count("remotes") > 0; looked != (test.path == "" || test.path == "path=\n") {
				t.Errorf("called %q", w.calls)
			}
		})
	}
}

// The URL that a question is about is git's, as far as git tells it.
func TestGetURL(t *testing.T) {
	for _, test := range []struct{ at, request, remote, want string }{
		{"https://gitlab.example.com", ours, "", "https://gitlab.example.com/group/project.git"},
		{"https://gitlab.example.com", "protocol=https\nhost=GitLab.Example.com:443\nusername=de/v\npath=group/pro ject\n", "", "https://de%2Fv@GitLab.Example.com:443/group/pro%20ject"},
		{"https://gitlab.example.com", pathless, "", "https://gitlab.example.com/"},
		{"https://gitlab.example.com", pathless, "https://gitlab.example.com/group/project", "https://gitlab.example.com/group/project.git"},
		{"https://gitlab.example.com/gitlab", pathless, "https://gitlab.example.com/gitlab/group/project.git", "https://gitlab.example.com/gitlab/group/project.git"},
		{"https://gitlab.example.com/gitlab", pathless, "https://elsewhere.example/group/project.git", "https://gitlab.example.com/gitlab/"},
	} {
		w := &world{places: []source.Found{place(t, test.at)}, rules: Rules{Minimum: access.Developer, Scopes: access.DefaultScopes()},
			findings: []Finding{{Verdict: access.Verdict{Outcome: access.Granted}}}}
		if test.remote != "" {
			w.remotes = []string{test.remote}
		}
		w.get(t, test.request)
		if len(w.asked) != 1 || w.asked[0].URL != test.want {
			t.Errorf("%q with %q: %+v, want %s", test.request, test.remote, w.asked, test.want)
		}
	}
}

func TestGetUserName(t *testing.T) {
	tests := []struct {
		name, request string
		outcome       Outcome
		answer        string
		codes         []string
	}{
		{"none", ours, Answered, answered, nil},
		{"empty", ours + "username=\n", Answered, answered, nil},
		{"git's own", ours + "username=oauth2\n", Answered, answered, nil},
		{"another", ours + "username=alice\n", Answered, strings.Replace(answered, "oauth2", "alice", 1), nil},
		{"not ASCII", ours + "username=älice\n", Answered, strings.Replace(answered, "oauth2", "älice", 1), nil},
		{"like a CI job's", ours + "username=my-ci-token\n", NotOurs, "", nil},
		{"with a colon", ours + "username=a:b\n", Refused, quit, []string{"unanswerable"}},
		// One that holds the token in the wrong place is not shown.
		{"with a colon and the token", ours + "username=a:" + canary + "\n", Refused, quit, []string{"unanswerable"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, findings: []Finding{granted}}
			w.get(t, test.request).want(t, test.outcome, test.answer, test.codes...)
		})
	}
	t.Run("as one header", func(t *testing.T) {
		w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, findings: []Finding{granted}}
		basic := base64.StdEncoding.EncodeToString([]byte("alice:" + canary))
		w.get(t, "capability[]=authtype\n"+ours+"username=alice\n").want(t, Answered,
			"capability[]=authtype\nauthtype=Basic\ncredential="+basic+"\nephemeral=1\npassword_expiry_utc=1798675200\n")
	})
}

// A Secret that is rotated while its old token is being refused: the new one
// counts. GitLab is asked at most once more.
func TestGetRotated(t *testing.T) {
	rotated := place(t, "https://gitlab.example.com")
	rotated.Token, rotated.Where = pat(t, next), "the new Secret"
	moved := rotated
	moved.Instance = parse(t, "https://other.example")
	unusable := broken(t, "https://gitlab.example.com")
	now := "username=oauth2\npassword=" + next + "\npassword_expiry_utc=1798675200\n"
	tests := []struct {
		name     string
		after    []source.Found
		findings []Finding
		outcome  Outcome
		answer   string
		codes    []string
		asked    int
	}{
		{"good one", []source.Found{rotated}, []Finding{refused, granted}, Answered, now, nil, 2},
		{"bad one", []source.Found{rotated}, []Finding{refused, refused}, Refused, quit, []string{"token-revoked"}, 2},
		{"GitLab went down", []source.Found{rotated}, []Finding{refused, silent}, Unverified, quit, []string{"server-error"}, 2},
		{"same one", []source.Found{place(t, "https://gitlab.example.com")}, []Finding{refused, granted}, Refused, quit, []string{"token-revoked"}, 1},
		{"gone", nil, []Finding{refused, granted}, Refused, quit, []string{"token-revoked"}, 1},
		{"broken", []source.Found{unusable}, []Finding{refused, granted}, Refused, quit, []string{"token-revoked"}, 1},
		// The new token belongs elsewhere: it must not go to the old place.
		{"of another instance", []source.Found{moved}, []Finding{refused, granted}, Refused, quit, []string{"token-revoked"}, 1},
		{"old one granted", []source.Found{rotated}, []Finding{granted}, Answered, answered, nil, 1},
		{"nothing learned of the old one", []source.Found{rotated}, []Finding{silent, granted}, Unverified, quit, []string{"server-error"}, 1},
		{"could not ask", []source.Found{rotated}, []Finding{{Problem: message.CAInvalid("x", "y"), Verdict: refused.Verdict}, granted}, Refused, quit, []string{"ca-invalid"}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, findings: test.findings}
			w.onVerify = func() { w.places = test.after }
			result := w.get(t, ours)
			result.want(t, test.outcome, test.answer, test.codes...)
			if len(w.asked) != test.asked {
				t.Fatalf("asked %d times, want %d", len(w.asked), test.asked)
			}
			if test.asked == 2 {
				if w.asked[1].Found.Token.Reveal() != next || w.asked[1].Project != "group/project" || !w.asked[1].Policy.Project {
					t.Errorf("%+v", w.asked[1])
				}
				if got := result.Redact("it is " + next); got != "it is [redacted]" {
					t.Errorf("Redact makes %q", got)
				}
				if test.outcome == Refused && !strings.Contains(message.As(result.Messages[0]).What, "the new Secret") {
					t.Errorf("%v", result.Messages[0])
				}
			}
		})
	}
}

// The Secret in the cluster stands in for a mounted token that is dead, and for
// nothing else.
func TestGetRescued(t *testing.T) {
	newer := place(t, "https://gitlab.example.com")
	newer.Source, newer.Token, newer.Where = source.API, pat(t, next), "the Secret team/mine in the cluster"
	elsewhere, unusable := newer, newer
	elsewhere.Instance, unusable.Problem = parse(t, "https://other.example"), error(&message.Error{Code: "two-forms", Topic: message.Configuration, What: newer.Where + " has two forms"})
	now := "username=oauth2\npassword=" + next + "\npassword_expiry_utc=1798675200\n"
	because := func(reason access.Reason) Finding {
		return Finding{Verdict: access.Verdict{Outcome: access.Refused, Reason: reason}}
	}
	same := newer
	same.Token = pat(t, canary)
	unread := source.Place("team/mine")
	unread.Problem = &message.Error{Code: "kube-missing", Topic: message.Configuration, What: "the Secret does not exist"}
	tests := []struct {
		name     string
		source   source.Source
		newer    *source.Found
		findings []Finding
		outcome  Outcome
		answer   string
		codes    []string
		asked    int
	}{
		{"revoked", source.Mount, &newer, []Finding{refused, granted}, Answered, now, []string{"rescued"}, 2},
		{"expired", source.Mount, &newer, []Finding{because(access.TokenExpired), granted}, Answered, now, []string{"rescued"}, 2},
		{"unknown", source.Mount, &newer, []Finding{because(access.TokenUnknown), granted}, Answered, now, []string{"rescued"}, 2},
		{"revoked, and so is the newer one", source.Mount, &newer, []Finding{refused, refused}, Refused, quit, []string{"rescue-refused", "token-revoked"}, 2},
		{"revoked, and the newer one may too little", source.Mount, &newer, []Finding{refused, because(access.ScopeMissing)}, Refused, quit, []string{"rescue-refused", "token-revoked"}, 2},
		{"revoked, and GitLab went down", source.Mount, &newer, []Finding{refused, silent}, Unverified, quit, []string{"rescued", "server-error"}, 2},
		{"revoked, and nothing newer", source.Mount, &same, []Finding{refused, granted}, Refused, quit, []string{"token-revoked"}, 1},
		{"revoked, and no way there", source.Mount, &unread, []Finding{refused, granted}, Refused, quit, []string{"rescue-failed", "token-revoked"}, 1},
		// It must not go to the old place.
		{"newer one of another instance", source.Mount, &elsewhere, []Finding{refused, granted}, Refused, quit, []string{"rescue-foreign", "token-revoked"}, 1},
		{"newer one broken", source.Mount, &unusable, []Finding{refused, granted}, Refused, quit, []string{"rescue-failed", "token-revoked"}, 1},
		{"scope missing", source.Mount, &newer, []Finding{because(access.ScopeMissing), granted}, Refused, quit, []string{"scope-missing"}, 1},
		{"role too low", source.Mount, &newer, []Finding{because(access.LevelTooLow), granted}, Refused, quit, []string{"level-too-low"}, 1},
		{"account blocked", source.Mount, &newer, []Finding{because(access.AccountBlocked), granted}, Refused, quit, []string{"account-blocked"}, 1},
		{"granted", source.Mount, &newer, []Finding{granted}, Answered, answered, nil, 1},
		{"nothing learned", source.Mount, &newer, []Finding{silent, granted}, Unverified, quit, []string{"server-error"}, 1},
		{"from the cluster itself", source.API, &newer, []Finding{refused, granted}, Refused, quit, []string{"token-revoked"}, 1},
		{"from a file", source.File, &newer, []Finding{refused, granted}, Refused, quit, []string{"token-revoked"}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found := place(t, "https://gitlab.example.com")
			found.Source = test.source
			w := &world{places: []source.Found{found}, findings: test.findings, backup: true, newer: *test.newer}
			result := w.get(t, ours)
			result.want(t, test.outcome, test.answer, test.codes...)
			if len(w.asked) != test.asked {
				t.Fatalf("asked %d times, want %d", len(w.asked), test.asked)
			}
			helped := slices.Contains(test.codes, "rescued")
			if helped && strings.Contains(result.Redact(canary+" "+next), "Canary") || w.asked[test.asked-1].Project != "group/project" {
				t.Errorf("%q, %+v", result.Redact(canary+next), w.asked)
			}
		})
	}
}

// A failed rescue is not tried again for 30 seconds, and says the same, or which
// message it ended with. The cache has no sentences of it. check, which has no cache,
// tries each time.
func TestRescueInVain(t *testing.T) {
	unread := source.Place("team/mine")
	unread.Problem = &message.Error{Code: "kube-timeout", Topic: message.NotVerified, What: "the server did not answer"}
	foreign := place(t, "https://gitlab.example.org")
	foreign.Where = source.InCluster("team/mine")
	newer := place(t, "https://gitlab.example.com")
	newer.Token = pat(t, next)
	newer.Where = source.InCluster("team/mine")
	tooLittle := Finding{Verdict: access.Verdict{Outcome: access.Refused, Reason: access.ScopeMissing, Missing: []string{"write_repository"}}}
	for _, test := range []struct {
		newer    source.Found
		findings []Finding
		code     string
		// first and again are part of what is said.
		first, again string
	}{
		{unread, []Finding{refused}, "rescue-failed", "the server did not answer", "kube-timeout"},
		{foreign, []Finding{refused}, "rescue-foreign", "gitlab.example.org", "gitlab.example.org"},
		{newer, []Finding{refused, tooLittle, refused}, "rescue-refused", "lacks the scope write_repository", "lacks the scope write_repository"},
	} {
		dir := t.TempDir()
		w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, findings: test.findings, backup: true, newer: test.newer,
			attempts: cache.Store{Dirs: []string{dir}}}
		for _, words := range []string{test.first, test.again} {
			got := w.get(t, ours)
			got.want(t, Refused, quit, test.code, "token-revoked")
			if what := message.As(got.Messages[0]).What; !strings.Contains(what, words) || !strings.Contains(what, "the Secret team/mine in the cluster") {
				t.Errorf("%q is not in %q", words, what)
			}
		}
		if w.count("newer") != 1 {
			t.Errorf("%s: read %d times", test.code, w.count("newer"))
		}
		files, err := filepath.Glob(filepath.Join(dir, "acp2-*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		if data, err := os.ReadFile(files[0]); err != nil || strings.Contains(string(data), "the ") {
			t.Errorf("%s, %v", data, err)
		}
	}
	w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, findings: []Finding{refused}, backup: true, newer: unread}
	for range 2 {
		w.get(t, ours).want(t, Refused, quit, "rescue-failed", "token-revoked")
	}
	if w.count("newer") != 2 {
		t.Errorf("without a cache, read %d times", w.count("newer"))
	}
}

// A Secret of the cluster is read again only if GitLab was asked in between.
func TestGetReadOnce(t *testing.T) {
	found := place(t, "https://gitlab.example.com")
	found.Source = source.API
	remembered := refused
	remembered.Remembered = true
	for _, test := range []struct {
		finding Finding
		reads   int
	}{{refused, 2}, {remembered, 1}, {granted, 1}, {silent, 1}} {
		w := &world{places: []source.Found{found}, findings: []Finding{test.finding}}
		w.get(t, ours)
		if w.count("secrets") != test.reads {
			t.Errorf("%+v: called %q", test.finding, w.calls)
		}
	}
}

// git tells every helper of every login that failed: only those with a token of
// ours, for its own instance, are heard.
func TestErase(t *testing.T) {
	request := func(password string) string {
		return pathless + "username=oauth2\npassword=" + password + "\n"
	}
	header := func(user, password string) string {
		return pathless + "authtype=Basic\ncredential=" + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + "\n"
	}
	us := place(t, "https://gitlab.example.com")
	tests := []struct {
		name       string
		request    string
		places     []source.Found
		remembered []string
		codes      []string
		// forgot: something was dropped, or at least looked for.
		forgot bool
	}{
		{"our token", request(canary), []source.Found{us}, []string{canary}, []string{"git-refused"}, true},
		{"our token, nothing remembered", request(canary), []source.Found{us}, nil, []string{"git-refused"}, true},
		{"our token in a header", header("oauth2", canary), []source.Found{us}, nil, []string{"git-refused"}, true},
		{"the token before", request(next), []source.Found{us}, []string{next}, []string{"rotated"}, true},
		{"another, nothing remembered", request(next), []source.Found{us}, nil, []string{"other-password"}, true},
		{"another in a header", header("oauth2", next), []source.Found{us}, nil, []string{"other-password"}, true},
		{"a password that was never ours", strings.Replace(request(next), "oauth2", "alice", 1), []source.Found{us}, nil, nil, true},
		{"no password", pathless + "username=oauth2\n", []source.Found{us}, []string{canary}, nil, false},
		{"no token at all", request("hunter2 hunter3"), []source.Found{us}, []string{canary}, nil, false},
		{"another host", strings.Replace(request(canary), "gitlab", "evil", 1), []source.Found{us}, []string{canary}, nil, false},
		{"another protocol", strings.Replace(request(canary), "https", "ssh", 1), []source.Found{us}, []string{canary}, nil, false},
		{"over http", strings.Replace(request(canary), "https", "http", 1), []source.Found{us}, []string{canary}, nil, false},
		{"a CI job's token", strings.Replace(request(canary), "oauth2", "gitlab-ci-token", 1), []source.Found{us}, []string{canary}, nil, false},
		{"malformed", request(canary) + "host=evil.example\n", []source.Found{us}, []string{canary}, nil, false},
		{"nothing there", request(canary), nil, []string{canary}, nil, false},
		{"Secret broken", request(canary), []source.Found{broken(t, "https://gitlab.example.com")}, []string{canary}, nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := &world{places: test.places, remembered: test.remembered, findings: []Finding{granted},
				rulesProblem: message.SettingInvalid("X", errors.New("wrong"))}
			result := w.helper().Erase(t.Context(), strings.NewReader(test.request))
			hold(t, result)
			outcome := NotOurs
			if test.codes != nil {
				outcome = Refused
			}
			// git reads nothing from erase.
			result.want(t, outcome, "", test.codes...)
			if (w.count("forget") > 0) != test.forgot || w.count("verify")+w.count("rules") > 0 {
				t.Errorf("called %q", w.calls)
			}
			if test.codes != nil {
				if got := result.Redact(canary + " " + next); strings.Contains(got, canary) || test.codes[0] != "git-refused" && strings.Contains(got, next) {
					t.Errorf("Redact makes %q", got)
				}
			}
		})
	}
}

// Any input: the token goes only to its own host over https, and GitLab is asked about nothing
// else.
func FuzzGet(f *testing.F) {
	f.Add(ours)
	f.Add(pathless + "username=alice\ncapability[]=authtype\n")
	f.Add("protocol=http\nhost=gitlab.example.com\n")
	f.Add("protocol=https\nhost=GITLAB.example.com:443\npath=%67roup/project\n\nhost=x")
	f.Add("protocol=https\nhost=gitlab.example.com\nhost=evil.example\n")
	found := place(f, "https://gitlab.example.com")
	f.Fuzz(func(t *testing.T, request string) {
		w := &world{places: []source.Found{found}, findings: []Finding{granted}}
		result := w.get(t, request)
		if result.Outcome != Answered {
			return
		}
		host, protocol := "", ""
		for line := range strings.Lines(request) {
			line = strings.TrimSuffix(line, "\n")
			if line == "" {
				break
			}
			if value, is := strings.CutPrefix(line, "host="); is {
				host = value
			}
			if value, is := strings.CutPrefix(line, "protocol="); is {
				protocol = value
			}
		}
		host = strings.TrimSuffix(lower(t, host), ":443")
		if protocol != "https" || host != "gitlab.example.com" || len(w.asked) != 1 {
			t.Fatalf("%q was answered with %q", request, result.Answer)
		}
	})
}

// No message claims that git got a token that it did not get.
func TestAllowedWithoutAnAnswer(t *testing.T) {
	w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, rules: Rules{AllowUnverified: true}, findings: []Finding{silent}}
	r := w.get(t, ours+"username=a:b\n")
	if r.Outcome != Refused || len(r.Messages) == 0 {
		t.Errorf("outcome %v, %d messages", r.Outcome, len(r.Messages))
	}
	for _, m := range r.Messages {
		if strings.Contains(message.As(m).What, "is handed to") {
			t.Errorf("outcome %v: %v", r.Outcome, m)
		}
	}
}

// From the moment that a token is found, every result takes it out of words.
func TestRedactEarly(t *testing.T) {
	w := &world{places: []source.Found{place(t, "https://gitlab.example.com")}, rulesProblem: message.SettingInvalid("X", errors.New(canary))}
	r := w.helper().Get(t.Context(), strings.NewReader(ours))
	if r.Redact(canary) == canary {
		t.Error("the token is left as it is")
	}
}

// Of instances on one host, the one with the longest path wins, in any order of the sources;
// without a path, it is ambiguous.
func TestInstancesOnOneHost(t *testing.T) {
	outer, inner := place(t, "https://gitlab.example.com"), place(t, "https://gitlab.example.com/gitlab")
	inner.Where = "the inner one"
	for _, places := range [][]source.Found{{outer, inner}, {inner, outer}} {
		w := &world{places: places, findings: []Finding{granted}}
		h := w.helper()
		for path, want := range map[string]string{
			"gitlab/group/project.git": "gitlab.example.com/gitlab", "group/project.git": "gitlab.example.com", "gitlabs/x/y": "gitlab.example.com",
		} {
			if r := h.Get(t.Context(), strings.NewReader(pathless+"path="+path+"\n")); r.Outcome != Answered || w.asked[len(w.asked)-1].Found.Instance.String() != want {
				t.Errorf("%s: outcome %v, asked %v, want %s", path, r.Outcome, w.asked, want)
			}
		}
		r := h.Get(t.Context(), strings.NewReader(pathless))
		if r.Outcome != Refused || len(r.Messages) != 1 || message.As(r.Messages[0]).Code != "ambiguous-instance" {
			t.Errorf("without a path: outcome %v, %v", r.Outcome, r.Messages)
		}
	}
}

// A login that fails with an answer from memory has GitLab asked in the same command,
// and never ends with the token that was refused.
func TestFailedLogin(t *testing.T) {
	const offers = "capability[]=state\n" + ours
	made := time.UnixMilli(1780000000123)
	old := place(t, "https://gitlab.example.com")
	newer := old
	newer.Token, _ = token.Parse(next)
	good := Finding{Verdict: access.Verdict{Outcome: access.Granted}, Remembered: true, Made: made}
	asked := Finding{Verdict: good.Verdict}
	first := (&world{places: []source.Found{old}, findings: []Finding{good}}).get(t, offers)
	state := ""
	for line := range strings.Lines(string(first.Answer)) {
		if strings.HasPrefix(line, "state[]=") {
			state = line
		}
	}
	if state == "" || !strings.HasSuffix(string(first.Answer), state+"continue=1\n") || strings.Contains(state, canary) {
		t.Fatalf("answered %q", first.Answer)
	}
	for name, test := range map[string]struct {
		place    source.Found
		findings []Finding
		rescued  bool
		outcome  Outcome
		answer   string
		codes    []string
	}{
		"the same, and good":         {old, []Finding{asked}, false, Refused, "quit=1\n", []string{"git-refused"}},
		"the same, and revoked":      {old, []Finding{{Verdict: access.Verdict{Outcome: access.Refused, Reason: access.TokenRevoked}}}, false, Refused, "quit=1\n", []string{"token-revoked"}},
		"the same, nothing learned":  {old, []Finding{{Verdict: access.Verdict{Reason: access.ServerError}}}, false, Refused, "quit=1\n", []string{"git-refused"}},
		"replaced":                   {newer, []Finding{asked}, false, Answered, "username=oauth2\npassword=" + next + "\n", nil},
		"replaced, and known by now": {newer, []Finding{good}, false, Answered, "username=oauth2\npassword=" + next + "\n", nil},
		"revoked, and replaced in the cluster": {old, []Finding{{Verdict: access.Verdict{Outcome: access.Refused, Reason: access.TokenRevoked}}, asked}, true,
			Answered, "username=oauth2\npassword=" + next + "\n", []string{"rescued"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{places: []source.Found{test.place}, findings: test.findings, rules: Rules{AllowUnverified: true}}
			w.backup, w.newer = test.rescued, newer
			result := w.get(t, "capability[]=state\nstate[]=other:1\n"+state+ours)
			result.want(t, test.outcome, test.answer, test.codes...)
			for _, q := range w.asked {
				if !q.After.Equal(made) {
					t.Errorf("what was learned until %v counts, want %v", q.After, made)
				}
			}
		})
	}
}

// An answer that was decided in one user's turn is not given in another's.
func TestTurns(t *testing.T) {
	// turns are the tokens of the users whose turn it is, one after the other; "" means
	// no turn. A turn ends while GitLab is asked.
	tests := []struct {
		name     string
		turns    []string
		outcome  Outcome
		answer   string
		code     string
		verified int
	}{
		{"one turn", []string{canary}, Answered, canary, "", 1},
		{"another user's", []string{canary, next}, Answered, next, "", 2},
		{"back again", []string{canary, next, canary}, Answered, canary, "", 3},
		{"the end", []string{canary, ""}, Refused, "", "no-turn", 1},
		{"the end of another user's", []string{canary, next, ""}, Refused, "", "no-turn", 2},
		{"faster than GitLab", []string{canary, next, canary, next, canary, next}, Unverified, "", "turns-change", 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var now int
			w := &world{findings: []Finding{{Verdict: access.Verdict{Outcome: access.Granted}}}}
			begin := func(turn int) {
				now = turn
				f := place(t, "https://gitlab.example.com")
				f.Source = source.Runner
				if f.Token = (token.Token{}); test.turns[turn] == "" {
					f.Problem = &message.Error{Code: "no-turn", Topic: message.Authentication, What: "no user's turn is running"}
				} else {
					f.Token = pat(t, test.turns[turn])
				}
				f.Same = func() bool { return test.turns[turn] == test.turns[now] }
				w.places = []source.Found{f}
			}
			begin(0)
			w.onVerify = func() { begin(min(now+1, len(test.turns)-1)) }
			result := w.get(t, ours)
			got := string(result.Answer)
			if result.Outcome != test.outcome || w.count("verify") != test.verified ||
				test.answer != "" && got != "username=oauth2\npassword="+test.answer+"\n" || test.answer == "" && got != quit {
				t.Errorf("outcome %d, %q, after %d verdicts", result.Outcome, got, w.count("verify"))
			}
			if test.code != "" && (len(result.Messages) != 1 || !message.Is(result.Messages[0], test.code)) {
				t.Errorf("messages %v", result.Messages)
			}
		})
	}
}
