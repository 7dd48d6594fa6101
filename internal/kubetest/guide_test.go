package kubetest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd/api"
)

// The commands of the guide for laptops work with a kubeconfig and the right to get one
// Secret.
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

// registry is like the platform's: two runtimes, with what each may have.
const registry = `[
  {"id": "claude-agent-sdk", "container": {"image": "quay.io/ambient_code/vteam_claude_runner:latest", "port": 8001,
    "env": {"RUNNER_TYPE": "claude-agent-sdk", "RUNNER_STATE_DIR": ".claude"}},
   "sandbox": {"stateSyncImage": "quay.io/ambient_code/vteam_state_sync:latest", "persistence": "s3"}},
  {"id": "bare", "container": {"image": "quay.io/ambient_code/vteam_claude_runner:latest"}, "sandbox": {"persistence": "none"}}
]
`

// The commands of the platform's guide add git's settings to the agent registry, keep what is
// there, and remove them again.
func TestPlatformGuide(t *testing.T) {
	kubectl := filepath.Join(os.Getenv(envAssets), "kubectl")
	if _, err := exec.LookPath(kubectl); err != nil {
		t.Skip("no kubectl among the assets")
	}
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("no jq")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "platform.md"))
	must(t, err)
	var scripts []string
	for _, block := range regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(block[1], "PROJECT") {
			scripts = append(scripts, block[1])
		}
	}
	if len(scripts) < 4 {
		t.Fatalf("there is too little to type: %q", scripts)
	}
	namespace := cluster.Namespace(t)
	maps := cluster.Admin.CoreV1().ConfigMaps(namespace)
	_, err = maps.Create(t.Context(), &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Name: "ambient-agent-registry"},
		Data: map[string]string{"agent-registry.json": registry}}, meta.CreateOptions{})
	must(t, err)
	config := cluster.Kubeconfig(t, api.AuthInfo{ClientCertificateData: cluster.Config.CertData, ClientKeyData: cluster.Config.KeyData})
	dir := t.TempDir()
	run := func(script string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-exc", strings.ReplaceAll(script, "-n ambient-code", "-n "+namespace))
		cmd.Dir = dir
		cmd.Env = []string{"KUBECONFIG=" + config, "HOME=" + dir,
			"PATH=" + filepath.Dir(kubectl) + ":" + filepath.Dir(built.build(t)) + ":" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v, after:\n%s", err, out)
		}
	}
	runtimes := func() (text string, list []map[string]map[string]any) {
		t.Helper()
		found, err := maps.Get(t.Context(), "ambient-agent-registry", meta.GetOptions{})
		must(t, err)
		text = found.Data["agent-registry.json"]
		var all []map[string]any
		must(t, json.Unmarshal([]byte(text), &all))
		for _, one := range all {
			list = append(list, map[string]map[string]any{"container": one["container"].(map[string]any), "sandbox": one["sandbox"].(map[string]any)})
		}
		return text, list
	}
	run(strings.Join(scripts[:3], ""))
	_, list := runtimes()
	for _, one := range list {
		env, _ := one["container"]["env"].(map[string]any)
		if env["GIT_CONFIG_COUNT"] != "8" || env["GIT_CONFIG_KEY_0"] != "credential.helper" || env["ACP_GITLAB_INSTANCE_URL"] != "https://gitlab.example.com" ||
			one["container"]["image"] == "quay.io/ambient_code/vteam_claude_runner:latest" || one["sandbox"]["persistence"] == nil {
			t.Errorf("a runtime is %v", one)
		}
	}
	if env := list[0]["container"]["env"].(map[string]any); env["RUNNER_STATE_DIR"] != ".claude" || list[0]["container"]["port"] != 8001.0 {
		t.Errorf("something was lost of %v", list[0])
	}
	run(scripts[len(scripts)-1])
	if text, _ := runtimes(); text != registry {
		t.Errorf("undone, it is\n%s", text)
	}
}
