package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// session is one pod of docs/kubernetes, in a namespace that enforces the restricted
// level and has the fake GitLab's CA as docs/pods.md says.
type session struct {
	t                            *testing.T
	namespace, pod, secret, host string
	overlay                      string // what kubectl apply -k gets
}

var namespaces, tokens, branches atomic.Int64

// A patch for the pod without the rescue: the mount alone decides.
const withoutRescue = `
            env:
              - {name: ACP_GITLAB_SECRET, $patch: delete}`

// A patch of the manifests without the Secret, as for a user who has never connected
// GitLab.
const withoutSecret = `
  - target: {kind: Secret}
    patch: |
      apiVersion: v1
      kind: Secret
      metadata: {name: any}
      $patch: delete
`

// newSession makes the namespace. A layer is a directory of docs/kubernetes and
// components; patches are of the session's container.
func newSession(t *testing.T, layer string, patches ...string) *session {
	t.Helper()
	s := &session{t: t, namespace: fmt.Sprintf("team-%d", namespaces.Add(1)), pod: "session", secret: "session-gitlab", host: ours}
	manifests, err := filepath.Abs(filepath.Join(root, "docs", "kubernetes"))
	must(t, err)
	parts := strings.Fields(layer)
	if parts[0] == "example" {
		s.namespace, s.pod, s.secret, s.host = "my-sessions", "session-s42", "session-gitlab-s42", theirs
	}
	s.overlay = filepath.Join(manifests, parts[0])
	if len(parts) > 1 || len(patches) > 0 {
		dir := t.TempDir()
		manifests, err = filepath.Rel(dir, manifests)
		must(t, err)
		text := "resources: [" + filepath.Join(manifests, parts[0]) + "]\n"
		for i, component := range parts[1:] {
			if i == 0 {
				text += "components:\n"
			}
			text += "  - " + filepath.Join(manifests, component) + "\n"
		}
		for i, patch := range patches {
			if i == 0 {
				text += "patches:\n"
			}
			text += patch
		}
		must(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600))
		s.overlay = dir
	}
	s.kubectl("create", "namespace", s.namespace)
	s.kubectl("label", "namespace", s.namespace, "pod-security.kubernetes.io/enforce=restricted")
	bundle := filepath.Join(t.TempDir(), "ca-bundle.crt")
	must(t, os.Link(node.gitlab.CAFile(), bundle))
	s.kubectl("create", "configmap", "gitlab-ca", "--from-file="+bundle, "--from-literal=GIT_SSL_CAINFO=/etc/acp/ca/ca-bundle.crt", "-n", s.namespace)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := s.try(nil, filepath.Join(os.Getenv(envKube), "kubectl"), "describe", "pods", "-n", s.namespace)
			t.Log(out)
		}
	})
	return s
}

// patchContainer and patchPod are patches of the pod, as in a kustomization.yaml.
func patchContainer(fields string) string {
	return patchPod("\n        containers:\n          - name: session" + fields)
}

func patchPod(fields string) string {
	return `
  - target: {kind: Pod}
    patch: |
      apiVersion: v1
      kind: Pod
      metadata: {name: any}
      spec:` + fields + "\n"
}

// try runs a program with a time limit, and gives what it has said. No token may be
// in that.
func (s *session) try(stdin []byte, program string, args ...string) (string, error) {
	s.t.Helper()
	// Not the test's own context: it has ended when the cleanup runs.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "HOME="+node.dir, "KUBECONFIG="+node.kubeconfig, "GIT_SSL_CAINFO="+node.gitlab.CAFile(), "ACP_GITLAB_CACHE_DIR=off")
	cmd.Stdin, cmd.WaitDelay = bytes.NewReader(stdin), time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return string(out), err
}

// kubectl runs kubectl, and the test ends if that fails.
func (s *session) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.try(nil, filepath.Join(os.Getenv(envKube), "kubectl"), args...)
	if err != nil {
		s.t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// acp runs the program outside of the pod, as the user or the platform does.
func (s *session) acp(token string, args ...string) (string, error) {
	s.t.Helper()
	out, err := s.try([]byte(token), node.program, append(args, "--secret", s.namespace+"/"+s.secret, "--instance", "https://"+s.host)...)
	s.searched(out)
	return out, err
}

// sh runs a script in the session's container.
func (s *session) sh(script string) (string, error) {
	s.t.Helper()
	out, err := s.try(nil, filepath.Join(os.Getenv(envKube), "kubectl"), "exec", "-n", s.namespace, s.pod, "-c", "session", "--", "sh", "-c", script)
	s.searched(out)
	return out, err
}

func (s *session) searched(out string) {
	s.t.Helper()
	if strings.Contains(out, "Canary") {
		s.t.Error("a token was printed")
	}
}

// newToken makes one on GitLab.
func (s *session) newToken() string {
	n := tokens.Add(1)
	value := fmt.Sprintf("glpat-NodeCanary%08d", n)
	// Each lives longer than those before it: rotate wants that.
	node.gitlab.AddToken(gitlabtest.Token{Value: value, UserID: 7, Scopes: access.DefaultScopes(),
		ExpiresAt: time.Now().UTC().AddDate(0, 0, 60+int(n)).Format(time.DateOnly)})
	return value
}

// connect stores a token.
func (s *session) connect(token string) {
	s.t.Helper()
	if out, err := s.acp(token, "connect"); err != nil {
		s.t.Fatalf("connect: %v: %s", err, out)
	}
}

// start applies the manifests and waits until the pod runs.
func (s *session) start() {
	s.t.Helper()
	s.kubectl("apply", "-n", s.namespace, "-k", s.overlay)
	s.until(core.PodRunning)
}

// until waits for a phase of the pod.
func (s *session) until(phase core.PodPhase) (pod *core.Pod) {
	s.t.Helper()
	s.eventually("the pod is "+string(phase), time.Minute, func() bool {
		var err error
		pod, err = node.client.CoreV1().Pods(s.namespace).Get(s.t.Context(), s.pod, meta.GetOptions{})
		if err == nil && pod.Status.Phase == core.PodFailed && phase != core.PodFailed {
			s.t.Fatal("the pod has failed")
		}
		return err == nil && pod.Status.Phase == phase
	})
	return pod
}

// updates is the time that kubelet may need to bring a Secret into a pod, two minutes,
// and some more.
const updates = 3 * time.Minute

// eventually waits for a condition.
func (s *session) eventually(what string, limit time.Duration, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("it never happens that %s", what)
		}
	}
}

func (s *session) url() string { return "https://" + s.host + "/group/project.git" }

// works clones and pushes in the pod.
func (s *session) works() {
	s.t.Helper()
	branch := fmt.Sprintf("refs/heads/session/%d", branches.Add(1))
	out, err := s.sh(`set -e; rm -rf /work/project; git clone -q ` + s.url() + ` /work/project; cd /work/project
		git -c user.name=Test -c user.email=test@example.com commit -q --allow-empty -m x
		git push -q origin HEAD:` + branch + `; test "$(git rev-parse HEAD)" = "$(git ls-remote origin ` + branch + ` | cut -f1)"`)
	if err != nil {
		s.t.Errorf("clone and push: %v: %s", err, out)
	}
}

// lists asks GitLab for the refs in the pod.
func (s *session) lists() (string, error) {
	s.t.Helper()
	return s.sh("git ls-remote " + s.url() + " >/dev/null")
}

// mounted is what the pod sees of the Secret's key token at once. kubelet's directory
// is that of the volume.
func (s *session) mounted() string {
	s.t.Helper()
	pod, err := node.client.CoreV1().Pods(s.namespace).Get(s.t.Context(), s.pod, meta.GetOptions{})
	must(s.t, err)
	text, err := os.ReadFile("/var/lib/kubelet/pods/" + string(pod.UID) + "/volumes/kubernetes.io~secret/gitlab/token")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *session) revoke(token string) {
	s.t.Helper()
	must(s.t, node.gitlab.UpdateToken(token, func(t *gitlabtest.Token) { t.Revoked = true }))
}

// A new token arrives in the mount by itself; git uses it at the next call. Until
// then, a revoked one is refused. It is the first test, since it waits longest.
func TestRotateMount(t *testing.T) {
	t.Parallel()
	s := newSession(t, "base", patchContainer(withoutRescue))
	first, second := s.newToken(), s.newToken()
	s.connect(first)
	s.start()
	s.works()
	s.connect(second)
	s.revoke(first)
	if out, err := s.lists(); err == nil && s.mounted() == first {
		t.Errorf("the revoked token is good: %s", out)
	}
	s.eventually("the new token is in the mount", updates, func() bool { return s.mounted() == second })
	if out, err := s.lists(); err != nil || out != "" {
		t.Errorf("after rotation: %v: %s", err, out)
	}
	s.works()
}

// Each layer of docs/kubernetes, as it stands, gives a pod that clones and pushes.
func TestManifests(t *testing.T) {
	for _, layer := range []string{
		"base", "example", "base check", "base image-volume", "base git network-policy", "base check git image-volume network-policy",
	} {
		t.Run(layer, func(t *testing.T) {
			t.Parallel()
			s := newSession(t, layer)
			s.connect(s.newToken())
			s.start()
			s.works()
			// With a wrong path, the rescue would have given git the token.
			out, err := s.sh("/opt/acp/git-credential-acp check " + s.url())
			for _, line := range []string{"✓ source           the Secret at /var/run/secrets/acp/gitlab,", "✓ cache            verdicts are cached in /var/cache/acp/verdicts\n"} {
				if err != nil || !strings.Contains(out, line) {
					t.Errorf("check: %v, and no %q in\n%s", err, line, out)
				}
			}
		})
	}
}

// sidecar is the component with the proxy.
const sidecar = "components/sidecar"

// With the proxy in a sidecar, git clones and pushes in a container that has the token
// nowhere, before and after a rotation.
func TestSidecar(t *testing.T) {
	t.Parallel()
	s := newSession(t, "base "+sidecar)
	first, second := s.newToken(), s.newToken()
	s.connect(first)
	s.start()
	s.works()
	out, err := s.sh("cd /work/project && git push origin HEAD:main")
	if err == nil || !strings.Contains(out, "! [remote rejected] HEAD -> main (policy: only refs/heads/session/* may be pushed)") {
		t.Errorf("a push to main: %v: %s", err, out)
	}
	s.tokenless()
	if out, err := s.acp(second, "rotate", "--pods", "app=session"); err != nil {
		t.Fatalf("rotate: %v: %s", err, out)
	}
	if old, _ := node.gitlab.Token(first); !old.Revoked {
		t.Error("the old token is not revoked")
	}
	s.works()
	s.tokenless()
}

// The session starts without a token, and the pod is ready once there is one.
func TestSidecarConnectLater(t *testing.T) {
	t.Parallel()
	s := newSession(t, "base "+sidecar+" git network-policy", withoutSecret)
	s.start()
	if out, err := s.lists(); err == nil || !strings.Contains(out, "remote: configuration: GitLab is not connected") {
		t.Errorf("before connect: %v: %s", err, out)
	}
	if s.isReady() {
		t.Error("the pod is ready without a token")
	}
	s.connect(s.newToken())
	s.works()
	s.eventually("the pod is ready", updates, s.isReady)
	s.tokenless()
}

func (s *session) isReady() bool {
	pod, err := node.client.CoreV1().Pods(s.namespace).Get(s.t.Context(), s.pod, meta.GetOptions{})
	must(s.t, err)
	return slices.ContainsFunc(pod.Status.Conditions, func(c core.PodCondition) bool { return c.Type == core.PodReady && c.Status == core.ConditionTrue })
}

// tokenless searches the session's container for tokens: files, variables and processes,
// in plain text and in base64. A planted one is found.
func (s *session) tokenless() {
	s.t.Helper()
	var patterns []string
	for _, before := range []string{"", "x", "xx"} {
		// The digits that only the middle of the text decides. The brackets keep the
		// pattern from matching itself.
		text := base64.StdEncoding.EncodeToString([]byte(before + "NodeCanary"))[4:12]
		patterns = append(patterns, "["+text[:1]+"]"+text[1:])
	}
	script := `printf 'Node%s' Canary >/tmp/planted
		pattern='[N]odeCanary|` + strings.Join(patterns, "|") + `'
		find / '(' -path /proc -o -path /sys ')' -prune -o -type f -exec grep -lE "$pattern" {} + 2>/dev/null
		cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -cE "$pattern|eyJ[h]"
		cat /proc/[0-9]*/cmdline | grep -c '[g]it-credential-acp'
		ls -d /opt/acp /var/run/secrets /var/cache/acp 2>/dev/null; env | grep ACP_; id -u`
	if out, _ := s.sh(script); out != "/tmp/planted\n0\n0\n1001\n" {
		s.t.Errorf("the session can see:\n%s", out)
	}
}

// The namespace refuses a pod with more than the restricted level allows.
func TestRestricted(t *testing.T) {
	t.Parallel()
	s := newSession(t, "base", patchPod("\n        securityContext: {runAsNonRoot: false}"))
	out, err := s.try(nil, filepath.Join(os.Getenv(envKube), "kubectl"), "apply", "-n", s.namespace, "-k", s.overlay)
	if err == nil || !strings.Contains(out, `violates PodSecurity "restricted:`) {
		t.Errorf("%v: %s", err, out)
	}
}

// Any user ID works, as on OpenShift, with a Secret that only its group may read.
func TestArbitraryUser(t *testing.T) {
	t.Parallel()
	s := newSession(t, "base check", patchPod(`
        securityContext: {runAsUser: 1000670000, fsGroup: 1000670000}
        volumes:
          - {name: gitlab, secret: {defaultMode: 0440}}`))
	s.connect(s.newToken())
	s.start()
	if out, err := s.sh("id -u; stat -Lc %a /var/run/secrets/acp/gitlab/token"); err != nil || out != "1000670000\n440\n" {
		t.Errorf("%v: %q", err, out)
	}
	s.works()
}

// A user connects GitLab while the session runs: git works at once, before kubelet
// has brought the token into the pod.
func TestConnectLater(t *testing.T) {
	for name, patches := range map[string][]string{"no token": nil, "no Secret": {withoutSecret}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSession(t, "base", patches...)
			s.start()
			if out, err := s.lists(); err == nil || !strings.Contains(out, "GitLab is not connected") && !strings.Contains(out, "has neither a key token") {
				t.Errorf("before connect: %v: %s", err, out)
			}
			s.connect(s.newToken())
			if out, err := s.lists(); err != nil {
				t.Errorf("after connect: %v: %s", err, out)
			}
			s.works()
		})
	}
}

// The init container stops a session whose token is no good, and Kubernetes shows
// its reason.
func TestTerminationMessage(t *testing.T) {
	for name, row := range map[string]struct {
		connect func(*session)
		patches []string
		message string
	}{
		"revoked":   {connect: func(s *session) { token := s.newToken(); s.connect(token); s.revoke(token) }, message: "was revoked"},
		"no token":  {message: "has neither a key token nor"},
		"no Secret": {patches: []string{withoutSecret}, message: "GitLab is not connected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSession(t, "base check", row.patches...)
			if row.connect != nil {
				row.connect(s)
			}
			s.kubectl("apply", "-n", s.namespace, "-k", s.overlay)
			pod := s.until(core.PodFailed)
			for _, status := range pod.Status.InitContainerStatuses {
				if end := status.State.Terminated; status.Name == "gitlab-check" && end != nil {
					if end.ExitCode != 1 || !strings.Contains(end.Message, row.message) || !strings.Contains(end.Message, "hint: ") {
						t.Errorf("exit code %d, message %q", end.ExitCode, end.Message)
					}
					s.searched(end.Message)
					return
				}
			}
			t.Errorf("%+v", pod.Status.InitContainerStatuses)
		})
	}
}

// With the rescue, git works before the new token has arrived in the mount.
func TestRotateRescue(t *testing.T) {
	t.Parallel()
	s := newSession(t, "base")
	token := s.newToken()
	s.connect(token)
	s.start()
	s.works()
	// kubelet updates mounts once a minute or so, and may do so just then.
	for range 3 {
		old := token
		token = s.newToken()
		s.eventually("the old token is in the mount", updates, func() bool { return s.mounted() == old })
		s.connect(token)
		s.revoke(old)
		var said string
		for range 2 { // the first call may have the old one's cached verdict
			out, err := s.lists()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			said += out
		}
		s.works()
		if s.mounted() == old {
			if !strings.Contains(said, "newer one") {
				t.Errorf("git used another way than the rescue: %s", said)
			}
			return
		}
	}
	t.Error("the mount was always updated first")
}

// rotate --pods makes kubelet bring the new token into the pods before the old one is
// revoked.
func TestRotatePods(t *testing.T) {
	t.Parallel()
	s := newSession(t, "base", patchContainer(withoutRescue))
	first, second := s.newToken(), s.newToken()
	s.connect(first)
	s.start()
	s.works()
	if out, err := s.acp(second, "rotate", "--pods", "app=session"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if s.mounted() != second {
		t.Error("the new token is not in the mount")
	}
	if old, _ := node.gitlab.Token(first); !old.Revoked {
		t.Error("the old token is not revoked")
	}
	if out, err := s.lists(); err != nil || out != "" {
		t.Errorf("%v: %s", err, out)
	}
	s.works()
}

// An immutable Secret can't be rotated; docs/pods.md says how to replace it.
func TestImmutable(t *testing.T) {
	t.Parallel()
	s := newSession(t, "base", patchContainer(withoutRescue))
	first, second := s.newToken(), s.newToken()
	s.connect(first)
	s.start()
	s.kubectl("patch", "secret", "-n", s.namespace, s.secret, "-p", `{"immutable": true}`)
	if out, err := s.acp(second, "rotate"); err == nil || !strings.Contains(out, "immutable") {
		t.Errorf("rotate: %v: %s", err, out)
	}
	s.works()
	s.kubectl("delete", "secret", "-n", s.namespace, s.secret)
	s.connect(second)
	// While a pod with the old Secret is left on a node, new pods there get that.
	s.kubectl("delete", "pod", "-n", s.namespace, s.pod, "--grace-period=1", "--wait")
	s.start()
	s.revoke(first)
	if s.mounted() != second {
		t.Error("the new pod has the old token")
	}
	s.works()
}

// kubelet never updates a Secret that is mounted by subPath; check warns of it.
func TestSubPath(t *testing.T) {
	t.Parallel()
	const dir = "/var/run/secrets/acp/gitlab"
	s := newSession(t, "base", patchContainer(withoutRescue+`
            volumeMounts:
              - {mountPath: `+dir+`, $patch: delete}
              - {name: gitlab, mountPath: `+dir+`/token, subPath: token, readOnly: true}
              - {name: gitlab, mountPath: `+dir+`/instanceUrl, subPath: instanceUrl, readOnly: true}`))
	first, second := s.newToken(), s.newToken()
	s.connect(first)
	s.start()
	s.works()
	if out, err := s.sh("/opt/acp/git-credential-acp check " + s.url()); err != nil || !strings.Contains(out, "subPath") {
		t.Errorf("check: %v: %s", err, out)
	}
	s.connect(second)
	s.kubectl("annotate", "pod", "-n", s.namespace, s.pod, "test/now=1")
	s.eventually("kubelet has the new token", updates, func() bool { return s.mounted() == second })
	s.revoke(first)
	if out, err := s.lists(); err == nil || !strings.Contains(out, "was revoked") {
		t.Errorf("the container has the new token: %v: %s", err, out)
	}
}

// Eight callers ask while the Secret changes twenty times between the tokens of two
// instances. Each answer is the token of the instance that was asked for, or none.
func TestSwaps(t *testing.T) {
	t.Parallel()
	const callers, swaps = 8, 20
	s := newSession(t, "base")
	values := map[string]string{ours: s.newToken(), theirs: s.newToken()}
	s.connect(values[ours])
	s.start()
	asks := func(host string) string {
		return fmt.Sprintf(`while test ! -e /tmp/stop; do
			answer=$(printf 'protocol=https\nhost=%[1]s\npath=group/project.git\n' | /opt/acp/git-credential-acp get 2>&1) || { echo "exit code $?: $answer"; continue; }
			case $answer in
			'') echo nothing ;;
			*password=%[2]s*) echo right ;;
			*) echo "wrong: $answer" ;;
			esac
		done`, host, values[host])
	}
	type result struct {
		host, out string
		err       error
	}
	results := make(chan result, callers)
	for i := range callers {
		host := []string{ours, theirs}[i%2]
		go func() {
			out, err := s.sh(asks(host))
			results <- result{host, out, err}
		}()
	}
	for i := range swaps {
		host := []string{theirs, ours}[i%2]
		patch := fmt.Sprintf(`{"stringData": {"token": %q, "instanceUrl": "https://%s"}}`, values[host], host)
		_, err := node.client.CoreV1().Secrets(s.namespace).Patch(t.Context(), s.secret, types.MergePatchType, []byte(patch), meta.PatchOptions{})
		must(t, err)
		_, err = node.client.CoreV1().Pods(s.namespace).Patch(t.Context(), s.pod, types.MergePatchType,
			fmt.Appendf(nil, `{"metadata": {"annotations": {"test/swap": "%d"}}}`, i), meta.PatchOptions{})
		must(t, err)
		s.eventually("the swap is in the mount", updates, func() bool { return s.mounted() == values[host] })
	}
	if out, err := s.sh("touch /tmp/stop"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	counts := map[string]int{}
	for range callers {
		r := <-results
		right := 0
		for line := range strings.Lines(r.out) {
			counts[strings.TrimSpace(line)]++
			if line == "right\n" {
				right++
			}
		}
		if r.err != nil || right == 0 {
			t.Errorf("a caller for %s had %d right answers: %v", r.host, right, r.err)
		}
	}
	for answer, n := range counts {
		if answer != "right" && answer != "nothing" {
			t.Errorf("%d times: %s", n, answer)
		}
	}
	t.Logf("%d swaps; %v", swaps, counts)
}
