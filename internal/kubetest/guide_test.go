package kubetest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What the guide for people's own machines gives to type works, with a
// kubeconfig, and with the right to get one Secret and nothing else.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "local.md"))
	must(t, err)
	block := regexp.MustCompile("(?ms)^```bash\n([^`]*ACP_GITLAB_SECRET=.*?)^```$").FindSubmatch(text)
	if block == nil {
		t.Fatal("the guide has no block for a Secret of the cluster")
	}
	d := newDesk(t)
	d.login("get")
	d.store(d.keys(canary))
	d.git("config", "--global", "--remove-section", "credential")
	script := strings.ReplaceAll(string(block[1]), "my-project/my-gitlab-token", d.namespace+"/mine")
	if script == string(block[1]) {
		t.Fatalf("it names no Secret:\n%s", script)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-exc", script)
	cmd.Dir, cmd.Env = d.dir, d.env
	out, err := cmd.CombinedOutput()
	d.all.Write(out)
	if err != nil || !strings.Contains(string(out), "source           the Secret "+d.namespace+"/mine in the cluster") {
		t.Errorf("%v, after:\n%s", err, out)
	}
	d.git("clone", "-q", d.gitlab.URL()+"/"+project+".git", "clone")
}
