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
	"strconv"
	"time"

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

// send makes one request, and repeats it if the API server rejects it because of its load
// and says when to try again, within the time limit. The error is a refusal if the reply
// says so.
func (c *Client) send(ctx context.Context, r request) ([]byte, error) {
	for try := 0; ; try++ {
		resp, err := c.try(ctx, r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		wait, again := retryAfter(resp)
		end, limited := ctx.Deadline()
		switch {
		case again && try < maxRetries && (!limited || time.Until(end) > wait):
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case err == nil && resp.StatusCode/100 != 2:
			return nil, refusalOf(resp.StatusCode, body)
		default:
			return body, err
		}
	}
}

func (c *Client) try(ctx context.Context, r request) (*http.Response, error) {
	at := *c.base
	at.Path, at.RawQuery = path.Join("/", at.Path, r.path(r.name)), r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, methods[r.verb], at.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	maps.Copy(req.Header, r.header)
	return c.http.Do(req)
}

// retryAfter is how long to wait before a rejected request is repeated; false if it should
// not be.
func retryAfter(resp *http.Response) (time.Duration, bool) {
	busy := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError
	seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
	return time.Duration(seconds) * time.Second, busy && err == nil
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

// connect sets what requests go through: client-go's login, and TLS to the API server.
func (c *Client) connect(config *rest.Config) error {
	if config.ExecProvider != nil {
		// client-go makes the plugin write to the current os.Stderr. Its output may
		// contain secrets, and a plugin that is left running must not keep git's
		// standard error open.
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
	// client-go's own http.Transport would link a second implementation of HTTP/2.
	c.connections = http.DefaultTransport.(*http.Transport).Clone()
	c.connections.TLSClientConfig = tls
	c.connections.IdleConnTimeout = 10 * time.Second
	c.connections.MaxResponseHeaderBytes = transport.MaxHeader
	c.connections.DisableCompression = config.DisableCompression
	c.connections.OnProxyConnectResponse = transport.ProxyAnswered
	if config.Proxy != nil {
		c.connections.Proxy = config.Proxy
	}
	if login.DialHolder != nil {
		c.connections.DialContext = login.DialHolder.Dial
	}
	next, err := kubetransport.HTTPWrappersForConfig(login, c.connections)
	if err != nil {
		return err
	}
	// An API server does not redirect, and client-go would send the login along.
	c.http = &http.Client{Transport: transport.Redirects{Next: next}}
	return nil
}

// Close closes idle connections.
func (c *Client) Close() { c.connections.CloseIdleConnections() }

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

// RoundTrip makes one request with a bounded reply.
func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	w.client.reached.Store(true)
	resp, err := w.next.RoundTrip(req)
	if err == nil {
		resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, err
}

type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
