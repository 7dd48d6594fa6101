package connection

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/kube"
)

// cluster is a fake API server over TLS with one Secret: server-side apply and merge patch
// with preconditions, dry runs and deletion, without field managers. internal/kubetest tests
// with a real one.
type cluster struct {
	kubeconfig string

	mu     sync.Mutex
	secret *secret
	nextID int
	// before is called before a request is answered, and may change the secret; true
	// means that it has answered. nil for nothing.
	before func(w http.ResponseWriter, r *http.Request) bool
}

// secret is a Secret in the API's form.
type secret struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metadata          `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Immutable  bool              `json:"immutable,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
}

type metadata struct {
	Namespace       string            `json:"namespace,omitempty"`
	Name            string            `json:"name,omitempty"`
	UID             string            `json:"uid,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	ca, _ := json.Marshal(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	c.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],\n"+
		"clusters: [{name: a, cluster: {server: %q, certificate-authority-data: %s}}], users: [{name: a, user: {token: a}}]}\n", server.URL, ca)
	if err := os.WriteFile(c.kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// put creates the Secret, or changes it.
func (c *cluster) put(data map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(data)
}

// change is put for callers that hold the lock.
func (c *cluster) change(data map[string]string) {
	if c.secret == nil {
		c.nextID++
		c.secret = &secret{APIVersion: "v1", Kind: "Secret", Type: "Opaque", Data: map[string][]byte{},
			Metadata: metadata{Namespace: "team", Name: "mine", UID: "uid-" + strconv.Itoa(c.nextID)}}
	}
	for key, value := range data {
		c.secret.Data[key] = []byte(value)
	}
	c.nextID++
	c.secret.Metadata.ResourceVersion = strconv.Itoa(c.nextID)
}

// key is the value of a key of the Secret, "" if there is none.
func (c *cluster) key(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.secret == nil {
		return ""
	}
	return string(c.secret.Data[key])
}

// failure answers with a Status object, as the API server does.
func failure(w http.ResponseWriter, code int, reason string, causes ...string) {
	details := map[string]any{"name": "mine", "kind": "secrets"}
	var list []map[string]string
	for _, cause := range causes {
		list = append(list, map[string]string{"reason": cause})
	}
	details["causes"] = list
	answerJSON(w, code, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "details": details})
}

func answerJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func (c *cluster) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.before != nil && c.before(w, r) {
		return
	}
	var wanted struct {
		secret
		Data          map[string]*[]byte `json:"data"`
		Preconditions metadata           `json:"preconditions"`
	}
	_ = json.NewDecoder(r.Body).Decode(&wanted)
	expected := wanted.Metadata
	if r.Method == http.MethodDelete {
		expected = wanted.Preconditions
	}
	apply := strings.Contains(r.Header.Get("Content-Type"), "apply-patch")
	switch {
	case r.URL.Path != "/api/v1/namespaces/team/secrets/mine":
		failure(w, http.StatusForbidden, "Forbidden")
		return
	case c.secret == nil && !apply:
		failure(w, http.StatusNotFound, "NotFound")
		return
	case c.secret == nil && expected.UID != "", c.secret != nil && expected.ResourceVersion != "" && (expected.UID != c.secret.Metadata.UID || expected.ResourceVersion != c.secret.Metadata.ResourceVersion):
		failure(w, http.StatusConflict, "Conflict")
		return
	case r.URL.Query().Get("dryRun") == "All":
		answerJSON(w, http.StatusOK, wanted.secret)
		return
	case r.Method == http.MethodDelete:
		c.secret = nil
		answerJSON(w, http.StatusOK, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
		return
	case r.Method == http.MethodPatch:
		c.change(nil)
		for key, value := range wanted.Data {
			if value == nil {
				delete(c.secret.Data, key)
			} else {
				c.secret.Data[key] = *value
			}
		}
		if apply {
			c.secret.Metadata.Labels = wanted.Metadata.Labels
		}
	}
	answerJSON(w, http.StatusOK, c.secret)
}

// openSecret is the keeper of the Secret in the cluster of a kubeconfig.
func openSecret(kubeconfig string) (*Secret, error) {
	client, err := kube.Open(context.Background(), kube.Config{Kubeconfig: kubeconfig, UserAgent: "test"})
	if err != nil {
		return nil, err
	}
	return &Secret{Client: client, Name: kube.Name{Namespace: "team", Name: "mine"}, Limit: limit}, nil
}
