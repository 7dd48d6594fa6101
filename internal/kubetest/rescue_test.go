package kubetest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// A token is rotated, and the pod's mount does not have the new one yet: git
// works all the same, and goes over to the mount when that is up to date.
func TestRescue(t *testing.T) {
	d := newDesk(t)
	asked := d.login("get")
	d.mount(canary)
	d.store(d.keys(canary))
	d.wantToken(canary)
	if n := asked(); n != 0 {
		t.Errorf("the cluster was asked %d times about a good token", n)
	}

	d.store(d.keys(another))
	d.revoke()
	// A cached verdict of the old token counts until git's login fails.
	d.forget(canary)
	line := "warning: the token from the Secret at " + d.path("mount") + " is no longer valid on " + strings.TrimPrefix(d.gitlab.URL(), "https://") +
		"; using the newer one from the Secret " + d.namespace + "/mine in the cluster\n"
	d.wantToken(another, line)
	d.git("clone", "-q", d.gitlab.URL()+"/"+project+".git", "clone")
	d.git("-C", "clone", "-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "-q", "--allow-empty", "-m", "x")
	d.git("-C", "clone", "push", "-q", "origin", "HEAD")

	// The newer token is stored nowhere, so it is read each time; GitLab is not
	// asked again about either.
	asked()
	d.gitlab.ResetRequests()
	for range 3 {
		d.wantToken(another, line)
	}
	if n := asked(); n != 3 || d.gitlab.Count("api") != 0 {
		t.Errorf("the cluster was asked %d times, GitLab %d times", n, d.gitlab.Count("api"))
	}

	d.mount(another)
	d.wantToken(another)
	if n := asked(); n != 0 {
		t.Errorf("the cluster was asked %d times about a good token", n)
	}
}

// forget tells the program what git would: that a token was refused.
func (d *desk) forget(token string) {
	d.t.Helper()
	out, err := d.input("protocol=https\nhost="+strings.TrimPrefix(d.gitlab.URL(), "https://")+
		"\nusername=oauth2\npassword="+token+"\n", "erase")
	if err != nil || !strings.Contains(out, "rejected the token") {
		d.t.Fatalf("%v: %s", err, out)
	}
}

// Without a way to a newer token, one clear line says why, and the refusal
// stands.
func TestRescueInVain(t *testing.T) {
	for name, row := range map[string]struct {
		// prepare sets the cluster up.
		prepare func(d *desk)
		// line is what is said of the cluster, "" for nothing.
		line string
	}{
		"not rotated": {func(d *desk) { d.login("get") }, ""},
		"no right": {func(d *desk) { d.login("list") },
			"no newer token could be read from the Secret NS/mine in the cluster: system:serviceaccount:NS:session may not get the Secret NS/mine"},
		"no Secret": {func(d *desk) { d.login("get"); cluster.Delete(d.t, d.namespace, "mine") }, "the Secret NS/mine does not exist"},
		"no token":  {func(d *desk) { d.login("get"); d.store(map[string]string{"x": "y"}) }, "has neither a key token"},
		"dead too": {func(d *desk) {
			d.login("get")
			d.store(d.keys(another))
			must(d.t, d.gitlab.UpdateToken(another, func(t *gitlabtest.Token) { t.Revoked = true }))
		}, "the Secret NS/mine in the cluster was rejected too: the GitLab token from the Secret NS/mine in the cluster was revoked"},
		"of another instance": {func(d *desk) { d.login("get"); d.store(map[string]string{"token": another}) },
			"the Secret NS/mine in the cluster is for gitlab.com, so it has no newer token for "},
		"no cluster": {func(d *desk) {
			d.set("KUBECONFIG=" + cluster.Kubeconfig(d.t, admin(), func(c *api.Config) { c.Clusters["cluster"].Server = "https://127.0.0.1:1" }))
		}, "the Kubernetes API server 127.0.0.1:1 can't be reached"},
		"silent cluster": {func(d *desk) {
			addr := listen(d.t).Addr().String()
			d.set("KUBECONFIG=" + cluster.Kubeconfig(d.t, admin(), func(c *api.Config) { c.Clusters["cluster"].Server = "https://" + addr }))
		}, "did not answer within the time limit"},
		"no kubeconfig": {func(d *desk) { d.set("KUBECONFIG=") }, "no kubeconfig or ServiceAccount token was found"},
		"wrong name":    {func(d *desk) { d.set("ACP_GITLAB_SECRET=" + another) }, "the value of ACP_GITLAB_SECRET is not of the form namespace/name"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.mount(canary)
			d.store(d.keys(canary))
			d.revoke()
			row.prepare(d)
			refusal := "authentication failed: the GitLab token from the Secret at " + d.path("mount") + " was revoked"
			line := strings.ReplaceAll(row.line, "NS", d.namespace)
			start := time.Now()
			_, stderr, code := d.get()
			if took := time.Since(start); took > 9*time.Second {
				t.Errorf("it took %s", took)
			}
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			want := []string{line, refusal, "hint: "}
			if row.line == "" {
				want = want[1:]
			}
			if row.line != "" && strings.Contains(line, "ACP_GITLAB_SECRET") {
				want = []string{line, "hint: ", refusal, "hint: "}
			}
			if code != 1 || len(lines) != len(want) {
				t.Fatalf("exit code %d\n%s", code, stderr)
			}
			for n, words := range want {
				if !strings.Contains(lines[n], words) {
					t.Errorf("line %d: %q is not in %q", n, words, lines[n])
				}
			}
		})
	}
}

// A refusal for another reason than death is nothing that a newer token would
// mend, and costs the cluster nothing.
func TestRescueOnlyTheDead(t *testing.T) {
	d := newDesk(t)
	asked := d.login("get")
	d.mount(canary)
	d.store(d.keys(another))
	for _, change := range []func(*gitlabtest.Token){
		func(tok *gitlabtest.Token) { tok.Scopes = []string{"read_api"} },
		func(tok *gitlabtest.Token) { tok.Scopes = access.DefaultScopes() },
	} {
		must(t, d.gitlab.UpdateToken(canary, change))
		must(t, d.gitlab.UpdateProject(project, func(p *gitlabtest.Project) { p.Direct = map[int]int{7: 10} }))
		d.set("ACP_GITLAB_CACHE_DIR=off")
		d.wantRefusal(1, "insufficient permissions: ")
	}
	// A source that was asked for alone has no other behind it.
	d.revoke()
	d.set("ACP_GITLAB_SOURCE=mount")
	d.wantRefusal(1, "authentication failed: ")
	if n := asked(); n != 0 {
		t.Errorf("the cluster was asked %d times", n)
	}
}

// A loop of calls with a dead token asks the cluster as seldom as GitLab, whether
// one after another or all at once.
func TestRescueSpares(t *testing.T) {
	d := newDesk(t)
	asked := d.login("get")
	d.mount(canary)
	d.store(d.keys(another))
	d.revoke()
	must(t, d.gitlab.UpdateToken(another, func(t *gitlabtest.Token) { t.Scopes = []string{"read_api"} }))
	host := strings.TrimPrefix(d.gitlab.URL(), "https://")
	var group sync.WaitGroup
	said := make(chan string, 30)
	for range cap(said) {
		group.Go(func() {
			_, stderr, _, err := d.call(host)
			if err != nil {
				stderr = err.Error()
			}
			said <- stderr
		})
	}
	group.Wait()
	close(said)
	for stderr := range said {
		d.all.WriteString(stderr)
		d.said(stderr, []string{" was rejected too: ", "lacks the scope", "was revoked"})
	}
	for range 10 {
		d.wantRefusal(1, " was rejected too: ", "lacks the scope", "was revoked")
	}
	if n := asked(); n != 1 {
		t.Errorf("the cluster was asked %d times", n)
	}
}
