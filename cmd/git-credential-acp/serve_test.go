package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// buffer is a bytes.Buffer that a program writes to while a test reads it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve starts the proxy with a monitor; it ends with the test.
func (p *pod) serve(args ...string) (cmd *exec.Cmd, proxy, monitor string, log *buffer) {
	p.t.Helper()
	log = &buffer{}
	cmd = exec.Command(program(p.t), append([]string{"serve", "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0", "--instance", p.gitlab.URL()}, args...)...)
	cmd.Env, cmd.Stderr = p.env, log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(stdout)
	for _, address := range []*string{&proxy, &monitor} {
		if !lines.Scan() {
			p.t.Fatalf("the proxy ended: %s", log)
		}
		_, *address, _ = strings.Cut(lines.Text(), " on ")
	}
	return cmd, proxy, monitor, log
}

func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: 30 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A platform runs serve as a service: probes follow the Secret, metrics and the log tell
// of each request, and neither holds the token.
func TestServeAsService(t *testing.T) {
	t.Parallel()
	p := newPod(t, "group/project")
	if err := os.RemoveAll(p.path("secret")); err != nil {
		t.Fatal(err)
	}
	cmd, proxy, monitor, log := p.serve("--allow-push", "refs/heads/session/*")
	if status, body := fetch(t, monitor+"/readyz"); status != 503 || !strings.Contains(body, "is not connected") {
		t.Errorf("readyz without a Secret: %d %s", status, body)
	}
	if status, _ := fetch(t, monitor+"/livez"); status != 200 {
		t.Errorf("livez without a Secret: %d", status)
	}
	p.mount(podToken)
	if status, body := fetch(t, monitor+"/readyz"); status != 200 {
		t.Errorf("readyz: %d %s", status, body)
	}
	p.git("config", "--global", "--unset", "credential.helper")
	p.git("clone", "-q", proxy+"/group/project.git")
	p.git("-C", "project", "push", "-q", "origin", "HEAD:refs/heads/session/one")
	refused := exec.Command("git", "-C", p.path("project"), "push", "-q", "origin", "HEAD:refs/heads/other")
	refused.Env = p.env
	if out, err := refused.CombinedOutput(); err == nil || !strings.Contains(string(out), "policy: ") {
		t.Errorf("push against the policy: %v %s", err, out)
	}
	if status, _ := fetch(t, proxy+"/group/project"); status != 404 {
		t.Errorf("a web page: %d", status)
	}

	_, metrics := fetch(t, monitor+"/metrics")
	for _, want := range []string{
		`(?m)^git_credential_acp_requests_total\{operation="fetch",outcome="ok"\} [1-9]`,
		`(?m)^git_credential_acp_requests_total\{operation="push",outcome="ok"\} [1-9]`,
		`(?m)^git_credential_acp_requests_total\{operation="none",outcome="refused"\} 1$`,
		`(?m)^git_credential_acp_refusals_total\{reason="policy-ref"\} 1$`,
		`(?m)^git_credential_acp_upstream_seconds_count [1-9]`,
		`(?m)^git_credential_acp_verdict_age_seconds [0-9]`,
		`(?m)^git_credential_acp_request_duration_seconds_bucket\{le="\+Inf"\} [1-9]`,
	} {
		if !regexp.MustCompile(want).MatchString(metrics) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}

	// A transfer that has begun ends, and the monitor says that the proxy is stopping.
	p.gitlab.ResetRequests()
	p.gitlab.AddFault(gitlabtest.Fault{Match: "git", Delay: 3 * time.Second, Times: 1})
	slow := exec.Command("git", "-c", "protocol.version=0", "ls-remote", proxy+"/group/project.git") // one request
	slow.Env = p.env
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	p.await("git", 1)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for stopping := false; !stopping; {
		status, body := fetch(t, monitor+"/readyz")
		if stopping = status == 503 && strings.Contains(body, "is stopping"); !stopping && time.Now().After(deadline) {
			t.Fatalf("readyz after SIGTERM: %d %s", status, body)
		}
	}
	if err := slow.Wait(); err != nil {
		t.Errorf("request during the stop: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("serve: %v\n%s", err, log)
	}

	requests := 0
	for line := range strings.Lines(log.String()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) != nil {
			continue
		}
		requests++
		if entry["msg"] != "request" || entry["project"] == "group/project" && entry["operation"] == "" || entry["status"] == 0.0 || entry["outcome"] == nil {
			t.Errorf("log: %s", line)
		}
	}
	if requests < 7 {
		t.Errorf("%d requests in the log:\n%s", requests, log)
	}
	if all := log.String() + metrics; strings.Contains(all, "Canary") {
		t.Errorf("the token is in the log or the metrics:\n%s", all)
	}
}
