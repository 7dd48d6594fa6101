package serve

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

const (
	canary  = "glpat-CanaryServe1_-x"
	rotated = "glpat-CanaryServe2_-y"
	// wait is far longer than anything takes that a test waits for.
	wait = 20 * time.Second
)

// proxied is a proxy in front of an instance that answers as a test says.
type proxied struct {
	address  string
	instance *httptest.Server
	server   *Server
	records  chan Record
	stop     context.CancelFunc
	ended    chan struct{}

	mu     sync.Mutex
	tokens []string // those in the Secret, one for each question; the last one stays
	asked  []string // what the instance was asked for
}

// start serves an instance over HTTP/2, or HTTP/1.1.
func start(t *testing.T, http2 bool, change func(*Config), answer http.HandlerFunc) *proxied {
	t.Helper()
	p := &proxied{tokens: []string{canary}, records: make(chan Record, 1000)}
	p.instance = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Method+" "+r.RequestURI)
		p.mu.Unlock()
		answer(w, r)
	}))
	p.instance.EnableHTTP2 = http2
	p.instance.StartTLS()
	t.Cleanup(p.instance.Close)
	i, err := instance.Parse(p.instance.URL, false)
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		Instance: i, Silence: wait, Grace: time.Second,
		Token: func(context.Context, Want) (source.Found, time.Time, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			tok, err := token.Parse(p.tokens[0])
			if len(p.tokens) > 1 {
				p.tokens = p.tokens[1:]
			}
			return source.Found{Token: tok, Instance: i}, time.Time{}, err
		},
		Forget: func(token.Token) {},
		Reach: func(source.Found) (transport.Network, error) {
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.instance.Certificate().Raw})
			authorities, err := transport.Roots(transport.Trust{PEM: ca, Where: "the test"})
			return transport.Network{Roots: authorities.Pool, HTTP1: !http2}, err
		},
		Ancestor: func(context.Context, source.Found, string, string, string) (bool, error) { return false, nil },
		Done:     func(r Record) { p.records <- r },
	}
	if change != nil {
		change(&config)
	}
	p.server = New(config)
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = l.Addr().String()
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		if err := p.server.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		p.stop()
		select {
		case <-p.ended:
		case <-time.After(wait):
			t.Error("it does not stop")
		}
	})
	return p
}

func (p *proxied) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.asked...)
}

// send sends bytes on a connection, and gives all that comes back until the proxy
// closes it. With close, this side is closed behind them.
func (p *proxied) send(t *testing.T, raw string, closeWrite bool) string {
	t.Helper()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(wait))
	go func() {
		_, _ = io.WriteString(conn, raw)
		if closeWrite {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	got, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the connection is not closed; so far it had %q", got)
	}
	return string(got)
}

func get(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
}

func post(path, body string, headers ...string) string {
	head := "POST " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	if !strings.Contains(head, "Transfer-Encoding") && !strings.Contains(head, "Content-Length") {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return head + "\r\n" + body
}

// status is the status line's number in an answer.
func status(answer string) string {
	if fields := strings.Fields(answer); len(fields) > 1 {
		return fields[1]
	}
	return ""
}

const (
	fetchRefs = "/group/project.git/info/refs?service=git-upload-pack"
	fetchPack = "/group/project.git/git-upload-pack"
	pushPack  = "/group/project.git/git-receive-pack"
	batch     = "/group/project.git/info/lfs/objects/batch"
)

// git answers as git does, without a repository.
func git(w http.ResponseWriter, r *http.Request) {
	_, service, _ := strings.Cut(r.URL.String(), "git-")
	kind := "result"
	if strings.HasSuffix(r.URL.Path, "/info/refs") {
		kind = "advertisement"
	}
	w.Header().Set("Content-Type", "application/x-git-"+service+"-"+kind)
	n, _ := io.Copy(io.Discard, r.Body)
	_, _ = fmt.Fprintf(w, "read %d", n)
}

// forms are a token as it could be written: plain, percent-encoded, in base64 at each
// offset and in both alphabets, and in hexadecimal.
func forms(tok string) (all []string) {
	all = []string{tok, url.QueryEscape(tok), hex.EncodeToString([]byte(tok))}
	for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for _, before := range []string{"", "x", "xx", "oauth2:", "a:" + strings.Repeat("b", 4)} {
			all = append(all, alphabet.EncodeToString([]byte(before+tok)), alphabet.EncodeToString([]byte(before+tok+"!?")))
		}
	}
	percent := ""
	for _, b := range []byte(tok) {
		percent += fmt.Sprintf("%%%02X", b)
	}
	return append(all, percent, strings.ToLower(percent))
}

// leaked finds a token in bytes: eight characters of it, or of its base64.
func leaked(data string) string {
	for _, text := range []string{data, strings.NewReplacer("-", "+", "_", "/").Replace(data), unescaped(data)} {
		for _, tok := range []string{canary, rotated} {
			parts := []string{tok[len("glpat-"):], hex.EncodeToString([]byte(tok))}
			for n := range 3 {
				encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", n) + tok[len("glpat-"):]))
				parts = append(parts, encoded[4:len(encoded)-2])
			}
			for _, part := range parts {
				for at := 0; at+8 <= len(part); at++ {
					if strings.Contains(text, part[at:at+8]) {
						return part[at : at+8]
					}
				}
			}
		}
	}
	return ""
}

// unescaped decodes every percent sign that encodes something.
func unescaped(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+3 <= len(text) {
			if b, err := hex.DecodeString(text[i+1 : i+3]); err == nil {
				out.Write(b)
				i += 2
				continue
			}
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

// The instance gets the token, and nothing of what the client had for credentials.
func TestOnlyTheTokenGoesUp(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		headers := make(chan http.Header, 1)
		p := start(t, http2, nil, func(w http.ResponseWriter, r *http.Request) {
			headers <- r.Header.Clone()
			git(w, r)
		})
		dirty := []string{"Authorization: Basic Y2xpZW50OmNsaWVudA==", "Cookie: client=1", "Private-Token: client", "Job-Token: client", "Deploy-Token: client",
			"Proxy-Authorization: Basic client", "X-Forwarded-For: client", "Forwarded: for=client", "X-Forwarded-Host: client", "Via: client", "X-Real-Ip: client",
			"Te: trailers", "Trailer: Authorization", "Keep-Alive: client", "Connection: close, X-Client", "X-Client: client", "Sudo: client", "X-Gitlab-Client: client",
			"Accept-Encoding: gzip", "Git-Protocol: version=2", "User-Agent: git/2.0"}
		answer := p.send(t, strings.Replace(get(fetchRefs), "\r\n\r\n", "\r\n"+strings.Join(dirty, "\r\n")+"\r\n\r\n", 1), false)
		if status(answer) != "200" || leaked(answer) != "" {
			t.Fatalf("%q", answer)
		}
		up := <-headers
		if user, password, _ := (&http.Request{Header: up}).BasicAuth(); user != "oauth2" || password != canary {
			t.Error("the instance did not get the token")
		}
		up.Del("Authorization")
		want := "map[Accept-Encoding:[identity] Git-Protocol:[version=2] User-Agent:[git/2.0]]"
		if got := fmt.Sprint(up); got != want {
			t.Errorf("HTTP/2 %v: the instance got %s, want %s", http2, got, want)
		}
	}
}

// The client does not get the token from any reply.
func TestNothingOfTheTokenComesDown(t *testing.T) {
	places := map[string]func(w http.ResponseWriter, r *http.Request, form string){
		"header": func(w http.ResponseWriter, r *http.Request, form string) {
			for _, name := range append([]string{"X-Echo", "Set-Cookie", "Www-Authenticate", "Lfs-Authenticate", "Link"}, passed...) {
				if name != "Content-Type" && name != "Content-Length" {
					w.Header().Set(name, form)
				}
			}
			git(w, r)
		},
		"early hints": func(w http.ResponseWriter, r *http.Request, form string) {
			w.Header().Set("Link", form)
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			git(w, r)
		},
		"trailer": func(w http.ResponseWriter, r *http.Request, form string) {
			w.Header().Set("Trailer", "X-Echo")
			git(w, r)
			w.Header().Set("X-Echo", form)
			w.Header().Set(http.TrailerPrefix+"X-Other", form)
		},
		"location": func(w http.ResponseWriter, _ *http.Request, form string) {
			w.Header().Set("Location", "/group/project.git/info/refs?service=git-upload-pack&x="+form)
			w.WriteHeader(http.StatusFound)
		},
		"text": func(w http.ResponseWriter, _ *http.Request, form string) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "You are not allowed: "+form+".")
		},
		"page": func(w http.ResponseWriter, _ *http.Request, form string) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<p>"+form)
		},
		"login": func(w http.ResponseWriter, _ *http.Request, form string) {
			w.Header().Set("Www-Authenticate", form)
			http.Error(w, form, http.StatusUnauthorized)
		},
		"content type": func(w http.ResponseWriter, _ *http.Request, form string) {
			w.Header().Set("Content-Type", form)
			_, _ = io.WriteString(w, form)
		},
	}
	for name, place := range places {
		for _, http2 := range []bool{false, true} {
			for _, form := range forms(canary) {
				p := start(t, http2, nil, func(w http.ResponseWriter, r *http.Request) { place(w, r, form) })
				for _, request := range []string{get(fetchRefs), post(fetchPack, "0000"), post(batch, `{"operation":"download"}`)} {
					if answer := p.send(t, request, false); leaked(answer) != "" || !strings.HasPrefix(answer, "HTTP/1.1 ") {
						t.Errorf("%s %s, HTTP/2 %v: %q", name, form, http2, answer)
					}
				}
				if len(p.requests()) < 3 {
					t.Errorf("%s: the instance was asked for %v", name, p.requests())
				}
			}
		}
	}
}

// A stream with the token in it ends before the token, wherever a read ends; without
// it, a stream comes through whole.
func TestStream(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte("oauth2:" + canary))
	for _, secret := range []string{canary, encoded, base64.URLEncoding.EncodeToString([]byte("x" + canary))} {
		for _, size := range []int{1, 7, 1000, 40000} {
			body := strings.Repeat("0008data", 9000) + secret + strings.Repeat("0008more", 9000)
			p := start(t, true, nil, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
				for at := 0; at < len(body); at += size {
					if _, err := io.WriteString(w, body[at:min(at+size, len(body))]); err != nil {
						return
					}
					if size > 100 || at > 71000 && at < 73000 {
						_ = http.NewResponseController(w).Flush()
					}
				}
			})
			answer := p.send(t, post(fetchPack, "0000"), false)
			if leaked(answer) != "" || strings.Contains(answer, "more") || strings.HasSuffix(answer, "0\r\n\r\n") {
				t.Errorf("%s in writes of %d: an answer of %d bytes", secret, size, len(answer))
			}
		}
	}
	whole := strings.Repeat(canary[:10]+encoded[:15], 5000)
	p := start(t, true, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		_, _ = io.WriteString(w, whole)
	})
	resp, err := http.Post("http://"+p.address+fetchPack, "", strings.NewReader("0000"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != whole {
		t.Errorf("%d bytes of %d, %v", len(got), len(whole), err)
	}
}

// A stream that ends within the token shows no more of it than GitLab's prefix.
func TestStreamCutWithinTheToken(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("oauth2:" + canary))
	for secret, public := range map[string]int{canary: len("glpat-"), basic: len("b2F1dGgyOmdscGF0L")} {
		for length := 1; length < len(secret); length++ {
			for _, cut := range []bool{false, true} {
				p := start(t, true, nil, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
					_, _ = io.WriteString(w, "0008data"+secret[:length])
					if _ = http.NewResponseController(w).Flush(); cut {
						panic(http.ErrAbortHandler)
					}
				})
				resp, err := http.Post("http://"+p.address+fetchPack, "", strings.NewReader("0000"))
				var body []byte
				if err == nil {
					body, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}
				got := strings.TrimPrefix(string(body), "0008data")
				if whole := !cut && length <= public; len(got) > public || whole != (err == nil) || whole && got != secret[:length] {
					t.Errorf("of %s, cut %v: %q, %v", secret[:length], cut, got, err)
				}
			}
		}
	}
}

// A rotated token is replaced within a request that can be sent again; otherwise the hint
// is to try again. The client is never asked to log in.
func TestRotatedWithinARequest(t *testing.T) {
	for request, want := range map[string]string{get(fetchRefs): "200", post(batch, `{"operation":"upload"}`): "502", post(fetchPack, "0000"): "403"} {
		p := start(t, true, nil, func(w http.ResponseWriter, r *http.Request) {
			if _, password, _ := r.BasicAuth(); password != rotated {
				w.Header().Set("Www-Authenticate", `Basic realm="GitLab"`)
				http.Error(w, "HTTP Basic: Access denied", http.StatusUnauthorized)
				return
			}
			git(w, r)
		})
		p.tokens = []string{canary, rotated}
		answer := p.send(t, request, false)
		if status(answer) != want || leaked(answer) != "" || strings.Contains(answer, "Www-Authenticate") {
			t.Errorf("%q: %q", request, answer)
		}
	}
	p := start(t, true, nil, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) })
	if answer := p.send(t, get(fetchRefs), false); status(answer) != "403" || len(p.requests()) != 2 {
		t.Errorf("%q after %v", answer, p.requests())
	}
}

// Redirects are passed on only to what is served here.
func TestRedirects(t *testing.T) {
	for location, want := range map[string]string{
		"/group/other.git/info/refs?service=git-upload-pack":                     "http://127.0.0.1/group/other.git/info/refs?service=git-upload-pack",
		"INSTANCE/group/other.git/info/refs?service=git-upload-pack":             "http://127.0.0.1/group/other.git/info/refs?service=git-upload-pack",
		"INSTANCE/group/other.git/info/refs?service=git-receive-pack":            "",
		"https://evil.example/group/other.git/info/refs?service=git-upload-pack": "",
		"http://HOST/group/other.git/info/refs?service=git-upload-pack":          "",
		"https://u:p@HOST/group/other.git/info/refs?service=git-upload-pack":     "",
		"INSTANCE/users/sign_in": "", "//evil.example/x": "", "": "", "\x00": "",
	} {
		p := start(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", strings.NewReplacer("INSTANCE", "https://"+r.Host, "HOST", r.Host).Replace(location))
			w.WriteHeader(http.StatusMovedPermanently)
		})
		answer := p.send(t, get(fetchRefs), false)
		if want == "" {
			if status(answer) != "502" || strings.Contains(answer, "Location") {
				t.Errorf("%q: %q", location, answer)
			}
		} else if status(answer) != "301" || !strings.Contains(answer, "Location: "+want+"\r\n") {
			t.Errorf("%q: %q", location, answer)
		}
	}
	const object = "/group/project.git/gitlab-lfs/objects/4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
	for location, want := range map[string]string{"https://storage.example/o?X-Amz-Signature=1": "302", "http://storage.example/o": "502", "https://storage.example/o?x=" + canary: "502"} {
		p := start(t, false, nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		})
		if answer := p.send(t, get(object), false); status(answer) != want || leaked(answer) != "" {
			t.Errorf("%q: %q", location, answer)
		}
	}
}

// Transfers of an LFS batch lead to the proxy, or to a storage as they are.
func TestBatch(t *testing.T) {
	const oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("oauth2:"+canary))
	for action, want := range map[string]string{
		`"download":{"href":"INSTANCE/group/project.git/gitlab-lfs/objects/OID","header":{"Authorization":"BASIC"}}`:                   `"download":{"header":{},"href":"http://127.0.0.1/group/project.git/gitlab-lfs/objects/OID"}`,
		`"upload":{"href":"INSTANCE/group/project.git/gitlab-lfs/objects/OID/12","header":{"Authorization":"x","Content-Type":"y"}}`:   `"upload":{"header":{"Content-Type":"y"},"href":"http://127.0.0.1/group/project.git/gitlab-lfs/objects/OID/12"}`,
		`"download":{"href":"https://s3.example/o?sig=1","header":{"Authorization":"AWS4 x","X":"BASIC"},"expires_in":12345678901234}`: `"download":{"expires_in":12345678901234,"header":{"Authorization":"AWS4 x"},"href":"https://s3.example/o?sig=1"}`,
		`"download":{"href":"https://s3.example/o?t=` + canary + `"}`:                                                                  "",
		`"download":{"href":"INSTANCE/group/other.git/gitlab-lfs/objects/OID"}`:                                                        "",
		`"download":{"href":"INSTANCE/api/v4/user"}`:                                                                                   "",
		`"download":{"href":"https://oauth2:` + canary + `@s3.example/o"}`:                                                             "",
		`"download":"x"`: "",
		`"download":{"href":"https://s3.example/o","extra":"BASIC"}`: "",
	} {
		p := start(t, true, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", typeLFS)
			_, _ = io.WriteString(w, strings.NewReplacer("INSTANCE", "https://"+r.Host, "OID", oid, "BASIC", basic).Replace(`{"transfer":"basic","objects":[{"oid":"OID","size":12,"actions":{`+action+`}}]}`))
		})
		answer := p.send(t, post(batch, `{"operation":"download","objects":[]}`), false)
		if leaked(answer) != "" {
			t.Errorf("%s: %q", action, answer)
		}
		if want == "" && status(answer) != "502" || want != "" && (status(answer) != "200" || !strings.Contains(answer, strings.ReplaceAll(want, "OID", oid))) {
			t.Errorf("%s: %q", action, answer)
		}
	}
}

// Requests that are not git's or LFS's, or ambiguous, are not forwarded.
func TestBadRequests(t *testing.T) {
	p := start(t, true, func(c *Config) { c.Policy.Projects = []string{"group/*"} }, git)
	ref := "refs/heads/x"
	one, two := strings.Repeat("1", 40), strings.Repeat("2", 40)
	line := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	update := line(one + " " + two + " " + ref + "\x00 report-status")
	for name, row := range map[string]struct{ request, want string }{
		"absolute form":         {"GET http://HOST" + fetchRefs + " HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", "404"},
		"absolute elsewhere":    {"GET https://evil.example" + fetchRefs + " HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "404"},
		"authority form":        {"CONNECT gitlab.example.com:443 HTTP/1.1\r\nHost: gitlab.example.com:443\r\nConnection: close\r\n\r\n", "404"},
		"asterisk form":         {"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"},
		"no form":               {"GET group/project.git/info/refs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "400"},
		"upgrade":               {strings.Replace(get(fetchRefs), "Connection: close", "Connection: close, Upgrade\r\nUpgrade: websocket", 1), "404"},
		"web page":              {strings.Replace(get(fetchRefs), "Host", "Origin: https://evil.example\r\nHost", 1), "404"},
		"no host":               {"GET " + fetchRefs + " HTTP/1.1\r\nConnection: close\r\n\r\n", "400"},
		"two hosts":             {strings.Replace(get(fetchRefs), "Host: 127.0.0.1", "Host: 127.0.0.1\r\nHost: other", 1), "400"},
		"image of a web page":   {strings.Replace(get(fetchRefs), "Host", "Sec-Fetch-Site: cross-site\r\nHost", 1), "404"},
		"other address":         {strings.Replace(get(fetchRefs), "Host: 127.0.0.1", "Host: 192.0.2.1", 1), "404"},
		"any address":           {strings.Replace(get(fetchRefs), "Host: 127.0.0.1", "Host: 0.0.0.0:8466", 1), "404"},
		"name with an address":  {strings.Replace(get(fetchRefs), "Host: 127.0.0.1", "Host: 127.0.0.1.evil.example", 1), "404"},
		"empty host":            {strings.Replace(get(fetchRefs), "Host: 127.0.0.1", "Host: ", 1), "404"},
		"name for this machine": {strings.Replace(get(fetchRefs), "Host: 127.0.0.1", "Host: rebound.example", 1), "404"},
		"host with more":        {strings.Replace(get(fetchRefs), "Host: 127.0.0.1", "Host: 127.0.0.1:1/@evil.example", 1), "400"},
		"host with a space":     {strings.Replace(get(fetchRefs), "Host: 127.0.0.1", "Host: a b", 1), "400"},
		"climbs":                {get("/group/../other/secret.git/info/refs?service=git-upload-pack"), "404"},
		"climbs encoded":        {get("/group/%2e%2e/other/secret.git/info/refs?service=git-upload-pack"), "404"},
		"encoded slash":         {get("/group%2fproject.git/info/refs?service=git-upload-pack"), "404"},
		"encoded dot":           {get("/group/project%2egit/info/refs?service=git-upload-pack"), "404"},
		"double slash":          {get("/group//project.git/info/refs?service=git-upload-pack"), "404"},
		"slashes in front":      {get("//group/project.git/info/refs?service=git-upload-pack"), "404"},
		"backslash":             {get(`/group/..\secret.git/info/refs?service=git-upload-pack`), "404"},
		"NUL encoded":           {get("/group/project.git%00/info/refs?service=git-upload-pack"), "404"},
		"NUL":                   {get("/group/project.git\x00/info/refs?service=git-upload-pack"), "400"},
		"semicolon":             {get("/group/project.git;x/info/refs?service=git-upload-pack"), "404"},
		"other query":           {get(fetchRefs + "&x=1"), "404"},
		"no query":              {get("/group/project.git/info/refs"), "404"},
		"dumb protocol":         {get("/group/project.git/HEAD"), "404"},
		"dumb object":           {get("/group/project.git/objects/info/packs"), "404"},
		"archive":               {post("/group/project.git/git-upload-archive", ""), "404"},
		"API":                   {get("/api/v4/user"), "404"},
		"API with an ending":    {get("/api/v4/x.git/info/refs?service=git-upload-pack"), "403"},
		"web":                   {get("/group/project"), "404"},
		"wrong method":          {post(fetchRefs, ""), "404"},
		"GET with a body":       {strings.Replace(post(fetchRefs, "x"), "POST", "GET", 1), "404"},
		"other project":         {get("/other/secret.git/info/refs?service=git-upload-pack"), "403"},
		"group's own":           {get("/group.wiki.git/info/refs?service=git-upload-pack"), "403"},
		"group's name goes on":  {get("/group-x/project.git/info/refs?service=git-upload-pack"), "403"},
		"huge header":           {strings.Replace(get(fetchRefs), "\r\n\r\n", "\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n", 1), "431"},
		"huge target":           {get("/group/" + strings.Repeat("x", 8<<10) + ".git/info/refs?service=git-upload-pack"), "404"},
		"no HTTP":               {"0032git-upload-pack /group/project.git\x00host=x\x00\r\n\r\n", "400"},
		"two lengths":           {post(fetchPack, "0000", "Content-Length: 4", "Content-Length: 5"), "400"},
		"length and more":       {post(fetchPack, "0000", "Content-Length: 4, 5"), "400"},
		"negative length":       {post(fetchPack, "0000", "Content-Length: -4"), "400"},
		"unknown encoding":      {post(fetchPack, "0000", "Transfer-Encoding: xchunked"), "501"},
		"two encodings":         {post(fetchPack, "0000", "Transfer-Encoding: gzip, chunked"), "501"},
		"space before colon":    {post(fetchPack, "0000", "Content-Length : 4", "Content-Length: 4"), "400"},
		"bad chunk in a push":   {post(pushPack, "zz\r\n0000\r\n", "Transfer-Encoding: chunked"), "400"},
		"TRACE":                 {strings.Replace(get(fetchRefs), "GET", "TRACE", 1), "404"},
		"HEAD":                  {strings.Replace(get(fetchRefs), "GET", "HEAD", 1), "404"},
		"CONNECT with a path":   {strings.Replace(get(fetchRefs), "GET", "CONNECT", 1), "404"},
		"lower-case method":     {strings.Replace(get(fetchRefs), "GET", "get", 1), "404"},
		"HTTP/1.0, no host":     {"GET " + fetchRefs + " HTTP/1.0\r\n\r\n", "404"},
		"HTTP/1.0 in chunks":    {strings.Replace(post(pushPack, "4\r\n0000\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), "HTTP/1.1", "HTTP/1.0", 1), "400"},
		"HTTP/2 preface":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "404"},
		"two upgrades":          {post(fetchPack, "0000", "Upgrade: h2c", "Upgrade: websocket"), "404"},
		"fragment":              {get(fetchRefs + "#x"), "404"},
		"GET in chunks":         {strings.Replace(post(fetchRefs, "0\r\n\r\n", "Transfer-Encoding: chunked"), "POST", "GET", 1), "404"},
		"encoded twice":         {post(fetchPack, "4\r\n0000\r\n0\r\n\r\n", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "501"},
		"huge chunk extension":  {post(pushPack, "4;x="+strings.Repeat("x", 64<<10)+"\r\n0000\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), "400"},
		"chunks end in LF":      {post(pushPack, "4\n0000\n0\n\n", "Transfer-Encoding: chunked"), "400"},
		"length as a trailer":   {post(pushPack, "4\r\n0000\r\n0\r\nContent-Length: 5\r\n\r\n", "Transfer-Encoding: chunked", "Trailer: Content-Length"), "400"},
		"CR in a header":        {strings.Replace(get(fetchRefs), "Connection", "X: a\rb\r\nConnection", 1), "400"},
		"compressed twice":      {post(pushPack, "0000", "Content-Encoding: gzip, gzip"), "415"},
		"not compressed":        {post(pushPack, "0000", "Content-Encoding: gzip"), "400"},

		"no update":            {post(pushPack, line("shallow "+one)+"0000"), "400"},
		"pack without updates": {post(pushPack, "0000PACK"), "400"},
		"pack before flush":    {post(pushPack, update+"PACK\x00\x00\x00\x02"), "400"},
		"no flush":             {post(pushPack, update), "400"},
		"length that lies":     {post(pushPack, "ffff"+update), "400"},
		"length too short":     {post(pushPack, "0003"+update), "400"},
		"length no number":     {post(pushPack, "-001"+update), "400"},
		"no end of updates":    {post(pushPack, strings.Repeat(line("shallow "+one), 30000)), "400"},
		"no end of options":    {post(pushPack, line(one+" "+two+" "+ref+"\x00push-options")+"0000"+strings.Repeat(line("x"), 300000)), "400"},
		"signed":               {post(pushPack, line("push-cert\x00 report-status")+"0000"), "400"},
		"updated twice":        {post(pushPack, update+line(one+" "+two+" "+ref)+"0000"), "400"},
		"upper case":           {post(pushPack, line(strings.Repeat("A", 40)+" "+two+" "+ref+"\x00")+"0000"), "400"},
		"from nothing to it":   {post(pushPack, line(strings.Repeat("0", 40)+" "+strings.Repeat("0", 40)+" "+ref+"\x00")+"0000"), "400"},
		"capabilities late":    {post(pushPack, update+line(one+" "+two+" refs/heads/y\x00atomic")+"0000"), "400"},
		"line break":           {post(pushPack, line(one+" "+two+" refs/heads/x\nrefs/heads/main\x00")+"0000"), "400"},
		"climbing ref":         {post(pushPack, line(one+" "+two+" refs/heads/session/../main\x00")+"0000"), "400"},
		"ref with a space":     {post(pushPack, line(one+" "+two+" refs/heads/x y\x00")+"0000"), "400"},
		"ref at the top":       {post(pushPack, line(one+" "+two+" HEAD\x00")+"0000"), "400"},
		"waits to be refused":  {post("/other/secret.git/git-receive-pack", update+"0000", "Expect: 100-continue"), "403"},
		"ref with controls":    {post(pushPack, line(one+" "+two+" refs/heads/\x1b[2K\x00")+"0000"), "400"},
		"batch of nothing":     {post(batch, `[]`), "400"},
		"batch of two":         {post(batch, `{"operation":"download","Operation":"upload"}`), "400"},
		"batch escaped":        {post(batch, `{"operation":"download","operatio\u006e":"upload"}`), "400"},
		"batch twice":          {post(batch, `{"operation":"download","operation":"upload"}`), "400"},
		"batch too large":      {post(batch, `{"operation":"download","objects":[`+strings.Repeat("1,", 200_000)+`1]}`), "400"},
		"batch without":        {post(batch, `{"objects":[]}`), "400"},
	} {
		answer := p.send(t, strings.ReplaceAll(row.request, "HOST", p.instance.Listener.Addr().String()), true)
		if status(answer) != row.want || leaked(answer) != "" || strings.Contains(answer, "Www-Authenticate") {
			t.Errorf("%s: %q, want %s", name, answer, row.want)
		}
		if asked := p.requests(); len(asked) > 0 {
			t.Fatalf("%s: the instance was asked for %v", name, asked)
		}
	}
}

// Two requests that could be read as one are judged separately.
func TestSmuggling(t *testing.T) {
	p := start(t, false, func(c *Config) { c.Policy.Projects = []string{"group/*"} }, git)
	p.send(t, post(fetchPack, "0000", "X: 1\r\n Content-Length: 9", "Content-Length: 4"), false)
	inner := get("/other/secret.git/info/refs?service=git-upload-pack")
	for _, request := range []string{
		post(fetchPack, "0\r\n\r\n"+inner, "Content-Length: "+decimal(len(inner)+5), "Transfer-Encoding: chunked"),
		post(fetchPack, "0\r\n\r\n"+inner, "Transfer-Encoding: chunked", "Content-Length: 4"),
		strings.ReplaceAll(post(fetchPack, "4\r\n0000\r\n0\r\nX: 1\r\n\r\n"+inner, "Transfer-Encoding: chunked"), "Connection: close\r\n", ""),
		strings.ReplaceAll(post(fetchPack, "5;x=\n\r\n0000\n\r\n0\r\n\r\n"+inner, "Transfer-Encoding: chunked"), "Connection: close\r\n", ""),
		strings.ReplaceAll(post(fetchPack, "0000"+inner, "Content-Length: 4"), "Connection: close\r\n", ""),
		strings.ReplaceAll(post(fetchPack, "zz\r\n"+inner, "Transfer-Encoding: chunked"), "Connection: close\r\n", ""),
		strings.ReplaceAll(post(fetchPack, "-1\r\n"+inner, "Transfer-Encoding: chunked"), "Connection: close\r\n", ""),
		strings.ReplaceAll(post(fetchPack, "fffffffffffffffff\r\n"+inner, "Transfer-Encoding: chunked"), "Connection: close\r\n", ""),
	} {
		if answer := p.send(t, request, true); leaked(answer) != "" {
			t.Errorf("%q: %q", request, answer)
		}
	}
	for _, asked := range p.requests() {
		if asked != "POST "+fetchPack {
			t.Errorf("the instance was asked for %q", asked)
		}
	}
}

// A client that goes silent, or away, ends the request at the instance as well.
func TestSilentClients(t *testing.T) {
	ended := make(chan error, 8)
	p := start(t, true, func(c *Config) { c.Silence = 300 * time.Millisecond }, func(_ http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 9 { // reads, and answers nothing
			<-r.Context().Done()
			ended <- r.Context().Err()
			return
		}
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})
	chunk := "4\r\n0000\r\n"
	for name, request := range map[string]string{
		"a body that does not end":      post(fetchPack, chunk, "Transfer-Encoding: chunked"),
		"a body shorter than it says":   post(fetchPack, "0000", "Content-Length: 1000"),
		"an instance that says nothing": post(fetchPack, "000000000"),
	} {
		p.send(t, request, false) // fails if the connection stays open
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s: the instance got a whole request", name)
			}
		case <-time.After(wait):
			t.Errorf("%s: the instance still waits", name)
		}
	}
	// Single bytes are no progress.
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(wait))
	_, _ = io.WriteString(conn, post(fetchPack, "", "Content-Length: 1000000"))
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = io.Copy(io.Discard, conn)
	}()
	for drip := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-drip.C:
			_, err = io.WriteString(conn, "x")
		case <-left:
			err = io.EOF
		}
		if err != nil {
			break
		}
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("a client that sends single bytes keeps its request")
	}
	for name, request := range map[string]string{
		"updates that do not come": post(pushPack, "", "Content-Length: 1000"),
		"a batch that ends early":  post(batch, "{", "Content-Length: 1000"),
	} {
		if answer := p.send(t, request, false); strings.HasPrefix(answer, "HTTP/1.1 200") {
			t.Errorf("%s: %q", name, answer)
		}
	}
}

// A client that leaves ends its request at the instance.
func TestClientLeaves(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		begun, ended := make(chan struct{}), make(chan struct{})
		p := start(t, http2, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			_ = http.NewResponseController(w).Flush()
			close(begun)
			<-r.Context().Done()
			close(ended)
		})
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, post(fetchPack, "0000"))
		for _, step := range []chan struct{}{begun, ended} {
			select {
			case <-step:
			case <-time.After(wait):
				t.Fatal("it goes on")
			}
			_ = conn.Close()
		}
	}
}

// An answer that comes before the body has ended comes through, whether the client goes
// on sending or not.
func TestEarlyAnswer(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		p := start(t, http2, nil, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "The push is too large.", http.StatusRequestEntityTooLarge)
		})
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(wait))
		_, _ = io.WriteString(conn, strings.Replace(post(fetchPack, "", "Content-Length: 1000000000"), "Connection: close\r\n", "", 1))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusRequestEntityTooLarge || string(text) != "The push is too large.\n" {
			t.Errorf("%d %q", resp.StatusCode, text)
		}
		_ = conn.Close()
	}
}

// A client that closes its side has left; one that waits for a go-ahead gets it.
func TestHalfClosed(t *testing.T) {
	ended := make(chan struct{})
	p := start(t, true, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 9 {
			<-r.Context().Done()
			close(ended)
			return
		}
		git(w, r)
	})
	p.send(t, post(fetchPack, "000000000"), true)
	select {
	case <-ended:
	case <-time.After(wait):
		t.Error("it goes on")
	}
	if answer := p.send(t, post(fetchPack, "0000", "Expect: 100-continue"), false); !strings.HasPrefix(answer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ") {
		t.Errorf("%q", answer)
	}
	if answer := p.send(t, post(fetchPack, "0000", "Expect: something"), false); status(answer) != "417" {
		t.Errorf("%q", answer)
	}
}

// Replies that are not git's are not passed on.
func TestUnusableAnswers(t *testing.T) {
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"page": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>Sign in") }, "502"},
		"compressed": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			git(w, r)
		}, "502"},
		"garbage":       {raw("0008NAK\n"), "502"},
		"nothing":       {raw(""), "502"},
		"switching":     {raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), "502"},
		"two lengths":   {raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), "502"},
		"huge header":   {raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), "502"},
		"proxy's login": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusProxyAuthRequired) }, "502"},
		"not here": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "The project\x1b[2K could not be found.", http.StatusNotFound)
		}, "404"},
	} {
		p := start(t, false, nil, row.answer)
		answer := p.send(t, get(fetchRefs), false)
		if status(answer) != row.want || leaked(answer) != "" || strings.Contains(answer, "\x1b") {
			t.Errorf("%s: %q", name, answer)
		}
	}
}

// No more requests are served at once than are configured, and no more connections
// than twice that.
func TestBounds(t *testing.T) {
	release, begun := make(chan struct{}), make(chan struct{}, 8)
	p := start(t, true, func(c *Config) { c.Requests = 2 }, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-release
		git(w, r)
	})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if answer := p.send(t, get(fetchRefs), false); status(answer) != "200" {
				t.Errorf("%q", answer)
			}
		})
		<-begun
	}
	if answer := p.send(t, get(fetchRefs), false); status(answer) != "503" || !strings.Contains(answer, "Retry-After: 5") {
		t.Errorf("%q", answer)
	}
	var idle []net.Conn
	for range 8 {
		if conn, err := net.Dial("tcp", p.address); err == nil {
			idle = append(idle, conn)
		}
	}
	closed := 0
	for _, conn := range idle {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		var timeout net.Error
		if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
			closed++
		}
		_ = conn.Close()
	}
	if closed < 6 {
		t.Errorf("%d of 8 connections beyond the bound were closed", closed)
	}
	close(release)
	group.Wait()
}

// A push that is compressed is judged by what it says, and forwarded as that.
func TestCompressedPush(t *testing.T) {
	bodies := make(chan string, 8)
	p := start(t, true, nil, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- r.Header.Get("Content-Encoding") + string(body)
		w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
	})
	push := func(ref, rest string) (answer, plain string) {
		command := strings.Repeat("0", 40) + " " + strings.Repeat("1", 40) + " " + ref + "\x00 report-status"
		plain = fmt.Sprintf("%04x%s0000%s", len(command)+4, command, rest)
		var packed bytes.Buffer
		to := gzip.NewWriter(&packed)
		_, _ = io.WriteString(to, plain)
		_ = to.Close()
		return p.send(t, post(pushPack, packed.String(), "Content-Encoding: gzip"), false), plain
	}
	if answer, _ := push("refs/tags/v1", "PACK"); status(answer) != "200" || !strings.Contains(answer, "000eunpack ok\n") || !strings.Contains(answer, "ng refs/tags/v1 policy: ") {
		t.Errorf("%q", answer)
	}
	answer, plain := push("refs/heads/x", "PACK"+strings.Repeat("x", 1<<20))
	if got := <-bodies; status(answer) != "200" || got != plain {
		t.Errorf("%q, of %d bytes of %d", answer, len(got), len(plain))
	}
}

// A socket that was left behind is replaced; one that is in use is not.
func TestListenUnix(t *testing.T) {
	where := "unix:" + t.TempDir() + "/s"
	l, err := Listen(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(strings.TrimPrefix(where, "unix:")); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	if _, err := Listen(t.Context(), where); err == nil {
		t.Error("two listen on one socket")
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	if l, err = Listen(t.Context(), where); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	for _, where := range []string{"0.0.0.0:0", ":0", "gitlab.example.com:1", "127.0.0.1", "unix:/nowhere/s", "[::]:0", "127.0.0.1:99999"} {
		if _, err := Listen(t.Context(), where); err == nil {
			t.Errorf("listens on %s", where)
		}
	}
}

// A record describes each request.
func TestRecord(t *testing.T) {
	p := start(t, true, nil, git)
	p.send(t, post(fetchPack, "0000"), false)
	p.send(t, get("/x"), false)
	one, two := <-p.records, <-p.records
	if one.Operation != Fetch || one.Project != "group/project" || one.Status != 200 || one.Received != 4 || one.Sent != 6 || one.Reason != "" {
		t.Errorf("%+v", one)
	}
	if two.Operation != "" || two.Status != 404 || two.Reason != "not-served" {
		t.Errorf("%+v", two)
	}
}

// A stop lets a running git command end: its next request is served too.
func TestStopLetsCommandsEnd(t *testing.T) {
	began, answered := make(chan struct{}, 1), make(chan struct{})
	p := start(t, true, func(c *Config) { c.Grace = wait }, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			began <- struct{}{}
			<-answered
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-"+map[string]string{"GET": "advertisement", "POST": "result"}[r.Method])
		_, _ = io.WriteString(w, "0000")
	})
	first := make(chan string, 1)
	go func() { first <- p.send(t, get("/team/app.git/info/refs?service=git-upload-pack"), false) }()
	<-began
	p.stop()
	close(answered)
	if got := <-first; !strings.Contains(got, "200 OK") {
		t.Errorf("the running request got %q", got)
	}
	if got := p.send(t, post("/team/app.git/git-upload-pack", "0000"), false); !strings.Contains(got, "200 OK") {
		t.Errorf("the next request got %q", got)
	}
	select {
	case <-p.ended:
	case <-time.After(wait):
		t.Error("it does not stop")
	}
}
