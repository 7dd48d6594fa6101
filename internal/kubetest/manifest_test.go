package kubetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	kubeerrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// layers are overlays of the manifests: a directory, and the components on it.
var layers = func() []string {
	all := []string{"base", "example", "base " + strings.Join(components, " "), "example " + strings.Join(components, " ")}
	for i, one := range components {
		all = append(all, "base "+one)
		for _, two := range components[i+1:] {
			all = append(all, "base "+one+" "+two)
		}
	}
	return all
}()

// sidecar is the component with the proxy. It takes git's configuration and the program
// out of the session, so it has layers and a test of its own.
const sidecar = "components/sidecar"

var sidecarLayers = []string{"base " + sidecar, "base " + sidecar + " check git network-policy", "example " + sidecar}

// components are the parts of the manifests that can be left out.
var components = []string{"check", "git", "image-volume", "network-policy"}

// has reports whether a component is part of a layer.
func has(layer, component string) bool { return slices.Contains(strings.Fields(layer), component) }

// isExample reports whether a layer is built on the example, which has a suffix for
// names and another instance.
func isExample(layer string) bool { return strings.HasPrefix(layer, "example") }

const (
	suffix = "-s42"
	theirs = "https://gitlab.internal.example"
)

// of gives a layer's own form of a name in the base.
func of(layer, name string) string {
	if isExample(layer) {
		name += suffix
	}
	return name
}

// plurals are the resources of the kinds in the manifests.
var plurals = map[string]string{"Secret": "secrets", "ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings", "Pod": "pods",
	"NetworkPolicy": "networkpolicies"}

// manifests builds a layer as kubectl apply -k does, with lines for its
// kustomization.yaml.
func manifests(t *testing.T, layer string, more ...string) []*unstructured.Unstructured {
	t.Helper()
	dir, root := t.TempDir(), filepath.Join("..", "..", "docs", "kubernetes")
	root, err := filepath.Abs(root)
	must(t, err)
	root, err = filepath.Rel(dir, root)
	must(t, err)
	parts := strings.Fields(layer)
	text := strings.Join(more, "") + "resources: [" + filepath.Join(root, parts[0]) + "]\ncomponents:\n"
	for _, component := range parts[1:] {
		if !isExample(layer) || component != "git" && component != "network-policy" { // it has these two
			text += "- " + filepath.Join(root, component) + "\n"
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "ca-bundle.crt"), []byte("-----BEGIN CERTIFICATE-----\n"), 0o600))
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	must(t, err)
	var all []*unstructured.Unstructured
	for _, resource := range built.Resources() {
		object, err := resource.Map()
		must(t, err)
		all = append(all, &unstructured.Unstructured{Object: object})
	}
	return all
}

// apply sends an object as kubectl apply --server-side does.
func apply(t *testing.T, namespace string, object *unstructured.Unstructured, dryRun ...string) error {
	t.Helper()
	client, err := dynamic.NewForConfig(cluster.Config)
	must(t, err)
	kind := object.GroupVersionKind()
	object.SetNamespace("") // the one of the test
	resource := schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: plurals[kind.Kind]}
	text, err := json.Marshal(object)
	must(t, err)
	_, err = client.Resource(resource).Namespace(namespace).Patch(t.Context(), object.GetName(), types.ApplyPatchType, text,
		meta.PatchOptions{FieldManager: "kubectl", DryRun: dryRun, FieldValidation: meta.FieldValidationStrict})
	return err
}

// podOf is the pod of a layer.
func podOf(t *testing.T, layer string, more ...string) (pod core.Pod) {
	t.Helper()
	for _, object := range manifests(t, layer, more...) {
		if object.GetKind() == "Pod" {
			text, err := json.Marshal(object)
			must(t, err)
			must(t, json.Unmarshal(text, &pod))
		}
	}
	return pod
}

// restricted makes a namespace that takes no pod with more than the restricted
// level allows.
func restricted(t *testing.T) string {
	t.Helper()
	namespace := cluster.Namespace(t)
	_, err := cluster.Admin.CoreV1().Namespaces().Patch(t.Context(), namespace, types.MergePatchType, []byte(`{"metadata":{"labels":{
		"pod-security.kubernetes.io/enforce":"restricted","pod-security.kubernetes.io/enforce-version":"latest"}}}`), meta.PatchOptions{})
	must(t, err)
	return namespace
}

// A namespace of the restricted level takes all that the manifests hold, with no
// field that the API server does not know.
func TestManifests(t *testing.T) {
	for _, layer := range slices.Concat(layers, sidecarLayers) {
		t.Run(layer, func(t *testing.T) {
			namespace := restricted(t)
			all := manifests(t, layer)
			kinds := map[string]bool{}
			for _, object := range all {
				kinds[object.GetKind()] = true
			}
			policies, want := 0, len(plurals)-1
			if isExample(layer) || has(layer, "network-policy") {
				policies++
			}
			if has(layer, sidecar) {
				policies++
			}
			if len(all) != want+policies || len(kinds) != want+min(policies, 1) {
				t.Fatalf("%d objects of the kinds %v, want %d", len(all), kinds, want+policies)
			}
			for _, dryRun := range [][]string{{meta.DryRunAll}, nil} {
				for _, object := range all {
					if err := apply(t, namespace, object, dryRun...); err != nil {
						t.Errorf("dry run %v: %v", dryRun, err)
					}
				}
			}
			pod, err := cluster.Admin.CoreV1().Pods(namespace).Get(t.Context(), of(layer, "session"), meta.GetOptions{})
			must(t, err)
			for _, volume := range pod.Spec.Volumes {
				if s := volume.Secret; s != nil && (s.SecretName != of(layer, "session-gitlab") || s.Optional == nil || !*s.Optional) {
					t.Errorf("the volume %s is not optional, or of another Secret", volume.Name)
				}
				if volume.Name == "acp" && (volume.Image != nil) != has(layer, "image-volume") {
					t.Error("the program comes from elsewhere")
				}
			}
			var names []string
			for _, container := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
				names = append(names, container.Name)
				if container.Resources.Requests.Cpu().IsZero() || container.Resources.Requests.Memory().IsZero() || container.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s: resources %v", container.Name, container.Resources)
				}
				if c := container.SecurityContext; c == nil || c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem {
					t.Errorf("%s can write to its root", container.Name)
				}
				for _, mount := range container.VolumeMounts {
					if mount.SubPath != "" {
						t.Errorf("%s: %s would never be updated", container.Name, mount.Name)
					}
				}
			}
			if slices.Contains(names, "gitlab-check") != has(layer, "check") || slices.Contains(names, "git-credential-acp") == (has(layer, "image-volume") || has(layer, sidecar)) {
				t.Errorf("the containers %q", names)
			}
		})
	}

	// The level is really enforced: with less, the pod is refused.
	for _, field := range [][]string{{"spec", "securityContext", "runAsNonRoot"}, {"spec", "securityContext", "seccompProfile"}} {
		for _, object := range manifests(t, "base") {
			if object.GetKind() == "Pod" {
				unstructured.RemoveNestedField(object.Object, field...)
				if err := apply(t, restricted(t), object, meta.DryRunAll); !kubeerrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
					t.Errorf("without %s: %v", field[2], err)
				}
			}
		}
	}
}

// Components give the same pod in any order.
func TestComponentOrder(t *testing.T) {
	for i, one := range components {
		others := components[i+1:]
		if one != "image-volume" {
			others = append(slices.Clone(others), sidecar)
		}
		for _, two := range others {
			if a, b := sorted(podOf(t, "base "+one+" "+two)), sorted(podOf(t, "base "+two+" "+one)); a != b {
				t.Errorf("%s and %s:\n%s\n%s", one, two, a, b)
			}
		}
	}
	backwards := slices.Clone(components)
	slices.Reverse(backwards)
	if a, b := sorted(podOf(t, "base "+strings.Join(components, " "))), sorted(podOf(t, "base "+strings.Join(backwards, " "))); a != b {
		t.Errorf("all of them:\n%s\n%s", a, b)
	}
}

// sorted is a pod as text, with lists whose order has no meaning in order.
func sorted(pod core.Pod) string {
	slices.SortFunc(pod.Spec.InitContainers, func(a, b core.Container) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(pod.Spec.Volumes, func(a, b core.Volume) int { return strings.Compare(a.Name, b.Name) })
	for _, container := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
		slices.SortFunc(container.Env, func(a, b core.EnvVar) int { return strings.Compare(a.Name, b.Name) })
		slices.SortFunc(container.VolumeMounts, func(a, b core.VolumeMount) int { return strings.Compare(a.Name, b.Name) })
	}
	text, _ := json.Marshal(pod)
	return string(text)
}

// git's configuration is what setup prints, and everything that is installed,
// named and mounted fits together.
func TestManifestSettings(t *testing.T) {
	for _, layer := range layers {
		instance := "https://gitlab.example.com"
		if isExample(layer) {
			instance = theirs
		}
		pod := podOf(t, layer)
		container := pod.Spec.Containers[0]
		values := environment(container, "team")
		if got, want := values["ACP_GITLAB_SECRET"], "team/"+of(layer, "session-gitlab"); got != want {
			t.Errorf("%s: the rescue reads %s, want %s", layer, got, want)
		}
		for _, other := range pod.Spec.InitContainers {
			if dir := environment(other, "team")["ACP_GITLAB_CACHE_DIR"]; dir == values["ACP_GITLAB_CACHE_DIR"] {
				t.Errorf("%s: %s may be another user, and makes the session's directory %s", layer, other.Name, dir)
			}
			// The instance is named in one place: the Secret.
			if text := fmt.Sprint(other.Args, other.Env); strings.Contains(text, "https://") {
				t.Errorf("%s: %s has the instance in %s", layer, other.Name, text)
			}
		}
		printed := setupPrints(t, "--instance", instance, "--helper", "/opt/acp/git-credential-acp")
		if isExample(layer) || has(layer, "git") {
			printed["GIT_CONFIG_COUNT"] = "9"
			printed["GIT_CONFIG_KEY_6"], printed["GIT_CONFIG_VALUE_6"] = "safe.directory", "*"
			printed["GIT_CONFIG_KEY_7"], printed["GIT_CONFIG_VALUE_7"] = "user.name", values["GIT_CONFIG_VALUE_7"]
			printed["GIT_CONFIG_KEY_8"], printed["GIT_CONFIG_VALUE_8"] = "user.email", values["GIT_CONFIG_VALUE_8"]
		}
		settings := maps.Clone(values)
		maps.DeleteFunc(settings, func(name, _ string) bool { return !strings.HasPrefix(name, "GIT_CONFIG_") })
		if !maps.Equal(settings, printed) {
			t.Errorf("%s: setup prints\n%v\nthe pod has\n%v", layer, printed, settings)
		}
		mounts := map[string]string{}
		for _, mount := range container.VolumeMounts {
			mounts[mount.Name] = mount.MountPath
		}
		if mounts["gitlab"] != "/var/run/secrets/acp/gitlab" || mounts["acp"] != "/opt/acp" || mounts["gitlab-ca"] != "/etc/acp/ca" ||
			mounts["kube-api"] != "/var/run/secrets/kubernetes.io/serviceaccount" || filepath.Dir(values["ACP_GITLAB_CACHE_DIR"]) != mounts["cache"] {
			t.Errorf("%s: %v", layer, mounts)
		}
	}
}

// setupPrints are the variables that setup prints.
func setupPrints(t *testing.T, flags ...string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), built.build(t), append([]string{"setup", "--env=kubernetes"}, flags...)...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	printed, err := cmd.Output()
	must(t, err)
	var list []core.EnvVar
	must(t, yaml.UnmarshalStrict(printed, &list))
	values := map[string]string{}
	for _, v := range list {
		values[v.Name] = v.Value
	}
	return values
}

// The authorities that docs/pods.md has in a ConfigMap reach each container that asks
// GitLab; without it, they start all the same.
func TestManifestBundle(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "pods.md"))
	must(t, err)
	generator := regexp.MustCompile("(?ms)^configMapGenerator:\n.*?^(```)$").FindSubmatch(guide)
	if generator == nil {
		t.Fatal("docs/pods.md has no ConfigMap")
	}
	text := strings.TrimSuffix(string(generator[0]), "```")
	for _, more := range []string{"", text} {
		for _, layer := range []string{"base check", "base check git image-volume"} {
			name := "gitlab-ca"
			for _, object := range manifests(t, layer, more) {
				if object.GetKind() != "ConfigMap" {
					continue
				}
				name = object.GetName()
				path, _, _ := unstructured.NestedString(object.Object, "data", "GIT_SSL_CAINFO")
				if pem, _, _ := unstructured.NestedString(object.Object, "data", filepath.Base(path)); pem == "" || filepath.Dir(path) != "/etc/acp/ca" {
					t.Errorf("there is nothing at %s", path)
				}
			}
			if (name != "gitlab-ca") != (more != "") { // kustomize adds a hash
				t.Fatalf("the ConfigMap %s", name)
			}
			pod := podOf(t, layer, more)
			for _, container := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
				if container.Name == "git-credential-acp" {
					continue
				}
				i := slices.IndexFunc(container.Env, func(v core.EnvVar) bool { return v.Name == "GIT_SSL_CAINFO" })
				mounted := slices.ContainsFunc(container.VolumeMounts, func(m core.VolumeMount) bool { return m.Name == "gitlab-ca" && m.MountPath == "/etc/acp/ca" })
				if i < 0 || !mounted {
					t.Fatalf("%s: %s has no authorities", layer, container.Name)
				}
				if from := container.Env[i].ValueFrom.ConfigMapKeyRef; from.Name != name || from.Key != "GIT_SSL_CAINFO" || from.Optional == nil || !*from.Optional {
					t.Errorf("%s: %s has %v", layer, container.Name, from)
				}
			}
			for _, volume := range pod.Spec.Volumes {
				if c := volume.ConfigMap; c != nil && (c.Name != name || c.Optional == nil || !*c.Optional) {
					t.Errorf("%s: the volume %s is of %s, want %s", layer, volume.Name, c.Name, name)
				}
			}
		}
	}
}

// The session's ServiceAccount may get its one Secret and nothing more, and that is
// enough for the rescue.
func TestManifestRights(t *testing.T) {
	d := newDesk(t)
	d.namespace = restricted(t)
	for _, object := range manifests(t, "base") {
		must(t, apply(t, d.namespace, object))
	}
	elsewhere := cluster.Namespace(t)
	cluster.Secret(t, d.namespace, "theirs", nil)
	cluster.Secret(t, elsewhere, "session-gitlab", nil)
	cluster.Secret(t, d.namespace, "session-gitlab", d.keys(another))
	token := cluster.Token(t, d.namespace, "session")
	config := rest.AnonymousClientConfig(cluster.Config)
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	ctx, secrets := t.Context(), client.CoreV1().Secrets(d.namespace)
	own, err := secrets.Get(ctx, "session-gitlab", meta.GetOptions{})
	must(t, err)
	pod := podOf(t, "base")
	for name, does := range map[string]func(context.Context) error{
		"list": func(ctx context.Context) error { _, err := secrets.List(ctx, meta.ListOptions{}); return err },
		"list by name": func(ctx context.Context) error {
			_, err := secrets.List(ctx, meta.ListOptions{FieldSelector: "metadata.name=session-gitlab"})
			return err
		},
		"watch":  func(ctx context.Context) error { _, err := secrets.Watch(ctx, meta.ListOptions{}); return err },
		"update": func(ctx context.Context) error { _, err := secrets.Update(ctx, own, meta.UpdateOptions{}); return err },
		"patch": func(ctx context.Context) error {
			_, err := secrets.Patch(ctx, own.Name, types.MergePatchType, []byte(`{"data":{"x":"eA=="}}`), meta.PatchOptions{})
			return err
		},
		"delete": func(ctx context.Context) error { return secrets.Delete(ctx, own.Name, meta.DeleteOptions{}) },
		"create": func(ctx context.Context) error {
			_, err := secrets.Create(ctx, &core.Secret{ObjectMeta: meta.ObjectMeta{Name: "new"}}, meta.CreateOptions{})
			return err
		},
		"another": func(ctx context.Context) error { _, err := secrets.Get(ctx, "theirs", meta.GetOptions{}); return err },
		"another namespace": func(ctx context.Context) error {
			_, err := client.CoreV1().Secrets(elsewhere).Get(ctx, own.Name, meta.GetOptions{})
			return err
		},
		"all namespaces": func(ctx context.Context) error {
			_, err := client.CoreV1().Secrets("").List(ctx, meta.ListOptions{})
			return err
		},
		"config maps": func(ctx context.Context) error {
			_, err := client.CoreV1().ConfigMaps(d.namespace).List(ctx, meta.ListOptions{})
			return err
		},
		"pods": func(ctx context.Context) error {
			_, err := client.CoreV1().Pods(d.namespace).Create(ctx, &pod, meta.CreateOptions{})
			return err
		},
	} {
		if err := does(ctx); !kubeerrors.IsForbidden(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Besides what any account may do, there is one rule.
	its, anybodys := rules(t, d.namespace, token), rules(t, d.namespace, cluster.Account(t, d.namespace, "nobody"))
	extra := slices.DeleteFunc(its, func(rule string) bool { return slices.Contains(anybodys, rule) })
	if want := `[""] ["secrets"] ["session-gitlab"] ["get"]`; len(extra) != 1 || extra[0] != want {
		t.Errorf("the rules %q, want %s", extra, want)
	}

	d.set("ACP_GITLAB_SECRET=" + environment(podOf(t, "base").Spec.Containers[0], d.namespace)["ACP_GITLAB_SECRET"])
	d.loginAs(api.AuthInfo{Token: token})
	d.mount(canary)
	d.revoke()
	d.wantToken(another, "the Secret "+d.namespace+"/session-gitlab in the cluster")
}

// environment is what kubelet makes of a container's variables in a namespace: one
// may refer to those before it.
func environment(container core.Container, namespace string) map[string]string {
	values := map[string]string{}
	for _, v := range container.Env {
		switch {
		case v.ValueFrom != nil && v.ValueFrom.FieldRef != nil && v.ValueFrom.FieldRef.FieldPath == "metadata.namespace":
			values[v.Name] = namespace
			continue
		case v.ValueFrom != nil: // of a ConfigMap that is not there
			continue
		}
		values[v.Name] = expansion.Expand(v.Value, expansion.MappingFuncFor(values))
	}
	return values
}

// rules are all that the account of a token may do in a namespace.
func rules(t *testing.T, namespace, token string) (all []string) {
	t.Helper()
	config := rest.AnonymousClientConfig(cluster.Config)
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	review, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), &authorization.SelfSubjectRulesReview{
		Spec: authorization.SelfSubjectRulesReviewSpec{Namespace: namespace}}, meta.CreateOptions{})
	must(t, err)
	for _, rule := range review.Status.ResourceRules {
		all = append(all, fmt.Sprintf("%q %q %q %q", rule.APIGroups, rule.Resources, rule.ResourceNames, rule.Verbs))
	}
	return all
}
