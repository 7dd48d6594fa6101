package gitnet

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// NO_PROXY says of a host what it says to git, by curl.
func TestBypassed(t *testing.T) {
	proxy, err := gitlabtest.StartProxy(gitlabtest.ProxyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	asked := 0
	for _, test := range []struct{ host, list string }{
		{"gitlab.invalid", ""}, {"gitlab.invalid", "*"}, {"gitlab.invalid", "a,*"}, {"gitlab.invalid", "gitlab.invalid"}, {"gitlab.invalid", "GITLAB.Invalid"},
		{"gitlab.invalid", ".gitlab.invalid"}, {"gitlab.invalid", "gitlab.invalid."}, {"gitlab.invalid", "invalid"}, {"gitlab.invalid", ".invalid"}, {"gitlab.invalid", "lab.invalid"},
		{"gitlab.invalid", "x,gitlab.invalid"}, {"gitlab.invalid", "x, gitlab.invalid ,y"}, {"gitlab.invalid", ",,gitlab.invalid"}, {"gitlab.invalid", "*.invalid"}, {"gitlab.invalid", "gitlab.invalid:80"},
		{"gitlab.invalid", "x;gitlab.invalid"}, {"gitlab.invalid", "."}, {"gitlab.invalid", "git"}, {"gitlab.invalid", "gitlab.invalid/8"}, {"a.gitlab.invalid", "gitlab.invalid"},
		{"127.0.0.1", "127.0.0.1"}, {"127.0.0.1", "127.0.0.0/8"}, {"127.0.0.1", "127.0.0.1/8"}, {"127.0.0.1", "127.0.0.2"}, {"127.0.0.1", "127.0.0.2/32"}, {"127.0.0.1", "126.0.0.0/7"}, {"127.0.0.1", "0.0.0.0/0"},
		{"127.0.0.1", "127.0.0.1/33"}, {"127.0.0.1", "127"}, {"127.0.0.1", "localhost"}, {"127.0.0.1", ".1"}, {"127.0.0.1", "::1"}, {"localhost", "127.0.0.1"}, {"localhost", "localhost"}, {"localhost", ""},
	} {
		cmd := exec.Command("git", "-c", "http.proxy="+proxy.URL(), "ls-remote", "http://"+test.host+":1/x")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "NO_PROXY=" + test.list}
		_ = cmd.Run() // nobody is there
		now := len(proxy.Requests())
		if got := bypassed(test.host, test.list); got == (now > asked) {
			t.Errorf("%s with %q: passed by %v, but git asked the proxy %d times", test.host, test.list, got, now-asked)
		}
		asked = now
	}
	// The curl at hand may have no IPv6.
	for list, want := range map[string]bool{"::1": true, "0:0::1": true, "::/64": true, "::2": false, "fe80::/10": false} {
		if got := bypassed("::1", list); got != want {
			t.Errorf("::1 with %q: %v", list, got)
		}
	}
}

func TestParseProxy(t *testing.T) {
	const canary = "glpat-CanaryProxyUnit"
	for raw, want := range map[string]string{
		"http://proxy:3128":              "http://proxy:3128",
		"http://proxy":                   "http://proxy:1080",
		"proxy:3128":                     "http://proxy:3128",
		"proxy":                          "http://proxy:1080",
		"HTTP://Proxy:3128/path?x#y":     "http://Proxy:3128",
		"https://proxy":                  "https://proxy:443",
		"socks5://proxy":                 "socks5://proxy:1080",
		"socks5h://127.0.0.1:9050":       "socks5h://127.0.0.1:9050",
		"http://user@proxy:1":            "http://user:@proxy:1",
		"http://us%65r:p%40%2Fw@proxy:1": "http://user:p%40%2Fw@proxy:1",
		`http://DOMAIN\user:p%w@proxy:1`: "http://DOMAIN%5Cuser:p%25w@proxy:1",
		"http://user:a:b@proxy:1":        "http://user:a%3Ab@proxy:1",
		"http://[::1]:3128":              "http://[::1]:3128",
		"http://[::1]":                   "http://[::1]:1080",
		"user:" + canary + "@proxy:1":    "http://user:" + canary + "@proxy:1",
		"http://" + canary + "@corp:" + canary + "@proxy:1": "http://" + canary + "%40corp:" + canary + "@proxy:1",
		"http://u:" + canary + "@@proxy:1":                  "http://u:" + canary + "%40@proxy:1",
		"http://u:" + canary + "/x@proxy:1":                 "its user name or password has a character that must be percent-encoded",
		"http://" + canary + ":12/x@proxy:1":                "its user name or password has a character that must be percent-encoded",
		"http://" + canary + ":12?x@proxy:1":                "its user name or password has a character that must be percent-encoded",
		canary + ":12#x@proxy:1":                            "its user name or password has a character that must be percent-encoded",
		"http:/u:" + canary + "@proxy:1":                    "its user name or password has a character that must be percent-encoded",
		"http://u:" + canary + " @proxy:1":                  "http://u:" + canary + "%20@proxy:1",
		"u%40x:" + canary + "%40127.0.0.1:1":                "it has no host and port that could be",
		"u:" + canary + ":proxy:1":                          "it has no host and port that could be",
		"u:" + canary + "://p@proxy:1":                      "it is of a kind that is not known here",
		"http://[::1%25lo]:1":                               "it has no host and port that could be",
		"socks4://user:" + canary + "@h":                    "it is of a kind that is not known here",
		"ftp://proxy:1":                                     "it is of a kind that is not known here",
		"://proxy:1":                                        "it is of a kind that is not known here",
		"http://":                                           "it has no host and port that could be",
		"http://user:" + canary + "@":                       "it has no host and port that could be",
		"http://:3128":                                      "it has no host and port that could be",
		"http://proxy:" + canary:                            "it has no host and port that could be",
		"http://proxy:0":                                    "it has no host and port that could be",
		"http://proxy:99999":                                "it has no host and port that could be",
		"http://pro xy:1":                                   "it has no host and port that could be",
		"http://pro\"xy:1":                                  "it has no host and port that could be",
		"http://" + canary + "\x1b[2J@h:x":                  "it has no host and port that could be",
	} {
		proxy, err := parseProxy(raw)
		var got string
		switch {
		case err == nil:
			got = proxy.String()
		case strings.Contains(err.Error(), "Canary"):
			t.Errorf("%q is told: %v", raw, err)
		default:
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}
