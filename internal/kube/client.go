package kube

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// do makes one request for an object, and explains its error.
func (c *Client) do(ctx context.Context, verb string, r resource, name Name, request *rest.Request) (object, error) {
	var o object
	body, err := c.ask(ctx, request.AbsPath(r.path(name)))
	if err == nil && verb != "delete" {
		o, err = decode(body, r, name)
	}
	if err != nil {
		return object{}, c.explain(ctx, verb, r, name, err)
	}
	return o, nil
}

// ask makes one request and returns its reply.
func (c *Client) ask(ctx context.Context, request *rest.Request) ([]byte, error) {
	type result struct {
		body []byte
		err  error
	}
	c.watch.reached.Store(false)
	answer, err := within(ctx, func() result {
		answer := request.Do(ctx)
		body, _ := answer.Raw()
		return result{body, answer.Error()}
	})
	if err == nil {
		err = answer.err
	}
	return answer.body, err
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

// restClient makes a client that knows only the type of the API server's errors. One that
// knows all types takes several times as long to start.
func restClient(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeJSON
	httpClient, err := httpClient(config)
	if err != nil {
		return nil, err
	}
	return rest.UnversionedRESTClientForConfigAndClient(config, httpClient)
}

// httpClient makes the client that requests go through.
func httpClient(config *rest.Config) (*http.Client, error) {
	if config.ExecProvider != nil {
		// client-go makes the plugin write to the current os.Stderr. Its output may
		// contain secrets, and a plugin that is left running must not keep git's
		// standard error open.
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		stderr := os.Stderr
		os.Stderr = null
		defer func() { os.Stderr = stderr }()
	}
	next, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	// An API server does not redirect, and client-go would send the login along.
	return &http.Client{Transport: transport.Redirects{Next: next}}, nil
}

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

// watch sees requests after the login was added.
type watch struct {
	// reached: a request was sent, so the exec plugin has succeeded.
	reached atomic.Bool
}

type watched struct {
	*watch
	next http.RoundTripper
}

func (w *watch) wrap(next http.RoundTripper) http.RoundTripper {
	if base, ok := next.(*http.Transport); ok {
		base.OnProxyConnectResponse = transport.ProxyAnswered
	}
	return watched{w, next}
}

// RoundTrip makes one request with a bounded reply.
func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	w.reached.Store(true)
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
