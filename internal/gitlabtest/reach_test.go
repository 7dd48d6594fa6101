package gitlabtest

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

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

// A proxy over TLS has an authority of its own.
func TestProxyTLS(t *testing.T) {
	s := gitlab(t, Options{Hosts: []string{"gitlab.example.com"}})
	p := proxy(t, ProxyOptions{Dir: t.TempDir(), Routes: map[string]string{"gitlab.example.com:443": s.Addr()}})
	remote := "https://gitlab.example.com/" + project + ".git"
	if out, err := gitRun(t, s.CAFile(), "oauth2:"+canary, t.TempDir(), "-c", "http.proxy="+p.URL(), "ls-remote", remote); err == nil {
		t.Errorf("git trusts the proxy: %s", out)
	}
	if out, err := gitRun(t, s.CAFile(), "oauth2:"+canary, t.TempDir(), "-c", "http.proxy="+p.URL(), "-c", "http.proxySSLCAInfo="+p.CAFile(), "ls-remote", remote); err != nil || !strings.Contains(out, "refs/heads/main") {
		t.Errorf("git: %v %s", err, out)
	}
	if got := p.Requests(); len(got) == 0 || got[0].Path != "gitlab.example.com:443" || !strings.HasPrefix(p.URL(), "https://") {
		t.Errorf("%s: %+v", p.URL(), got)
	}
}

// A SOCKS proxy knows its names, for Go's clients and for git.
func TestSOCKS(t *testing.T) {
	s := gitlab(t, Options{Hosts: []string{"gitlab.example.com"}})
	p, err := StartSOCKS(map[string]string{"gitlab.example.com:443": s.Addr(), s.Addr(): s.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := client(t, s.CAFile())
	c.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "socks5h", Host: p.Addr()})
	for _, u := range []string{"https://gitlab.example.com", s.URL()} {
		if a := mustSend(t, c, http.MethodGet, u+"/api/v4/user", "Bearer "+canary, ""); a.status != 200 {
			t.Errorf("%s: %d", u, a.status)
		}
	}
	if _, err := send(t, c, http.MethodGet, "https://elsewhere.example/", "", ""); err == nil || !strings.Contains(err.Error(), "host unreachable") {
		t.Errorf("an unknown name: %v", err)
	}
	out, err := gitRun(t, s.CAFile(), "oauth2:"+canary, t.TempDir(), "-c", "http.proxy=socks5h://"+p.Addr(), "ls-remote", "https://gitlab.example.com/"+project+".git")
	if err != nil || !strings.Contains(out, "refs/heads/main") {
		t.Errorf("git: %v %s", err, out)
	}
	asked := p.Asked()
	if want := []string{"gitlab.example.com:443", s.Addr(), "elsewhere.example:443"}; len(asked) < 4 || !slices.Equal(asked[:3], want) {
		t.Errorf("asked for %q", asked)
	}
	// What is no SOCKS is cut.
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes for another protocol", n)
	}
}
