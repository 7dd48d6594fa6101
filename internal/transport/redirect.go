package transport

import (
	"net/http"
	"net/url"
)

// Redirects is an http.RoundTripper that lets net/http follow only the redirects
// that Allow accepts, and none where it is nil. net/http alone would carry the
// Authorization header to any subdomain. An answer without a Location is handed
// back as it is.
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
	location := resp.Header.Get("Location")
	if to, err := req.URL.Parse(location); err != nil || r.Allow == nil || !r.Allow(req, to) {
		resp.Header.Del("Location")
		resp.Header.Set(notFollowed, location)
	}
	return resp, nil
}

// NotFollowed is where a redirect from an address leads that was not followed: see
// [Target].
func NotFollowed(from string, header http.Header) (origin, path string) {
	if to := header.Get(notFollowed); to != "" {
		return Target(from, to)
	}
	return "", ""
}
