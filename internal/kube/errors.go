package kube

import (
	"strconv"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// cluster is a Kubernetes API server's name in messages, and the login used there ("the
// context NAME of the kubeconfig").
type cluster struct{ Server, Login string }

func (c cluster) server() string { return "the Kubernetes API server " + c.Server }

// Act is a request to a Kubernetes API server.
type Act struct {
	// Verb and Resource are those of RBAC: get, secrets.
	Verb, Resource, Namespace, Name string
	// Account is the account that was denied, "" when unknown.
	Account string
}

func (a Act) object() string {
	switch {
	case a.Name == "":
		return "the " + a.Resource + " of the namespace " + message.Quote(a.Namespace)
	case a.Resource == "secrets":
		return "the Secret " + message.Quote(a.Namespace+"/"+a.Name)
	case a.Resource == "pods":
		return "the pod " + message.Quote(a.Namespace+"/"+a.Name)
	}
	return "the AgenticSession " + message.Quote(a.Namespace+"/"+a.Name)
}

const kubeReachable = "check the connection to the cluster: VPN, network policy, HTTPS_PROXY"

// errKubeconfigMissing is for no kubeconfig and no ServiceAccount; looked are the paths
// that were tried.
func errKubeconfigMissing(looked []string) error {
	what := "no kubeconfig or ServiceAccount token was found"
	if len(looked) > 0 {
		what += " (looked at " + strings.Join(looked, ", ") + ")"
	}
	return &message.Error{Code: "kubeconfig-missing", Topic: message.Configuration, What: what,
		Hint: "set KUBECONFIG to the path of a kubeconfig; in a pod, mount the token of its ServiceAccount (automountServiceAccountToken: true)"}
}

// errKubeconfigInvalid is for a kubeconfig, or a part of it, that can't be used.
func errKubeconfigInvalid(where, why string) error {
	return &message.Error{Code: "kubeconfig-invalid", Topic: message.Configuration,
		What: where + " can't be used: " + why,
		Hint: "correct it, or set KUBECONFIG to the absolute path of another one; kubectl config view shows its contents"}
}

// errContext is for an invalid current context.
func errContext(what string) error {
	return &message.Error{Code: "kubeconfig-context", Topic: message.Configuration, What: what,
		Hint: "choose one with kubectl config use-context (kubectl config get-contexts lists them)"}
}

// errKubeconfigLate is for files that can't be read in time.
func errKubeconfigLate() error {
	return &message.Error{Code: "kubeconfig-late", Topic: message.NotVerified,
		What: "the kubeconfig could not be read within the time limit",
		Hint: "check that its disk responds; ACP_GITLAB_TIMEOUT sets the limit"}
}

// errPluginUnusable is for an exec plugin of a kubeconfig that can't be run.
func errPluginUnusable(plugin string, c cluster, why string) error {
	return &message.Error{Code: "kube-plugin-unusable", Topic: message.Configuration,
		What: "the exec plugin " + plugin + " of " + c.Login + " " + why,
		Hint: "install the plugin, or use a context whose login needs no plugin and no input"}
}

// errPluginFailed is for an exec plugin that returned no login, or none in time.
func errPluginFailed(plugin string, c cluster, late bool) error {
	m := &message.Error{Code: "kube-plugin-failed", Topic: message.NotVerified,
		What: "the exec plugin " + plugin + " of " + c.Login + " returned no login",
		Hint: "run kubectl get secrets with the same kubeconfig to see the plugin's error; the login may have expired"}
	if late {
		m.What += " within the time limit"
	}
	return m
}

// errLogin is for a login that the API server rejects (401).
func errLogin(c cluster) error {
	return &message.Error{Code: "kube-login", Topic: message.Configuration,
		What: c.server() + " rejects the login of " + c.Login,
		Hint: "log in to the cluster again: the login may have expired"}
}

// errForbidden is for a missing permission (403).
func errForbidden(a Act) error {
	who := a.Account
	if who == "" {
		who = "this account"
	}
	resource := a.Resource
	if a.Resource != "pods" {
		resource += " named " + message.Quote(a.Name)
	}
	return &message.Error{Code: "kube-forbidden", Topic: message.Configuration,
		What: who + " may not " + a.Verb + " " + a.object(),
		Hint: "grant it a Role with the verb " + a.Verb + " on the resource " + resource + " in the namespace " + message.Quote(a.Namespace)}
}

// errMissing is for a Secret that does not exist, or whose namespace doesn't.
func errMissing(a Act, namespace bool) error {
	m := &message.Error{Code: "kube-missing", Topic: message.Configuration, What: a.object() + " does not exist",
		Hint: "check its namespace and name"}
	if namespace {
		m.What = "the namespace of " + m.What
	} else {
		m.Hint += "; git-credential-acp connect --secret " + message.Quote(a.Namespace+"/"+a.Name) + " creates the Secret"
	}
	return m
}

// errConflict is for a Secret that has changed since it was read.
func errConflict(a Act) error {
	return &message.Error{Code: "kube-conflict", Topic: message.Configuration,
		What: a.object() + " was changed by another program in the meantime; nothing was written",
		Hint: "check its contents, then run the command again"}
}

// errFieldConflict is for keys of a Secret that another program manages.
func errFieldConflict(a Act) error {
	return &message.Error{Code: "kube-field-conflict", Topic: message.Configuration,
		What: a.object() + " has keys or labels that another program manages; nothing was written",
		Hint: "take them over with --force, or use a Secret of another name"}
}

// ErrImmutable is for a Secret with immutable: true, whose data can't be changed. With
// the verb delete, the Secret also has other keys, which have to stay.
func ErrImmutable(a Act) error {
	remove := "kubectl delete secret -n " + message.Quote(a.Namespace) + " " + message.Quote(a.Name)
	m := &message.Error{Code: "kube-immutable", Topic: message.Configuration,
		What: a.object() + " is immutable; nothing was written",
		Hint: "replace it: " + remove + ", then git-credential-acp connect --secret " + message.Quote(a.Namespace+"/"+a.Name) +
			" with a new token, then recreate the pods that mount it, since kubelet never updates an immutable Secret"}
	if a.Verb == "delete" {
		m.What = a.object() + " is immutable and has other keys than the token's; nothing was changed"
		m.Hint = "copy the other keys to another Secret, then " + remove
	}
	return m
}

// errPodsTooMany is for a label selector that matches more than limit pods.
func errPodsTooMany(namespace string, limit int) error {
	return &message.Error{Code: "pods-too-many", Topic: message.Configuration,
		What: "the selector of --pods matches more than " + strconv.Itoa(limit) + " pods in the namespace " + message.Quote(namespace),
		Hint: "use a narrower label selector"}
}

// errRefused is for a change that the API server rejects for another reason.
func errRefused(a Act, why string) error {
	return &message.Error{Code: "kube-refused", Topic: message.Configuration,
		What: "the Kubernetes API server rejects the request to " + a.Verb + " " + a.object() + ": " + why,
		Hint: "use a Secret of another name; kubectl describe shows this one"}
}

// errSessionMissing is for an AgenticSession that does not exist.
func errSessionMissing(a Act) error {
	return &message.Error{Code: "session-missing", Topic: message.Configuration, What: a.object() + " does not exist",
		Hint: "check its name on the platform, and that it is in the namespace of the Secret"}
}

// errNoSessions is for a cluster without the AgenticSession resource.
func errNoSessions(c cluster) error {
	return &message.Error{Code: "no-sessions", Topic: message.Configuration,
		What: c.server() + " has no AgenticSession resource (vteam.ambient-code/v1alpha1)",
		Hint: "check that this is the platform's cluster, or omit --owner"}
}

// errTimeout is for no reply in time.
func errTimeout(c cluster) error {
	return &message.Error{Code: "kube-timeout", Topic: message.NotVerified,
		What: c.server() + " did not answer within the time limit",
		Hint: kubeReachable + "; ACP_GITLAB_TIMEOUT sets the limit"}
}

// errUnreachable is for no connection.
func errUnreachable(c cluster, why string) error {
	return &message.Error{Code: "kube-unreachable", Topic: message.NotVerified,
		What: c.server() + " can't be reached: " + why, Hint: kubeReachable}
}

// errProxyLogin is for a proxy to the API server that requires a login.
func errProxyLogin(c cluster) error {
	return &message.Error{Code: "kube-proxy-login", Topic: message.NotVerified,
		What: c.server() + " can't be reached: the proxy requires a login (407)",
		Hint: "put the user name and password into the proxy's URL (HTTPS_PROXY, or proxy-url in the kubeconfig), or add the server's host to NO_PROXY"}
}

// errTLS is for a failed TLS handshake; v has the reason.
func errTLS(c cluster, v access.Verdict) error {
	what, _ := message.ExplainTLS(v, message.Subject{Instance: "the server"})
	if v.Reason != access.TLSUnusable && v.Detail != "" {
		what += " (" + v.Detail + ")"
	}
	return &message.Error{Code: "kube-tls", Topic: message.NotVerified, What: c.server() + " can't be trusted: " + what,
		Hint: "check the server and the certificate authority in " + c.Login}
}

// errBusy is for a server error (5xx) or an overloaded API server (429).
func errBusy(c cluster, answer string) error {
	return &message.Error{Code: "kube-server-error", Topic: message.NotVerified, What: c.server() + " answers " + answer,
		Hint: "try again; if it happens again, ask an administrator of the cluster"}
}

// errNotAPI is for a reply that is not an API server's.
func errNotAPI(c cluster, answer string) error {
	return &message.Error{Code: "kube-not-api", Topic: message.NotVerified,
		What: "something other than a Kubernetes API server answered for " + c.Server + " (" + answer + ")",
		Hint: "check for a login page or a proxy in front of it, and check the server in " + c.Login}
}

// errInterrupted is for a request that was interrupted by a signal.
func errInterrupted(c cluster) error {
	return &message.Error{Code: "kube-interrupted", Topic: message.NotVerified,
		What: "the request to " + c.server() + " was interrupted by a signal", Hint: "run the command again"}
}

// errUnproven is for a token that would go to a server whose identity is not verified.
func errUnproven(c cluster) error {
	return &message.Error{Code: "kube-unproven", Topic: message.Configuration,
		What: c.Login + " sets insecure-skip-tls-verify, so the Kubernetes API server " + c.Server + " is not verified and anyone could intercept the token; nothing was sent",
		Hint: "set certificate-authority in the kubeconfig instead"}
}

// Immutable reports that a Secret is immutable.
func Immutable(err error) bool { return message.Is(err, "kube-immutable") }
