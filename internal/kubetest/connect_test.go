package kubetest

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// session makes an AgenticSession, and gives its UID.
func (o *owner) session(name string) string {
	o.t.Helper()
	sessions, err := dynamic.NewForConfig(cluster.Config)
	must(o.t, err)
	made, err := sessions.Resource(schema.GroupVersionResource{Group: "vteam.ambient-code", Version: "v1alpha1", Resource: "agenticsessions"}).
		Namespace(o.namespace).Create(o.t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "vteam.ambient-code/v1alpha1", "kind": "AgenticSession", "metadata": map[string]any{"name": name}}}, meta.CreateOptions{})
	must(o.t, err)
	return string(made.GetUID())
}

const (
	connectOld = "connect --token-file old"
	connectNew = "connect --token-file new"
)

// wantKeys wants these keys in the Secret and no others.
func (o *owner) wantKeys(keys map[string]string) {
	o.t.Helper()
	got := map[string]string{}
	if s := o.kept(); s != nil {
		for key, value := range s.Data {
			got[key] = string(value)
		}
	}
	if !maps.Equal(got, keys) {
		o.t.Errorf("the keys are %q, or have other values", slices.Sorted(maps.Keys(got)))
	}
}

// A Secret that does not exist is made, with the platform's labels and the session
// with which it goes; later changes keep what they do not name.
func TestConnect(t *testing.T) {
	o := newOwner(t)
	o.wants(1, "status", "there is no token in any of these places")
	o.wants(0, "disconnect", "nothing to do")
	o.wants(1, connectOld+" --owner work", "the AgenticSession "+o.namespace+"/work does not exist")
	must(t, o.gitlab.UpdateToken(canary, func(t *gitlabtest.Token) { t.Scopes = []string{"read_api"} }))
	o.wants(1, connectOld, "insufficient permissions: ", "was not stored in the Secret")
	o.wantKeys(nil)
	must(t, o.gitlab.UpdateToken(canary, func(t *gitlabtest.Token) { t.Scopes = []string{"api", "write_repository"} }))

	// An unknown authority: --ca-file is what helps.
	o.set("GIT_SSL_CAINFO=")
	o.wants(3, connectOld, "is signed by an authority that is not trusted here", "hint: name a file with the authority's certificate with --ca-file, which also stores it")
	stranger, err := gitlabtest.Start(gitlabtest.Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(stranger.Close)
	o.wants(3, connectOld+" --ca-file "+stranger.CAFile(), "hint: check that "+stranger.CAFile()+" (--ca-file) has the certificate")
	o.set("GIT_SSL_CAINFO=" + o.gitlab.CAFile())

	uid := o.session("work")
	o.wants(0, connectOld+" --owner work --ca-file "+o.gitlab.CAFile()+" "+o.gitlab.URL()+"/"+project, "connected: the Secret "+o.namespace+"/mine has the token of ")
	ca, err := os.ReadFile(o.gitlab.CAFile())
	must(t, err)
	keys := o.keys(canary)
	keys["ca.crt"] = string(ca)
	o.wantKeys(keys)
	// The authority serves the program from there on.
	o.set("GIT_SSL_CAINFO=")
	o.wants(0, "status", "is alive")
	o.wantToken(canary)
	o.set("GIT_SSL_CAINFO=" + o.gitlab.CAFile())
	o.wants(0, connectNew)
	o.wants(0, connectOld)
	o.wants(0, replace)
	o.wants(0, connectNew)
	keys["token"] = another
	o.wantKeys(keys)
	s := o.kept()
	if len(s.OwnerReferences) != 1 || string(s.OwnerReferences[0].UID) != uid || s.OwnerReferences[0].Kind != "AgenticSession" || s.OwnerReferences[0].Name != "work" ||
		!maps.Equal(s.Labels, map[string]string{"app": "ambient-code", "ambient-code.io/provider": "gitlab"}) || s.Type != core.SecretTypeOpaque {
		t.Errorf("%v %v %v", s.OwnerReferences, s.Labels, s.Type)
	}
}

// A Secret that is there keeps its form and what else is in it; one that can't be
// taken for a token's is left alone.
func TestConnectExisting(t *testing.T) {
	for name, row := range map[string]struct {
		keys   func(o *owner) map[string]string
		change func(*core.Secret)
		args   string
		code   int
		words  string
		want   func(o *owner) map[string]string // nil: as before
	}{
		"empty":    {func(*owner) map[string]string { return nil }, nil, "", 0, "connected: ", func(o *owner) map[string]string { return o.keys(another) }},
		"no token": {func(o *owner) map[string]string { return map[string]string{"instanceUrl": o.gitlab.URL()} }, nil, "", 0, "connected: ", func(o *owner) map[string]string { return o.keys(another) }},
		"another program's": {func(o *owner) map[string]string { return o.keys(canary) }, nil, "", 1,
			"has keys or labels that another program manages; nothing was written", nil},
		"taken over": {func(o *owner) map[string]string { return o.keys(canary) }, nil, " --force", 0, "connected: ", func(o *owner) map[string]string { return o.keys(another) }},
		"other keys": {func(*owner) map[string]string { return map[string]string{"theirs": "x"} }, nil, "", 0, "connected: ", func(o *owner) map[string]string {
			keys := o.keys(another)
			keys["theirs"] = "x"
			return keys
		}},
		"two forms": {func(o *owner) map[string]string {
			keys := o.keys(canary)
			keys["credentials.json"] = "{}"
			return keys
		}, nil, " --force", 1, "has both a key token and a key credentials.json", nil},
		"another type": {func(*owner) map[string]string { return map[string]string{"username": "u", "password": "p"} },
			func(s *core.Secret) { s.Type = core.SecretTypeBasicAuth }, " --force", 1, "it is of another type than Opaque", nil},
		"immutable": {func(o *owner) map[string]string { return o.keys(canary) }, frozen, " --force", 1, "is immutable; nothing was written", nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOwner(t)
			change := row.change
			if change == nil {
				change = func(*core.Secret) {}
			}
			before := row.keys(o)
			o.store(before, change)
			o.wants(row.code, connectNew+row.args, row.words)
			if row.want != nil {
				before = row.want(o)
			}
			o.wantKeys(before)
		})
	}

	// The platform's own form stays one, with what else is in it.
	o := newOwner(t)
	o.store(map[string]string{"credentials.json": `{"userId":"u-1","token":"` + canary + `","instanceUrl":"` + o.gitlab.URL() + `","updatedAt":"1"}`})
	o.wants(0, connectNew+" --force")
	var entry map[string]string
	must(t, json.Unmarshal(o.kept().Data["credentials.json"], &entry))
	if len(o.kept().Data) != 1 || entry["userId"] != "u-1" || entry["token"] != another || entry["updatedAt"] == "1" {
		t.Errorf("%d keys, %d fields", len(o.kept().Data), len(entry))
	}
	o.wantToken(another)
}

// Somebody else changes the Secret, or the API server fails, in between: nothing is
// overwritten, and no token but the given one is stored.
func TestConnectTrouble(t *testing.T) {
	o := newOwner(t)
	o.front.strike(3, before(func() { o.store(o.keys(canary)) }))
	o.wants(1, connectNew, "has keys or labels that another program manages")
	o.wantKeys(o.keys(canary))
	o.front.strike(3, before(func() { o.store(map[string]string{"token": canary}) }))
	o.wants(1, connectNew+" --force", "was changed by another program in the meantime; nothing was written")
	o.wantKeys(map[string]string{"token": canary})
	cluster.Delete(t, o.namespace, "mine")
	for n := 1; n <= 4; n++ {
		plans := []plan{refusal(500, "InternalError"), answers(200, "text/html", "<html>")}
		if n == 3 {
			plans = append(plans, lost(false)) // a lost question is repeated, a change is not
		}
		for _, p := range plans {
			o.front.strike(n, p)
			code, said := o.run(strings.Fields(connectNew)...)
			if code != 3 || !strings.Contains(said, "git-credential-acp: hint: ") {
				t.Errorf("%d: exit code %d: %s", n, code, said)
			}
			if n < 4 && o.kept() != nil {
				t.Fatalf("%d: the Secret is there", n)
			}
			o.front.strike(0, nil)
		}
	}
	o.wants(0, connectNew)
	o.wantKeys(o.keys(another))
}

// Each right that is missing is named.
func TestConnectRights(t *testing.T) {
	create := rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}}
	for name, row := range map[string]struct {
		rules []rbac.PolicyRule
		there bool
		args  string
		words string
	}{
		"get":     {[]rbac.PolicyRule{Only("mine", "patch"), create}, false, connectNew, "owner may not get the Secret NS/mine"},
		"patch":   {[]rbac.PolicyRule{Only("mine", "get"), create}, true, connectNew + " --force", "owner may not patch the Secret NS/mine"},
		"create":  {[]rbac.PolicyRule{Only("mine", "get", "patch")}, false, connectNew, "owner may not create the Secret NS/mine"},
		"delete":  {[]rbac.PolicyRule{Only("mine", "get", "patch")}, true, "disconnect", "owner may not delete the Secret NS/mine"},
		"session": {[]rbac.PolicyRule{Only("mine", "get", "patch"), create}, false, connectNew + " --owner work", "owner may not get the AgenticSession NS/work"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOwner(t, row.rules...)
			if row.there {
				o.store(o.keys(canary))
			}
			o.wants(1, row.args, strings.ReplaceAll(row.words, "NS", o.namespace))
			if want := map[bool]string{true: canary}[row.there]; o.token() != want {
				t.Error("something was changed")
			}
		})
	}
}

// An immutable Secret is refused before the token is read.
func TestConnectImmutable(t *testing.T) {
	o := newOwner(t)
	o.store(o.keys(canary), frozen)
	o.wants(1, "connect --token-file missing", "is immutable; nothing was written", "kubectl delete secret -n "+o.namespace+" mine")
	if n := o.gitlab.Count("self"); n > 0 {
		t.Errorf("GitLab was asked %d times", n)
	}
}

// A rotated Secret that has not reached the mount is seen.
func TestStatus(t *testing.T) {
	o := newOwner(t)
	o.store(o.keys(canary))
	o.mount(canary)
	o.wants(0, "status", "✓ secret", "the Secret "+o.namespace+"/mine", "is alive", "✓ here", o.path("mount"))
	o.wants(0, replace)
	code, said := o.run("status")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	o.said(said, []string{"✓ secret", "is alive", "✗ here", "was revoked", "! difference",
		"the Secret " + o.namespace + "/mine and the Secret at " + o.path("mount") + " have different tokens", "within two minutes"})
	_, said = o.run("status", "--json")
	var document struct {
		Outcome     string
		ExitCode    int
		Differences []string
	}
	if err := json.Unmarshal([]byte(said), &document); err != nil || document.Outcome != "refused" || document.ExitCode != 1 || len(document.Differences) != 1 {
		t.Errorf("%v %s", err, said)
	}
	o.mount(another)
	o.wants(0, "status --json", `"differences": []`)
	o.front.strike(1, refusal(500, "InternalError"))
	o.wants(3, "status", "answers 500 Internal Server Error")
}

// A Secret with keys of others loses ours, any other goes; the token is revoked
// first.
func TestDisconnect(t *testing.T) {
	o := newOwner(t)
	keys := o.keys(canary)
	keys["theirs"] = "x"
	o.store(keys)
	o.wants(2, "disconnect --revoke", "the revocation was not confirmed; nothing was changed")
	o.wantKeys(keys)
	o.wants(0, "disconnect --revoke --yes", "revoked: ", "disconnected: ")
	o.wantKeys(map[string]string{"theirs": "x"})
	if o.alive(canary) {
		t.Error("it is not revoked")
	}
	o.wants(0, connectNew)
	o.front.strike(2, before(func() { o.store(o.keys(another)) }))
	o.wants(1, "disconnect", "was changed by another program in the meantime")
	o.wantKeys(o.keys(another))
	// No keys can be removed from an immutable Secret, which is refused before GitLab revokes
	// the token; without others' keys, the Secret is deleted.
	cluster.Delete(t, o.namespace, "mine")
	keys["token"] = another
	o.store(keys, frozen)
	o.wants(1, "disconnect --revoke --yes", "is immutable and has other keys", "copy the other keys to another Secret, then kubectl delete secret -n "+o.namespace+" mine")
	o.wantKeys(keys)
	if !o.alive(another) {
		t.Fatal("it is revoked")
	}
	cluster.Delete(t, o.namespace, "mine")
	o.store(o.keys(another), frozen)
	o.wants(0, "disconnect", "disconnected: ")
	if o.kept() != nil {
		t.Error("the immutable Secret is there")
	}
	o.wants(0, connectNew)
	// If the Secret's own token can't be read, no other token is revoked.
	broken := o.keys(another)
	broken["token"] = "x y"
	o.store(broken)
	if err := os.WriteFile(o.path("other"), []byte(another), 0o600); err != nil {
		t.Fatal(err)
	}
	o.set("ACP_GITLAB_TOKEN_FILE="+o.path("other"), "ACP_GITLAB_INSTANCE_URL="+o.gitlab.URL(), "ACP_GITLAB_SECRET_DIR="+o.path("none"))
	o.wants(1, "disconnect --revoke --yes", "white space or a line break")
	// Nor is one shown to another instance than the one that was named.
	o.store(o.keys(another))
	o.wants(1, "rotate --new --instance https://other.example", "but the one here is for other.example; nothing was changed")
	o.wants(1, "disconnect --revoke --yes --instance https://other.example", "but the one here is for other.example; nothing was changed")
	o.wants(0, "disconnect", "disconnected: ")
	if o.kept() != nil || !o.alive(another) {
		t.Error("the Secret is there, or its token revoked")
	}
}
