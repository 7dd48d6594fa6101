package kube

import (
	"strconv"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// cluster is what messages call a Kubernetes API server, and how this program
// logs in there ("the context NAME of the kubeconfig").
type cluster struct{ Server, Login string }

func (c cluster) server() string { return "the Kubernetes API server " + c.Server }

// Act is something that was asked of a Kubernetes API server.
type Act struct {
	// Verb and Resource are those of RBAC: get, secrets.
	Verb, Resource, Namespace, Name string
	// Account is who was refused, "" when that is not known.
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

const kubeReachable = "check whether the cluster can be reached from here: VPN, network policy, HTTPS_PROXY"

// errKubeconfigMissing is for no way to an API server at all; looked are the places
// where one could be.
func errKubeconfigMissing(looked []string) error {
	what := "there is no way to the Kubernetes API"
	if len(looked) > 0 {
		what += ": there is nothing at " + strings.Join(looked, ", ")
	}
	return &message.Error{Code: "kubeconfig-missing", Topic: message.Configuration, What: what,
		Hint: "set KUBECONFIG to the path of a kubeconfig; in a pod, mount the token of its ServiceAccount (automountServiceAccountToken: true)"}
}

// errKubeconfigInvalid is for a kubeconfig, or a part of it, that can't be used.
func errKubeconfigInvalid(where, why string) error {
	return &message.Error{Code: "kubeconfig-invalid", Topic: message.Configuration,
		What: where + " can't be used: " + why,
		Hint: "correct it, or set KUBECONFIG to the absolute path of another one; kubectl config view shows what it holds"}
}

// errContext is for a current context that can't be used.
func errContext(what string) error {
	return &message.Error{Code: "kubeconfig-context", Topic: message.Configuration, What: what,
		Hint: "choose one with kubectl config use-context (kubectl config get-contexts lists them)"}
}

// errKubeconfigLate is for files that can't be read in time.
func errKubeconfigLate() error {
	return &message.Error{Code: "kubeconfig-late", Topic: message.NotVerified,
		What: "the kubeconfig could not be read within the time limit",
		Hint: "check whether it is on a disk that does not answer; ACP_GITLAB_TIMEOUT sets the limit"}
}

// errPluginUnusable is for an exec plugin of a kubeconfig that can't be run.
func errPluginUnusable(plugin string, c cluster, why string) error {
	return &message.Error{Code: "kube-plugin-unusable", Topic: message.Configuration,
		What: "the exec plugin " + plugin + " of " + c.Login + " " + why,
		Hint: "install the plugin, or use a context that logs in without one or without questions"}
}

// errPluginFailed is for an exec plugin that gave no login, or none in time.
func errPluginFailed(plugin string, c cluster, late bool) error {
	m := &message.Error{Code: "kube-plugin-failed", Topic: message.NotVerified,
		What: "the exec plugin " + plugin + " of " + c.Login + " gave no login",
		Hint: "run kubectl get secrets with the same kubeconfig to see what the plugin says; the login may have expired"}
	if late {
		m.What += " within the time limit"
	}
	return m
}

// errLogin is for a login that the API server does not take.
func errLogin(c cluster) error {
	return &message.Error{Code: "kube-login", Topic: message.Configuration,
		What: c.server() + " does not accept the login of " + c.Login,
		Hint: "log in to the cluster again: the login may have expired"}
}

// errForbidden is for a right that is missing.
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
		Hint: "give it a Role with the verb " + a.Verb + " on the resource " + resource + " in the namespace " + message.Quote(a.Namespace)}
}

// errMissing is for a Secret that does not exist, or whose namespace doesn't.
func errMissing(a Act, namespace bool) error {
	m := &message.Error{Code: "kube-missing", Topic: message.Configuration, What: a.object() + " does not exist",
		Hint: "check that its namespace and name are right"}
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
		What: a.object() + " was changed by somebody else in the meantime; nothing was written",
		Hint: "see what it holds now, and run the command again"}
}

// errFieldConflict is for keys of a Secret that somebody else looks after.
func errFieldConflict(a Act) error {
	return &message.Error{Code: "kube-field-conflict", Topic: message.Configuration,
		What: a.object() + " has keys or labels that another program has set; nothing was written",
		Hint: "take them over with --force, or use a Secret of another name"}
}

// ErrImmutable is for a Secret with immutable: true, of which the API server
// refuses every change of its data. With the verb delete, the Secret also has keys
// of others, which would have to stay.
func ErrImmutable(a Act) error {
	remove := "kubectl delete secret -n " + message.Quote(a.Namespace) + " " + message.Quote(a.Name)
	m := &message.Error{Code: "kube-immutable", Topic: message.Configuration,
		What: a.object() + " is immutable; nothing was written",
		Hint: "replace it: " + remove + ", then git-credential-acp connect --secret " + message.Quote(a.Namespace+"/"+a.Name) +
			" with a new token, then recreate the pods that mount it, since kubelet never updates an immutable Secret"}
	if a.Verb == "delete" {
		m.What = a.object() + " is immutable and has other keys besides the token's; nothing was changed"
		m.Hint = "copy the other keys to another Secret, then " + remove
	}
	return m
}

// errPodsTooMany is for a label selector that matches more pods than one call changes.
func errPodsTooMany(namespace string, limit int) error {
	return &message.Error{Code: "pods-too-many", Topic: message.Configuration,
		What: "the selector of --pods matches more than " + strconv.Itoa(limit) + " pods of the namespace " + message.Quote(namespace),
		Hint: "use a narrower label selector"}
}

// errRefused is for a change that the API server does not take for another
// reason.
func errRefused(a Act, why string) error {
	return &message.Error{Code: "kube-refused", Topic: message.Configuration,
		What: "the Kubernetes API server does not take the request to " + a.Verb + " " + a.object() + ": " + why,
		Hint: "use a Secret of another name; kubectl describe shows what this one is"}
}

// errSessionMissing is for an AgenticSession that does not exist.
func errSessionMissing(a Act) error {
	return &message.Error{Code: "session-missing", Topic: message.Configuration, What: a.object() + " does not exist",
		Hint: "check that it is named as the platform shows it, and in the namespace of the Secret"}
}

// errNoSessions is for a cluster that has no AgenticSessions at all.
func errNoSessions(c cluster) error {
	return &message.Error{Code: "no-sessions", Topic: message.Configuration,
		What: c.server() + " knows no AgenticSessions (vteam.ambient-code/v1alpha1)",
		Hint: "check that this is the platform's cluster, or leave out the owner"}
}

// errTimeout is for no answer in time.
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

// errProxyLogin is for a proxy, on the way to the API server, that wants a login.
func errProxyLogin(c cluster) error {
	return &message.Error{Code: "kube-proxy-login", Topic: message.NotVerified,
		What: c.server() + " can't be reached: the proxy on the way wants a login (407)",
		Hint: "put user name and password into the URL of the proxy (HTTPS_PROXY, or proxy-url in the kubeconfig), or put the server's host into NO_PROXY"}
}

// errTLS is for a connection that can't be trusted, for the reason that the
// verdict has.
func errTLS(c cluster, v access.Verdict) error {
	what, _ := message.ExplainTLS(v, message.Subject{Instance: "the server"})
	if v.Reason != access.TLSUnusable && v.Detail != "" {
		what += " (" + v.Detail + ")"
	}
	return &message.Error{Code: "kube-tls", Topic: message.NotVerified, What: c.server() + " can't be trusted: " + what,
		Hint: "check that the server and the certificate authority of " + c.Login + " are right"}
}

// errBusy is for an API server that answers with an error of its own.
func errBusy(c cluster, answer string) error {
	return &message.Error{Code: "kube-server-error", Topic: message.NotVerified, What: c.server() + " answers " + answer,
		Hint: "try again; if it persists, ask an administrator of the cluster"}
}

// errNotAPI is for an answer that is no API server's.
func errNotAPI(c cluster, answer string) error {
	return &message.Error{Code: "kube-not-api", Topic: message.NotVerified,
		What: "something other than a Kubernetes API server answered for " + c.Server + " (" + answer + ")",
		Hint: "check whether a login page or a proxy stands before it, and that the server of " + c.Login + " is right"}
}

// errInterrupted is for a question that a signal ended.
func errInterrupted(c cluster) error {
	return &message.Error{Code: "kube-interrupted", Topic: message.NotVerified,
		What: "the question to " + c.server() + " was interrupted by a signal", Hint: "run the command again"}
}

// errUnproven is for a token that would go to a server which could be anybody.
func errUnproven(c cluster) error {
	return &message.Error{Code: "kube-unproven", Topic: message.Configuration,
		What: c.Login + " says insecure-skip-tls-verify, so that anybody could take the token in the place of the Kubernetes API server " + c.Server + "; nothing was sent",
		Hint: "name the cluster's authority in the kubeconfig instead (certificate-authority)"}
}

// Immutable reports that a Secret can't be changed.
func Immutable(err error) bool { return message.Is(err, "kube-immutable") }
