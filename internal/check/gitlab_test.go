package check

import (
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
)

func TestKindOf(t *testing.T) {
	for username, want := range map[string]string{
		"": "", "dev": "personal", "project_1_bot": "project", "project_42_bot_4ffca233d8": "project", "group_7_bot_x": "group",
		"project_bot": "personal", "project_x_bot": "personal", "project_1_robot": "personal", "projects_1_bot": "personal",
	} {
		if got := kindOf(access.User{Username: username}); got != want {
			t.Errorf("%q: %q, want %q", username, got, want)
		}
	}
}

// A silence that could have come anywhere belongs to the step after the last one
// that went well.
func TestFault(t *testing.T) {
	named, at, plain := parsed(t, "https://gitlab.example.com:8443"), parsed(t, "https://[::1]:8443"), parsed(t, "http://127.0.0.1")
	for name, test := range map[string]struct {
		seen     connEvents
		reason   access.Reason
		proxy    string
		instance instance.Instance
		want     string
	}{
		"no name":                   {connEvents{}, access.NameUnknown, "", named, stepDNS},
		"the proxy":                 {connEvents{}, access.ProxyFailed, "p:1", named, stepProxy},
		"the authority":             {connEvents{connected: "x"}, access.TLSUntrusted, "", named, stepTLS},
		"another name":              {connEvents{connected: "x"}, access.TLSWrongName, "", named, stepTLS},
		"a certificate is wanted":   {connEvents{connected: "x"}, access.TLSClient, "", named, stepTLS},
		"time, looking up":          {connEvents{}, access.Timeout, "", named, stepDNS},
		"time, with a proxy":        {connEvents{}, access.Timeout, "p:1", named, stepTCP},
		"time, connecting":          {connEvents{addresses: []string{"x"}}, access.Timeout, "", named, stepTCP},
		"time, connecting (number)": {connEvents{}, access.Timeout, "", at, stepTCP},
		"a signal, in TLS":          {connEvents{connected: "x"}, access.Interrupted, "", at, stepTLS},
		"time, without TLS":         {connEvents{connected: "x"}, access.Timeout, "", plain, stepAPI},
		"nobody":                    {connEvents{addresses: []string{"x"}}, access.Unreachable, "", named, stepTCP},
		"GitLab itself":             {connEvents{}, access.ServerError, "", named, stepAPI},
	} {
		if got := test.seen.fault(test.reason, test.proxy, test.instance); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func parsed(t *testing.T, url string) instance.Instance {
	t.Helper()
	i, err := instance.Parse(url, true)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestList(t *testing.T) {
	if got := list([]string{"a", "b"}); got != "a, b" {
		t.Error(got)
	}
	long := list(strings.Split(strings.Repeat("x,", 100), ","))
	if len(long) > 100 || !strings.HasSuffix(long, ", x and others") {
		t.Error(long)
	}
}

// With HTTP/2, the first byte of an answer may be seen before the end of its request.
func TestAnsweredEarly(t *testing.T) {
	var recorded connTrace
	trace := httptrace.ContextClientTrace(recorded.watch(t.Context()))
	trace.GotFirstResponseByte()
	trace.WroteRequest(httptrace.WroteRequestInfo{})
	if seen := recorded.seen(); seen.answered != 0 {
		t.Errorf("answered after %v", seen.answered)
	}
}
