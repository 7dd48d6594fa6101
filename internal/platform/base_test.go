package platform

import (
	"strings"
	"testing"
)

// A session's own token goes to these alone.
func TestInCluster(t *testing.T) {
	for raw, want := range map[string]bool{
		"http://backend-service.ambient-code.svc.cluster.local:8080/api": true,
		"https://backend.code.svc":                                       true,
		"https://Backend.Code.SVC.Cluster.Local":                         true,
		"https://backend.code.svc.cluster.local./":                       true,
		"https://backend.code.svc.:8443":                                 true,
		"https://backend":                                                true,
		"https://backend.:8443/api":                                      true,
		"https://localhost":                                              true,
		"https://127.0.0.1:8443":                                         true,
		"https://127.9.9.9":                                              true,
		"https://[::1]:8443":                                             true,
		"https://[::ffff:127.0.0.1]":                                     true,

		"https://platform.example.com":             false,
		"https://svc.evil.com":                     false,
		"https://backend.code.svc.evil.com":        false,
		"https://backend.code.svc.cluster.local.x": false,
		"https://evilsvc.x":                        false,
		"https://cluster.local":                    false,
		"https://x.cluster.local":                  false,
		"https://backend..svc":                     false,
		"https://backend.svc..":                    false,
		"https://-x.svc":                           false,
		"https://back_end.svc":                     false,
		"https://10.0.0.1":                         false,
		"https://[2001:db8::1]":                    false,
		"https://[::ffff:10.0.0.1]":                false,
		"https://2130706433":                       false,
		"https://0x7f000001":                       false,
		"https://127.1":                            false,
		"https://localhost.evil.com":               false,
	} {
		// Invalid addresses are refused before a request.
		if base, err := ParseBase(raw, true); err == nil && base.InCluster() != want || err != nil && want {
			t.Errorf("%s: %v, %v", raw, base.InCluster(), err)
		}
	}
	if (Base{}).InCluster() {
		t.Error("none is in the cluster")
	}
}

func TestParseBase(t *testing.T) {
	const service = "http://backend-service.ambient-code.svc.cluster.local:8080"
	for raw, want := range map[string]string{
		"https://platform.example.com":             "https://platform.example.com",
		"\thttps://platform.example.com/ \n":       "https://platform.example.com",
		"https://platform.example.com/api":         "https://platform.example.com",
		"https://platform.example.com/api/":        "https://platform.example.com",
		"HTTPS://Platform.Example.COM:8443/x/api":  "https://platform.example.com:8443/x",
		"https://platform.example.com/x":           "https://platform.example.com/x",
		"https://[2001:db8::1]:8443/api":           "https://[2001:db8::1]:8443",
		"https://platform":                         "https://platform",
		service + "/api":                           service,
		service:                                    service,
		"http://backend-service.ambient-code.svc":  "http://backend-service.ambient-code.svc",
		"http://Backend.Code.SVC.Cluster.Local/":   "http://backend.code.svc.cluster.local",
		"http://backend.code.svc:443":              "http://backend.code.svc:443",
		"https://platform.example.com/apiary":      "https://platform.example.com/apiary",
		"https://platform.example.com/api/api":     "https://platform.example.com/api",
		"https://platform.example.com/_x-y~z/1.2/": "https://platform.example.com/_x-y~z/1.2",
	} {
		if got, err := ParseBase(raw, false); err != nil || got.URL() != want || got.plain() != strings.HasPrefix(want, "http:") {
			t.Errorf("%q: %q, %v, want %q", raw, got.URL(), err, want)
		}
	}
	refused := func(allow bool, want string, addresses ...string) {
		for _, raw := range addresses {
			if got, err := ParseBase(raw, allow); err == nil || !strings.HasPrefix(err.Error(), want) || got != (Base{}) ||
				strings.Contains(err.Error(), "Canary") {
				t.Errorf("%q: %v, want %q", raw, err, want)
			}
		}
	}
	refused(true, "contains an invalid character", "https://a b", "https://é.example.com", "https://a\x00b", "https://a\"b", `https://a\b`, "https://a<b", "https://{x}")
	refused(true, "is not of the form", "", "platform.example.com", "localhost:8080", "https:", "https://", "https:///api", "https://:443",
		"https://h:", "https://h:0", "https://h:65536", "https://h:port", "https://[::1", "https://a%zz", "https:h")
	refused(true, "has a scheme other than https", "ftp://h", "ws://backend.code.svc", "file://h/etc", "//host")
	refused(true, "contains a user name or password", "https://user:Canary@h", "https://Canary@h", "http://Canary@backend.code.svc")
	refused(true, "contains a query or fragment", "https://h?token=Canary", "https://h/?", "https://h/#", "https://h/api#Canary")
	refused(true, "has a path that can't be the platform's", "https://h//api", "https://h/../x", "https://h/./x", "https://h/a%2fb", "https://h/a/..", "https://h//")
	// Plain http shows the token: only where the name can't be anybody's.
	refused(true, "is http", "http://platform.example.com", "http://backend-service", "http://backend-service:8080/api", "http://backend.svc",
		"http://svc", "http://a.b.c.svc", "http://backend.code.svc.cluster.local.example.com", "http://backend.code.svc.example.com",
		"http://backend.code.svc.cluster.local.cluster.local", "http://backend.code.notsvc", "http://svc.cluster.local", "http://a.svc.cluster.local",
		"http://x_y.code.svc", "http://-x.code.svc", "http://.code.svc", "http://backend.code.svc.", "http://10.0.0.1", "http://backend.code.local",
		"http://localhost.example.com", "http://127.0.0.1.example.com")
	refused(false, "is http", "http://localhost", "http://127.0.0.1:8080", "http://[::1]")
	for _, raw := range []string{"http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"} {
		if got, err := ParseBase(raw+"/api", true); err != nil || got.URL() != raw {
			t.Errorf("%q: %q, %v", raw, got.URL(), err)
		}
	}
}

func TestParseName(t *testing.T) {
	for _, text := range []string{"team", " team\n", "session-1790000000", "a.b-c.d", "0", strings.Repeat("a", 253)} {
		if got, err := ParseName(text); err != nil || got.String() != strings.TrimSpace(text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"": "is not set", " \n": "is not set",
		"..": "is not a valid Kubernetes name", ".": "is not a valid Kubernetes name", "a/b": "is not a valid Kubernetes name", "a%2fb": "is not a valid Kubernetes name", "Canary": "is not a valid Kubernetes name",
		"-a": "is not a valid Kubernetes name", "a-": "is not a valid Kubernetes name", "a..b": "is not a valid Kubernetes name", "a_b": "is not a valid Kubernetes name", "a b": "is not a valid Kubernetes name",
		"../canary": "is not a valid Kubernetes name", "a?b": "is not a valid Kubernetes name", "é": "is not a valid Kubernetes name", strings.Repeat("a", 254): "is not a valid Kubernetes name",
	} {
		got, err := ParseName(text)
		if err == nil || !strings.HasPrefix(err.Error(), want) || got != (Name{}) || strings.Contains(strings.ToLower(err.Error()), "canary") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
