package kubetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

const (
	canary  = "glpat-CanaryQ7x9Zk2WvB4n"
	another = "glpat-CanaryM3p8Lw5RtY6h"
)

// open makes a client from a kubeconfig.
func open(t *testing.T, kubeconfig string) *kube.Client {
	t.Helper()
	client, problem := kube.Open(t.Context(), kube.Config{Kubeconfig: kubeconfig, UserAgent: "kubetest"})
	if problem != nil {
		t.Fatal(problem)
	}
	return client
}

// as makes a client that logs in with a ServiceAccount's token.
func as(t *testing.T, token string) *kube.Client {
	t.Helper()
	return open(t, cluster.Kubeconfig(t, api.AuthInfo{Token: token}))
}

// admin is the login of somebody who may do anything.
func admin() api.AuthInfo {
	return api.AuthInfo{ClientCertificateData: cluster.Config.CertData, ClientKeyData: cluster.Config.KeyData}
}

// want fails when a message has another code, or lacks some of the words, or
// shows a token.
func want(t *testing.T, problem error, code string, words ...string) {
	t.Helper()
	if problem == nil {
		t.Fatalf("no problem, want %s", code)
	}
	said := strings.Join(message.As(problem).Lines(), "\n")
	if !message.Is(problem, code) {
		t.Fatalf("%v: %s\nwant %s", problem, said, code)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			t.Errorf("%q is not in\n%s", word, said)
		}
	}
	if strings.Contains(said, "Canary") {
		t.Errorf("a token shows in\n%s", said)
	}
}

func plain(data map[string]kube.Value) map[string]string {
	out := map[string]string{}
	for key, value := range data {
		out[key] = string(value.Reveal())
	}
	return out
}

func hidden(data map[string]string) map[string]kube.Value {
	out := map[string]kube.Value{}
	for key, value := range data {
		out[key] = kube.Hide([]byte(value))
	}
	return out
}

func TestGet(t *testing.T) {
	namespace := cluster.Namespace(t)
	keys := map[string]string{"token": canary, "binary": "\x00\xff", "empty": ""}
	cluster.Secret(t, namespace, "mine", keys, func(s *core.Secret) {
		s.Labels, s.Immutable = map[string]string{"app": "x"}, new(bool)
		*s.Immutable = true
	})
	got, problem := open(t, cluster.Kubeconfig(t, admin())).Get(t.Context(), kube.Name{Namespace: namespace, Name: "mine"})
	if problem != nil {
		t.Fatal(problem)
	}
	if !maps.Equal(plain(got.Data), keys) || got.Type != kube.Opaque || !got.Immutable || got.Labels["app"] != "x" ||
		got.UID == "" || got.ResourceVersion == "" || got.Name.String() != namespace+"/mine" {
		t.Errorf("%+v", got)
	}
	encoded, err := json.Marshal(got)
	if shown := fmt.Sprintf("%v %+v %#v %s", got, got, got, encoded); err != nil || strings.Contains(shown, "Canary") {
		t.Errorf("%v: a token shows in %s", err, shown)
	}
}

// A ServiceAccount that may get one Secret gets that one and nothing else.
func TestRights(t *testing.T) {
	namespace, elsewhere := cluster.Namespace(t), cluster.Namespace(t)
	for _, in := range []string{namespace, elsewhere} {
		for _, name := range []string{"mine", "theirs"} {
			cluster.Secret(t, in, name, map[string]string{"token": canary})
		}
	}
	client := as(t, cluster.Account(t, namespace, "session", Only("mine", "get")))
	mine := kube.Name{Namespace: namespace, Name: "mine"}
	got, problem := client.Get(t.Context(), mine)
	if problem != nil || string(got.Data["token"].Reveal()) != canary {
		t.Fatalf("%v, %v", got, problem)
	}
	account := "system:serviceaccount:" + namespace + ":session"
	for _, name := range []kube.Name{
		{Namespace: namespace, Name: "theirs"}, {Namespace: namespace, Name: "nobodys"},
		{Namespace: elsewhere, Name: "mine"}, {Namespace: "nowhere", Name: "mine"},
	} {
		_, problem := client.Get(t.Context(), name)
		want(t, problem, "kube-forbidden", account+" may not get the Secret "+name.String(),
			"the verb get on the resource secrets named "+name.Name+" in the namespace "+name.Namespace)
	}
	_, problem = client.Update(t.Context(), got, hidden(map[string]string{"token": another}))
	want(t, problem, "kube-forbidden", account+" may not patch the Secret "+mine.String())
	_, problem = client.Apply(t.Context(), mine, kube.Wanted{})
	want(t, problem, "kube-forbidden", "may not patch")
	want(t, client.Delete(t.Context(), got), "kube-forbidden", "may not delete")

	// The right to patch does not include creating.
	client = as(t, cluster.Account(t, namespace, "patcher", Only("new", "get", "patch")))
	_, problem = client.Apply(t.Context(), kube.Name{Namespace: namespace, Name: "new"}, kube.Wanted{})
	want(t, problem, "kube-forbidden", "patcher may not create the Secret "+namespace+"/new")
	if _, problem = client.Get(t.Context(), kube.Name{Namespace: namespace, Name: "new"}); !kube.Missing(problem) {
		t.Error(problem)
	}
}

func TestMissing(t *testing.T) {
	namespace := cluster.Namespace(t)
	client := open(t, cluster.Kubeconfig(t, admin()))
	_, problem := client.Get(t.Context(), kube.Name{Namespace: namespace, Name: "mine"})
	want(t, problem, "kube-missing", "the Secret "+namespace+"/mine does not exist")
	_, problem = client.Apply(t.Context(), kube.Name{Namespace: "nowhere", Name: "mine"}, kube.Wanted{})
	want(t, problem, "kube-missing", "the namespace of the Secret nowhere/mine does not exist")
}

func TestApply(t *testing.T) {
	namespace := cluster.Namespace(t)
	name := kube.Name{Namespace: namespace, Name: "mine"}
	client := as(t, cluster.Account(t, namespace, "user",
		rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create", "patch"}},
		rbac.PolicyRule{APIGroups: []string{"vteam.ambient-code"}, Resources: []string{"agenticsessions"}, Verbs: []string{"get"}}))
	apply := func(session string, force bool, keys map[string]string) (kube.Secret, error) {
		return client.Apply(t.Context(), name, kube.Wanted{Data: hidden(keys),
			Labels: map[string]string{"app": "ambient-code"}, Session: session, Force: force})
	}
	_, problem := apply("work", false, nil)
	want(t, problem, "session-missing", "the AgenticSession "+namespace+"/work does not exist")

	sessions, err := dynamic.NewForConfig(cluster.Config)
	must(t, err)
	session, err := sessions.Resource(schema.GroupVersionResource{Group: "vteam.ambient-code", Version: "v1alpha1", Resource: "agenticsessions"}).
		Namespace(namespace).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "vteam.ambient-code/v1alpha1", "kind": "AgenticSession", "metadata": map[string]any{"name": "work"}}}, meta.CreateOptions{})
	must(t, err)
	first, problem := apply("work", false, map[string]string{"token": canary, "ca.crt": "x"})
	if problem != nil {
		t.Fatal(problem)
	}
	stored, err := cluster.Admin.CoreV1().Secrets(namespace).Get(t.Context(), "mine", meta.GetOptions{})
	must(t, err)
	owners := []meta.OwnerReference{{APIVersion: "vteam.ambient-code/v1alpha1", Kind: "AgenticSession", Name: "work", UID: session.GetUID()}}
	if !slices.Equal(stored.OwnerReferences, owners) || stored.Labels["app"] != "ambient-code" || stored.Type != core.SecretTypeOpaque ||
		!maps.Equal(plain(first.Data), map[string]string{"token": canary, "ca.crt": "x"}) || string(stored.Data["token"]) != canary {
		t.Errorf("%+v", stored)
	}
	if len(stored.ManagedFields) != 1 || stored.ManagedFields[0].Manager != kube.Manager {
		t.Errorf("managed by %+v", stored.ManagedFields)
	}

	// A key that is not wanted any more goes; one that somebody else has added
	// stays, and one that somebody else has set is theirs.
	stored.Data["theirs"], stored.Data["token"] = []byte("y"), []byte("z")
	_, err = cluster.Admin.CoreV1().Secrets(namespace).Update(t.Context(), stored, meta.UpdateOptions{FieldManager: "somebody"})
	must(t, err)
	_, problem = apply("", false, map[string]string{"token": another})
	want(t, problem, "kube-field-conflict", "the Secret "+name.String())
	second, problem := apply("", true, map[string]string{"token": another})
	if problem != nil || !maps.Equal(plain(second.Data), map[string]string{"token": another, "theirs": "y"}) {
		t.Errorf("%v, %v", problem, plain(second.Data))
	}
}

// An Update goes through only on what was read.
func TestUpdate(t *testing.T) {
	namespace := cluster.Namespace(t)
	name := kube.Name{Namespace: namespace, Name: "mine"}
	cluster.Secret(t, namespace, "mine", map[string]string{"token": canary, "ca.crt": "x", "theirs": "y"})
	client := as(t, cluster.Account(t, namespace, "user", Only("mine", "get", "patch", "delete")))
	old, problem := client.Get(t.Context(), name)
	if problem != nil {
		t.Fatal(problem)
	}
	set := hidden(map[string]string{"token": another})
	set["empty"] = kube.Value{}
	now, problem := client.Update(t.Context(), old, set, "ca.crt", "never-there")
	if problem != nil || !maps.Equal(plain(now.Data), map[string]string{"token": another, "theirs": "y", "empty": ""}) || now.ResourceVersion == old.ResourceVersion {
		t.Errorf("%v, %v", problem, plain(now.Data))
	}
	_, problem = client.Update(t.Context(), old, hidden(map[string]string{"token": canary}))
	want(t, problem, "kube-conflict", "nothing was written")
	if !kube.Conflict(problem) || kube.Missing(problem) {
		t.Error("the conflict is not told apart")
	}
	if problem := client.Delete(t.Context(), old); !kube.Conflict(problem) {
		t.Errorf("delete: %v", problem)
	}

	// Another one of the same name is another one.
	cluster.Delete(t, namespace, "mine")
	_, problem = client.Update(t.Context(), now, hidden(map[string]string{"token": canary}))
	want(t, problem, "kube-missing")
	want(t, client.Delete(t.Context(), now), "kube-missing")
	cluster.Secret(t, namespace, "mine", map[string]string{"token": canary})
	if _, problem = client.Update(t.Context(), now, nil); !kube.Conflict(problem) {
		t.Error(problem)
	}
	if problem := client.Delete(t.Context(), now); !kube.Conflict(problem) {
		t.Error(problem)
	}
	fresh, problem := client.Get(t.Context(), name)
	if problem == nil {
		problem = client.Delete(t.Context(), fresh)
	}
	if problem != nil {
		t.Error(problem)
	}
	if _, problem = client.Get(t.Context(), name); !kube.Missing(problem) {
		t.Error(problem)
	}
}

func TestImmutable(t *testing.T) {
	namespace := cluster.Namespace(t)
	cluster.Secret(t, namespace, "mine", map[string]string{"token": canary}, func(s *core.Secret) {
		s.Immutable = new(bool)
		*s.Immutable = true
	})
	client, name := open(t, cluster.Kubeconfig(t, admin())), kube.Name{Namespace: namespace, Name: "mine"}
	old, problem := client.Get(t.Context(), name)
	if problem != nil {
		t.Fatal(problem)
	}
	_, problem = client.Update(t.Context(), old, hidden(map[string]string{"token": another}))
	want(t, problem, "kube-immutable", "the Secret "+name.String())
	_, problem = client.Apply(t.Context(), name, kube.Wanted{Data: hidden(map[string]string{"token": another}), Force: true})
	want(t, problem, "kube-immutable")
}

func TestOtherType(t *testing.T) {
	namespace := cluster.Namespace(t)
	cluster.Secret(t, namespace, "mine", map[string]string{"username": "u", "password": "p"}, func(s *core.Secret) {
		s.Type = core.SecretTypeBasicAuth
	})
	client, name := open(t, cluster.Kubeconfig(t, admin())), kube.Name{Namespace: namespace, Name: "mine"}
	if got, problem := client.Get(t.Context(), name); problem != nil || got.Type != "kubernetes.io/basic-auth" {
		t.Errorf("%v, %v", got, problem)
	}
	_, problem := client.Apply(t.Context(), name, kube.Wanted{Data: hidden(map[string]string{"token": canary}), Force: true})
	want(t, problem, "kube-refused", "another type than Opaque")
}

func TestNamespaceGoing(t *testing.T) {
	namespace := cluster.Namespace(t)
	must(t, cluster.Admin.CoreV1().Namespaces().Delete(t.Context(), namespace, meta.DeleteOptions{}))
	_, problem := open(t, cluster.Kubeconfig(t, admin())).Apply(t.Context(), kube.Name{Namespace: namespace, Name: "mine"}, kube.Wanted{})
	want(t, problem, "kube-refused", "its namespace is being deleted")
}

// Each way to log in that a kubeconfig has.
func TestLogins(t *testing.T) {
	namespace := cluster.Namespace(t)
	name := kube.Name{Namespace: namespace, Name: "mine"}
	cluster.Secret(t, namespace, "mine", map[string]string{"token": canary})
	token := cluster.Account(t, namespace, "user", Only("mine", "get"))
	dir := t.TempDir()
	write := func(name string, data []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, mode))
		return path
	}
	exec := func(answer string) *api.ExecConfig {
		return &api.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: write("plugin", []byte(answer), 0o755),
			InteractiveMode: api.IfAvailableExecInteractiveMode}
	}
	credential := func(status string) string {
		return "#!/bin/sh\necho '" + `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":` + status + "}'\n"
	}
	certificate, err := json.Marshal(map[string]string{
		"clientCertificateData": string(cluster.Config.CertData), "clientKeyData": string(cluster.Config.KeyData)})
	must(t, err)
	for test, user := range map[string]api.AuthInfo{
		"certificate":       admin(),
		"certificate files": {ClientCertificate: write("crt", cluster.Config.CertData, 0o600), ClientKey: write("key", cluster.Config.KeyData, 0o600)},
		"token":             {Token: token},
		"token file":        {TokenFile: write("token", []byte(token+"\n"), 0o600)},
		"plugin, token":     {Exec: exec(credential(`{"token":"` + token + `"}`))},
		"impersonation": {ClientCertificateData: cluster.Config.CertData, ClientKeyData: cluster.Config.KeyData,
			Impersonate: "system:serviceaccount:" + namespace + ":user"},
	} {
		t.Run(test, func(t *testing.T) {
			got, problem := open(t, cluster.Kubeconfig(t, user)).Get(t.Context(), name)
			if problem != nil || string(got.Data["token"].Reveal()) != canary {
				t.Errorf("%v, %v", got, problem)
			}
		})
	}
	t.Run("plugin, certificate", func(t *testing.T) {
		user := api.AuthInfo{Exec: exec(credential(string(certificate)))}
		got, problem := open(t, cluster.Kubeconfig(t, user)).Get(t.Context(), name)
		if problem != nil || string(got.Data["token"].Reveal()) != canary {
			t.Errorf("%v, %v", got, problem)
		}
	})
	t.Run("several files", func(t *testing.T) {
		// The context is in one file, cluster and user are in the other.
		whole := cluster.Kubeconfig(t, api.AuthInfo{Token: token}, func(c *api.Config) { c.CurrentContext, c.Contexts = "", nil })
		context := cluster.Kubeconfig(t, api.AuthInfo{}, func(c *api.Config) { c.Clusters, c.AuthInfos = nil, nil })
		list := strings.Join([]string{"", filepath.Join(dir, "missing"), context, whole}, string(os.PathListSeparator))
		if _, problem := open(t, list).Get(t.Context(), name); problem != nil {
			t.Error(problem)
		}
	})
	t.Run("home", func(t *testing.T) {
		home := t.TempDir()
		must(t, os.Mkdir(filepath.Join(home, ".kube"), 0o700))
		must(t, os.Rename(cluster.Kubeconfig(t, api.AuthInfo{Token: token}), filepath.Join(home, ".kube", "config")))
		client, problem := kube.Open(t.Context(), kube.Config{Home: home, ServiceHost: "192.0.2.1", ServicePort: "443", ServiceAccount: dir + "/none"})
		if problem == nil {
			_, problem = client.Get(t.Context(), name)
		}
		if problem != nil {
			t.Error(problem)
		}
	})
	t.Run("in a pod", func(t *testing.T) {
		account := t.TempDir()
		must(t, os.WriteFile(filepath.Join(account, "token"), []byte(token), 0o644))
		must(t, os.WriteFile(filepath.Join(account, "ca.crt"), cluster.Config.CAData, 0o644))
		host, port, _ := strings.Cut(strings.TrimPrefix(cluster.Config.Host, "https://"), ":")
		client, problem := kube.Open(t.Context(), kube.Config{ServiceHost: host, ServicePort: port, ServiceAccount: account, Home: "/nonexistent"})
		if problem == nil {
			_, problem = client.Get(t.Context(), name)
		}
		if problem != nil {
			t.Error(problem)
		}
	})
	// A login that the server does not know, and none at all.
	_, problem := as(t, "eyJhbGciOiJub25lIn0.e30.").Get(t.Context(), name)
	want(t, problem, "kube-login", "the context here of the kubeconfig")
	_, problem = open(t, cluster.Kubeconfig(t, api.AuthInfo{})).Get(t.Context(), name)
	if !message.Is(problem, "kube-login") && !message.Is(problem, "kube-forbidden") {
		t.Error(problem)
	}
}

// A plugin that fails, asks or hangs gives no login, gets nothing of git's input,
// and what it says goes nowhere.
func TestPlugins(t *testing.T) {
	namespace := cluster.Namespace(t)
	name := kube.Name{Namespace: namespace, Name: "mine"}
	dir := t.TempDir()
	reader, writer, err := os.Pipe()
	must(t, err)
	stdin, stderr := os.Stdin, os.Stderr
	said, err := os.Create(filepath.Join(dir, "stderr"))
	must(t, err)
	_, err = writer.WriteString("password=" + canary + "\n")
	must(t, err)
	os.Stdin, os.Stderr = reader, said
	defer func() { os.Stdin, os.Stderr = stdin, stderr }()
	for test, row := range map[string]struct {
		script, mode, code, words string
	}{
		"fails":           {"cat >&2; echo " + another + " >&2; exit 7", "", "kube-plugin-failed", "returned no login"},
		"says nothing":    {"cat >" + dir + "/input", "", "kube-plugin-failed", "returned no login"},
		"says nonsense":   {"echo " + another, "", "kube-plugin-failed", "returned no login"},
		"hangs":           {"exec sleep 60", "", "kube-plugin-failed", "within the time limit"},
		"wants to ask":    {"cat >&2", "Always", "kube-plugin-unusable", "needs a terminal"},
		"is not there":    {"", "", "kube-plugin-unusable", "is missing or can't be run"},
		"other version":   {`echo '{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"x"}}'`, "", "kube-plugin-failed", ""},
		"unknown version": {"true", "v0", "kubeconfig-invalid", ""},
	} {
		t.Run(test, func(t *testing.T) {
			plugin := filepath.Join(t.TempDir(), "plugin")
			if row.script != "" {
				must(t, os.WriteFile(plugin, []byte("#!/bin/sh\n"+row.script+"\n"), 0o755))
			}
			config := api.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: plugin, InteractiveMode: api.IfAvailableExecInteractiveMode}
			switch row.mode {
			case "Always":
				config.InteractiveMode = api.AlwaysExecInteractiveMode
			case "v0":
				config.APIVersion = "client.authentication.k8s.io/v0"
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			start := time.Now()
			client, problem := kube.Open(ctx, kube.Config{Kubeconfig: cluster.Kubeconfig(t, api.AuthInfo{Exec: &config})})
			if problem == nil {
				_, problem = client.Get(ctx, name)
			}
			want(t, problem, row.code, row.words)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	if os.Stderr != said {
		t.Error("os.Stderr was left changed")
	}
	for _, path := range []string{said.Name(), dir + "/input"} {
		if data, err := os.ReadFile(path); err != nil || len(bytes.TrimSpace(data)) > 0 {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
}

func TestParseName(t *testing.T) {
	for text, want := range map[string]string{
		"a/b": "a/b", " team-1/my.secret\n": "team-1/my.secret",
		"": "", "a": "", "a/": "", "/b": "", "a/b/c": "", "A/b": "", "a/B": "", "a.b/c": "", "a/..": "", "a/" + strings.Repeat("x", 254): "", "a b/c": "",
	} {
		got, err := kube.ParseName(text)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}
