package kube

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"sync"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
	kubetransport "k8s.io/client-go/transport"

	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// request is a request for an object, or for all of them if its name is "".
type request struct {
	// verb is RBAC's.
	verb string
	resource
	name   Name
	query  url.Values
	header http.Header
	// body is JSON, nil for none.
	body []byte
}

// methods are HTTP's for RBAC's verbs.
var methods = map[string]string{"get": http.MethodGet, "list": http.MethodGet, "patch": http.MethodPatch, "delete": http.MethodDelete}

// do makes one request for an object, and explains its error.
func (c *Client) do(ctx context.Context, r request) (object, error) {
	var o object
	body, err := c.ask(ctx, r)
	if err == nil && r.verb != "delete" {
		o, err = decode(body, r)
	}
	if err != nil {
		return object{}, c.explain(ctx, r, err)
	}
	return o, nil
}

// ask makes one request and returns its reply.
func (c *Client) ask(ctx context.Context, r request) ([]byte, error) {
	type result struct {
		body []byte
		err  error
	}
	c.reached.Store(false)
	answer, err := within(ctx, func() result {
		body, err := c.send(ctx, r)
		return result{body, err}
	})
	if err == nil {
		err = answer.err
	}
	return answer.body, err
}

// maxRetries is how often a request is repeated.
const maxRetries = 4

// lostWait is how long to wait before a request is repeated whose connection was lost.
const lostWait = time.Second

// send makes one request. It repeats it within the time limit if the API server rejects it
// because of its load and says when to try again, or if the connection is lost and the request
// changes nothing, as client-go does. The error is a refusal if the reply says so.
func (c *Client) send(ctx context.Context, r request) ([]byte, error) {
	at := *c.base
	at.Path, at.RawQuery = path.Join("/", at.Path, r.path(r.name)), r.query.Encode()
	for try := 0; ; try++ {
		req, err := http.NewRequestWithContext(ctx, methods[r.verb], at.String(), bytes.NewReader(r.body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/json")
		maps.Copy(req.Header, r.header)
		resp, err := c.http.Do(req)
		if err != nil {
			lost := utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err)
			if req.Method != http.MethodGet || !lost || try == maxRetries || !wait(ctx, lostWait) {
				return nil, err
			}
			continue
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		_ = resp.Body.Close()
		fault := transport.StatusFault(resp.StatusCode, resp.Header, time.Now())
		switch {
		case fault.Again && resp.Header.Get("Retry-After") != "" && try < maxRetries && wait(ctx, fault.Wait):
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil && len(body) > maxAnswer:
			return nil, errTooLarge
		case err == nil && resp.StatusCode/100 != 2:
			return nil, refusalOf(resp.StatusCode, body)
		default:
			return body, err
		}
	}
}

// wait waits before another try. It returns false at once if the time limit would end first, and
// when ctx ends.
func wait(ctx context.Context, long time.Duration) bool {
	if end, limited := ctx.Deadline(); limited && time.Until(end) <= long {
		return false
	}
	select {
	case <-time.After(long):
		return true
	case <-ctx.Done():
		return false
	}
}

// within runs work and returns when ctx ends. client-go does not cancel everything: an exec
// plugin, or reading a kubeconfig from a disk that hangs, can take any time.
func within[T any](ctx context.Context, work func() T) (T, error) {
	done := make(chan T, 1)
	go func() { done <- work() }()
	select {
	case result := <-done:
		return result, nil
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// standardError is held while os.Stderr is replaced.
var standardError sync.Mutex

// connect sets what requests go through: client-go's login, and TLS to the API server.
func (c *Client) connect(config *rest.Config) error {
	if config.ExecProvider != nil {
		// client-go makes the plugin write to the current os.Stderr. Its output may
		// contain secrets, and a plugin that is left running must not keep git's
		// standard error open. serve has several clients at once.
		standardError.Lock()
		defer standardError.Unlock()
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		stderr := os.Stderr
		os.Stderr = null
		defer func() { os.Stderr = stderr }()
	}
	login, err := config.TransportConfig()
	if err != nil {
		return err
	}
	tls, err := kubetransport.TLSConfigFor(login)
	if err != nil {
		return err
	}
	// client-go's own http.Transport would link a second implementation of HTTP/2. Like it, this
	// one has the proxies of the environment if the kubeconfig names none.
	if config.Proxy == nil {
		config.Proxy = http.DefaultTransport.(*http.Transport).Proxy
	}
	c.transport = transport.New(transport.Network{Proxy: config.Proxy}).Lasting(1)
	if tls != nil {
		c.transport.TLSClientConfig = tls
	}
	if login.DialHolder != nil {
		c.transport.DialContext = login.DialHolder.Dial
	}
	next, err := kubetransport.HTTPWrappersForConfig(login, c.transport)
	if err != nil {
		return err
	}
	// An API server does not redirect, and client-go would send the login along.
	c.http = &http.Client{Transport: transport.Redirects{Next: next}}
	return nil
}

// Close closes idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// usable checks that an exec plugin can run without a terminal, and takes standard input,
// which is git's, away from it.
func usable(plugin *api.ExecConfig, cluster cluster) error {
	plugin.StdinUnavailable = true
	if plugin.InteractiveMode == api.AlwaysExecInteractiveMode {
		return errPluginUnusable(message.Quote(plugin.Command), cluster, "needs a terminal, which git's helpers don't have")
	}
	if _, err := exec.LookPath(plugin.Command); err != nil {
		return errPluginUnusable(message.Quote(plugin.Command), cluster, "is missing or can't be run")
	}
	return nil
}

// maxAnswer is the limit of a reply in bytes: a Secret of at most 1 MiB, in base64, and its
// metadata.
const maxAnswer = 4 << 20

var errTooLarge = errors.New("a reply that is too large")

// watched sees requests after the login was added.
type watched struct {
	client *Client
	next   http.RoundTripper
}

// RoundTrip makes one request.
func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	w.client.reached.Store(true)
	return w.next.RoundTrip(req)
}
