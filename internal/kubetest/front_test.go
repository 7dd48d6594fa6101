package kubetest

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
)

// front stands before the API server and hands everything on, but for what is
// planned for one of the requests.
type front struct {
	server *httptest.Server
	next   *httputil.ReverseProxy

	mu   sync.Mutex
	seen []string
	at   int
	plan plan
}

// plan is what happens to a request; hand hands it on.
type plan func(w http.ResponseWriter, r *http.Request, hand http.HandlerFunc)

func newFront(t *testing.T) *front {
	t.Helper()
	target, err := url.Parse(cluster.Config.Host)
	must(t, err)
	f := &front{next: httputil.NewSingleHostReverseProxy(target)}
	f.next.ErrorLog = log.New(t.Output(), "", 0)
	f.next.Transport, err = rest.TransportFor(rest.AnonymousClientConfig(cluster.Config))
	must(t, err)
	f.server = httptest.NewUnstartedServer(f)
	f.server.Config.ErrorLog = f.next.ErrorLog
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	return f
}

// ServeHTTP answers one request.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	verb := r.Method
	if r.URL.Query().Has("dryRun") {
		verb += " dry"
	}
	f.seen = append(f.seen, verb)
	does := f.plan
	if len(f.seen) != f.at {
		does = nil
	}
	f.mu.Unlock()
	if does == nil {
		does = func(w http.ResponseWriter, r *http.Request, hand http.HandlerFunc) { hand(w, r) }
	}
	does(w, r, f.next.ServeHTTP)
}

// strike plans something for the n-th request from now on.
func (f *front) strike(n int, does plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.at, f.plan = nil, n, does
}

// verbs are the requests since the last strike.
func (f *front) verbs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// kubeconfig logs in by a token, at the front.
func (f *front) kubeconfig(t *testing.T, token string) string {
	t.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw})
	return cluster.Kubeconfig(t, api.AuthInfo{Token: token}, func(c *api.Config) {
		c.Clusters["cluster"].Server, c.Clusters["cluster"].CertificateAuthorityData = f.server.URL, ca
	})
}

// before does something, then hands the request on.
func before(something func()) plan {
	return func(w http.ResponseWriter, r *http.Request, hand http.HandlerFunc) { something(); hand(w, r) }
}

// lost cuts the connection instead of an answer; done says whether the request
// was handed on before.
func lost(done bool) plan {
	return func(_ http.ResponseWriter, r *http.Request, hand http.HandlerFunc) {
		if done {
			hand(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	}
}

// held never answers, and tells when it begins not to.
func held(done bool, arrived chan<- struct{}) plan {
	return func(_ http.ResponseWriter, r *http.Request, hand http.HandlerFunc) {
		if done {
			hand(httptest.NewRecorder(), r)
		}
		_, _ = io.Copy(io.Discard, r.Body) // only then is it seen that a client is gone
		close(arrived)
		<-r.Context().Done()
	}
}

// answers gives another answer.
func answers(status int, kind, body string) plan {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// refusal is the API server's own form of an answer.
func refusal(code int, reason string) plan {
	body, _ := json.Marshal(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason})
	return answers(code, "application/json", string(body))
}
