package transport

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Redirects is an http.RoundTripper that lets net/http follow only the redirects
// that Allow accepts, or none if it is nil. net/http alone would send the
// Authorization header to any subdomain.
type Redirects struct {
	Next  http.RoundTripper
	Allow func(req *http.Request, to *url.URL) bool
}

// notFollowed is the header under which the Location of a redirect that is not
// followed is kept. What a server sends under it is dropped.
const notFollowed = "Git-Credential-Acp-Not-Followed"

// RoundTrip is that of http.RoundTripper.
func (r Redirects) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.Next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	resp.Header.Del(notFollowed)
	if resp.Header.Get("Location") == "" {
		return resp, nil
	}
	to, err := req.URL.Parse(resp.Header.Get("Location"))
	if err != nil || r.Allow == nil || !r.Allow(req, to) {
		resp.Header.Del("Location")
		if err == nil {
			resp.Header.Set(notFollowed, to.String())
		}
	}
	return resp, nil
}

// notFollowedTo is where a redirect leads that was not followed: its scheme and host,
// fit to be shown, and its path. Both are "" when it does not lead to a web page. The
// rest of the address is dropped, since it may be secret.
func notFollowedTo(header http.Header) (origin, path string) {
	to, err := url.Parse(header.Get(notFollowed))
	if err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http" {
		return "", ""
	}
	host := strings.ToLower(to.Host)
	host = strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[to.Scheme])
	return message.Quote(to.Scheme + "://" + host), to.Path
}
