package gitnet

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Errors of a proxy, without its URL.
var (
	errProxyKind = errors.New("it is of a kind that is not known here")
	errProxyHost = errors.New("it has no host and port that could be")
	// errProxyLogin is for an "@" after the end of the host for git: the part before it
	// is probably a password, not a host and port.
	errProxyLogin = errors.New("its user name or password has a character that must be percent-encoded")
)

// parseProxy reads a proxy as git does (http.c, get_curl_handle): a bare host is an HTTP
// proxy, and the default port is 1080, or 443 over TLS.
func parseProxy(raw string) (*url.URL, error) {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		scheme, rest = "http", raw
	}
	proxy := &url.URL{Scheme: strings.ToLower(scheme)}
	port := "1080"
	switch proxy.Scheme {
	case "http", "socks5", "socks5h":
	case "https":
		port = "443"
	default:
		return nil, errProxyKind
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		if strings.Contains(rest[end:], "@") {
			return nil, errProxyLogin
		}
		rest = rest[:end]
	}
	// The login ends at the last "@", since a password can contain others.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, password, _ := strings.Cut(rest[:at], ":")
		proxy.User, rest = url.UserPassword(unescaped(user), unescaped(password)), rest[at+1:]
	}
	host := rest
	if name, number, err := net.SplitHostPort(rest); err == nil {
		host, port = name, number
	} else if bare, found := strings.CutPrefix(rest, "["); found {
		host = strings.TrimSuffix(bare, "]")
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 || !proxyHost(host) {
		return nil, errProxyHost
	}
	proxy.Host = net.JoinHostPort(host, port)
	return proxy, nil
}

// proxyHost accepts a name or an address, and nothing that could be part of a login, since
// messages show the host.
func proxyHost(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil && address.Zone() == "" {
		return true
	}
	return host != "" && strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == ""
}

func unescaped(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// bypassed reports whether NO_PROXY matches a host (without a port), as in curl: "*" for all;
// addresses and networks for addresses; and for names the name itself or a parent domain,
// with or without a leading dot. Ports and other asterisks match nothing.
func bypassed(host, list string) bool {
	if list == "*" {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	address, err := netip.ParseAddr(host)
	numeric := err == nil
	for _, item := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		if numeric && within(address, item) {
			return true
		}
		name := strings.ToLower(strings.TrimPrefix(strings.TrimSuffix(item, "."), "."))
		if !numeric && name != "" && (host == name || strings.HasSuffix(host, "."+name)) {
			return true
		}
	}
	return false
}

// within reports whether an address is the one in item, or in the network there.
func within(address netip.Addr, item string) bool {
	if network, err := netip.ParsePrefix(item); err == nil {
		return network.Bits() > 0 && network.Contains(address)
	}
	other, err := netip.ParseAddr(item)
	return err == nil && other == address
}
