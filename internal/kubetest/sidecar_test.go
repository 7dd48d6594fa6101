package kubetest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

// proxied are the variables for git that setup prints for the session's side.
func proxied(t *testing.T, instance string) map[string]string {
	t.Helper()
	return setupPrints(t, "--rewrite-ssh", "--proxy", "http://127.0.0.1:8466", "--instance", instance)
}

// The sidecar alone has the Secret, the login to the cluster and the helper; git in the
// session's container has what setup prints. docs/sidecar.md has the overlay for another
// instance.
func TestManifestSidecar(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "sidecar.md"))
	must(t, err)
	overlay := regexp.MustCompile("(?ms)^patches:\n.*?^```$").Find(guide)
	if overlay == nil {
		t.Fatal("docs/sidecar.md has no overlay")
	}
	for _, row := range []struct{ layer, instance, more string }{
		{"base " + sidecar, "https://gitlab.example.com", ""},
		{"base " + sidecar + " check", "https://gitlab.example.com", ""},
		{"base " + sidecar + " git network-policy", "https://gitlab.example.com", ""},
		{"base " + sidecar, theirs, strings.TrimSuffix(string(overlay), "```")},
		{"base " + sidecar, "https://gitlab.example.com", "nameSuffix: " + suffix + "\n"},
	} {
		pod := podOf(t, row.layer, row.more)
		session := pod.Spec.Containers[0]
		want := proxied(t, row.instance)
		if has(row.layer, "git") {
			want["GIT_CONFIG_COUNT"] = "9"
		}
		got := environment(session, "team")
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%v: setup prints %s=%s, the pod has %q", row, name, value, got[name])
			}
		}
		for _, v := range session.Env {
			if !strings.HasPrefix(v.Name, "GIT_") {
				t.Errorf("%v: the session has the variable %s", row, v.Name)
			}
		}
		var volumes []string
		for _, mount := range session.VolumeMounts {
			volumes = append(volumes, mount.Name)
		}
		if slices.Sort(volumes); !slices.Equal(volumes, []string{"gitlab-ca", "tmp", "work"}) {
			t.Errorf("%v: the session mounts %v", row, volumes)
		}

		i := slices.IndexFunc(pod.Spec.InitContainers, func(c core.Container) bool { return c.Name == "gitlab-proxy" })
		if i < 0 {
			t.Fatalf("%v: there is no sidecar", row)
		}
		proxy := pod.Spec.InitContainers[i]
		if p := proxy.RestartPolicy; p == nil || *p != core.ContainerRestartPolicyAlways {
			t.Errorf("%v: it is no sidecar", row)
		}
		if s := pod.Spec.ShareProcessNamespace; s == nil || *s {
			t.Errorf("%v: the containers share processes", row)
		}
		if !slices.Contains(proxy.Args, "--instance="+row.instance) {
			t.Errorf("%v: the proxy is started with %q", row, proxy.Args)
		}
		secret := "team/session-gitlab"
		if strings.HasPrefix(row.more, "nameSuffix") {
			secret += suffix
		}
		if name := environment(proxy, "team")["ACP_GITLAB_SECRET"]; name != secret {
			t.Errorf("%v: the rescue reads %s, want %s", row, name, secret)
		}
		if slices.ContainsFunc(pod.Spec.Volumes, func(v core.Volume) bool { return v.Name == "acp" }) {
			t.Errorf("%v: the program is in a volume", row)
		}
	}
}
