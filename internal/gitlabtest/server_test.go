package gitlabtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestStartRefuses(t *testing.T) {
	for _, o := range []Options{
		{}, {Dir: t.TempDir(), Path: "gitlab"},
		{Dir: t.TempDir(), Path: "/gitlab/"}, {Dir: t.TempDir(), Certificate: "odd"},
	} {
		if s, err := Start(o); err == nil {
			s.Close()
			t.Errorf("%+v: started", o)
		}
	}
}

func TestRequests(t *testing.T) {
	s := gitlab(t, Options{Path: "/gitlab"})
	c := client(t, s.CAFile())
	mustSend(t, c, http.MethodGet, s.URL()+"/api/v4/projects/group%2Fnone?statistics=true", "Bearer "+canary, "")
	mustSend(t, c, http.MethodGet, s.URL()+"/"+project+".git/info/refs?service=git-upload-pack", "Basic oauth2:"+canary, "")
	mustSend(t, c, http.MethodGet, s.URL()+"/users/sign_in", "", "")
	mustSend(t, c, http.MethodGet, s.URL()+"/users/sign_in", "Basic alice:", "")
	mustSend(t, c, http.MethodGet, strings.TrimSuffix(s.URL(), "/gitlab")+"/api/v4/user", "Private "+canary, "")
	want := []Request{
		{Method: "GET", Path: "/gitlab/api/v4/projects/group%2Fnone", Query: "statistics=true", Endpoint: "project", Status: 404, Authorized: true, Scheme: "Bearer"},
		{Method: "GET", Path: "/gitlab/group/sub/project.git/info/refs", Query: "service=git-upload-pack", Endpoint: "git", Status: 200, Authorized: true, Scheme: "Basic"},
		{Method: "GET", Path: "/gitlab/users/sign_in", Endpoint: "other", Status: 404},
		{Method: "GET", Path: "/gitlab/users/sign_in", Endpoint: "other", Status: 404, Authorized: true, Scheme: "Basic", Blank: true},
		{Method: "GET", Path: "/api/v4/user", Endpoint: "other", Status: 404, Authorized: true},
	}
	got := s.Requests()
	if len(got) != len(want) {
		t.Fatalf("%d requests: %+v", len(got), got)
	}
	for i, g := range got {
		w := want[i]
		w.Proto, w.UserAgent = "HTTP/2.0", "Go-http-client/2.0"
		if g != w {
			t.Errorf("got  %+v\nwant %+v", g, w)
		}
	}
	if s.Count("api") != 1 || s.Count("project") != 1 || s.Count("git") != 1 || s.Count("all") != 5 || s.Connections() != 1 {
		t.Errorf("counts: %d %d %d %d, %d connections", s.Count("api"), s.Count("project"), s.Count("git"), s.Count("all"), s.Connections())
	}
	s.ResetRequests()
	if len(s.Requests()) != 0 || s.Count("all") != 0 || s.Connections() != 0 || s.SawSecret(canary) {
		t.Error("not reset")
	}
}

func TestProtocols(t *testing.T) {
	for _, tt := range []struct {
		o     Options
		proto string
		url   string
	}{
		{Options{}, "HTTP/2.0", "https://127.0.0.1:"},
		{Options{HTTP1Only: true}, "HTTP/1.1", "https://127.0.0.1:"},
		{Options{PlainHTTP: true}, "HTTP/1.1", "http://127.0.0.1:"},
	} {
		s := gitlab(t, tt.o)
		if a := get(t, s, "user", canary); a.proto != tt.proto || s.Requests()[0].Proto != tt.proto || !strings.HasPrefix(s.URL(), tt.url) {
			t.Errorf("%+v: %s, %s at %s", tt.o, a.proto, s.Requests()[0].Proto, s.URL())
		}
	}
}

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	for kind, want := range map[CertificateKind]func(error) bool{
		CertificateGood: func(err error) bool { return err == nil },
		CertificateExpired: func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == x509.Expired
		},
		CertificateWrongName:  func(err error) bool { return errors.As(err, new(x509.HostnameError)) },
		CertificateSelfSigned: func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) },
	} {
		s := gitlab(t, Options{Dir: dir, Certificate: kind, Hosts: []string{"gitlab.example.com"}})
		_, err := send(t, client(t, s.CAFile()), http.MethodGet, s.URL()+"/api/v4/user", "Bearer "+canary, "")
		if !want(err) {
			t.Errorf("%q: %v", kind, err)
		}
		if seen := s.SawSecret(canary); seen != (err == nil) {
			t.Errorf("%q: saw the token: %v", kind, seen)
		}
	}
	// A named host is in the certificate, another is not.
	s := gitlab(t, Options{Dir: dir, Hosts: []string{"gitlab.example.com"}})
	for name, ok := range map[string]bool{"gitlab.example.com": true, "localhost": true, "other.example.com": false} {
		tr := client(t, s.CAFile()).Transport.(*http.Transport)
		cfg := tr.TLSClientConfig.Clone()
		cfg.ServerName = name
		conn, err := tls.Dial("tcp", s.Addr(), cfg)
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

func TestSharedAuthority(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 { // a race is to be lost now and then
		sub := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		found := make([]string, 8)
		var wg sync.WaitGroup
		for j := range found {
			wg.Go(func() {
				a, err := loadAuthority(sub)
				if err != nil {
					t.Error(err)
					return
				}
				found[j] = string(a.cert.Raw)
			})
		}
		wg.Wait()
		if len(slices.Compact(found)) != 1 {
			t.Fatal("two authorities in one directory")
		}
	}
	a, b := gitlab(t, Options{Dir: dir}), gitlab(t, Options{Dir: dir})
	c := client(t, a.CAFile())
	for _, s := range []*Server{a, b} {
		if r := mustSend(t, c, http.MethodGet, s.URL()+"/api/v4/user", "Bearer "+canary, ""); r.status != 200 {
			t.Errorf("%d", r.status)
		}
	}
	if a.RepositoryDir(project) == b.RepositoryDir(project) {
		t.Error("two servers share a repository")
	}
}

func TestSawSecret(t *testing.T) {
	for name, tt := range map[string]struct{ path, credential, body string }{
		"bearer":       {"/x", "Bearer " + canary, ""},
		"private":      {"/x", "Private " + canary, ""},
		"basic":        {"/x", "Basic oauth2:" + canary, ""},
		"basic user":   {"/x", "Basic " + canary + ":", ""},
		"path":         {"/x/" + canary, "", ""},
		"escaped path": {"/x/glpat%2DCanaryAlice", "", ""},
		"query":        {"/x?private_token=" + canary, "", ""},
		"escaped":      {"/x?q=glpat%2DCanary%41lice", "", ""},
		"body":         {"/x", "", "some text and " + canary},
	} {
		s := gitlab(t, Options{})
		if s.SawSecret(canary) {
			t.Errorf("%s: seen before", name)
		}
		mustSend(t, client(t, s.CAFile()), http.MethodPost, s.URL()+tt.path, tt.credential, tt.body)
		if !s.SawSecret(canary) {
			t.Errorf("%s: not seen", name)
		}
		if s.SawSecret("glpat-CanaryOther") {
			t.Errorf("%s: saw what was not there", name)
		}
	}
}

func TestLogIsBounded(t *testing.T) {
	l := newRequestLog()
	for i := range maxRequests + 50 {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "/x", strings.NewReader(fmt.Sprintf("body %d", i)))
		l.finish(l.begin(r, route{endpoint: "user", rest: true}), 200)
	}
	if n := len(l.Requests()); n != maxRequests || l.Count("api") != maxRequests+50 {
		t.Errorf("%d kept, %d counted", n, l.Count("api"))
	}
	if !l.SawSecret("anything") {
		t.Error("a log that forgot claims to know")
	}
	l.reset()
	body := bytes.Repeat([]byte("x"), 2*maxBody)
	for range 100 {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "/x", bytes.NewReader(body))
		l.begin(r, route{endpoint: "user", rest: true})
		if b, err := io.ReadAll(r.Body); err != nil || len(b) != len(body) {
			t.Fatalf("the body lost its whole: %d %v", len(b), err)
		}
	}
	if l.evidence.Len() > 2*maxAll || !l.SawSecret("anything") {
		t.Errorf("%d bytes kept", l.evidence.Len())
	}
}

// TestCloseLeavesNothing closes while a client hangs, a body is endless, a
// tunnel is open, and git's backend waits for the rest of a push.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	s := gitlab(t, Options{Dir: dir})
	l, err := StartListener(dir, ListenerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartProxy(ProxyOptions{Routes: map[string]string{"far.example:443": s.Addr()}, Delay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	s.AddFault(Fault{Match: "user", Hang: true})
	s.AddFault(Fault{Match: "self", Endless: true})
	c := client(t, s.CAFile())
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	get := func(method, url string, body io.Reader) {
		clients.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, method, url, body)
			r.SetBasicAuth("oauth2", canary)
			r.Header.Set("Content-Type", "application/x-git-receive-pack-request")
			if res, err := c.Do(r); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
	get(http.MethodGet, s.URL()+"/api/v4/user", nil)
	get(http.MethodGet, s.URL()+"/api/v4/personal_access_tokens/self", nil)
	get(http.MethodGet, l.URL(), nil)
	pr, pw := io.Pipe()
	get(http.MethodPost, s.URL()+"/"+project+".git/git-receive-pack", pr)
	// Lines that receive-pack takes, past what is read ahead; then silence.
	line := "0035shallow " + strings.Repeat("1", 40) + "\n"
	clients.Go(func() { _, _ = io.WriteString(pw, strings.Repeat(line, 2*maxBody/len(line))) })
	tunnel := connectThrough(t, p, "far.example:443")
	eventually(t, "all have come", func() bool { return s.Count("all") == 3 && len(l.Requests()) == 1 })
	if running(s.root) >= 0 {
		eventually(t, "git runs", func() bool { return running(s.root) > 0 })
	}

	s.Close()
	p.Close()
	l.Close()
	s.Close() // twice is nothing
	if n := running(s.root); n > 0 {
		eventually(t, "git's processes end", func() bool { return running(s.root) == 0 })
	}
	cancel()
	pr.Close()
	pw.Close()
	clients.Wait()
	tunnel.Close()
	c.CloseIdleConnections()
	eventually(t, "no goroutine more than before", func() bool { return runtime.NumGoroutine() <= before })
	if t.Failed() {
		buf := make([]byte, 1<<20)
		t.Logf("%s", buf[:runtime.Stack(buf, true)])
	}
}

// running counts processes with dir in their environment; -1 where that can't
// be seen.
func running(dir string) int {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	if len(files) == 0 {
		return -1
	}
	n := 0
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte("GIT_PROJECT_ROOT="+dir)) {
			n++
		}
	}
	return n
}

// A server that wants certificates lets in who shows one of its authority's, git
// too, and nobody else.
func TestClientCertificates(t *testing.T) {
	s := gitlab(t, Options{ClientCertificates: true})
	certificate, key, err := s.IssueClient("me")
	if err != nil {
		t.Fatal(err)
	}
	other, otherKey, err := gitlab(t, Options{ClientCertificates: true}).IssueClient("me")
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]byte{"none": {}, "another authority's": {other, otherKey}, "its own": {certificate, key}} {
		c := client(t, s.CAFile())
		if pair[0] != nil {
			shown, err := tls.X509KeyPair(pair[0], pair[1])
			if err != nil {
				t.Fatal(err)
			}
			c.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{shown}
		}
		if a, err := send(t, c, http.MethodGet, s.URL()+"/api/v4/user", "Bearer "+canary, ""); (err == nil && a.status == 200) != (name == "its own") {
			t.Errorf("%s: %d, %v", name, a.status, err)
		}
	}
	if n := s.Count("all"); n != 1 {
		t.Errorf("%d requests got through", n)
	}
	both := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(both, append(certificate, key...), 0o600); err != nil {
		t.Fatal(err)
	}
	remote := s.URL() + "/" + project + ".git"
	if out, err := gitRun(t, s.CAFile(), "oauth2:"+canary, t.TempDir(), "-c", "http.sslCert="+both, "ls-remote", remote); err != nil || !strings.Contains(out, "refs/heads/main") {
		t.Errorf("git: %v %s", err, out)
	}
	failGit(t, s, "oauth2:"+canary, t.TempDir(), "unable to access", "ls-remote", remote)
}
