package kubetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// owner is a machine with a kubeconfig whose ServiceAccount may write one Secret.
type owner struct {
	*desk
	front *front
}

// rights are those to read, change and create the Secret.
func rights() []rbac.PolicyRule {
	return []rbac.PolicyRule{Only("mine", "get", "patch", "delete"),
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
		{APIGroups: []string{"vteam.ambient-code"}, Resources: []string{"agenticsessions"}, Verbs: []string{"get"}}}
}

func newOwner(t *testing.T, rules ...rbac.PolicyRule) *owner {
	t.Helper()
	o := &owner{desk: newDesk(t), front: newFront(t)}
	if rules == nil {
		rules = rights()
	}
	for token, days := range map[string]int{canary: 20, another: 60} {
		must(t, o.gitlab.UpdateToken(token, func(t *gitlabtest.Token) { t.ExpiresAt = time.Now().AddDate(0, 0, days).Format(time.DateOnly) }))
	}
	for name, token := range map[string]string{"old": canary, "new": another} {
		must(t, os.WriteFile(o.path(name), []byte(token+"\n"), 0o600))
	}
	o.set("KUBECONFIG="+o.front.kubeconfig(t, cluster.Account(t, o.namespace, "owner", rules...)),
		"XDG_STATE_HOME="+o.path("state"), "ACP_GITLAB_INSTANCE_URL="+o.gitlab.URL())
	return o
}

// start starts the program; its output is in the buffer after it has ended.
func (o *owner) start(args ...string) (*exec.Cmd, *bytes.Buffer) {
	o.t.Helper()
	said := &bytes.Buffer{}
	cmd := exec.CommandContext(o.t.Context(), built.path, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = o.dir, o.env, said, said
	must(o.t, cmd.Start())
	return cmd, said
}

func (o *owner) run(args ...string) (code int, said string) {
	o.t.Helper()
	cmd, out := o.start(args...)
	_ = cmd.Wait()
	if strings.Contains(out.String(), "Canary") {
		o.t.Errorf("a token was printed: %s", out)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// wants runs the program, and fails unless it exits with the code and prints the words in order.
func (o *owner) wants(code int, args string, words ...string) {
	o.t.Helper()
	got, said := o.run(strings.Fields(args)...)
	if got != code {
		o.t.Fatalf("%s: exit code %d, want %d\n%s", args, got, code, said)
	}
	if code != 0 && !strings.Contains(said, "git-credential-acp: hint: ") && !strings.Contains(said, " hint: ") {
		o.t.Errorf("%s: no remedy\n%s", args, said)
	}
	if len(words) > 0 {
		o.said(said, words)
	}
}

// kept is the Secret in the cluster; nil if there is none.
func (o *owner) kept() *core.Secret {
	o.t.Helper()
	s, err := cluster.Admin.CoreV1().Secrets(o.namespace).Get(o.t.Context(), "mine", meta.GetOptions{})
	if err != nil {
		return nil
	}
	return s
}

// token is the token in the Secret.
func (o *owner) token() string {
	o.t.Helper()
	s := o.kept()
	if s == nil {
		return ""
	}
	return string(s.Data["token"])
}

func (o *owner) alive(token string) bool {
	t, known := o.gitlab.Token(token)
	return known && !t.Revoked
}

// saved is the token in the recovery file; "" without one. there says whether
// there is a file.
func (o *owner) saved() (token string, there bool) {
	o.t.Helper()
	files, err := filepath.Glob(filepath.Join(o.path("state"), "*", "*.json"))
	must(o.t, err)
	if len(files) == 0 {
		return "", false
	}
	info, err := os.Stat(files[0])
	must(o.t, err)
	if len(files) > 1 || info.Mode().Perm() != 0o600 {
		o.t.Errorf("%v, mode %v", files, info.Mode())
	}
	data, err := os.ReadFile(files[0])
	must(o.t, err)
	var record struct{ Token string }
	must(o.t, json.Unmarshal(data, &record))
	return record.Token, true
}

// gate is a request of a rotation.
type gate struct {
	// endpoint is GitLab's, "" for the API server.
	endpoint string
	n        int // the n-th of them
	// done: the API server has done what is asked when something happens.
	done bool
}

func (g gate) String() string {
	name := g.endpoint
	if name == "" {
		name = "cluster"
	}
	if g.done {
		name += " answer"
	}
	return fmt.Sprintf("%s %d", name, g.n)
}

// The requests of a rotation, besides those to GitLab.
var (
	renewVerbs   = []string{"GET", "PATCH dry", "PATCH", "GET"}
	replaceVerbs = []string{"GET", "PATCH", "GET"}
)

func gates(verbs []string, endpoints ...gate) []gate {
	for n := range verbs {
		endpoints = append(endpoints, gate{n: n + 1}, gate{n: n + 1, done: true})
	}
	return endpoints
}

var (
	renewGates   = gates(renewVerbs, gate{endpoint: "self", n: 1}, gate{endpoint: "rotate", n: 1}, gate{endpoint: "self", n: 2}, gate{endpoint: "self", n: 3})
	replaceGates = gates(replaceVerbs, gate{endpoint: "self", n: 1}, gate{endpoint: "self", n: 2}, gate{endpoint: "self", n: 3}, gate{endpoint: "revoke", n: 1})
)

const (
	renew   = "rotate --new"
	replace = "rotate --token-file new"
	resume  = "rotate --resume"
)

// fault makes only the n-th request to an endpoint of GitLab fail.
func (o *owner) fault(g gate, f gitlabtest.Fault) {
	f.Match, f.Times = g.endpoint, 1
	if g.n > 1 {
		o.gitlab.AddFault(gitlabtest.Fault{Match: g.endpoint, Times: g.n - 1, Delay: time.Nanosecond})
	}
	o.gitlab.AddFault(f)
}

// killAt starts a rotation, and kills it during the gate's request.
func (o *owner) killAt(g gate, args string) {
	o.t.Helper()
	arrived := make(chan struct{})
	if g.endpoint == "" {
		o.front.strike(g.n, held(g.done, arrived))
	} else {
		o.fault(g, gitlabtest.Fault{Hang: true})
		go func() {
			for o.gitlab.Count(g.endpoint) < g.n && o.t.Context().Err() == nil {
				time.Sleep(2 * time.Millisecond)
			}
			close(arrived)
		}()
	}
	cmd, said := o.start(strings.Fields(args)...)
	select {
	case <-arrived:
	case <-time.After(30 * time.Second):
		o.t.Errorf("the request never came")
	}
	must(o.t, cmd.Process.Kill())
	_ = cmd.Wait()
	if o.t.Failed() {
		o.t.Fatal(said)
	}
	o.front.strike(0, nil)
	o.gitlab.ClearFaults()
	o.gitlab.ResetRequests()
}

// The lists of gates are complete: a rotation makes these requests and no others.
func TestRotateRequests(t *testing.T) {
	for args, want := range map[string]struct {
		verbs []string
		gates []gate
	}{renew: {renewVerbs, renewGates}, replace: {replaceVerbs, replaceGates}} {
		o := newOwner(t)
		o.store(o.keys(canary))
		o.wants(0, args, "rotated: the Secret "+o.namespace+"/mine has the new token")
		if got := o.front.verbs(); !slices.Equal(got, want.verbs) {
			t.Errorf("%s: %q, want %q", args, got, want.verbs)
		}
		counts := map[string]int{}
		for _, g := range want.gates {
			counts[g.endpoint]++
		}
		for _, endpoint := range []string{"self", "rotate", "revoke"} {
			if got := o.gitlab.Count(endpoint); got != counts[endpoint] {
				t.Errorf("%s: %d requests to %s, want %d", args, got, endpoint, counts[endpoint])
			}
		}
		if o.alive(canary) || !o.alive(o.token()) {
			t.Errorf("%s: the old token is alive, or the new one dead", args)
		}
		if _, there := o.saved(); there {
			t.Errorf("%s: the recovery file is left", args)
		}
	}
}

// A rotate --new that is killed at any request leaves a valid token in the Secret or the
// recovery file, and --resume finishes it.
func TestRotateNewKilled(t *testing.T) {
	for _, g := range renewGates {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			o := newOwner(t)
			o.store(o.keys(canary))
			o.killAt(g, renew)
			saved, there := o.saved()
			if !o.alive(canary) && !o.alive(saved) {
				t.Fatal("no valid token is left")
			}
			if !there {
				if !o.alive(canary) || o.token() != canary {
					t.Fatal("something was changed, and there is no record")
				}
				o.wants(0, renew)
				return
			}
			o.wants(1, renew, "an earlier rotation was interrupted")
			if n := o.gitlab.Count("rotate"); n > 0 {
				t.Errorf("GitLab was asked again, %d times", n)
			}
			o.wants(0, resume)
			if !o.alive(o.token()) || saved != "" && o.token() != saved {
				t.Error("the Secret does not have the token")
			}
			if _, there := o.saved(); there {
				t.Error("the recovery file is left")
			}
		})
	}
}

// finishes runs a failed rotation again.
func (o *owner) finishes() {
	o.t.Helper()
	if !o.alive(o.token()) || !o.alive(another) {
		o.t.Fatal("the Secret has a dead token")
	}
	if o.token() == canary {
		o.wants(0, replace)
		if o.token() != another || o.alive(canary) {
			o.t.Error("it is not finished")
		}
		return
	}
	// The old token stands nowhere any more, so nobody can revoke it from here.
	o.wants(1, replace, "the new token is already the one in the Secret", "revoke the old token on GitLab")
}

// A rotate that is killed at any request leaves a valid token in the Secret, and can be run
// again.
func TestRotateKilled(t *testing.T) {
	for _, g := range replaceGates {
		t.Run(g.String(), func(t *testing.T) {
			t.Parallel()
			o := newOwner(t)
			o.store(o.keys(canary))
			o.killAt(g, replace)
			o.finishes()
		})
	}
}

// gone stops the API server.
func (o *owner) gone() plan {
	return func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
		o.t.Cleanup(o.front.server.Close)
		_ = o.front.server.Listener.Close()
		panic(http.ErrAbortHandler)
	}
}

// After a failure of any request to the API server, a valid token is left, the error says so,
// and the rotation can be finished.
func TestRotateFaults(t *testing.T) {
	plans := map[string]func(o *owner, done bool) plan{
		"lost":  func(_ *owner, done bool) plan { return lost(done) },
		"500":   func(*owner, bool) plan { return refusal(500, "InternalError") },
		"503":   func(*owner, bool) plan { return refusal(503, "ServiceUnavailable") },
		"403":   func(*owner, bool) plan { return refusal(403, "Forbidden") },
		"401":   func(*owner, bool) plan { return refusal(401, "Unauthorized") },
		"page":  func(*owner, bool) plan { return answers(200, "text/html", "<html>Sign in</html>") },
		"empty": func(*owner, bool) plan { return answers(200, "application/json", "{}") },
		"gone":  func(o *owner, _ bool) plan { return o.gone() },
	}
	for kind, does := range plans {
		for args, gates := range map[string][]gate{renew: renewGates, replace: replaceGates} {
			for _, g := range gates {
				if g.endpoint != "" || g.done && kind != "lost" {
					continue
				}
				t.Run(kind+" "+args+" "+g.String(), func(t *testing.T) {
					t.Parallel()
					o := newOwner(t)
					o.store(o.keys(canary))
					o.front.strike(g.n, does(o, g.done))
					code, said := o.run(strings.Fields(args)...)
					if code == 0 && kind != "lost" || code != 0 && !strings.Contains(said, "git-credential-acp: hint: ") {
						t.Fatalf("exit code %d: %s", code, said)
					}
					saved, there := o.saved()
					if !o.alive(canary) && !o.alive(saved) && !o.alive(o.token()) {
						t.Fatalf("no valid token is left: %s", said)
					}
					if n := o.gitlab.Count("rotate"); n > 1 {
						t.Errorf("GitLab was asked for a new token %d times", n)
					}
					if kind == "gone" {
						o.set("KUBECONFIG=" + newFrontOf(o))
					} else {
						o.front.strike(0, nil)
					}
					switch {
					case code == 0:
					case args == replace:
						o.finishes()
					case there:
						o.wants(0, resume)
					default:
						o.wants(0, renew)
					}
					if !o.alive(o.token()) {
						t.Error("the Secret has a dead token")
					}
				})
			}
		}
	}
}

// newFrontOf puts a proxy between an owner and the API server.
func newFrontOf(o *owner) string {
	o.t.Helper()
	o.front = newFront(o.t)
	return o.front.kubeconfig(o.t, cluster.Token(o.t, o.namespace, "owner"))
}

// Other keys and fields of the Secret stay, set by anybody, in both forms.
func TestRotateKeeps(t *testing.T) {
	o := newOwner(t)
	o.store(map[string]string{"token": canary, "instanceUrl": o.gitlab.URL(), "theirs": "x"}, func(s *core.Secret) {
		s.Labels = map[string]string{"app": "theirs"}
	})
	o.wants(0, replace+" --dry-run", "nothing was changed")
	if o.token() != canary || !o.alive(canary) {
		t.Error("a dry run changes something")
	}
	o.wants(0, replace)
	s := o.kept()
	if o.token() != another || string(s.Data["theirs"]) != "x" || len(s.Data) != 3 || len(s.Labels) != 1 || s.Labels["app"] != "theirs" {
		t.Errorf("%v %v", s.Labels, len(s.Data))
	}

	o = newOwner(t)
	o.store(map[string]string{"credentials.json": `{"userId":"u-1","token":"` + canary + `","instanceUrl":"` + o.gitlab.URL() + `","updatedAt":"1"}`})
	o.wants(0, renew)
	var entry map[string]string
	must(t, json.Unmarshal(o.kept().Data["credentials.json"], &entry))
	if len(o.kept().Data) != 1 || entry["userId"] != "u-1" || !o.alive(entry["token"]) || entry["updatedAt"] == "1" {
		t.Errorf("%d keys, %d fields", len(o.kept().Data), len(entry))
	}
}

// The authority in the Secret is trusted for its GitLab.
func TestRotateAuthority(t *testing.T) {
	o := newOwner(t)
	ca, err := os.ReadFile(o.gitlab.CAFile())
	must(t, err)
	keys := o.keys(canary)
	keys["ca.crt"] = string(ca)
	o.store(keys)
	o.set("GIT_SSL_CAINFO=")
	o.wants(0, replace)
	if string(o.kept().Data["ca.crt"]) != string(ca) {
		t.Error("the authority is gone")
	}
	o.wants(0, "status", "is alive")
	o.wants(0, "disconnect --revoke --yes", "revoked: ", "disconnected: ")
	if o.kept() != nil || o.alive(another) {
		t.Error("it is still there")
	}
}

// The Secret changes between the read and the write.
func TestRotateOvertaken(t *testing.T) {
	third := "glpat-CanaryT5d2Fq8Jk1Zx"
	changed := func(token string) func(o *owner) {
		return func(o *owner) {
			o.gitlab.AddToken(gitlabtest.Token{Value: third, UserID: 7, Scopes: []string{"api", "write_repository"},
				ExpiresAt: time.Now().AddDate(0, 0, 40).Format(time.DateOnly)})
			o.store(o.keys(token))
		}
	}
	for name, row := range map[string]struct {
		happens func(o *owner)
		// replaced and renewed are the exit codes of the two, and words.
		code              int
		replaced, renewed string
		// mended makes resume possible; nil when that is so anyway.
		mended func(o *owner)
		stuck  string
	}{
		"another key": {func(o *owner) {
			o.store(map[string]string{"token": canary, "instanceUrl": o.gitlab.URL(), "theirs": "x"})
		}, 0, "rotated: ", "rotated: ", nil, ""},
		"another token": {changed(third), 1, "another token was stored in the Secret", "the one that GitLab created is in",
			func(o *owner) { must(o.t, o.gitlab.UpdateToken(third, func(t *gitlabtest.Token) { t.Revoked = true })) }, "the one that GitLab created is in"},
		"vanished":            {func(o *owner) { cluster.Delete(o.t, o.namespace, "mine") }, 1, "there is no token in the Secret", "the new token is saved in", nil, ""},
		"another of the name": {func(o *owner) { cluster.Delete(o.t, o.namespace, "mine"); o.store(o.keys(canary)) }, 0, "rotated: ", "rotated: ", nil, ""},
		"immutable": {func(o *owner) {
			o.store(o.keys(canary), frozen)
		}, 1, "is immutable", "which creates it again with the new token", func(o *owner) { cluster.Delete(o.t, o.namespace, "mine") }, "is immutable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOwner(t)
			o.store(o.keys(canary))
			o.front.strike(slices.Index(replaceVerbs, "PATCH")+1, before(func() { row.happens(o) }))
			o.wants(row.code, replace, row.replaced)
			if row.code == 0 && (o.token() != another || o.alive(canary)) || row.code != 0 && (o.token() == another || !o.alive(canary)) {
				t.Error("replaced although it failed, or not although it did not")
			}

			o = newOwner(t)
			o.store(o.keys(canary))
			o.front.strike(slices.Index(renewVerbs, "PATCH")+1, before(func() { row.happens(o) }))
			o.wants(row.code, renew, row.renewed)
			saved, there := o.saved()
			if row.code == 0 {
				if there || !o.alive(o.token()) {
					t.Error("it is not finished")
				}
				return
			}
			if !o.alive(saved) || o.token() == saved {
				t.Fatal("the new token is not saved, or stored")
			}
			if row.mended != nil {
				o.wants(1, resume, row.stuck)
				if again, _ := o.saved(); again != saved {
					t.Fatal("the saved token is gone")
				}
				row.mended(o)
			}
			o.wants(0, resume, "rotated: ")
			if _, there := o.saved(); there || o.token() != saved {
				t.Error("it is not finished")
			}
			if name != "another token" && o.kept().Labels["app"] != "ambient-code" {
				t.Error("a new Secret is not labelled")
			}
		})
	}
}

// frozen makes a Secret immutable.
func frozen(s *core.Secret) { s.Immutable = new(bool); *s.Immutable = true }

// A Secret that can't be written is refused before GitLab revokes its token.
func TestRotateUnwritable(t *testing.T) {
	for name, row := range map[string]struct {
		rules  []rbac.PolicyRule
		change func(*core.Secret)
		words  string
	}{
		"immutable":    {nil, frozen, "is immutable"},
		"may not":      {[]rbac.PolicyRule{Only("mine", "get")}, func(*core.Secret) {}, "owner may not patch the Secret "},
		"two forms":    {nil, func(s *core.Secret) { s.Data["credentials.json"] = []byte("{}") }, "two"},
		"another type": {nil, func(s *core.Secret) { s.Type = "example.com/mine" }, "is of type example.com/mine"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOwner(t, row.rules...)
			o.store(o.keys(canary), row.change)
			for _, args := range []string{renew, renew + " --dry-run", replace + " --dry-run", replace} {
				o.wants(1, args, row.words)
			}
			if _, there := o.saved(); there || o.gitlab.Count("rotate")+o.gitlab.Count("revoke") > 0 || o.token() != canary {
				t.Error("something was changed")
			}
		})
	}
	// An immutable Secret is refused before GitLab is asked, and before a token
	// is read. The hint works.
	o := newOwner(t)
	o.store(o.keys(canary), frozen)
	for _, args := range []string{renew, replace, "rotate --token-file missing"} {
		o.wants(1, args, "is immutable", "kubectl delete secret -n "+o.namespace+" mine, then git-credential-acp connect --secret "+o.namespace+"/mine")
	}
	if n := o.gitlab.Count("self"); n > 0 {
		t.Errorf("GitLab was asked %d times", n)
	}
	cluster.Delete(t, o.namespace, "mine")
	o.wants(0, connectNew, "connected: ")
	o.wantKeys(o.keys(another))

	o = newOwner(t, Only("mine", "patch"))
	o.store(o.keys(canary))
	o.wants(1, renew, "owner may not get the Secret ")
	o.wants(1, "status", "owner may not get the Secret ")
	o = newOwner(t)
	o.wants(1, renew, "there is no token in the Secret")
	o.wants(1, resume, "no interrupted rotation is recorded")
}

// pod makes a pod with the label app=session, of which kubelet says that it is in a
// phase, and gives a function that tells whether it has been annotated.
func (o *owner) pod(name, app string, phase core.PodPhase) (annotated func() bool) {
	o.t.Helper()
	api := cluster.Admin.CoreV1().Pods(o.namespace)
	pod, err := api.Create(o.t.Context(), &core.Pod{ObjectMeta: meta.ObjectMeta{Name: name, Labels: map[string]string{"app": app}},
		Spec: core.PodSpec{Containers: []core.Container{{Name: "session", Image: "registry.example.com/session"}}}}, meta.CreateOptions{})
	must(o.t, err)
	pod.Status.Phase = phase
	_, err = api.UpdateStatus(o.t.Context(), pod, meta.UpdateOptions{})
	must(o.t, err)
	return func() bool {
		pod, err := api.Get(o.t.Context(), name, meta.GetOptions{})
		must(o.t, err)
		return pod.Annotations["git-credential-acp/rotated-at"] != ""
	}
}

// podRules are the rights that --pods takes besides.
func podRules(verbs ...string) []rbac.PolicyRule {
	return append(rights(), rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: verbs})
}

// Pods are annotated after the Secret has the new token, and before the old one is revoked.
func TestRotatePods(t *testing.T) {
	// at is the number of the first pod's change among the requests.
	for args, at := range map[string]int{replace + " --grace 1ms": 8, renew: 9} {
		o := newOwner(t, podRules("list", "patch")...)
		o.store(o.keys(canary))
		first, second := o.pod("one", "session", core.PodRunning), o.pod("two", "session", core.PodPending)
		other, ended := o.pod("three", "other", core.PodRunning), o.pod("four", "session", core.PodSucceeded)
		o.wants(0, args+" --dry-run --pods app=session", "selects 2 pods", "nothing was changed")
		if first() || o.token() != canary {
			t.Fatal("a dry run changes something")
		}
		o.front.strike(at, before(func() {
			if o.token() == canary || args != renew && !o.alive(canary) {
				t.Errorf("%s: the pods are annotated too early, or too late", args)
			}
		}))
		o.wants(0, args+" --pods app=session", "annotated 2 pods", "rotated: ")
		if !first() || !second() || other() || ended() {
			t.Errorf("%s: annotated %v %v %v %v; %q", args, first(), second(), other(), ended(), o.front.verbs())
		}
		if o.alive(canary) || !o.alive(o.token()) {
			t.Errorf("%s: the old token is alive, or the new one dead", args)
		}
	}

	// Obstacles are reported before anything is changed.
	for name, row := range map[string]struct {
		verbs []string
		words string
	}{
		"list":  {[]string{"patch"}, "owner may not list the pods of the namespace "},
		"patch": {[]string{"list"}, "owner may not patch the pod "},
	} {
		o := newOwner(t, podRules(row.verbs...)...)
		o.store(o.keys(canary))
		o.pod("one", "session", core.PodRunning)
		for _, args := range []string{renew, replace} {
			o.wants(1, args+" --pods app=session", "so nothing was changed: system:serviceaccount:"+o.namespace+":"+row.words)
		}
		if o.token() != canary || !o.alive(canary) {
			t.Errorf("%s: something was changed", name)
		}
	}

	// Without a pod there is nobody to wait for but what --grace says.
	o := newOwner(t, podRules("list", "patch")...)
	o.store(o.keys(canary))
	o.wants(0, replace+" --pods app=session --grace 0s", "selects no running pod", "rotated: ")
}

// The old token is not revoked if pods can't be annotated, or if the Secret does not have the new
// one at the end of the grace period.
func TestRotateGraceFails(t *testing.T) {
	o := newOwner(t, podRules("list", "patch")...)
	o.store(o.keys(canary))
	o.pod("one", "session", core.PodRunning)
	o.front.strike(7, refusal(500, "InternalError"))
	o.wants(3, replace+" --pods app=session", "the new token is stored, but the old one was not revoked: ", "answers 500")
	if o.token() != another || !o.alive(canary) {
		t.Error("it is not stored, or the old one is revoked")
	}

	o = newOwner(t)
	o.store(o.keys(canary))
	o.front.strike(4, before(func() { o.store(o.keys(canary)) }))
	o.wants(3, replace+" --grace 1ms", "the old one was not revoked: the Secret "+o.namespace+"/mine does not have the token that was just stored")
	if !o.alive(canary) {
		t.Error("the token that is kept is revoked")
	}
}
