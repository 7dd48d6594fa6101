package kubetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// The real git clones and pushes with a token from the cluster, in each form
// that a Secret can have.
func TestClone(t *testing.T) {
	d := newDesk(t)
	d.login("get")
	for n, keys := range []map[string]string{
		d.keys(canary),
		{"credentials.json": fmt.Sprintf(`{"userId":"dev","token":%q,"instanceUrl":%q,"updatedAt":"1790000000"}`, another, d.gitlab.URL())},
	} {
		d.store(keys)
		clone := fmt.Sprintf("clone%d", n)
		d.git("clone", "-q", d.gitlab.URL()+"/"+project+".git", clone)
		d.git("-C", clone, "-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "-q", "--allow-empty", "-m", "x")
		d.git("-C", clone, "push", "-q", "origin", "HEAD")
	}
	for _, value := range []string{canary, another} {
		if !d.gitlab.SawSecret(value) {
			t.Error("a token was never used")
		}
	}
}

// Secrets and settings that are no good, each with its words and exit code.
func TestBadSecrets(t *testing.T) {
	d := newDesk(t)
	d.login("get")
	d.set("ACP_GITLAB_INSTANCE_URL="+d.gitlab.URL(), "ACP_GITLAB_SOURCE=api")
	named := "the Secret " + d.namespace + "/mine in the cluster"
	d.wantRefusal(1, "GitLab is not connected", "looked at "+named, "hint: ")

	for _, row := range []struct {
		keys  map[string]string
		words string
	}{
		{nil, named + " has neither a key token nor a key credentials.json"},
		{map[string]string{"password": canary}, named + " has neither"},
		{map[string]string{"token": canary, "credentials.json": "{}"}, named + " has both"},
		{map[string]string{"token": " \n", "instanceUrl": d.gitlab.URL()}, "the token from " + named + " is empty"},
		{map[string]string{"token": canary + "\n" + canary}, "a bad paste"},
		{map[string]string{"credentials.json": canary}, "the key credentials.json of " + named + " is not a JSON object"},
		{map[string]string{"token": canary, "instanceUrl": "x"}, "the instance URL in the key instanceUrl of " + named},
		{map[string]string{"token": canary, "instanceUrl": "https://other.example"}, named + " belongs to other.example, not to"},
		{map[string]string{"token": canary, "instanceUrl": d.gitlab.URL(), "ca.crt": "garbage"}, "the certificate authorities in the key ca.crt of the Secret can't be used"},
		{map[string]string{"token": canary + strings.Repeat(" ", 70_000)}, "the key token of " + named + " is larger than 64 KiB"},
	} {
		d.store(row.keys)
		d.wantRefusal(1, row.words, "hint: ")
	}
	cluster.Delete(t, d.namespace, "mine")
	d.store(map[string]string{"username": "x", "password": canary, "token": canary}, func(s *core.Secret) { s.Type = core.SecretTypeBasicAuth })
	d.wantRefusal(1, named+" is of type kubernetes.io/basic-auth", "hint: ")
	cluster.Delete(t, d.namespace, "mine")

	// An immutable Secret is as good as another.
	d.store(d.keys(canary), func(s *core.Secret) { s.Immutable = new(bool); *s.Immutable = true })
	d.wantToken(canary)

	d.set("ACP_GITLAB_SECRET=" + canary)
	d.wantRefusal(1, "the value of ACP_GITLAB_SECRET is not of the form namespace/name")
	d.set("ACP_GITLAB_SECRET=")
	d.wantRefusal(1, "ACP_GITLAB_SOURCE is api, but ACP_GITLAB_SECRET is not set")
}

// The mount comes before the cluster, and the cluster before the environment.
func TestOrder(t *testing.T) {
	d := newDesk(t)
	asked := d.login("get")
	d.set("GITLAB_TOKEN="+another, "ACP_GITLAB_INSTANCE_URL="+d.gitlab.URL())
	d.store(d.keys(canary))
	d.wantToken(canary)
	cluster.Delete(t, d.namespace, "mine")
	d.wantToken(another)
	d.store(d.keys(canary))
	d.mount(another)
	asked()
	d.wantToken(another)
	d.set("ACP_GITLAB_SOURCE=mount")
	d.wantToken(another)
	if n := asked(); n != 0 {
		t.Errorf("the cluster was asked %d times", n)
	}
	d.set("ACP_GITLAB_SOURCE=api")
	d.wantToken(canary)
	if n := asked(); n != 1 {
		t.Errorf("the cluster was asked %d times", n)
	}
}

// The mount has no token yet, as in the manifests that this project ships, and
// connect --secret has just stored one: it counts at once, before kubelet brings it
// into the pod.
func TestConnectedBeforeMount(t *testing.T) {
	for name, keys := range map[string]func(d *desk) map[string]string{
		"no key": func(d *desk) map[string]string { return map[string]string{"instanceUrl": d.gitlab.URL()} },
		"empty":  func(d *desk) map[string]string { return map[string]string{"token": "", "instanceUrl": d.gitlab.URL()} },
		"broken": func(d *desk) map[string]string {
			return map[string]string{"token": "${GITLAB_TOKEN}", "instanceUrl": d.gitlab.URL()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.login("get", "create", "patch")
			d.store(keys(d))
			must(t, gitlabtest.WriteSecret(d.path("mount"), keys(d)))
			d.wantRefusal(1, "configuration: ", "hint: ")
			must(t, os.WriteFile(d.path("token"), []byte(canary+"\n"), 0o600))
			cmd := exec.CommandContext(t.Context(), built.path, "connect", "--secret", d.namespace+"/mine", "--token-file", d.path("token"), "--instance", d.gitlab.URL())
			if name != "no key" { // the key is another program's
				cmd.Args = append(cmd.Args, "--force")
			}
			cmd.Env = d.env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			d.wantToken(canary)
			d.git("clone", "-q", d.gitlab.URL()+"/"+project+".git", "clone")
		})
	}
}

// A cluster that says no, or nothing, is not passed over for what stands behind
// it.
func TestBadClusters(t *testing.T) {
	d := newDesk(t)
	d.store(d.keys(canary))
	d.set("GITLAB_TOKEN="+another, "ACP_GITLAB_INSTANCE_URL="+d.gitlab.URL(), "ACP_GITLAB_TIMEOUT=2s")
	named := d.namespace + "/mine"

	d.set("KUBECONFIG=" + cluster.Kubeconfig(t, api.AuthInfo{Token: cluster.Account(t, d.namespace, "nobody")}))
	d.wantRefusal(1, "configuration: system:serviceaccount:"+d.namespace+":nobody may not get the Secret "+named, "hint: grant it a Role with the verb get")
	d.set("KUBECONFIG=" + cluster.Kubeconfig(t, api.AuthInfo{Token: "x"}))
	d.wantRefusal(1, "rejects the login of the context here of the kubeconfig")

	silent := listen(t)
	server := func(url string) func(*api.Config) { return func(c *api.Config) { c.Clusters["cluster"].Server = url } }
	start := time.Now()
	d.set("KUBECONFIG=" + cluster.Kubeconfig(t, admin(), server("https://"+silent.Addr().String())))
	d.wantRefusal(3, "not verified: the Kubernetes API server "+silent.Addr().String()+" did not answer within the time limit")
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	d.set("KUBECONFIG=" + cluster.Kubeconfig(t, admin(), server("https://127.0.0.1:1")))
	d.wantRefusal(3, "the Kubernetes API server 127.0.0.1:1 can't be reached")
	d.set("KUBECONFIG=" + cluster.Kubeconfig(t, admin(), func(c *api.Config) { c.Clusters["cluster"].CertificateAuthorityData = nil }))
	d.wantRefusal(3, "can't be trusted")

	d.set("KUBECONFIG=" + cluster.Kubeconfig(t, admin(), func(c *api.Config) { c.CurrentContext = "gone" }))
	d.wantRefusal(1, "the current context gone of the kubeconfig does not exist")
	broken := d.path("broken")
	must(t, os.WriteFile(broken, []byte("clusters: "+canary+": ["), 0o600))
	d.set("KUBECONFIG=" + broken)
	d.wantRefusal(1, broken+" can't be used: it can't be parsed")
	d.set("KUBECONFIG=" + d.path("missing"))
	d.wantRefusal(1, "(looked at "+d.path("missing"))
	must(t, os.WriteFile(d.path("relative"), []byte("x"), 0o600))
	d.set("KUBECONFIG=relative")
	d.wantRefusal(1, "relative can't be used: a path that is not absolute could lead into a repository")
	d.set("KUBECONFIG=")
	d.wantRefusal(1, "no kubeconfig or ServiceAccount token was found (looked at "+filepath.Join(d.path("home"), ".kube", "config"))

	plugin := d.path("plugin")
	must(t, os.WriteFile(plugin, []byte("#!/bin/sh\ncat\necho "+another+" >&2\nexit 1\n"), 0o755))
	d.set("KUBECONFIG=" + cluster.Kubeconfig(t, api.AuthInfo{Exec: &api.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: plugin, InteractiveMode: api.IfAvailableExecInteractiveMode}}))
	d.wantRefusal(3, "the exec plugin "+plugin+" of the context here of the kubeconfig returned no login")
}

// listen is a server that takes connections and says nothing.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// counted is the same, and counts them.
func counted(t *testing.T) (addr string, connections *atomic.Int64) {
	t.Helper()
	l := listen(t)
	connections = new(atomic.Int64)
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
			connections.Add(1)
		}
	}()
	return l.Addr().String(), connections
}

// Requests for other hosts don't get as far as the cluster where the instance is
// known.
func TestForeign(t *testing.T) {
	d := newDesk(t)
	addr, connections := counted(t)
	d.set("KUBECONFIG=" + cluster.Kubeconfig(t, admin(), func(c *api.Config) { c.Clusters["cluster"].Server = "https://" + addr }))
	nothing := func(host string, flags ...string) {
		t.Helper()
		if stdout, stderr, code := d.ask(host, flags...); stdout+stderr != "" || code != 0 {
			t.Errorf("%s: exit code %d, %q, %q", host, code, stdout, stderr)
		}
	}
	foreign := []string{"github.com", "gitlab.com", "evil-" + strings.TrimPrefix(d.gitlab.URL(), "https://")}
	for _, host := range foreign {
		nothing(host, "--instance", d.gitlab.URL())
	}
	d.set("ACP_GITLAB_INSTANCE_URL=" + d.gitlab.URL())
	for _, host := range foreign {
		nothing(host)
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	if _, err := os.Stat(d.path("cache")); err == nil {
		t.Error("something was written down")
	}

	// If only the Secret names the instance, it is read once and cached.
	d.set("ACP_GITLAB_INSTANCE_URL=")
	asked := d.login("get")
	d.store(d.keys(canary))
	for _, host := range foreign {
		nothing(host)
	}
	if n := asked(); n != 1 {
		t.Errorf("the cluster was asked %d times", n)
	}
	d.wantToken(canary)
	if n := asked(); n != 1 {
		t.Errorf("the cluster was asked %d times", n)
	}
	// Another kubeconfig may be of another cluster.
	again := d.loginAs(api.AuthInfo{Token: cluster.Token(t, d.namespace, "session")})
	nothing(foreign[0])
	if n := again(); n != 1 {
		t.Errorf("the cluster was asked %d times", n)
	}

	// A Secret that is for another instance now is seen when its memory ends.
	d.store(map[string]string{"token": canary, "instanceUrl": "https://other.example"})
	d.set("ACP_GITLAB_CACHE_TTL=1ms", "ACP_GITLAB_TIMEOUT=3s")
	nothing(strings.TrimPrefix(d.gitlab.URL(), "https://"))
	cluster.Delete(t, d.namespace, "mine")
	nothing("other.example")

	// The instance is unknown and the cluster does not answer: a message, and git may go on.
	d.set("KUBECONFIG="+cluster.Kubeconfig(t, admin(), func(c *api.Config) { c.Clusters["cluster"].Server = "https://" + addr }), "ACP_GITLAB_TIMEOUT=30s")
	start := time.Now()
	if stdout, stderr, code := d.ask("github.com"); stdout != "" || code != 3 || !strings.Contains(stderr, "did not answer") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
}

// The API server and etcd go away in the middle of things: what is said is
// that nothing was learned, and all is well when they are back.
func TestServerKilled(t *testing.T) {
	d := newDesk(t)
	own, err := Start(os.Getenv(envAssets))
	must(t, err)
	stopped := false
	defer func() {
		if !stopped {
			must(t, own.Stop())
		}
	}()
	namespace := own.Namespace(t)
	own.Secret(t, namespace, "mine", d.keys(canary))
	d.set("KUBECONFIG="+own.Kubeconfig(t, api.AuthInfo{Token: own.Account(t, namespace, "session", Only("mine", "get"))}),
		"ACP_GITLAB_SECRET="+namespace+"/mine", "ACP_GITLAB_INSTANCE_URL="+d.gitlab.URL(), "ACP_GITLAB_TIMEOUT=3s")
	d.wantToken(canary)
	// Callers are under way while it dies; each ends, with the token or with the
	// right words.
	type result struct {
		stdout, stderr string
		code           int
		err            error
	}
	results := make(chan result)
	ended := make(chan struct{})
	for range 4 {
		go func() {
			for {
				var r result
				r.stdout, r.stderr, r.code, r.err = d.call(strings.TrimPrefix(d.gitlab.URL(), "https://"))
				select {
				case results <- r:
				case <-ended:
					return
				}
			}
		}()
	}
	var good, bad int
	for deadline := time.Now().Add(time.Minute); good < 8 || bad < 8; {
		if time.Now().After(deadline) {
			t.Fatalf("%d good answers, %d others", good, bad)
		}
		if good == 8 && !stopped {
			stopped = true
			must(t, own.Stop())
		}
		switch r := <-results; {
		case r.err != nil:
			t.Fatal(r.err)
		case r.code == 0 && strings.Contains(r.stdout, "\npassword="+canary+"\n"):
			good++
		case r.code == 3 && r.stdout == "quit=1\n" && strings.Contains(r.stderr, "not verified: "):
			bad++
		default:
			t.Errorf("exit code %d, %q\n%s", r.code, r.stdout, r.stderr)
			bad++
		}
	}
	close(ended)
	// The other one is up: nothing of this is remembered against it.
	d.set("ACP_GITLAB_SECRET=" + d.namespace + "/mine")
	d.store(d.keys(canary))
	d.login("get")
	d.wantToken(canary)
}
