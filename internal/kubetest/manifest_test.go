package kubetest

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
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
)

// layers are the directories of manifests.
var layers = []string{"base", "check", "image-volume", "example"}

// suffix is what the example's overlay puts behind names, and theirs the instance
// in it.
const (
	suffix = "-s42"
	theirs = "https://gitlab.internal.example"
)

// of gives a layer's own form of a name in the base.
func of(layer, name string) string {
	if layer == "example" {
		name += suffix
	}
	return name
}

// plurals are the resources of the kinds in the manifests.
var plurals = map[string]string{"Secret": "secrets", "ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings", "Pod": "pods"}

// manifests builds a layer as kubectl apply -k does.
func manifests(t *testing.T, layer string) []*unstructured.Unstructured {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("..", "..", "docs", "kubernetes", layer))
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
func podOf(t *testing.T, layer string) (pod core.Pod) {
	t.Helper()
	for _, object := range manifests(t, layer) {
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
	for _, layer := range layers {
		t.Run(layer, func(t *testing.T) {
			namespace := restricted(t)
			all := manifests(t, layer)
			if len(all) != len(plurals) {
				t.Fatalf("%d objects", len(all))
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
				if volume.Name == "acp" && (volume.Image != nil) != (layer == "image-volume") {
					t.Error("the program comes from elsewhere")
				}
			}
			for _, container := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
				if c := container.SecurityContext; c == nil || c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem {
					t.Errorf("%s can write to its root", container.Name)
				}
				for _, mount := range container.VolumeMounts {
					if mount.SubPath != "" {
						t.Errorf("%s: %s would never be updated", container.Name, mount.Name)
					}
				}
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

// git's configuration is what setup prints, and everything that is installed,
// named and mounted fits together.
func TestManifestSettings(t *testing.T) {
	for _, layer := range layers {
		instance := "https://gitlab.example.com"
		if layer == "example" {
			instance = theirs
		}
		cmd := exec.CommandContext(t.Context(), built.build(t), "setup", "--env=kubernetes", "--instance", instance, "--helper", "/opt/acp/git-credential-acp")
		cmd.Env = []string{"HOME=" + t.TempDir()}
		printed, err := cmd.Output()
		must(t, err)
		var lines strings.Builder
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
		}
		for _, v := range container.Env {
			if strings.HasPrefix(v.Name, "GIT_CONFIG_") {
				quoted, err := json.Marshal(v.Value)
				must(t, err)
				lines.WriteString("- name: " + v.Name + "\n  value: " + string(quoted) + "\n")
			}
		}
		if lines.String() != string(printed) {
			t.Errorf("%s: setup prints\n%s\nthe pod has\n%s", layer, printed, lines.String())
		}
		mounts := map[string]string{}
		for _, mount := range container.VolumeMounts {
			mounts[mount.Name] = mount.MountPath
		}
		if mounts["gitlab"] != "/var/run/secrets/acp/gitlab" || mounts["acp"] != "/opt/acp" ||
			mounts["kube-api"] != "/var/run/secrets/kubernetes.io/serviceaccount" || filepath.Dir(values["ACP_GITLAB_CACHE_DIR"]) != mounts["cache"] {
			t.Errorf("%s: %v", layer, mounts)
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
	d.wantToken(another, "the Secret "+d.namespace+"/session-gitlab in the cluster has a newer one")
}

// environment is what kubelet makes of a container's variables in a namespace: one
// may refer to those before it.
func environment(container core.Container, namespace string) map[string]string {
	values := map[string]string{}
	for _, v := range container.Env {
		if v.ValueFrom != nil && v.ValueFrom.FieldRef != nil && v.ValueFrom.FieldRef.FieldPath == "metadata.namespace" {
			values[v.Name] = namespace
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
