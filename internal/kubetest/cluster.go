// Package kubetest runs the program and package kube against a real Kubernetes
// API server and a real etcd. It is a module of its own, so that what it takes
// to build those two stays out of the program's.
package kubetest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	extensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Cluster is a control plane without nodes: nothing runs in it, and everything can
// be written and read under the usual rules.
type Cluster struct {
	environment *envtest.Environment
	// Config and Admin may do anything.
	Config *rest.Config
	Admin  kubernetes.Interface
	names  atomic.Int64
}

// Start starts etcd and kube-apiserver, which are in the directory assets, and
// adds the platform's resource AgenticSession. It takes a few seconds.
func Start(assets string) (*Cluster, error) {
	log.SetLogger(klog.Logger{}) // without one, it complains of that on standard error
	b := &Cluster{environment: &envtest.Environment{
		BinaryAssetsDirectory: assets, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute,
		CRDs: []*extensions.CustomResourceDefinition{session()},
	}}
	var err error
	running.Store(b, true)
	if b.Config, err = b.environment.Start(); err == nil {
		b.Admin, err = kubernetes.NewForConfig(b.Config)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kubetest: %w", err), b.Stop())
	}
	return b, nil
}

// Stop ends both, and removes what they wrote. A second time, it does nothing.
func (b *Cluster) Stop() error {
	if _, runs := running.LoadAndDelete(b); !runs {
		return nil
	}
	return b.environment.Stop()
}

// running are all clusters that have to be stopped.
var running sync.Map

// stopAll stops them.
func stopAll() (err error) {
	for cluster := range running.Range {
		err = errors.Join(err, cluster.(*Cluster).Stop())
	}
	return err
}

// session is the part of the platform's definition of AgenticSession that an
// owner reference needs.
func session() *extensions.CustomResourceDefinition {
	anything := true
	return &extensions.CustomResourceDefinition{
		ObjectMeta: meta.ObjectMeta{Name: "agenticsessions.vteam.ambient-code"},
		Spec: extensions.CustomResourceDefinitionSpec{
			Group: "vteam.ambient-code", Scope: extensions.NamespaceScoped,
			Names: extensions.CustomResourceDefinitionNames{Plural: "agenticsessions", Singular: "agenticsession", Kind: "AgenticSession"},
			Versions: []extensions.CustomResourceDefinitionVersion{{Name: "v1alpha1", Served: true, Storage: true,
				Schema: &extensions.CustomResourceValidation{OpenAPIV3Schema: &extensions.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: &anything}}}},
		},
	}
}

// Namespace makes one that nobody else uses.
func (b *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	name := "team-" + strconv.FormatInt(b.names.Add(1), 10)
	_, err := b.Admin.CoreV1().Namespaces().Create(context.Background(), &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name}}, meta.CreateOptions{})
	must(t, err)
	return name
}

// Secret makes a Secret, or gives the one that is there other keys.
func (b *Cluster) Secret(t testing.TB, namespace, name string, keys map[string]string, change ...func(*core.Secret)) {
	t.Helper()
	secret := &core.Secret{ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{}}
	for key, value := range keys {
		secret.Data[key] = []byte(value)
	}
	for _, f := range change {
		f(secret)
	}
	api := b.Admin.CoreV1().Secrets(namespace)
	_, err := api.Update(context.Background(), secret, meta.UpdateOptions{})
	if err != nil {
		_, err = api.Create(context.Background(), secret, meta.CreateOptions{})
	}
	must(t, err)
}

// Delete removes a Secret.
func (b *Cluster) Delete(t testing.TB, namespace, name string) {
	t.Helper()
	must(t, b.Admin.CoreV1().Secrets(namespace).Delete(context.Background(), name, meta.DeleteOptions{}))
}

// Account makes a ServiceAccount with a Role of these rules, and gives a token
// for it, as a pod would have.
func (b *Cluster) Account(t testing.TB, namespace, name string, rules ...rbac.PolicyRule) (token string) {
	t.Helper()
	ctx, named := context.Background(), meta.ObjectMeta{Namespace: namespace, Name: name}
	_, err := b.Admin.CoreV1().ServiceAccounts(namespace).Create(ctx, &core.ServiceAccount{ObjectMeta: named}, meta.CreateOptions{})
	must(t, err)
	_, err = b.Admin.RbacV1().Roles(namespace).Create(ctx, &rbac.Role{ObjectMeta: named, Rules: rules}, meta.CreateOptions{})
	must(t, err)
	_, err = b.Admin.RbacV1().RoleBindings(namespace).Create(ctx, &rbac.RoleBinding{ObjectMeta: named,
		Subjects: []rbac.Subject{{Kind: rbac.ServiceAccountKind, Namespace: namespace, Name: name}},
		RoleRef:  rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "Role", Name: name}}, meta.CreateOptions{})
	must(t, err)
	return b.Token(t, namespace, name)
}

// Token asks for a token of a ServiceAccount.
func (b *Cluster) Token(t testing.TB, namespace, name string) string {
	t.Helper()
	answer, err := b.Admin.CoreV1().ServiceAccounts(namespace).CreateToken(context.Background(), name,
		&authentication.TokenRequest{}, meta.CreateOptions{})
	must(t, err)
	return answer.Status.Token
}

// Only is the rule of the rescue: verbs on just one Secret.
func Only(name string, verbs ...string) rbac.PolicyRule {
	return rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{name}, Verbs: verbs}
}

// Kubeconfig writes a kubeconfig with one context, changed by change, and gives
// its path.
func (b *Cluster) Kubeconfig(t testing.TB, user api.AuthInfo, change ...func(*api.Config)) string {
	t.Helper()
	config := api.NewConfig()
	config.Clusters["cluster"] = &api.Cluster{Server: b.Config.Host, CertificateAuthorityData: b.Config.CAData}
	config.AuthInfos["somebody"] = &user
	config.Contexts["here"] = &api.Context{Cluster: "cluster", AuthInfo: "somebody"}
	config.CurrentContext = "here"
	for _, f := range change {
		f(config)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, clientcmd.WriteToFile(*config, path))
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
