// Package kube reads and writes one Secret through the Kubernetes API, from
// within a pod or by a kubeconfig. What it can't do is told in messages, never
// in a server's words.
package kube

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Manager is the name under which the API server notes which fields this
// program has set (server-side apply).
const Manager = "git-credential-acp"

// Opaque is the type of Secrets that hold what their makers like.
const Opaque = "Opaque"

// The resources that are used. Sessions are the platform's.
var (
	secrets  = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	sessions = schema.GroupVersionResource{Group: "vteam.ambient-code", Version: "v1alpha1", Resource: "agenticsessions"}
)

const sessionKind = "AgenticSession"

// Name is a Secret's, in its namespace.
type Name struct{ Namespace, Name string }

// ParseName reads "namespace/name". The error says what is wrong and does not
// quote the text.
func ParseName(text string) (Name, error) {
	namespace, name, found := strings.Cut(strings.TrimSpace(text), "/")
	if !found || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return Name{}, errors.New("not of the form namespace/name")
	}
	return Name{namespace, name}, nil
}

// String is "namespace/name".
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Value is what a key of a Secret holds. It lives in a closure, so that no
// printer or encoder reaches it. The zero value is empty.
type Value struct{ reveal func() []byte }

// Hide makes a Value.
func Hide(data []byte) Value { return Value{reveal: func() []byte { return data }} }

// Reveal gives what the key holds.
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

// Secret is one as the API server has it.
type Secret struct {
	Name   Name
	Data   map[string]Value
	Type   string
	Labels map[string]string
	// Immutable says that nobody can change its data any more; it can be
	// deleted.
	Immutable bool
	// UID tells it from others of the same name, ResourceVersion this state of
	// it from others.
	UID, ResourceVersion string
}

// Get reads a Secret.
func (c *Client) Get(ctx context.Context, name Name) (Secret, *message.Message) {
	return c.secret(ctx, "get", name, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return c.dynamic.Resource(secrets).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	})
}

// Wanted is what Apply makes of a Secret.
type Wanted struct {
	Data   map[string]Value
	Labels map[string]string
	// Session is the name of an AgenticSession in the Secret's namespace with
	// which the Secret is to go; "" for none.
	Session string
	// Force takes over fields that somebody else has set. Without it, that is a
	// conflict.
	Force bool
}

// Apply makes a Secret of type Opaque, or changes the one that there is, by
// server-side apply: keys and labels of an earlier Apply that are not wanted any
// more go, and those of others stay. It needs patch on the Secret, create if
// there is none, and get on the session.
func (c *Client) Apply(ctx context.Context, name Name, wanted Wanted) (Secret, *message.Message) {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": Opaque, "data": encode(wanted.Data)}}
	object.SetNamespace(name.Namespace)
	object.SetName(name.Name)
	object.SetLabels(wanted.Labels)
	if wanted.Session != "" {
		owner, problem := c.session(ctx, Name{name.Namespace, wanted.Session})
		if problem != nil {
			return Secret{}, problem
		}
		object.SetOwnerReferences([]metav1.OwnerReference{owner})
	}
	return c.secret(ctx, "patch", name, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return c.dynamic.Resource(secrets).Namespace(name.Namespace).
			Apply(ctx, name.Name, object, metav1.ApplyOptions{FieldManager: Manager, Force: wanted.Force})
	})
}

// Update sets keys of a Secret that was read before, and removes others; what
// is not named stays. If the Secret has changed since old was read, or is
// another one, nothing happens and the message is a Conflict. It needs patch.
func (c *Client) Update(ctx context.Context, old Secret, set map[string]Value, remove ...string) (Secret, *message.Message) {
	data := encode(set)
	for _, key := range remove {
		data[key] = nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": old.UID, "resourceVersion": old.ResourceVersion}, "data": data})
	if err != nil {
		return Secret{}, c.explain(ctx, "patch", secrets, old.Name, err)
	}
	return c.secret(ctx, "patch", old.Name, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return c.dynamic.Resource(secrets).Namespace(old.Name.Namespace).
			Patch(ctx, old.Name.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: Manager})
	})
}

// Delete removes a Secret that was read before. If it has changed since, or is
// another one, nothing happens and the message is a Conflict.
func (c *Client) Delete(ctx context.Context, old Secret) *message.Message {
	uid := types.UID(old.UID)
	_, problem := c.do(ctx, "delete", secrets, old.Name, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return nil, c.dynamic.Resource(secrets).Namespace(old.Name.Namespace).Delete(ctx, old.Name.Name,
			metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &old.ResourceVersion}})
	})
	return problem
}

// Missing reports that a message says that the Secret, or its namespace, does
// not exist.
func Missing(m *message.Message) bool { return m != nil && m.Code == "kube-missing" }

// Conflict reports that a message says that the Secret has changed since it was
// read.
func Conflict(m *message.Message) bool { return m != nil && m.Code == "kube-conflict" }

// session finds the AgenticSession that is to own a Secret.
func (c *Client) session(ctx context.Context, name Name) (metav1.OwnerReference, *message.Message) {
	object, problem := c.do(ctx, "get", sessions, name, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return c.dynamic.Resource(sessions).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	})
	if problem != nil {
		return metav1.OwnerReference{}, problem
	}
	return metav1.OwnerReference{APIVersion: sessions.GroupVersion().String(), Kind: sessionKind,
		Name: name.Name, UID: object.GetUID()}, nil
}

type call func(context.Context) (*unstructured.Unstructured, error)

func (c *Client) secret(ctx context.Context, verb string, name Name, call call) (Secret, *message.Message) {
	object, problem := c.do(ctx, verb, secrets, name, call)
	if problem != nil {
		return Secret{}, problem
	}
	s, err := decode(name, object)
	if err != nil {
		return Secret{}, c.explain(ctx, verb, secrets, name, err)
	}
	return s, nil
}

// encode gives a Secret's data as the API takes it. A Value in it would be sent
// as "[redacted]".
func encode(data map[string]Value) map[string]any {
	encoded := map[string]any{}
	for key, value := range data {
		encoded[key] = base64.StdEncoding.EncodeToString(value.Reveal())
	}
	return encoded
}

var errNoSecret = errors.New("the answer is not the Secret that was asked for")

func decode(name Name, object *unstructured.Unstructured) (Secret, error) {
	if object.GetKind() != "Secret" || object.GetName() != name.Name || object.GetNamespace() != name.Namespace {
		return Secret{}, errNoSecret
	}
	s := Secret{Name: name, Data: map[string]Value{}, Labels: object.GetLabels(),
		UID: string(object.GetUID()), ResourceVersion: object.GetResourceVersion()}
	s.Type, _ = object.Object["type"].(string)
	s.Immutable, _ = object.Object["immutable"].(bool)
	data, _ := object.Object["data"].(map[string]any)
	for key, value := range data {
		text, isText := value.(string)
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil || !isText {
			return Secret{}, errNoSecret
		}
		s.Data[key] = Hide(decoded)
	}
	return s, nil
}
