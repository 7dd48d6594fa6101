package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/klog/v2"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// ServiceAccountDir has the token of a pod's ServiceAccount and the cluster's authority.
const ServiceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// Config says how to find the API server, by the first that exists of Kubeconfig, the pod's
// ServiceAccount, and the kubeconfig in Home.
//
// client-go itself reads from the environment: proxies (HTTPS_PROXY, NO_PROXY), feature
// gates (KUBE_FEATURE_…), and all of it for an exec plugin, which inherits it.
type Config struct {
	// Kubeconfig is the value of KUBECONFIG; "" for unset.
	Kubeconfig string
	// Home is the home directory, "" for none.
	Home string
	// ServiceHost and ServicePort are the API server's address in a pod
	// (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT); "" outside of pods.
	ServiceHost, ServicePort string
	// ServiceAccount is the directory of the ServiceAccount; "" for ServiceAccountDir.
	ServiceAccount string
	// UserAgent is sent to the API server.
	UserAgent string
}

// Client talks to one API server, one request at a time. It is made by Open.
type Client struct {
	http      *http.Client
	transport *transport.Transport
	// base is the server's URL.
	base *url.URL
	// cluster is the server for messages.
	cluster cluster
	// plugin is the exec plugin that logs in, "" for none.
	plugin string
	// unproven: the server's certificate is not verified.
	unproven bool
	// reached: a request was sent, so the exec plugin has succeeded.
	reached atomic.Bool
}

// silence stops client-go's logging to standard error, with text from servers and plugins.
// serve has several clients at once.
var silence = sync.OnceFunc(func() { klog.SetLogger(klog.Logger{}) })

// Open makes a client. It reads files but makes no requests.
func Open(ctx context.Context, c Config) (*Client, error) {
	silence()
	type result struct {
		client  *Client
		problem error
	}
	r, err := within(ctx, func() result {
		client, problem := c.open()
		return result{client, problem}
	})
	if err != nil {
		return nil, errKubeconfigLate()
	}
	return r.client, r.problem
}

func (c Config) open() (*Client, error) {
	config, login, problem := c.find()
	if problem != nil {
		return nil, problem
	}
	at, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, errKubeconfigInvalid(login, "the server's address is not a URL")
	}
	// An "@" after the host ends a password with a slash in it, and messages show the host.
	if strings.Contains(at.Path+at.RawQuery+at.Fragment, "@") {
		return nil, errKubeconfigInvalid(login, "the server's address contains a user name or password")
	}
	if at.Scheme != "https" && !loopback(at.Hostname()) {
		return nil, errKubeconfigInvalid(login, "the server's address is not https, which would expose the Secret on the network")
	}
	if at.Scheme != "https" {
		// A proxy could read the Secret.
		config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	client := &Client{base: at, unproven: config.Insecure, cluster: cluster{Server: message.Quote(at.Host), Login: login}}
	if plugin := config.ExecProvider; plugin != nil {
		client.plugin = message.Quote(plugin.Command)
		if problem := usable(plugin, client.cluster); problem != nil {
			return nil, problem
		}
	}
	config.UserAgent = c.UserAgent
	config.WrapTransport = func(next http.RoundTripper) http.RoundTripper { return watched{client, next} }
	if err := client.connect(config); err != nil {
		return nil, errKubeconfigInvalid(login, "its certificates, keys or plugin can't be used")
	}
	return client, nil
}

// find returns the API server and the login, with the login's name.
func (c Config) find() (*rest.Config, string, error) {
	if c.Kubeconfig != "" {
		return kubeconfig(filepath.SplitList(c.Kubeconfig))
	}
	var looked []string
	if c.ServiceHost != "" && c.ServicePort != "" {
		config, problem := c.inCluster()
		if config != nil || problem != nil {
			return config, "the ServiceAccount of this pod", problem
		}
		looked = append(looked, message.Quote(c.serviceAccount()))
	}
	if c.Home != "" {
		path := filepath.Join(c.Home, clientcmd.RecommendedHomeDir, clientcmd.RecommendedFileName)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return kubeconfig([]string{path})
		}
		looked = append(looked, message.Quote(path))
	}
	return nil, "", errKubeconfigMissing(looked)
}

func (c Config) serviceAccount() string {
	if c.ServiceAccount == "" {
		return ServiceAccountDir
	}
	return c.ServiceAccount
}

const maxFile = 1 << 20

// inCluster is a pod's configuration of its cluster; nil if it has no token. client-go's own
// function trusts the system's authorities if the cluster's is missing, and knows only one
// directory.
func (c Config) inCluster() (*rest.Config, error) {
	token, ca := filepath.Join(c.serviceAccount(), "token"), filepath.Join(c.serviceAccount(), "ca.crt")
	for _, path := range []string{token, ca} {
		_, err := file.Read(path, maxFile)
		switch {
		case errors.Is(err, fs.ErrNotExist) && path == token:
			return nil, nil
		case err != nil:
			return nil, message.FileUnreadable(message.Quote(path), cause(err))
		}
	}
	return &rest.Config{Host: "https://" + net.JoinHostPort(c.ServiceHost, c.ServicePort), BearerTokenFile: token,
		TLSClientConfig: rest.TLSClientConfig{CAFile: ca}}, nil
}

// kubeconfig reads the current context of the merged files.
func kubeconfig(files []string) (*rest.Config, string, error) {
	files = slices.DeleteFunc(files, func(path string) bool { return path == "" })
	var looked []string
	missing := 0
	for _, path := range files {
		looked = append(looked, message.Quote(path))
		there, problem := check(path)
		if problem != nil {
			return nil, "", problem
		}
		if !there {
			missing++
		}
	}
	if missing == len(files) {
		return nil, "", errKubeconfigMissing(looked)
	}
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: files}
	merged, err := rules.Load()
	if err != nil {
		return nil, "", errKubeconfigInvalid("the kubeconfig", "its files contradict each other")
	}
	name := merged.CurrentContext
	if problem := complete(merged); problem != nil {
		return nil, "", problem
	}
	if problem := readable(merged); problem != nil {
		return nil, "", problem
	}
	login := "the context " + message.Quote(name) + " of the kubeconfig"
	config, err := clientcmd.NewNonInteractiveClientConfig(*merged, name, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		var unreadable *fs.PathError
		if errors.As(err, &unreadable) {
			return nil, "", message.FileUnreadable(message.Quote(unreadable.Path), unreadable.Err.Error())
		}
		return nil, "", errKubeconfigInvalid(login, "its cluster or user is incomplete or contradictory")
	}
	if config.AuthProvider != nil {
		return nil, "", errKubeconfigInvalid(login, "it uses an auth-provider, which client-go replaced with exec plugins")
	}
	return config, login, nil
}

// maxKubeconfig is the limit of a kubeconfig in bytes; some have hundreds of clusters.
const maxKubeconfig = 16 << 20

// check reports whether there is a kubeconfig at path, and what is wrong with it. Relative
// paths are rejected: git runs this program in a repository, and a kubeconfig from there
// could run any program.
func check(path string) (there bool, problem error) {
	if !filepath.IsAbs(path) {
		return false, errKubeconfigInvalid(message.Quote(path), "a path that is not absolute could lead into a repository")
	}
	data, err := file.Read(path, maxKubeconfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, message.FileUnreadable(message.Quote(path), cause(err))
	}
	// The decoder's error is not shown: it can quote a password.
	if _, err := clientcmd.Load(data); err != nil {
		return false, errKubeconfigInvalid(message.Quote(path), "it can't be parsed")
	}
	return true, nil
}

// complete checks that a current context is set and that what it names exists.
func complete(config *api.Config) error {
	name := config.CurrentContext
	if name == "" {
		return errContext("no current context is set in the kubeconfig")
	}
	said := "the current context " + message.Quote(name) + " of the kubeconfig"
	current := config.Contexts[name]
	switch {
	case current == nil:
		return errContext(said + " does not exist")
	case config.Clusters[current.Cluster] == nil:
		return errContext(said + " names the cluster " + message.Quote(current.Cluster) + ", which does not exist")
	case config.AuthInfos[current.AuthInfo] == nil:
		return errContext(said + " names the user " + message.Quote(current.AuthInfo) + ", which does not exist")
	}
	return nil
}

// readable checks that the files that a complete kubeconfig names can be read: client-go
// would block on a FIFO, and read an endless file. Their paths are absolute.
func readable(config *api.Config) error {
	current := config.Contexts[config.CurrentContext]
	cluster, user := config.Clusters[current.Cluster], config.AuthInfos[current.AuthInfo]
	for _, path := range []string{cluster.CertificateAuthority, user.TokenFile, user.ClientCertificate, user.ClientKey} {
		if path == "" {
			continue
		}
		if _, err := file.Read(path, maxFile); err != nil {
			return message.FileUnreadable(message.Quote(path), cause(err))
		}
	}
	return nil
}

// cause is a file system error without the path, which the message names.
func cause(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return err.Error()
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Fingerprint changes if another cluster may be meant: with the settings and the files that
// they name. It opens no files.
func (c Config) Fingerprint() string {
	files := filepath.SplitList(c.Kubeconfig)
	if c.Kubeconfig == "" {
		files = []string{filepath.Join(c.Home, clientcmd.RecommendedHomeDir, clientcmd.RecommendedFileName)}
	}
	mark := fmt.Sprintf("%q %q %q %q", c.Kubeconfig, c.Home, c.ServiceHost, c.ServicePort)
	for _, path := range files {
		if info, err := os.Stat(path); err == nil {
			mark += fmt.Sprintf(" %d %d", info.ModTime().UnixNano(), info.Size())
		}
	}
	return mark
}
