// Package kube reads and writes one Secret through the Kubernetes API, from a pod
// or with a kubeconfig. Its errors never contain a server's text.
package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Manager is this program's field manager (server-side apply).
const Manager = "git-credential-acp"

// Opaque is the type of generic Secrets.
const Opaque = "Opaque"

// resource is a kind of object in the API.
type resource struct{ root, version, plural, kind string }

// The resources that are used. Sessions are the platform's.
var (
	pods     = resource{"/api/v1", "v1", "pods", "Pod"}
	secrets  = resource{"/api/v1", "v1", "secrets", "Secret"}
	sessions = resource{"/apis/vteam.ambient-code/v1alpha1", "vteam.ambient-code/v1alpha1", "agenticsessions", "AgenticSession"}
)

// path is the path of one object, or of all in a namespace if the name is "".
func (r resource) path(name Name) string {
	path := r.root + "/namespaces/" + name.Namespace + "/" + r.plural
	if name.Name == "" {
		return path
	}
	return path + "/" + name.Name
}

// Name is a Secret's, in its namespace.
type Name struct{ Namespace, Name string }

// ParseName reads "namespace/name". The error does not quote the text.
func ParseName(text string) (Name, error) {
	namespace, name, found := strings.Cut(strings.TrimSpace(text), "/")
	if !found || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return Name{}, errors.New("not of the form namespace/name")
	}
	return Name{namespace, name}, nil
}

// String is "namespace/name".
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Value is the value of a Secret's key, in a closure so that it can't be printed or encoded.
// The zero value is empty.
type Value struct{ reveal func() []byte }

// Hide makes a Value.
func Hide(data []byte) Value { return Value{reveal: func() []byte { return data }} }

// Reveal returns the value.
func (v Value) Reveal() []byte {
	if v.reveal == nil {
		return nil
	}
	return v.reveal()
}

const redacted = "[redacted]"

// Format prints "[redacted]", whatever the verb.
func (v Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText encodes "[redacted]", for JSON and logs.
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Secret is a Secret from the API server.
type Secret struct {
	Name   Name
	Data   map[string]Value
	Type   string
	Labels map[string]string
	// Immutable: its data can't be changed; it can be deleted.
	Immutable bool
	// Changed is when it was last changed, as recorded by the API server.
	Changed time.Time
	// UID distinguishes it from others of the same name, ResourceVersion from other
	// states of it.
	UID, ResourceVersion string

	// sessions are the AgenticSessions that own it.
	sessions []metav1.OwnerReference
}

// Server is the API server's host and port.
func (c *Client) Server() string { return c.cluster.Server }

// Get reads a Secret.
func (c *Client) Get(ctx context.Context, name Name) (Secret, error) {
	return c.secret(ctx, request{verb: "get", resource: secrets, name: name})
}

// Wanted is the desired state for Apply.
type Wanted struct {
	Data   map[string]Value
	Labels map[string]string
	// Old is the Secret that was read before, nil for none. If it has changed since, or
	// is another one, nothing is changed and the error is a Conflict.
	Old *Secret
	// Session is the name of an AgenticSession in the Secret's namespace that owns the
	// Secret; "" for no change.
	Session string
	// Force takes over fields of another manager, which otherwise is a conflict.
	Force bool
	// DryRun makes the API server check the request without changing anything.
	DryRun bool
}

// Apply creates a Secret of type Opaque, or changes the existing one, by server-side apply:
// keys and labels of an earlier Apply that are no longer wanted are removed, and those of
// other managers stay. It needs patch on the Secret, create if there is none, and get on
// the session. No token is sent to a server whose certificate is not verified.
func (c *Client) Apply(ctx context.Context, name Name, wanted Wanted) (Secret, error) {
	if c.unproven {
		return Secret{}, errUnproven(c.cluster)
	}
	o := object{TypeMeta: metav1.TypeMeta{APIVersion: secrets.version, Kind: secrets.kind}, Type: Opaque, Data: revealed(wanted.Data)}
	o.Namespace, o.Name, o.Labels = name.Namespace, name.Name, wanted.Labels
	if wanted.Old != nil {
		o.UID, o.ResourceVersion, o.OwnerReferences = types.UID(wanted.Old.UID), wanted.Old.ResourceVersion, wanted.Old.sessions
	}
	if wanted.Session != "" {
		session, problem := c.do(ctx, request{verb: "get", resource: sessions, name: Name{name.Namespace, wanted.Session}})
		if problem != nil {
			return Secret{}, problem
		}
		o.OwnerReferences = []metav1.OwnerReference{{APIVersion: sessions.version, Kind: sessions.kind, Name: wanted.Session, UID: session.UID}}
	}
	r := patch(secrets, name, types.ApplyYAMLPatchType, o, wanted.DryRun)
	r.query.Set("force", strconv.FormatBool(wanted.Force))
	return c.secret(ctx, r)
}

// Update sets keys of a Secret that was read before, and removes others; the rest stays. If
// the Secret has changed since old was read, or is another one, nothing is changed and the
// error is a Conflict. It needs patch.
func (c *Client) Update(ctx context.Context, old Secret, set map[string]Value, remove ...string) (Secret, error) {
	data := map[string]any{}
	for key, value := range revealed(set) {
		data[key] = value
	}
	for _, key := range remove {
		data[key] = nil
	}
	change := map[string]any{"metadata": map[string]any{"uid": old.UID, "resourceVersion": old.ResourceVersion}, "data": data}
	return c.secret(ctx, patch(secrets, old.Name, types.MergePatchType, change, false))
}

// Delete deletes a Secret that was read before. If it has changed since, or is another one,
// nothing is changed and the error is a Conflict.
func (c *Client) Delete(ctx context.Context, old Secret) error {
	uid := types.UID(old.UID)
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &old.ResourceVersion}}
	_, problem := c.do(ctx, request{verb: "delete", resource: secrets, name: old.Name, header: http.Header{"Content-Type": {"application/json"}}, body: encode(options)})
	return problem
}

// patch is a request for a change, which the server only checks with dryRun.
func patch(r resource, name Name, form types.PatchType, change any, dryRun bool) request {
	query := url.Values{"fieldManager": {Manager}}
	if dryRun {
		query.Set("dryRun", metav1.DryRunAll)
	}
	return request{verb: "patch", resource: r, name: name, query: query, header: http.Header{"Content-Type": {string(form)}}, body: encode(change)}
}

// Missing reports whether the Secret, or its namespace, does not exist.
func Missing(m error) bool { return message.Is(m, "kube-missing") }

// Conflict reports whether the Secret has changed since it was read.
func Conflict(m error) bool { return message.Is(m, "kube-conflict") }

func (c *Client) secret(ctx context.Context, r request) (Secret, error) {
	o, problem := c.do(ctx, r)
	if problem != nil {
		return Secret{}, problem
	}
	s := Secret{Name: r.name, Data: map[string]Value{}, Type: o.Type, Labels: o.Labels, Immutable: o.Immutable,
		UID: string(o.UID), ResourceVersion: o.ResourceVersion}
	s.Changed = o.CreationTimestamp.Time
	for _, change := range o.ManagedFields {
		if change.Time != nil && change.Time.After(s.Changed) {
			s.Changed = change.Time.Time
		}
	}
	for _, owner := range o.OwnerReferences {
		if owner.APIVersion == sessions.version && owner.Kind == sessions.kind {
			s.sessions = append(s.sessions, owner)
		}
	}
	for key, value := range o.Data {
		s.Data[key] = Hide(value)
	}
	return s, nil
}

// object is a Secret, or the common part of another object, in the API's form. It contains
// tokens and must not be printed.
type object struct {
	metav1.TypeMeta
	metav1.ObjectMeta `json:"metadata"`
	Type              string            `json:"type,omitempty"`
	Immutable         bool              `json:"immutable,omitempty"`
	Data              map[string][]byte `json:"data,omitempty"`
}

// revealed is data in the API's form; an empty value is not a missing one.
func revealed(data map[string]Value) map[string][]byte {
	out := map[string][]byte{}
	for key, value := range data {
		out[key] = append([]byte{}, value.Reveal()...)
	}
	return out
}

// encode is JSON of the types above, which can all be encoded.
func encode(body any) []byte {
	data, _ := json.Marshal(body)
	return data
}

var errOther = errors.New("not the requested object")

// decode reads the object of that name and kind.
func decode(body []byte, r request) (object, error) {
	var o object
	if err := json.Unmarshal(body, &o); err != nil || o.Kind != r.kind || o.Name != r.name.Name || o.Namespace != r.name.Namespace {
		return object{}, errOther // that of the decoder could quote a token
	}
	return o, nil
}
