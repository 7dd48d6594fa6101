package gitnet

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// maxCookies is the limit of a cookie file in bytes.
const maxCookies = 1 << 20

// speak adds git's HTTP settings: the version, extra headers, cookies, and addresses of
// hosts, for the instance only.
func (w Way) speak(reach *transport.Network) error {
	reach.HTTP1 = w.settings["version"].Value() == "HTTP/1.1"
	for _, e := range w.config.MatchAll("http", "extraheader", w.url) {
		if name, value, ok := header(e.Value()); ok {
			if reach.Header == nil {
				reach.Header = http.Header{}
			}
			reach.Header.Add(name, value)
		}
	}
	reach.Addresses = addresses(w.config.MatchAll("http", "curloptresolve", w.url))
	cookies, problem := w.file(config.Setting{}, "cookiefile")
	if problem != nil || cookies.Path == "" {
		return problem
	}
	// curl ignores a file that can't be read; Ignored names it.
	if data, err := file.Read(cookies.Path, maxCookies); err == nil {
		reach.Cookies = jar(data, w.url)
	}
	return nil
}

// Authorizes names the http.extraHeader with a login that git sends to a URL in place of
// any helper's, "" for none.
func Authorizes(config gitconfig.Config, url string) string {
	for _, e := range config.MatchAll("http", "extraheader", url) {
		if name, _, _ := header(e.Value()); name == "Authorization" {
			return called(e)
		}
	}
	return ""
}

// connectionHeaders belong to a connection, or are set per request.
var connectionHeaders = []string{"Host", "Connection", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Keep-Alive", "Expect", "Accept-Encoding"}

// tokenHeaders would log in to GitLab's API instead of the token.
var tokenHeaders = []string{"Authorization", "Private-Token", "Job-Token", "Deploy-Token"}

// header reads a value of http.extraHeader as curl does: "Name: value", or "Name;" for an
// empty value. It is false for headers that are not sent here.
func header(text string) (name, value string, ok bool) {
	name, value, found := strings.Cut(text, ":")
	if !found {
		if name, found = strings.CutSuffix(text, ";"); !found {
			return "", "", false
		}
	}
	name, value = http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
	ok = name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == "" &&
		!strings.ContainsAny(value, "\r\n\x00") && (value != "" || strings.HasSuffix(text, ";")) &&
		!strings.HasPrefix(name, "Proxy-") && !slices.Contains(connectionHeaders, name) && !slices.Contains(tokenHeaders, name)
	return name, value, ok
}

// addresses are those of http.curloptResolve, by host and port: HOST:PORT:ADDRESS, with
// more addresses after commas, optionally with a leading "+"; -HOST:PORT removes one, and
// "*" means all hosts (CURLOPT_RESOLVE(3)).
func addresses(entries []gitconfig.Entry) map[string][]string {
	all := map[string][]string{}
	for _, e := range entries {
		text := strings.ToLower(strings.TrimPrefix(e.Value(), "+"))
		if key, found := strings.CutPrefix(text, "-"); found {
			delete(all, key)
			continue
		}
		host, rest, _ := strings.Cut(text, ":")
		port, list, found := strings.Cut(rest, ":")
		if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" || !found {
			continue
		}
		var hosts []string
		for address := range strings.SplitSeq(list, ",") {
			hosts = append(hosts, strings.Trim(address, "[] "))
		}
		all[host+":"+port] = hosts
	}
	return all
}

// jar has a file's cookies for a URL's host, in Netscape's format or as Set-Cookie lines.
func jar(data []byte, rawURL string) http.CookieJar {
	at, err := url.Parse(rawURL)
	if err != nil {
		return nil
	}
	cookies, _ := cookiejar.New(nil) // never fails
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := strings.TrimRight(lines.Text(), "\r")
		if len(line) > len("Set-Cookie:") && strings.EqualFold(line[:len("Set-Cookie:")], "Set-Cookie:") {
			if c, err := http.ParseSetCookie(strings.TrimSpace(line[len("Set-Cookie:"):])); err == nil {
				if c.Path == "" {
					c.Path = "/"
				}
				cookies.SetCookies(at, []*http.Cookie{c})
			}
			continue
		}
		if c := netscape(line, at.Hostname()); c != nil {
			cookies.SetCookies(at, []*http.Cookie{c})
		}
	}
	return cookies
}

// netscape is the cookie in a line: domain, whether it is for what is below it,
// path, whether it needs TLS, the time it expires in Unix seconds (0 for never), name
// and value, with tabs between them. Nil for none, and for one of another host.
func netscape(line, host string) *http.Cookie {
	fields := strings.Split(strings.TrimPrefix(line, "#HttpOnly_"), "\t")
	if len(fields) == 6 {
		fields = append(fields, "")
	}
	if len(fields) != 7 || strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "#HttpOnly_") {
		return nil
	}
	domain := strings.ToLower(strings.TrimPrefix(fields[0], "."))
	c := &http.Cookie{Name: fields[5], Value: fields[6], Path: fields[2], Secure: fields[3] == "TRUE"} //nolint:gosec // a cookie to send, which has no attributes
	if fields[1] == "TRUE" {
		c.Domain = domain
	} else if !strings.EqualFold(domain, host) {
		return nil
	}
	if seconds, err := strconv.ParseInt(fields[4], 10, 64); err == nil && seconds > 0 {
		c.Expires = time.Unix(seconds, 0)
	}
	return c
}

// Ignored are the settings with which git may reach a URL that this program does not: of
// these keys, the repository's, and of the others all.
func (w Way) Ignored() []string {
	var all []string
	repository := []string{"version", "extraheader", "cookiefile", "curloptresolve", "proxy"}
	never := []string{"sslversion", "sslcipherlist", "pinnedpubkey", "proxyauthmethod", "proxysslcert", "delegation", "useragent"}
	settings := w.everywhere()
	for _, key := range slices.Concat(repository, never) {
		e, found := settings[key]
		if found && e.Value() != "" && (!e.Scope.Trusted() || slices.Contains(never, key)) {
			all = append(all, called(e))
		}
	}
	for _, e := range w.config.MatchAll("http", "extraheader", w.url) {
		if name, _, _ := header(e.Value()); slices.Contains(tokenHeaders, name) {
			all = append(all, called(e))
		}
	}
	if cookies, _ := w.file(config.Setting{}, "cookiefile"); cookies.Path != "" {
		if _, err := file.Read(cookies.Path, maxCookies); err != nil {
			all = append(all, called(w.settings["cookiefile"]))
		}
	}
	return all
}
