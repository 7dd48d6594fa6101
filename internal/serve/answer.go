package serve

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

const typeLFS = "application/vnd.git-lfs+json"

// passed are the headers of an answer that clients get.
var passed = []string{"Content-Type", "Content-Length", "Cache-Control", "Expires", "Pragma", "Retry-After", "Accept-Ranges", "Content-Range", "Etag", "Last-Modified"}

// modify makes the response for the client from GitLab's.
func (x *exchange) modify(resp *http.Response) error {
	i := x.server.config.Instance.String()
	urls := links{x.server.config.Instance, x.route, x.proxy, x.tokens}
	header := http.Header{}
	for _, name := range passed {
		for _, value := range resp.Header.Values(name) {
			if !x.tokens.in(value) {
				header.Add(name, value)
			}
		}
	}
	location, encoded := resp.Header.Get("Location"), resp.Header.Get("Content-Encoding")
	resp.Header = header
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case encoded != "" && encoded != "identity":
		return errAnswerUnusable(i, "it is compressed, which was not asked for")
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		if location = urls.location(x.request.Method, location); location == "" {
			return errRedirectedAway(i)
		}
		header.Set("Location", location)
		replace(resp, nil)
		return nil
	case resp.StatusCode >= 400:
		if resp.StatusCode == http.StatusProxyAuthRequired {
			resp.StatusCode = http.StatusBadGateway // git would ask for a proxy's password
		}
		x.record.Reason = "upstream-" + decimal(resp.StatusCode)
		return explain(resp, media, x.route, x.tokens)
	case x.route.kind == refs && media != "application/x-"+x.route.service+"-advertisement",
		x.route.kind == service && media != "application/x-"+x.route.service+"-result":
		return errAnswerUnusable(i, "it is not git's")
	case x.route.kind == lfsBatch || x.route.kind == lfsAPI:
		return x.rewriteAPI(resp, urls)
	}
	return nil
}

// links rewrites URLs of the instance in responses, so that they lead to the proxy.
type links struct {
	instance instance.Instance
	route    Route
	proxy    string
	tokens   tokens
}

// location is where a redirect leads the client: to a repository that is served here, where it
// is checked again, or for an LFS object to a storage elsewhere, whose URLs are presigned. ""
// if it is not passed on.
func (l links) location(method, location string) string {
	base, _ := url.Parse(l.instance.Origin() + l.route.Target) // it was parsed
	at, err := base.Parse(location)
	if err != nil || location == "" || at.User != nil || l.tokens.in(location) {
		return ""
	}
	if to, ours := l.routeOf(at, method); ours && to.kind == l.route.kind && to.Operation == l.route.Operation {
		return l.proxy + to.Target
	}
	if !sameHost(at, l.instance) && at.Scheme == "https" && l.route.kind == lfsObject && l.route.Operation == Fetch {
		return at.String()
	}
	return ""
}

// routeOf is what a URL of the instance requests; false for one that is not served.
func (l links) routeOf(at *url.URL, method string) (Route, bool) {
	if l.instance.Match(at.Scheme, at.Host, strings.TrimPrefix(at.EscapedPath(), "/")) != instance.Ours {
		return Route{}, false
	}
	return Parse(l.instance, method, at.RequestURI())
}

// batch rewrites the transfers of an LFS batch response; false if one can't be made through the
// proxy.
func (l links) batch(response map[string]any) bool {
	objects, _ := response["objects"].([]any)
	for _, o := range objects {
		object, _ := o.(map[string]any)
		actions, _ := object["actions"].(map[string]any)
		for name, a := range actions {
			if action, ok := a.(map[string]any); !ok || !l.action(name, action) {
				return false
			}
		}
	}
	return true
}

// action rewrites one transfer.
func (l links) action(name string, action map[string]any) bool {
	href, _ := action["href"].(string)
	at, err := url.Parse(href)
	if err != nil || at.User != nil || l.tokens.in(href) {
		return false
	}
	ours := sameHost(at, l.instance)
	if ours {
		method := map[string]string{"download": http.MethodGet, "upload": http.MethodPut, "verify": http.MethodPost}[name]
		to, served := l.routeOf(at, method)
		if !served || !strings.EqualFold(to.Project, l.route.Project) || to.kind < lfsBatch {
			return false
		}
		action["href"] = l.proxy + to.Target
	}
	header, _ := action["header"].(map[string]any)
	for key, v := range header {
		value, text := v.(string)
		if !text || l.tokens.in(value) || l.tokens.in(key) || ours && strings.EqualFold(key, "Authorization") {
			delete(header, key)
		}
	}
	return true
}

// sameHost reports whether a URL leads to the instance's host and port, in any spelling and by
// any protocol. Such a URL is no storage's.
func sameHost(at *url.URL, i instance.Instance) bool {
	own, _ := url.Parse(i.Origin()) // an instance's is a URL
	ports := map[string]string{"https": "443", "http": "80"}
	name := func(u *url.URL) string { return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) }
	port := func(u *url.URL) string { return cmp.Or(u.Port(), ports[u.Scheme]) }
	return name(at) == name(own) && (port(at) == port(own) || at.Scheme != own.Scheme && port(at) == ports[at.Scheme])
}

// explain passes an error on: GitLab's own text, when that is plain, without anything of
// the token. A page of something in front of GitLab says nothing to git.
func explain(resp *http.Response, media string, route Route, all tokens) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxText))
	var answer struct {
		Message string `json:"message"`
	}
	if strings.HasSuffix(media, "json") && json.Unmarshal(text, &answer) == nil {
		text = []byte(answer.Message)
	} else if media != "text/plain" {
		text = nil
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, message.Printable(token.Mask(strings.TrimRight(line, "\r\n"))))
	}
	words := strings.Join(lines, "\n")
	if err != nil || words == "" || all.in(string(text)) || all.in(words) {
		words = "GitLab answered " + decimal(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
	}
	body, media := []byte(words+"\n"), "text/plain; charset=utf-8"
	if route.kind >= lfsBatch {
		body, err = json.Marshal(map[string]string{"message": words})
		media = typeLFS
	}
	resp.Header.Set("Content-Type", media)
	replace(resp, body)
	return err
}

// replace gives a response another body.
func replace(resp *http.Response, body []byte) {
	_ = resp.Body.Close()
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Set("Content-Length", decimal(len(body)))
}

// rewriteAPI passes a response of LFS's API on, without the token.
func (x *exchange) rewriteAPI(resp *http.Response, urls links) error {
	defer x.server.heavyWork(x.ctx)()
	i := x.server.config.Instance.String()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJSON+1))
	var answer map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err != nil || len(body) > maxJSON || decoder.Decode(&answer) != nil {
		return errAnswerUnusable(i, "it is not LFS's")
	}
	if x.route.kind == lfsBatch && !urls.batch(answer) {
		return errAnswerUnusable(i, "it names a transfer that this proxy can't make")
	}
	encoded, err := json.Marshal(answer)
	if err != nil || x.tokens.in(string(encoded)) {
		return errAnswerUnusable(i, errLeak.Error())
	}
	resp.Header.Set("Content-Type", typeLFS)
	replace(resp, encoded)
	return nil
}
