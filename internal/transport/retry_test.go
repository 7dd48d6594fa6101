package transport

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// A request is sent again while Judge says so, at most Max times, and not if the
// server asks for a wait beyond MaxWait.
func TestRetry(t *testing.T) {
	for name, test := range map[string]struct {
		max   int
		asked time.Duration
		fails int32
		want  int32
	}{
		"good at once": {2, 0, 0, 1},
		"good later":   {2, 0, 1, 2},
		"never":        {2, 0, 9, 3},
		"no retries":   {0, 0, 9, 1},
		"long wait":    {2, time.Hour, 9, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tries.Add(1) <= test.fails {
					w.WriteHeader(http.StatusBadGateway)
				}
			}))
			t.Cleanup(server.Close)
			status := 0
			retry := &Retry{Max: test.max, MaxWait: time.Second, Judge: func(resp *http.Response, _ []byte, err error) (bool, time.Duration) {
				if err != nil {
					t.Error(err)
					return false, 0
				}
				status = resp.StatusCode
				return NotNow(status), test.asked
			}}
			req, err := Request(t.Context(), http.MethodGet, server.URL, nil, "canary", "test")
			if err != nil {
				t.Fatal(err)
			}
			if err := retry.Do(server.Client(), req); err != nil {
				t.Error(err)
			}
			if tries.Load() != test.want || NotNow(status) != (test.fails >= test.want) {
				t.Errorf("%d tries, the last with %d", tries.Load(), status)
			}
		})
	}
}

// Without Allow no redirect is followed, and its target is still known.
func TestRedirects(t *testing.T) {
	var followed atomic.Bool
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/to" {
			followed.Store(true)
		}
		http.Redirect(w, r, "/to", http.StatusFound)
	}))
	defer server.Close()
	resp, err := (&http.Client{Transport: Redirects{Next: server.Client().Transport}}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	origin, path := NotFollowed(server.URL, resp.Header)
	if followed.Load() || origin != server.URL || path != "/to" {
		t.Errorf("followed: %v, leads to %s %s", followed.Load(), origin, path)
	}
}
