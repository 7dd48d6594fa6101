package kube

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

const canary = "glpat-CanaryQ7x9Zk2WvB4n"

var mine = Name{Namespace: "team", Name: "mine"}

// kubeconfigFor is a kubeconfig for a server, as kubectl writes it. It holds a
// password that must not be shown.
func kubeconfigFor(server string, ca []byte) string {
	encoded, err := json.Marshal(ca) // base64, as the field is read
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: here
contexts:
- name: here
  context: {cluster: bed, user: somebody}
clusters:
- name: bed
  cluster: {server: %q, certificate-authority-data: %s}
users:
- name: somebody
  user: {token: %s}
`, server, encoded, canary)
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// want fails when a message has another code, lacks the words, or shows a secret.
func want(t *testing.T, problem error, code, words string) {
	t.Helper()
	if problem == nil {
		t.Fatalf("no problem, want %s", code)
	}
	said := strings.Join(message.As(problem).Lines(), "\n")
	if message.As(problem).Code != code || !strings.Contains(said, words) {
		t.Errorf("%s: %s\nwant %s, %q", message.As(problem).Code, said, code, words)
	}
	if strings.Contains(said, "Canary") {
		t.Errorf("a secret shows in\n%s", said)
	}
}

func TestKubeconfigs(t *testing.T) {
	good := kubeconfigFor("https://127.0.0.1:1", nil)
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not there", old)
		}
		return strings.ReplaceAll(good, old, new)
	}
	tests := []struct{ name, text, code, words string }{
		{"good", good, "", ""},
		{"empty", "", "kubeconfig-context", "no current context"},
		{"not YAML", "\t" + canary, "kubeconfig-invalid", "it can't be parsed"},
		{"a list", "[" + canary + "]", "kubeconfig-invalid", "it can't be parsed"},
		{"another kind", "apiVersion: v1\nkind: Secret\ndata: {token: " + canary + "}", "kubeconfig-invalid", "it can't be parsed"},
		{"binary", "\x00\xff\x1b[2J", "kubeconfig-invalid", "it can't be parsed"},
		{"no current context", replace("current-context: here", ""), "kubeconfig-context", "no current context is set"},
		{"context missing", replace("current-context: here", "current-context: \"the\\ere\\n\""), "kubeconfig-context", `the current context "the\x1bre\n" of the kubeconfig does not exist`},
		{"cluster missing", replace("cluster: bed,", "cluster: other,"), "kubeconfig-context", "names the cluster other, which does not exist"},
		{"user missing", replace("user: somebody}", "user: nobody}"), "kubeconfig-context", "names the user nobody, which does not exist"},
		{"server missing", replace("server: \"https://127.0.0.1:1\", ", ""), "kubeconfig-invalid", "its cluster or user is incomplete"},
		{"server no URL", replace("https://127.0.0.1:1", "https://127.0.0.1:1:2:x"), "kubeconfig-invalid", "not a URL"},
		{"server without TLS", replace("https://127.0.0.1:1", "http://192.0.2.1"), "kubeconfig-invalid", "not https"},
		{"server without TLS on loopback", replace("https://127.0.0.1:1", "http://[::1]:1"), "", ""},
		{"authority no certificate", replace("null", "Z2FyYmFnZQ=="), "kubeconfig-invalid", "certificates"},
		{"authority missing", replace("certificate-authority-data: null", "certificate-authority: /nonexistent"), "file-unreadable", "/nonexistent"},
		{"authority without end", replace("certificate-authority-data: null", "certificate-authority: /dev/zero"), "file-unreadable", "/dev/zero"},
		{"token file without end", replace("token: "+canary, "tokenFile: /dev/zero"), "file-unreadable", "/dev/zero"},
		{"token file missing", replace("token: "+canary, "tokenFile: /nonexistent"), "file-unreadable", "/nonexistent"},
		{"key missing", replace("token: "+canary, "client-certificate: /nonexistent"), "file-unreadable", "/nonexistent"},
		{"auth-provider", replace("token: "+canary, "auth-provider: {name: oidc}"), "kubeconfig-invalid", "auth-provider"},
		{"two logins", replace("token: "+canary, "exec: {command: x, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}, auth-provider: {name: oidc}"), "kubeconfig-invalid", ""},
		{"plugin without a command", replace("token: "+canary, "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}"), "kubeconfig-invalid", "incomplete"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, test.text)
			client, problem := Open(t.Context(), Config{Kubeconfig: path})
			if test.code != "" {
				want(t, problem, test.code, test.words)
			} else if problem != nil || client == nil {
				t.Error(problem)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for _, test := range []struct {
		name        string
		config      Config
		code, words string
	}{
		{"missing", Config{Kubeconfig: missing + string(os.PathListSeparator)}, "kubeconfig-missing", missing},
		{"only dividers", Config{Kubeconfig: string(os.PathListSeparator)}, "kubeconfig-missing", ""},
		{"relative", Config{Kubeconfig: "kubeconfig"}, "kubeconfig-invalid", "a path that is not absolute"},
		{"relative beside a good one", Config{Kubeconfig: write(t, good) + string(os.PathListSeparator) + "./x"}, "kubeconfig-invalid", "./x can't be used"},
		{"directory", Config{Kubeconfig: t.TempDir()}, "file-unreadable", "not a regular file"},
		{"nothing at all", Config{}, "kubeconfig-missing", ""},
		{"no home", Config{Home: filepath.Dir(missing)}, "kubeconfig-missing", filepath.Join(".kube", "config")},
		{"pod without a token", Config{ServiceHost: "10.0.0.1", ServicePort: "443", ServiceAccount: missing}, "kubeconfig-missing", missing},
		{"pod with a token and no authority", Config{ServiceHost: "10.0.0.1", ServicePort: "443", ServiceAccount: accountDir(t, canary)}, "file-unreadable", "ca.crt"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problem := Open(t.Context(), test.config)
			want(t, problem, test.code, test.words)
		})
	}
}

func accountDir(t *testing.T, token string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// server is one that answers as handler does.
func server(t *testing.T, handler http.HandlerFunc) (*Client, *httptest.Server) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return open(t, kubeconfigFor(s.URL, ca)), s
}

func open(t *testing.T, kubeconfig string) *Client {
	t.Helper()
	client, problem := Open(t.Context(), Config{Kubeconfig: write(t, kubeconfig), UserAgent: "test"})
	if problem != nil {
		t.Fatal(problem)
	}
	return client
}

// Answers that no API server gives, or only one in trouble.
func TestOddAnswers(t *testing.T) {
	status := func(code int, reason string) string {
		return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"reason":%q,"code":%d}`, canary, reason, code)
	}
	secret := func(name, data string) string {
		return fmt.Sprintf(`{"kind":"Secret","apiVersion":"v1","metadata":{"namespace":"team","name":%q},"data":%s}`, name, data)
	}
	tests := []struct {
		name        string
		status      int
		body        string
		code, words string
		unverified  bool
	}{
		{"good", 200, secret("mine", `{"token":"eA=="}`), "", "", false},
		{"HTML", 200, "<html>" + canary, "kube-not-api", "", true},
		{"HTML, 401", 401, "<html>" + canary, "kube-not-api", "401 Unauthorized", true},
		{"HTML, 403", 403, "<html>" + canary, "kube-not-api", "403 Forbidden", true},
		{"HTML, 404", 404, "<html>" + canary, "kube-not-api", "404 Not Found", true},
		{"HTML, 502", 502, "<html>" + canary, "kube-server-error", "502 Bad Gateway", true},
		{"503", 503, status(503, "ServiceUnavailable"), "kube-server-error", "503", true},
		{"429", 429, "slow down", "kube-server-error", "429", true},
		{"401", 401, status(401, "Unauthorized"), "kube-login", "log in to the cluster again", false},
		{"403", 403, status(403, "Forbidden"), "kube-forbidden", "this account may not get the Secret team/mine", false},
		{"404", 404, status(404, "NotFound"), "kube-missing", "team/mine", false},
		{"409", 409, status(409, "Conflict"), "kube-conflict", "", false},
		{"422", 422, status(422, "Invalid"), "kube-refused", "422 Unprocessable Entity", false},
		{"unknown status", 499, status(499, canary), "kube-refused", "499", false},
		{"empty", 200, "", "kube-not-api", "", true},
		{"a list", 200, "[]", "kube-not-api", "", true},
		{"no kind", 200, "{}", "kube-not-api", "", true},
		{"cut", 200, secret("mine", `{"token":"`), "kube-not-api", "", true},
		{"another one", 200, secret("other", `{"token":"eA=="}`), "kube-not-api", "", true},
		{"another kind", 200, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"namespace":"team","name":"mine"},"data":{}}`, "kube-not-api", "", true},
		{"no base64", 200, secret("mine", `{"token":"`+canary+`"}`), "kube-not-api", "", true},
		{"no text", 200, secret("mine", `{"token":{"a":1}}`), "kube-not-api", "", true},
		{"huge", 200, secret("mine", `{"token":"`+strings.Repeat("A", maxAnswer)+`"}`), "kube-not-api", "too large", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
				if !strings.HasPrefix(test.body, "<") {
					w.Header().Set("Content-Type", "application/json")
				}
				w.Header().Set("Warning", `299 - "`+canary+`"`)
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			_, problem := client.Get(t.Context(), mine)
			if test.code == "" {
				if problem != nil {
					t.Error(problem)
				}
				return
			}
			want(t, problem, test.code, test.words)
			if message.Unverified(problem) != test.unverified {
				t.Errorf("unverified is %v", message.Unverified(problem))
			}
		})
	}
}

// A busy API server says when to try again. A wait that does not fit into the time limit is
// not begun.
func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		name, wait string
		status     int
		requests   int
		code       string
	}{
		{"too many requests", "0", 429, 2, ""},
		{"server error", "0", 500, 2, ""},
		{"without a time", "", 503, 1, "kube-server-error"},
		{"after the time limit", "3600", 429, 1, "kube-server-error"},
		{"no reason to try again", "0", 409, 1, "kube-conflict"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var bodies []string
			client, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				bodies = append(bodies, string(body))
				w.Header().Set("Content-Type", "application/json")
				if len(bodies) == 1 {
					if test.wait != "" {
						w.Header().Set("Retry-After", test.wait)
					}
					w.WriteHeader(test.status)
					_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure"}`)
					return
				}
				_, _ = io.WriteString(w, `{"kind":"Secret","apiVersion":"v1","metadata":{"namespace":"team","name":"mine"}}`)
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, problem := client.Apply(ctx, mine, Wanted{Data: map[string]Value{"key": Hide([]byte("value"))}})
			if test.code != "" {
				want(t, problem, test.code, "")
			} else if problem != nil {
				t.Error(problem)
			}
			if len(bodies) != test.requests || bodies[0] == "" || bodies[0] != bodies[len(bodies)-1] {
				t.Errorf("requests: %q", bodies)
			}
		})
	}
}

// A lost connection, as when an API server restarts, is tried again if nothing is changed.
func TestConnectionLost(t *testing.T) {
	for _, test := range []struct {
		name     string
		do       func(*Client) error
		requests int
		code     string
	}{
		{"get", func(c *Client) error { _, err := c.Get(t.Context(), mine); return err }, 2, ""},
		{"apply", func(c *Client) error { _, err := c.Apply(t.Context(), mine, Wanted{}); return err }, 1, "kube-unreachable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var requests atomic.Int32
			client, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
				if requests.Add(1) == 1 {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"kind":"Secret","apiVersion":"v1","metadata":{"namespace":"team","name":"mine"}}`)
			})
			problem := test.do(client)
			if test.code != "" {
				want(t, problem, test.code, "the connection broke")
			} else if problem != nil {
				t.Error(problem)
			}
			if n := int(requests.Load()); n != test.requests {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// Clients with an exec plugin are made at the same time in serve, and leave os.Stderr as it was.
func TestStandardError(t *testing.T) {
	program, err := exec.LookPath("true")
	if err != nil {
		t.Skip("there is no true")
	}
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: here,
contexts: [{name: here, context: {cluster: here, user: me}}],
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}],
users: [{name: me, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: %q, interactiveMode: Never}}}]}`, program)
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	defer func() { os.Stderr = before }()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if _, err := Open(t.Context(), Config{Kubeconfig: path}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if os.Stderr != before {
		t.Error("os.Stderr is another file")
	}
}

// A server below a path, as Rancher's.
func TestServerPath(t *testing.T) {
	var asked string
	_, s := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure"}`)
	})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	_, problem := open(t, kubeconfigFor(s.URL+"/k8s/clusters/local/", ca)).Get(t.Context(), mine)
	want(t, problem, "kube-missing", "team/mine")
	if asked != "/k8s/clusters/local/api/v1/namespaces/team/secrets/mine" {
		t.Errorf("requested %s", asked)
	}
}

// serve opens a client for each request, so a closed one must not keep its connection.
func TestClose(t *testing.T) {
	closed := make(chan struct{})
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}
	s.StartTLS()
	defer s.Close()
	client := open(t, kubeconfigFor(s.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	_, _ = client.Get(t.Context(), mine)
	client.Close()
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("the connection is still open")
	}
}

// The login goes nowhere else, wherever an answer points.
func TestRedirect(t *testing.T) {
	asked := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer elsewhere.Close()
	client, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	_, problem := client.Get(t.Context(), mine)
	want(t, problem, "kube-not-api", "307 Temporary Redirect")
	if asked {
		t.Error("the redirect was followed")
	}
}

func TestConnections(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	_, tls := server(t, http.NotFound)
	hang, _ := server(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	at := func(url string, ca []byte) *Client { return open(t, kubeconfigFor(url, ca)) }
	for _, test := range []struct {
		name        string
		client      *Client
		code, words string
	}{
		{"silent", at("https://"+silent.Addr().String(), nil), "kube-timeout", silent.Addr().String()},
		{"silent after the connection", hang, "kube-timeout", ""},
		{"closed", at("https://"+closed.Addr().String(), nil), "kube-unreachable", "connection failed"},
		{"no such host", at("https://cluster.invalid", nil), "kube-unreachable", "can't be resolved"},
		{"authority unknown", at(tls.URL, nil), "kube-tls", "an authority that is not trusted here"},
		{"another host's", at(strings.Replace(tls.URL, "127.0.0.1", "localhost", 1), ca), "kube-tls", "for another host"},
		{"no TLS", at(strings.Replace(plain.URL, "http", "https", 1), nil), "kube-tls", "answers in plain http"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, problem := test.client.Get(ctx, mine)
			want(t, problem, test.code, test.words)
			if !message.Unverified(problem) {
				t.Error("this says nothing of the Secret")
			}
		})
	}
	// A failure of the proxy is reported as the proxy's.
	for status, words := range map[int][2]string{407: {"kube-proxy-login", "the proxy requires a login (407)"}, 403: {"kube-unreachable", "the proxy answers 403"}} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		client := open(t, strings.Replace(kubeconfigFor(tls.URL, ca), "{server:", "{proxy-url: \""+proxy.URL+"\", server:", 1))
		_, problem := client.Get(t.Context(), mine)
		want(t, problem, words[0], words[1])
		proxy.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, problem := hang.Get(ctx, mine)
	want(t, problem, "kube-interrupted", "by a signal")
}

// A server over plain http, which is on this machine, is asked directly: a proxy
// would read the Secret.
func TestNoProxyOverPlainHTTP(t *testing.T) {
	asked := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer proxy.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"Secret","apiVersion":"v1","metadata":{"namespace":"team","name":"mine"}}`)
	}))
	defer plain.Close()
	with := func(server string) *Client {
		return open(t, strings.Replace(kubeconfigFor(server, nil), "{server:", "{proxy-url: \""+proxy.URL+"\", server:", 1))
	}
	if _, problem := with(plain.URL).Get(t.Context(), mine); problem != nil || asked > 0 {
		t.Errorf("%v; the proxy was asked %d times", problem, asked)
	}
	if _, problem := with("https://cluster.invalid").Get(t.Context(), mine); problem == nil || asked == 0 {
		t.Errorf("%v; over TLS, the proxy was asked %d times", problem, asked)
	}
}

// No token is stored with a server that could be anybody.
func TestUnproven(t *testing.T) {
	var methods []string
	_, s := server(t, func(w http.ResponseWriter, r *http.Request) {
		methods = append(methods, r.Method)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"Secret","apiVersion":"v1","metadata":{"namespace":"team","name":"mine"},"data":{"token":"eA=="}}`)
	})
	client := open(t, strings.Replace(kubeconfigFor(s.URL, nil), "certificate-authority-data: null", "insecure-skip-tls-verify: true", 1))
	if _, problem := client.Get(t.Context(), mine); problem != nil {
		t.Fatal(problem)
	}
	_, problem := client.Apply(t.Context(), mine, Wanted{Data: map[string]Value{"token": Hide([]byte(canary))}})
	want(t, problem, "kube-unproven", "insecure-skip-tls-verify")
	if len(methods) != 1 {
		t.Errorf("it was sent %v", methods)
	}
}
