package kubetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// program is the tested binary, built once as for a release.
type program struct {
	once      sync.Once
	dir, path string
	err       error
}

var built program

// build gives the path of the program.
func (p *program) build(t testing.TB) string {
	t.Helper()
	p.once.Do(func() {
		if p.dir, p.err = os.MkdirTemp("", "git-credential-acp-test-"); p.err != nil {
			return
		}
		p.path = filepath.Join(p.dir, "git-credential-acp")
		cmd := exec.Command("go", "build", "-o", p.path, "./cmd/git-credential-acp")
		cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			p.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	must(t, p.err)
	return p.path
}

func (p *program) remove() error { return os.RemoveAll(p.dir) }

// desk is a machine with git and the program, a stand-in GitLab that has two
// tokens, and a namespace in the cluster.
type desk struct {
	t         *testing.T
	dir       string
	gitlab    *gitlabtest.Server
	namespace string
	env       []string
	// all is what the program has ever said.
	all bytes.Buffer
}

const project = "group/project"

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir(), namespace: cluster.Namespace(t)}
	var err error
	d.gitlab, err = gitlabtest.Start(gitlabtest.Options{Dir: d.path("gitlab")})
	must(t, err)
	t.Cleanup(d.gitlab.Close)
	d.gitlab.AddUser(gitlabtest.User{ID: 7, Username: "dev"})
	for _, value := range []string{canary, another} {
		d.gitlab.AddToken(gitlabtest.Token{Value: value, UserID: 7, Scopes: access.DefaultScopes(),
			ExpiresAt: time.Now().AddDate(0, 0, 90).Format(time.DateOnly)})
	}
	must(t, d.gitlab.AddProject(gitlabtest.Project{Path: project, Direct: map[int]int{7: 30}}))
	must(t, os.Mkdir(d.path("home"), 0o755))
	d.env = []string{
		"HOME=" + d.path("home"), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_SSL_CAINFO=" + d.gitlab.CAFile(),
		"PATH=" + filepath.Dir(built.build(t)) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"ACP_GITLAB_SECRET_DIR=" + d.path("mount"), "ACP_GITLAB_CACHE_DIR=" + d.path("cache"),
		"ACP_GITLAB_SECRET=" + d.namespace + "/mine", "ACP_GITLAB_TIMEOUT=10s",
	}
	for _, setting := range [][2]string{{"credential.helper", "acp"}, {"credential.useHttpPath", "true"}} {
		d.git("config", "--global", setting[0], setting[1])
	}
	t.Cleanup(func() {
		for _, value := range []string{canary, another} {
			if part := value[len("glpat-"):]; bytes.Contains(d.all.Bytes(), []byte(part[:8])) {
				t.Error("the program has shown a token")
			}
		}
		d.searchCache()
	})
	return d
}

// searchCache sees that no token was written down.
func (d *desk) searchCache() {
	entries, _ := os.ReadDir(d.path("cache")) // there may be none
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(d.path("cache"), entry.Name()))
		if err != nil || bytes.Contains(data, []byte("Canary")) || strings.Contains(entry.Name(), "Canary") {
			d.t.Errorf("%s: %s, %v", entry.Name(), data, err)
		}
	}
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

// set changes variables of the environment: the last one of a name counts.
func (d *desk) set(variables ...string) { d.env = append(d.env, variables...) }

func (d *desk) git(args ...string) {
	d.t.Helper()
	if out, err := d.tryGit(args...); err != nil {
		d.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (d *desk) tryGit(args ...string) (string, error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = d.dir, d.env
	out, err := cmd.CombinedOutput()
	d.all.Write(out)
	return string(out), err
}

// mount puts a Secret where kubelet would, of the stand-in's instance.
func (d *desk) mount(token string) {
	d.t.Helper()
	must(d.t, gitlabtest.WriteSecret(d.path("mount"), d.keys(token)))
}

// store puts one into the cluster.
func (d *desk) store(keys map[string]string, change ...func(*core.Secret)) {
	d.t.Helper()
	cluster.Secret(d.t, d.namespace, "mine", keys, change...)
}

func (d *desk) keys(token string) map[string]string {
	return map[string]string{"token": token, "instanceUrl": d.gitlab.URL()}
}

// revoke ends the first token.
func (d *desk) revoke() {
	d.t.Helper()
	must(d.t, d.gitlab.UpdateToken(canary, func(t *gitlabtest.Token) { t.Revoked = true }))
}

// login gives the program a ServiceAccount with these rights, and counts the
// connections that it makes to the API server.
func (d *desk) login(verbs ...string) (asked func() int) {
	d.t.Helper()
	return d.loginAs(api.AuthInfo{Token: cluster.Account(d.t, d.namespace, "session", Only("mine", verbs...))})
}

func (d *desk) loginAs(user api.AuthInfo) (asked func() int) {
	d.t.Helper()
	at := strings.Trim(strings.TrimPrefix(cluster.Config.Host, "https:"), "/")
	proxy, err := gitlabtest.StartProxy(gitlabtest.ProxyOptions{Routes: map[string]string{at: at}})
	must(d.t, err)
	d.t.Cleanup(proxy.Close)
	d.set("KUBECONFIG=" + cluster.Kubeconfig(d.t, user, func(c *api.Config) { c.Clusters["cluster"].ProxyURL = proxy.URL() }))
	before := 0
	return func() int {
		n := len(proxy.Requests()) - before
		before += n
		return n
	}
}

// get asks for the project as git does, after flags; it gives what is said and
// the exit code.
func (d *desk) get(flags ...string) (stdout, stderr string, code int) {
	d.t.Helper()
	return d.ask(strings.TrimPrefix(d.gitlab.URL(), "https://"), flags...)
}

func (d *desk) ask(host string, flags ...string) (stdout, stderr string, code int) {
	d.t.Helper()
	stdout, stderr, code, err := d.call(host, flags...)
	must(d.t, err)
	d.all.WriteString(stderr)
	return stdout, stderr, code
}

// call is for many at once.
func (d *desk) call(host string, flags ...string) (stdout, stderr string, code int, err error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, built.path, append(flags, "get")...)
	var out, said bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = d.dir, d.env, &out, &said
	cmd.Stdin = strings.NewReader("protocol=https\nhost=" + host + "\npath=" + project + ".git\n")
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode(), err
}

// input runs an operation of the program on a request.
func (d *desk) input(request, operation string) (string, error) {
	cmd := exec.CommandContext(d.t.Context(), built.path, operation)
	cmd.Dir, cmd.Env, cmd.Stdin = d.dir, d.env, strings.NewReader(request)
	out, err := cmd.CombinedOutput()
	d.all.Write(out)
	return string(out), err
}

// wantToken asks, and wants a token and these words.
func (d *desk) wantToken(token string, words ...string) {
	d.t.Helper()
	stdout, stderr, code := d.get()
	if code != 0 || !strings.Contains(stdout, "\npassword="+token+"\n") {
		d.t.Fatalf("exit code %d, and not the right token\n%s", code, stderr)
	}
	d.said(stderr, words)
}

// wantRefusal asks, and wants an exit code and these words.
func (d *desk) wantRefusal(code int, words ...string) {
	d.t.Helper()
	stdout, stderr, got := d.get()
	if got != code || stdout != "quit=1\n" {
		d.t.Fatalf("exit code %d, answer %q, want %d\n%s", got, stdout, code, stderr)
	}
	d.said(stderr, words)
}

// said wants words in their order, and no line when there are none.
func (d *desk) said(stderr string, words []string) {
	d.t.Helper()
	rest := stderr
	for _, word := range words {
		_, after, found := strings.Cut(rest, word)
		if !found {
			d.t.Errorf("%q does not follow in\n%s", word, stderr)
		}
		rest = after
	}
	if len(words) == 0 && stderr != "" {
		d.t.Errorf("it says\n%s", stderr)
	}
}
