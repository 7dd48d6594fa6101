package kube

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// explain is the message for a failed request.
func (c *Client) explain(ctx context.Context, r request, err error) error {
	var status refusal
	switch {
	case errors.As(err, &status):
		return refused(c.cluster, Act{Verb: r.verb, Resource: r.plural, Namespace: r.name.Namespace, Name: r.name.Name}, status)
	case errors.Is(ctx.Err(), context.Canceled):
		return errInterrupted(c.cluster)
	case c.plugin != "" && !c.reached.Load():
		return errPluginFailed(c.plugin, c.cluster, ctx.Err() != nil)
	}
	return c.silence(ctx, err)
}

// unreachable are the reasons for no connection, in words.
var unreachable = map[access.Reason]string{
	access.ProxyFailed: "the proxy can't connect",
	access.NameUnknown: "its host name can't be resolved",
	access.DNSFailed:   "the DNS server did not answer for its host name",
	access.Unreachable: "connection failed",
}

// silence is the message for a request without a valid reply.
func (c *Client) silence(ctx context.Context, err error) error {
	var op *net.OpError
	fault := c.transport.RequestFault(ctx, err)
	switch why := unreachable[fault.Reason]; {
	case errors.Is(err, errTooLarge) || errors.Is(err, errOther):
		return errNotAPI(c.cluster, err.Error())
	case fault.Reason == access.Garbled:
		return errNotAPI(c.cluster, fault.Detail)
	case fault.Reason == access.ProxyLogin:
		return errProxyLogin(c.cluster)
	case fault.Reason == access.ProxyFailed && fault.Status > 0:
		return errUnreachable(c.cluster, "the proxy answers "+strconv.Itoa(fault.Status))
	case fault.Reason == access.Unreachable && (!errors.As(err, &op) || op.Op != "dial"):
		return errUnreachable(c.cluster, "the connection broke")
	case why != "":
		return errUnreachable(c.cluster, why)
	case fault.Reason == access.Timeout:
		return errTimeout(c.cluster)
	}
	return errTLS(c.cluster, access.Verdict{Reason: fault.Reason, Detail: fault.Detail})
}

// refusal is an error reply. Its kind is Status if it is an API server's.
type refusal struct {
	metav1.Status
	code int
}

func (r refusal) Error() string { return transport.Status(r.code) }

// refusalOf reads an error reply.
func refusalOf(code int, body []byte) error {
	r := refusal{code: code}
	if json.Unmarshal(body, &r.Status) != nil || r.Kind != "Status" {
		r.Status = metav1.Status{}
	}
	return r
}

// refused is the message for an error reply.
func refused(at cluster, act Act, status refusal) error {
	code, answer, foreign := status.code, status.Error(), status.Kind == ""
	switch {
	case code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return errBusy(at, answer)
	case code == http.StatusNotFound && foreign && act.Resource == sessions.plural:
		return errNoSessions(at)
	case foreign:
		return errNotAPI(at, answer)
	case code == http.StatusUnauthorized:
		return errLogin(at)
	case code == http.StatusForbidden && caused(status, metav1.CauseType("NamespaceTerminating"), ""):
		return errRefused(act, "its namespace is being deleted")
	case code == http.StatusForbidden:
		act.Account, act.Verb = account(status.Message), verbOf(status.Message, act.Verb)
		return errForbidden(act)
	case code == http.StatusNotFound && act.Resource == sessions.plural:
		return errSessionMissing(act)
	case code == http.StatusNotFound:
		return errMissing(act, status.Details != nil && status.Details.Kind == "namespaces")
	case code == http.StatusConflict && caused(status, metav1.CauseTypeFieldManagerConflict, ""):
		return errFieldConflict(act)
	case code == http.StatusConflict:
		return errConflict(act)
	case caused(status, metav1.CauseTypeForbidden, "data"):
		return ErrImmutable(act)
	case caused(status, metav1.CauseTypeFieldValueInvalid, "type"):
		return errRefused(act, "it is of another type than "+Opaque+", and the type of a Secret can't be changed")
	}
	return errRefused(act, "the answer is "+answer)
}

func caused(status refusal, cause metav1.CauseType, field string) bool {
	return status.Details != nil && slices.ContainsFunc(status.Details.Causes, func(c metav1.StatusCause) bool {
		return c.Type == cause && (field == "" || c.Field == field)
	})
}

// account is the denied account in the API server's text (`User "NAME" cannot get resource
// "secrets" …`), which is the only place that names it. It is "" if it does not look like a
// name.
func account(text string) string {
	_, rest, _ := strings.Cut(text, `User "`)
	name, _, found := strings.Cut(rest, `" cannot `)
	if !found || len(name) > 253 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:@._/+=-") != "" {
		return ""
	}
	return name
}

// verbOf is the denied verb in the same text: an Apply to a missing Secret is denied for
// create.
func verbOf(text, verb string) string {
	if strings.Contains(text, `" cannot create resource "`) {
		return "create"
	}
	return verb
}
