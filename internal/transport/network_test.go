package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// write makes a file in a directory of its own.
func write(t *testing.T, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// clients is a GitLab that wants certificates, one for a client and its key.
func clients(t *testing.T) (server *gitlabtest.Server, roots *x509.CertPool, certificate, key []byte) {
	t.Helper()
	server, err := gitlabtest.Start(gitlabtest.Options{Dir: t.TempDir(), ClientCertificates: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if certificate, key, err = server.IssueClient("dev"); err != nil {
		t.Fatal(err)
	}
	all, problem := Roots(Trust{Required: Named{server.CAFile(), "SETTING"}})
	if problem != nil {
		t.Fatal(problem)
	}
	return server, all.Pool, certificate, key
}

// A certificate and its key are read; an error names the fault and shows no content.
func TestIdentity(t *testing.T) {
	_, _, certificate, key := clients(t)
	_, _, _, other := clients(t)
	locked := []byte(strings.ReplaceAll(string(key), "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"))
	older := []byte(strings.Replace(string(key), "PRIVATE KEY-----\n", "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1))
	good, alone := write(t, certificate, key), write(t, key)
	for name, test := range map[string]struct {
		certificate, key string
		problem          string
	}{
		"two files":         {write(t, certificate), alone, ""},
		"one file":          {good, "", ""},
		"joined":            {write(t, bytes.TrimSpace(certificate), key), "", ""},
		"byte order mark":   {write(t, []byte("\ufeff"), certificate, key), "", ""},
		"CR":                {write(t, bytes.ReplaceAll(append(certificate[:len(certificate):len(certificate)], key...), []byte("\n"), []byte("\r"))), "", ""},
		"X509":              {write(t, bytes.ReplaceAll(certificate, []byte("CERT"), []byte("X509 CERT")), key), "", ""},
		"key first":         {write(t, key, certificate), "", ""},
		"missing":           {"/missing", "", "/missing, which CERT names, can't be used: it can't be read"},
		"key missing":       {good, "/missing", "/missing, which KEY names, can't be used: it can't be read"},
		"no certificate":    {alone, alone, "which CERT names, can't be used: it contains no certificate"},
		"no key":            {write(t, certificate), "", "which CERT names, can't be used: it contains no key"},
		"nonsense":          {write(t, []byte(canary)), alone, "it contains no certificate"},
		"another's key":     {good, write(t, other), "the certificate and the key don't match, or are damaged"},
		"damaged":           {write(t, []byte(strings.Replace(string(certificate), "M", "N", 1)), key), "", "or are damaged"},
		"locked":            {good, write(t, locked), "which KEY names, can't be used: its key is protected by a password"},
		"locked, older way": {good, write(t, older), "its key is protected by a password"},
	} {
		pair, problem := Identity(Named{test.certificate, "CERT"}, Named{test.key, "KEY"})
		switch {
		case test.problem == "" && (problem != nil || pair == nil || pair.PrivateKey == nil):
			t.Errorf("%s: %v", name, problem)
		case test.problem != "" && (problem == nil || pair != nil || !strings.Contains(message.As(problem).What, test.problem) || strings.Contains(message.As(problem).What, "Canary")):
			t.Errorf("%s: %v, want %q", name, problem, test.problem)
		}
	}
}

// A server that requests a certificate gets the configured one, over each version of TLS and
// HTTP; if it refuses, the error says that it wanted one.
func TestClientCertificate(t *testing.T) {
	server, roots, certificate, key := clients(t)
	pair, problem := Identity(Named{write(t, certificate, key), "CERT"}, Named{})
	if problem != nil {
		t.Fatal(problem)
	}
	_, _, strange, strangeKey := clients(t)
	stranger, problem := Identity(Named{write(t, strange, strangeKey), "CERT"}, Named{})
	if problem != nil {
		t.Fatal(problem)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, http2 := range []bool{false, true} {
			try := func(n Network) (*Transport, error) {
				n.Roots = roots
				transport := New(n)
				transport.TLSClientConfig.MaxVersion, transport.ForceAttemptHTTP2 = version, http2
				t.Cleanup(transport.CloseIdleConnections)
				resp, err := (&http.Client{Transport: transport}).Get(server.URL() + "/x")
				if err == nil {
					resp.Body.Close()
				}
				return transport, err
			}
			if _, err := try(Network{Certificate: pair, CertificateBy: "CERT"}); err != nil {
				t.Errorf("%x, HTTP/2 %v: %v", version, http2, err)
			}
			for _, n := range []Network{{}, {Certificate: stranger, CertificateBy: "CERT"}} {
				transport, err := try(n)
				if err == nil {
					t.Fatalf("%x, HTTP/2 %v: let in with %q", version, http2, n.CertificateBy)
				}
				if f := transport.Fault(err); f.Reason != access.TLSClient || f.Detail != n.CertificateBy {
					t.Errorf("%x, HTTP/2 %v, with %q: %s, %q (%v)", version, http2, n.CertificateBy, f.Reason, f.Detail, err)
				}
			}
		}
	}
}

// A directory of authorities is read as far as it can be.
func TestDirectory(t *testing.T) {
	server, err := gitlabtest.Start(gitlabtest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	dir := t.TempDir()
	trusted := func(path string) bool {
		t.Helper()
		roots, problem := Roots(Trust{Directory: Named{path, "SETTING"}})
		if problem != nil {
			t.Fatal(problem)
		}
		transport := New(Network{Roots: roots.Pool})
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(server.URL())
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	}
	for _, path := range []string{dir, filepath.Join(dir, "missing"), server.CAFile(), "/dev/zero"} {
		if trusted(path) {
			t.Errorf("%s makes it trusted", path)
		}
	}
	for name, target := range map[string]string{"a": "/dev/zero", "b": "missing", "c": dir, "0a1b2c3d.0": server.CAFile()} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if !trusted(dir) {
		t.Error("the authority among other things is not found")
	}
}

// A proxy that is spoken to over TLS has authorities of its own, and never sees
// the certificate that is for the host.
func TestTLSProxy(t *testing.T) {
	server, roots, certificate, key := clients(t)
	pair, problem := Identity(Named{write(t, certificate, key), "CERT"}, Named{})
	if problem != nil {
		t.Fatal(problem)
	}
	dir := t.TempDir()
	proxy, err := gitlabtest.StartProxy(gitlabtest.ProxyOptions{Dir: dir, Routes: map[string]string{server.Addr(): server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	through, err := url.Parse(proxy.URL())
	if err != nil {
		t.Fatal(err)
	}
	authorities, problem := Roots(Trust{Required: Named{proxy.CAFile(), "SETTING"}})
	if problem != nil {
		t.Fatal(problem)
	}
	own := authorities.Pool
	try := func(n Network) (*Transport, error) {
		n.Certificate, n.ProxyBy = pair, "SETTING"
		if n.Proxy == nil {
			n.Proxy = http.ProxyURL(through)
		}
		transport := New(n)
		t.Cleanup(transport.CloseIdleConnections)
		resp, err := (&http.Client{Transport: transport}).Get(server.URL() + "/x")
		if err == nil {
			resp.Body.Close()
		}
		return transport, err
	}
	if _, err := try(Network{Roots: roots, ProxyRoots: own}); err != nil {
		t.Error(err)
	}
	transport, err := try(Network{Roots: roots, ProxyRoots: roots})
	if f := transport.Fault(err); f.Reason != access.ProxyFailed || f.Detail != through.Host+" (from SETTING), whose certificate can't be verified," {
		t.Errorf("%s, %q", f.Reason, f.Detail)
	}
	transport, err = try(Network{Roots: own, ProxyRoots: own})
	if f := transport.Fault(err); f.Reason != access.TLSUntrusted {
		t.Errorf("the proxy's authority counts for the host: %s", f.Reason)
	}

	// One that asks for a certificate gets none.
	var shown int
	curious := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown += len(r.TLS.PeerCertificates)
		w.WriteHeader(http.StatusTeapot)
	}))
	curious.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	curious.StartTLS()
	t.Cleanup(curious.Close)
	at, err := url.Parse(curious.URL)
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AddCert(curious.Certificate())
	transport, err = try(Network{Roots: roots, ProxyRoots: known, Proxy: http.ProxyURL(at)})
	if f := transport.Fault(err); f.Reason != access.ProxyFailed || !strings.Contains(f.Detail, "answered 418") || shown > 0 {
		t.Errorf("%s, %q, %d certificates shown", f.Reason, f.Detail, shown)
	}
}

// A SOCKS proxy resolves names, and its failures are reported as the proxy's.
func TestSOCKS(t *testing.T) {
	server, err := gitlabtest.Start(gitlabtest.Options{Dir: t.TempDir(), Hosts: []string{"gitlab.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	proxy, err := gitlabtest.StartSOCKS(map[string]string{"gitlab.example.com:443": server.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	roots, problem := Roots(Trust{Required: Named{server.CAFile(), "SETTING"}})
	if problem != nil {
		t.Fatal(problem)
	}
	for _, scheme := range []string{"socks5", "socks5h"} {
		n := Network{Roots: roots.Pool, ProxyBy: "SETTING", Proxy: http.ProxyURL(&url.URL{Scheme: scheme, Host: proxy.Addr()})}
		transport := New(n)
		t.Cleanup(transport.CloseIdleConnections)
		client := http.Client{Transport: transport}
		resp, err := client.Get("https://gitlab.example.com/x")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		_, err = client.Get("https://elsewhere.example.com/")
		if f := transport.Fault(err); f.Reason != access.ProxyFailed || f.Detail != proxy.Addr()+" (from SETTING)" {
			t.Errorf("%s: %s, %q (%v)", scheme, f.Reason, f.Detail, err)
		}
	}
	if asked := strings.Join(proxy.Asked(), " "); asked != "gitlab.example.com:443 elsewhere.example.com:443 gitlab.example.com:443 elsewhere.example.com:443" {
		t.Errorf("it was asked for %s", asked)
	}
	// No server listens there.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := listener.Addr().String()
	listener.Close()
	transport := New(Network{Proxy: http.ProxyURL(&url.URL{Scheme: "socks5h", Host: gone})})
	_, err = (&http.Client{Transport: transport}).Get("https://gitlab.example.com/x")
	if f := transport.Fault(err); f.Reason != access.ProxyFailed || f.Detail != gone {
		t.Errorf("nobody there: %s, %q", f.Reason, f.Detail)
	}
}

// Remarks stand by what fails over TLS, and are asked for only then.
func TestRemarks(t *testing.T) {
	server, err := gitlabtest.Start(gitlabtest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	asked := 0
	transport := New(Network{Roots: x509.NewCertPool(), Remarks: func() string { asked++; return "remarks" }})
	_, err = (&http.Client{Transport: transport}).Get(server.URL())
	if asked > 0 {
		t.Error("asked for before anything failed")
	}
	if f := transport.Fault(err); f.Reason != access.TLSUntrusted || f.Detail != "remarks" {
		t.Errorf("%s, %q", f.Reason, f.Detail)
	}
	server.Close()
	_, err = (&http.Client{Transport: transport}).Get(server.URL())
	if f := transport.Fault(err); f.Detail != "" || asked != 1 {
		t.Errorf("%q, asked %d times", f.Detail, asked)
	}
}

// A server that takes every request back (GOAWAY) is not asked again and again
// within the one call of net/http's.
func TestTakenBack(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.EnableHTTP2 = true
	server.StartTLS()
	config := server.TLS.Clone()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	server.Close()
	config.NextProtos = []string{"h2"}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var accepted atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go func() {
				defer func() { _ = conn.Close() }()
				// The preface, then SETTINGS, and GOAWAY of stream 0 (RFC 9113).
				_, _ = io.ReadFull(conn, make([]byte, 24))
				_, _ = conn.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0})
				_, _ = conn.Write([]byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := New(Network{Roots: pool})
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatal("it answered")
	}
	if n := accepted.Load(); n == 0 || n > maxDials || ctx.Err() != nil {
		t.Errorf("%d connections, %v", n, err)
	}
}
