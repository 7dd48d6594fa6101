package connection

import (
	"context"
	"encoding/json"
	"maps"
	"strconv"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/lookup"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Secret stores the token in the user's own Secret, in either of the two forms.
type Secret struct {
	Client *kube.Client
	Name   kube.Name
	// Limit bounds each call.
	Limit time.Duration
	// AllowHTTPLoopback lets instances be plain http on a loopback address.
	AllowHTTPLoopback bool
	// CA is an authority to store with the token, in PEM form; nil for none.
	CA []byte
	// Session is the AgenticSession that owns the Secret, "" for no change.
	Session string
	// Force takes over keys that another program has set.
	Force bool
	// Replace changes only the token of an existing Secret, whoever manages it.
	Replace bool
}

// The platform's labels.
var labels = map[string]string{"app": "ambient-code", "ambient-code.io/provider": "gitlab"}

// Where names the Secret.
func (s Secret) Where() string { return "the Secret " + s.Name.String() }

// Flag is that of Keeper.
func (s Secret) Flag() string { return "--secret " + s.Name.String() }

// Read reads the Secret.
func (s Secret) Read(ctx context.Context) (Kept, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	object, err := s.Client.Get(ctx, s.Name)
	switch {
	case kube.Missing(err):
		return Kept{Server: s.Client.Server()}, nil
	case err != nil:
		return Kept{}, err
	}
	kept := Kept{ID: object.UID, Server: s.Client.Server(), state: object}
	if object.Immutable {
		act := kube.Act{Verb: "patch", Resource: "secrets", Namespace: s.Name.Namespace, Name: s.Name.Name}
		kept.Unwritable = kube.ErrImmutable(act)
		if len(ours(object)) < len(object.Data) {
			act.Verb = "delete"
			kept.Unremovable = kube.ErrImmutable(act)
		}
	}
	if len(object.Data) > 0 {
		kept.Connected, kept.UpdatedAt = true, updatedAt(object)
		kept.Found = source.Read(s.Name.String(), lookup.ObjectOf(object), s.AllowHTTPLoopback)
		kept.Where = s.Where()
	}
	return kept, nil
}

// ours are the keys of a Secret that this program reads.
func ours(object kube.Secret) (held []string) {
	for _, key := range []string{source.KeyToken, source.KeyInstance, source.KeyCA, source.KeyCredentials} {
		if _, there := object.Data[key]; there {
			held = append(held, key)
		}
	}
	return held
}

// updatedAt is when the token was stored, by the platform's form.
func updatedAt(object kube.Secret) time.Time {
	var e struct {
		UpdatedAt string `json:"updatedAt"`
	}
	if json.Unmarshal(object.Data[source.KeyCredentials].Reveal(), &e) != nil {
		return time.Time{}
	}
	seconds, err := strconv.ParseInt(e.UpdatedAt, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// Write sets the keys of the existing form, or the bare ones, and the platform's labels.
func (s Secret) Write(ctx context.Context, old Kept, tok token.Token, i instance.Instance) error {
	return s.apply(ctx, old, tok, i, false)
}

// Try is a dry run of Write on the API server.
func (s Secret) Try(ctx context.Context, old Kept) error {
	return s.apply(ctx, old, token.Issued("another"), old.Instance, true)
}

// apply is a server-side apply of all our fields of the Secret: any others of ours would be
// removed.
func (s Secret) apply(ctx context.Context, old Kept, tok token.Token, i instance.Instance, dryRun bool) error {
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	wanted := kube.Wanted{Data: s.keys(tok, i), Labels: maps.Clone(labels), Session: s.Session, Force: s.Force || s.Replace, DryRun: dryRun}
	object, exists := old.state.(kube.Secret)
	if exists {
		wanted.Old = &object
		text, entered := object.Data[source.KeyCredentials]
		_, bare := object.Data[source.KeyToken]
		_, addressed := object.Data[source.KeyInstance]
		switch {
		case entered && (bare || addressed):
			return source.TwoForms(s.Where(), bare)
		case entered:
			data, err := entryWith(text, tok, i)
			if err != nil {
				return message.CredentialsGarbled(s.Where())
			}
			delete(wanted.Data, source.KeyToken)
			delete(wanted.Data, source.KeyInstance)
			wanted.Data[source.KeyCredentials] = kube.Hide(data)
		}
		if ca, there := object.Data[source.KeyCA]; there && s.CA == nil && old.Instance == i {
			wanted.Data[source.KeyCA] = ca
		}
		if s.Replace {
			maps.DeleteFunc(wanted.Labels, func(name, value string) bool { return object.Labels[name] != value })
		}
	}
	_, err := s.Client.Apply(ctx, s.Name, wanted)
	return err
}

// entryWith is the platform's form with another token; its other fields stay.
func entryWith(old kube.Value, tok token.Token, i instance.Instance) ([]byte, error) {
	var e map[string]any
	if json.Unmarshal(old.Reveal(), &e) != nil || e == nil {
		e = map[string]any{}
	}
	e["token"], e["instanceUrl"], e["updatedAt"] = tok.Reveal(), i.URL(), strconv.FormatInt(time.Now().Unix(), 10)
	return json.Marshal(e)
}

func (s Secret) keys(tok token.Token, i instance.Instance) map[string]kube.Value {
	keys := map[string]kube.Value{
		source.KeyToken:    kube.Hide([]byte(tok.Reveal())),
		source.KeyInstance: kube.Hide([]byte(i.URL())),
	}
	if s.CA != nil {
		keys[source.KeyCA] = kube.Hide(s.CA)
	}
	return keys
}

// Remove deletes the Secret, or only our keys if it has others.
func (s Secret) Remove(ctx context.Context, old Kept) error {
	object, exists := old.state.(kube.Secret)
	if !exists {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	held := ours(object)
	if len(held) == len(object.Data) {
		return s.Client.Delete(ctx, object)
	}
	_, err := s.Client.Update(ctx, object, nil, held...)
	return err
}

// rotatedAt is the annotation whose change makes kubelet sync a pod.
const rotatedAt = "git-credential-acp/rotated-at"

// AnnotatePods makes kubelet update the pods in the Secret's namespace that a label selector
// matches, and returns their number; with dryRun it only checks that it could.
func (s Secret) AnnotatePods(ctx context.Context, selector string, dryRun bool) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	return s.Client.AnnotatePods(ctx, s.Name.Namespace, selector, rotatedAt, time.Now().UTC().Format(time.RFC3339Nano), dryRun)
}
