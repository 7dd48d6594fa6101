package message

import (
	"strconv"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// Cluster is what messages call a Kubernetes API server, and how this program
// logs in there ("the context NAME of the kubeconfig").
type Cluster struct{ Server, Login string }

func (c Cluster) server() string { return "the Kubernetes API server " + c.Server }

// KubeAct is something that was asked of a Kubernetes API server.
type KubeAct struct {
	// Verb and Resource are those of RBAC: get, secrets.
	Verb, Resource, Namespace, Name string
	// Account is who was refused, "" when that is not known.
	Account string
}

func (a KubeAct) object() string {
	switch {
	case a.Name == "":
		return "the " + a.Resource + " of the namespace " + Quote(a.Namespace)
	case a.Resource == "secrets":
		return "the Secret " + Quote(a.Namespace+"/"+a.Name)
	case a.Resource == "pods":
		return "the pod " + Quote(a.Namespace+"/"+a.Name)
	}
	return "the AgenticSession " + Quote(a.Namespace+"/"+a.Name)
}

const kubeReachable = "see whether the cluster can be reached from here: VPN, network policy, HTTPS_PROXY"

// KubeconfigMissing is for no way to an API server at all; looked are the places
// where one could be.
func KubeconfigMissing(looked []string) error {
	what := "there is no way to the Kubernetes API"
	if len(looked) > 0 {
		what += ": there is nothing at " + strings.Join(looked, ", ")
	}
	return &Error{Code: "kubeconfig-missing", Topic: Configuration, What: what,
		Hint: "set KUBECONFIG to the path of a kubeconfig; in a pod, mount the token of its ServiceAccount (automountServiceAccountToken: true)"}
}

// KubeconfigInvalid is for a kubeconfig, or a part of it, that can't be used.
func KubeconfigInvalid(where, why string) error {
	return &Error{Code: "kubeconfig-invalid", Topic: Configuration,
		What: where + " can't be used: " + why,
		Hint: "correct it, or set KUBECONFIG to the absolute path of another one; kubectl config view shows what it holds"}
}

// KubeContext is for a current context that can't be used.
func KubeContext(what string) error {
	return &Error{Code: "kubeconfig-context", Topic: Configuration, What: what,
		Hint: "choose one with kubectl config use-context (kubectl config get-contexts lists them)"}
}

// KubeconfigLate is for files that can't be read in time.
func KubeconfigLate() error {
	return &Error{Code: "kubeconfig-late", Topic: NotVerified,
		What: "the kubeconfig could not be read within the time limit",
		Hint: "see whether it is on a disk that does not answer; ACP_GITLAB_TIMEOUT sets the limit"}
}

// KubePluginUnusable is for an exec plugin of a kubeconfig that can't be run.
func KubePluginUnusable(plugin string, c Cluster, why string) error {
	return &Error{Code: "kube-plugin-unusable", Topic: Configuration,
		What: "the exec plugin " + plugin + " of " + c.Login + " " + why,
		Hint: "install the plugin, or use a context that logs in without one or without questions"}
}

// KubePluginFailed is for an exec plugin that gave no login, or none in time.
func KubePluginFailed(plugin string, c Cluster, late bool) error {
	m := &Error{Code: "kube-plugin-failed", Topic: NotVerified,
		What: "the exec plugin " + plugin + " of " + c.Login + " gave no login",
		Hint: "run kubectl get secrets with the same kubeconfig to see what the plugin says; the login may have expired"}
	if late {
		m.What += " within the time limit"
	}
	return m
}

// KubeLogin is for a login that the API server does not take.
func KubeLogin(c Cluster) error {
	return &Error{Code: "kube-login", Topic: Configuration,
		What: c.server() + " does not accept the login of " + c.Login,
		Hint: "log in to the cluster again: the login may have expired"}
}

// KubeForbidden is for a right that is missing.
func KubeForbidden(a KubeAct) error {
	who := a.Account
	if who == "" {
		who = "this account"
	}
	resource := a.Resource
	if a.Resource != "pods" {
		resource += " named " + Quote(a.Name)
	}
	return &Error{Code: "kube-forbidden", Topic: Configuration,
		What: who + " may not " + a.Verb + " " + a.object(),
		Hint: "give it a Role with the verb " + a.Verb + " on the resource " + resource + " in the namespace " + Quote(a.Namespace)}
}

// KubeMissing is for a Secret that does not exist, or whose namespace doesn't.
func KubeMissing(a KubeAct, namespace bool) error {
	m := &Error{Code: "kube-missing", Topic: Configuration, What: a.object() + " does not exist",
		Hint: "check that its namespace and name are right"}
	if namespace {
		m.What = "the namespace of " + m.What
	} else {
		m.Hint += "; git-credential-acp connect --secret " + Quote(a.Namespace+"/"+a.Name) + " creates the Secret"
	}
	return m
}

// KubeConflict is for a Secret that has changed since it was read.
func KubeConflict(a KubeAct) error {
	return &Error{Code: "kube-conflict", Topic: Configuration,
		What: a.object() + " was changed by somebody else in the meantime; nothing was written",
		Hint: "see what it holds now, and run the command again"}
}

// KubeFieldConflict is for keys of a Secret that somebody else looks after.
func KubeFieldConflict(a KubeAct) error {
	return &Error{Code: "kube-field-conflict", Topic: Configuration,
		What: a.object() + " has keys or labels that another program has set; nothing was written",
		Hint: "take them over with --force, or use a Secret of another name"}
}

// KubeImmutable is for a Secret with immutable: true, of which the API server
// refuses every change of its data. With the verb delete, the Secret also has keys
// of others, which would have to stay.
func KubeImmutable(a KubeAct) error {
	remove := "kubectl delete secret -n " + Quote(a.Namespace) + " " + Quote(a.Name)
	m := &Error{Code: "kube-immutable", Topic: Configuration,
		What: a.object() + " is immutable; nothing was written",
		Hint: "replace it: " + remove + ", then git-credential-acp connect --secret " + Quote(a.Namespace+"/"+a.Name) +
			" with a new token, then recreate the pods that mount it, since kubelet never updates an immutable Secret"}
	if a.Verb == "delete" {
		m.What = a.object() + " is immutable and has other keys besides the token's; nothing was changed"
		m.Hint = "copy the other keys to another Secret, then " + remove
	}
	return m
}

// PodsTooMany is for a label selector that matches more pods than one call changes.
func PodsTooMany(namespace string, limit int) error {
	return &Error{Code: "pods-too-many", Topic: Configuration,
		What: "the selector of --pods matches more than " + strconv.Itoa(limit) + " pods of the namespace " + Quote(namespace),
		Hint: "use a narrower label selector"}
}

// KubeRefused is for a change that the API server does not take for another
// reason.
func KubeRefused(a KubeAct, why string) error {
	return &Error{Code: "kube-refused", Topic: Configuration,
		What: "the Kubernetes API server does not take the request to " + a.Verb + " " + a.object() + ": " + why,
		Hint: "use a Secret of another name; kubectl describe shows what this one is"}
}

// KubeSessionMissing is for an AgenticSession that does not exist.
func KubeSessionMissing(a KubeAct) error {
	return &Error{Code: "session-missing", Topic: Configuration, What: a.object() + " does not exist",
		Hint: "see that it is named as the platform shows it, and in the namespace of the Secret"}
}

// KubeNoSessions is for a cluster that has no AgenticSessions at all.
func KubeNoSessions(c Cluster) error {
	return &Error{Code: "no-sessions", Topic: Configuration,
		What: c.server() + " knows no AgenticSessions (vteam.ambient-code/v1alpha1)",
		Hint: "see that this is the platform's cluster, or leave out the owner"}
}

// KubeTimeout is for no answer in time.
func KubeTimeout(c Cluster) error {
	return &Error{Code: "kube-timeout", Topic: NotVerified,
		What: c.server() + " did not answer within the time limit",
		Hint: kubeReachable + "; ACP_GITLAB_TIMEOUT sets the limit"}
}

// KubeUnreachable is for no connection.
func KubeUnreachable(c Cluster, why string) error {
	return &Error{Code: "kube-unreachable", Topic: NotVerified,
		What: c.server() + " can't be reached: " + why, Hint: kubeReachable}
}

// KubeProxyLogin is for a proxy, on the way to the API server, that wants a login.
func KubeProxyLogin(c Cluster) error {
	return &Error{Code: "kube-proxy-login", Topic: NotVerified,
		What: c.server() + " can't be reached: the proxy on the way wants a login (407)",
		Hint: "put user name and password into the URL of the proxy (HTTPS_PROXY, or proxy-url in the kubeconfig), or put the server's host into NO_PROXY"}
}

// KubeTLS is for a connection that can't be trusted, for the reason that the
// verdict has.
func KubeTLS(c Cluster, v access.Verdict) error {
	what, _ := explainTLS(v, Subject{Instance: "the server"})
	if v.Reason != access.TLSUnusable && v.Detail != "" {
		what += " (" + v.Detail + ")"
	}
	return &Error{Code: "kube-tls", Topic: NotVerified, What: c.server() + " can't be trusted: " + what,
		Hint: "check that the server and the certificate authority of " + c.Login + " are right"}
}

// KubeBusy is for an API server that answers with an error of its own.
func KubeBusy(c Cluster, answer string) error {
	return &Error{Code: "kube-server-error", Topic: NotVerified, What: c.server() + " answers " + answer,
		Hint: "try again; if it lasts, ask an administrator of the cluster"}
}

// KubeOther is for an answer that is no API server's.
func KubeOther(c Cluster, answer string) error {
	return &Error{Code: "kube-not-api", Topic: NotVerified,
		What: "something other than a Kubernetes API server answered for " + c.Server + " (" + answer + ")",
		Hint: "see whether a login page or a proxy stands before it, and that the server of " + c.Login + " is right"}
}

// KubeInterrupted is for a question that a signal ended.
func KubeInterrupted(c Cluster) error {
	return &Error{Code: "kube-interrupted", Topic: NotVerified,
		What: "the question to " + c.server() + " was interrupted by a signal", Hint: "run the command again"}
}

// SecretType is for a Secret, named by where, of a type that is no token's.
func SecretType(where, kind string) error {
	return &Error{Code: "secret-type", Topic: Configuration,
		What: where + " is of type " + Quote(kind) + "; a GitLab token is in one of type Opaque",
		Hint: "see that ACP_GITLAB_SECRET names the right Secret; else make one of type Opaque with the key token"}
}

// ClusterSecretUnset is for a source that needs the name of a Secret.
func ClusterSecretUnset() error {
	return &Error{Code: "cluster-secret-unset", Topic: Configuration,
		What: "ACP_GITLAB_SOURCE is api, and ACP_GITLAB_SECRET is not set",
		Hint: "set ACP_GITLAB_SECRET to the namespace/name of the Secret"}
}

// KubeUnproven is for a token that would go to a server which could be anybody.
func KubeUnproven(c Cluster) error {
	return &Error{Code: "kube-unproven", Topic: Configuration,
		What: c.Login + " says insecure-skip-tls-verify, so that anybody could take the token in the place of the Kubernetes API server " + c.Server + "; nothing was sent",
		Hint: "name the cluster's authority in the kubeconfig instead (certificate-authority)"}
}

// Rescued is said when the token of a Secret in the cluster, named by other,
// stands in for the dead one of a mount.
func Rescued(mount, other, instance string) error {
	return &Error{Code: "rescued", Topic: Warning,
		What: "the token from " + mount + " is dead on " + instance + "; " + other + " has a newer one, which counts until the mount has it too"}
}

// RescueFailed is said when a Secret in the cluster, named by other, could not
// stand in for a mounted one, for the reason why.
func RescueFailed(other string, why error) error {
	return &Error{Code: "rescue-failed", Topic: Warning,
		What: "no newer token could be read from " + other + ": " + As(why).What}
}

// RescueForeign is said when the Secret in the cluster that was to stand in for a
// mounted one, named by other, is for another instance.
func RescueForeign(other, have, instance string) error {
	return &Error{Code: "rescue-foreign", Topic: Warning,
		What: other + " is for " + have + ", so it has no newer token for " + instance}
}

// RescueRefused is said when the newer token from other, which was to stand in for
// a mounted one, was refused for the reason why.
func RescueRefused(other string, why error) error {
	return &Error{Code: "rescue-refused", Topic: Warning,
		What: other + " has a newer token, which is refused too: " + As(why).What}
}
