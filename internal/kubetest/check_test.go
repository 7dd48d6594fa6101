package kubetest

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// check runs the program's check of the project.
func (d *desk) check(args ...string) (stdout string, code int) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, built.path, append([]string{"check", d.gitlab.URL() + "/" + project + ".git"}, args...)...)
	cmd.Dir, cmd.Env = d.dir, d.env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.t.Fatal(err)
	}
	d.all.Write(out)
	return string(out), cmd.ProcessState.ExitCode()
}

// check names the Secret of the cluster as the source, asks it once, and is about
// the same token as get: also about a newer one that stands in for a mount's.
func TestCheck(t *testing.T) {
	d := newDesk(t)
	asked := d.login("get")
	want := func(code int, lines ...string) {
		t.Helper()
		out, got := d.check()
		if got != code {
			t.Errorf("exit code %d, want %d\n%s", got, code, out)
		}
		if _, _, by := d.get(); by != code {
			t.Errorf("get ends with %d, want %d", by, code)
		}
		for _, line := range lines {
			if !strings.Contains(out, line) {
				t.Errorf("%q is not in:\n%s", line, out)
			}
		}
	}

	d.store(d.keys(canary))
	if out, code := d.check("--json"); code != 0 || !strings.Contains(out, `"source": "api"`) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	// Once by check, and once by the helper that git runs for it.
	if n := asked(); n != 2 {
		t.Errorf("the cluster was asked %d times", n)
	}
	want(0, "✓ source           the Secret "+d.namespace+"/mine in the cluster, changed on "+time.Now().UTC().Format("2006-01-02 at "), "✓ git-push ")

	// Mounted: good, then dead with a newer one in the cluster, then with none.
	d.mount(canary)
	asked()
	want(0, "✓ source           the Secret at "+d.path("mount"), "✓ git-push ")
	if n := asked(); n != 0 {
		t.Errorf("the cluster was asked %d times about a good token", n)
	}
	d.revoke()
	d.store(d.keys(another))
	want(0, "! token            the token from the Secret at "+d.path("mount")+" is no longer valid; using the newer one from the Secret "+d.namespace+"/mine in the cluster\n",
		"hint: kubelet updates the mount within two minutes", "✓ token            alive: ", "✓ git-push ")
	d.store(map[string]string{"token": "x y", "instanceUrl": d.gitlab.URL()})
	d.forget(canary)
	want(1, "✗ token            authentication failed: the GitLab token from the Secret at "+d.path("mount")+" was revoked; no newer token could be read from the Secret "+d.namespace+"/mine in the cluster: ")
}
