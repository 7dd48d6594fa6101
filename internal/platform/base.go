package platform

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Base is the address of a platform. The zero value is none.
type Base struct {
	url string
	// bare: the address had no /api.
	bare bool
}

// ParseBase reads the address of a platform, with or without /api at its end. It must be
// https, or http for a Service in the cluster, named with its namespace, or with
// allowHTTPLoopback for a loopback address. The error never quotes the address, which
// could contain a secret.
func ParseBase(raw string, allowHTTPLoopback bool) (Base, error) {
	raw = strings.Trim(raw, " \t\r\n")
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"\\<>^`{|}", r) }) {
		return Base{}, errors.New("contains an invalid character")
	}
	// The same parser as net/http's, so that the checked host is the one used.
	at, err := url.Parse(raw)
	switch {
	case err != nil || at.Opaque != "" || at.Hostname() == "" || !validPort(at):
		return Base{}, errors.New("is not of the form https://host")
	case at.Scheme != "https" && at.Scheme != "http":
		return Base{}, errors.New("has a scheme other than https")
	case at.User != nil:
		return Base{}, errors.New("contains a user name or password")
	case at.RawQuery != "" || at.ForceQuery || strings.Contains(raw, "#"):
		return Base{}, errors.New("contains a query or fragment")
	case !validPath(at):
		return Base{}, errors.New("has a path that can't be the platform's")
	case at.Scheme == "http" && !inCluster(at.Hostname()) && (!allowHTTPLoopback || !loopback(at.Hostname())):
		return Base{}, errors.New("is http, which would expose the token on the network; use https, a host in the cluster (service.namespace.svc), or with ACP_GITLAB_ALLOW_HTTP_LOOPBACK=1 one on loopback")
	}
	path := strings.TrimSuffix(strings.TrimSuffix(at.Path, "/"), "/api")
	return Base{url: at.Scheme + "://" + strings.ToLower(at.Host) + path, bare: !strings.HasSuffix(strings.TrimSuffix(at.Path, "/"), "/api")}, nil
}

// URL is the address without /api or a slash at its end.
func (b Base) URL() string { return b.url }

// plain reports whether it is http.
func (b Base) plain() bool { return strings.HasPrefix(b.url, "http:") }

func validPort(at *url.URL) bool {
	if at.Port() == "" {
		return !strings.HasSuffix(at.Host, ":")
	}
	n, err := strconv.ParseUint(at.Port(), 10, 16)
	return err == nil && n > 0
}

// validPath rejects paths with . or .. segments or percent encoding. An "@" ends a
// password with a slash.
func validPath(at *url.URL) bool {
	path := strings.TrimSuffix(at.EscapedPath(), "/")
	if path == "" {
		return true
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "%@") {
			return false
		}
	}
	return true
}

// InCluster reports whether an address is in the cluster, by the rule of the platform's
// runner: a host that ends in .svc or .svc.cluster.local, one without a dot, or loopback.
// A session's own token is sent nowhere else.
func (b Base) InCluster() bool {
	at, err := url.Parse(b.url)
	if err != nil {
		return false
	}
	host := strings.TrimSuffix(strings.ToLower(at.Hostname()), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return false
		}
	}
	// A name of digits, or one like 0x7f000001, may be parsed as an address.
	if len(labels) == 1 {
		return host[0] >= 'a' && host[0] <= 'z'
	}
	return strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".svc.cluster.local")
}

// inCluster reports whether a host is a Service with its namespace: service.namespace.svc,
// or the same below cluster.local. Such names exist in a cluster's DNS only. A bare service
// name is not enough: outside a cluster, any machine on the network could have it, and
// inside, it resolves in the session's own namespace, where others may create Services.
func inCluster(host string) bool {
	labels := strings.Split(strings.TrimSuffix(strings.ToLower(host), ".cluster.local"), ".")
	return len(labels) == 3 && labels[2] == "svc" && validLabel(labels[0]) && validLabel(labels[1])
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}

// Name is the name of a project or session, valid as a path segment.
type Name struct{ text string }

// ParseName reads a Kubernetes name (RFC 1123): lower-case letters and digits, with dashes
// and dots between them. The error does not quote it.
func ParseName(text string) (Name, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Name{}, errors.New("is not set")
	}
	for label := range strings.SplitSeq(text, ".") {
		if len(text) > 253 || !validLabel(label) {
			return Name{}, errors.New("is not a valid Kubernetes name")
		}
	}
	return Name{text}, nil
}

// String is the name itself.
func (n Name) String() string { return n.text }

func validLabel(label string) bool {
	return label != "" && !strings.HasPrefix(label, "-") && !strings.HasSuffix(label, "-") &&
		strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
