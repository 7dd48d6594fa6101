package serve

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

const typeLFS = "application/vnd.git-lfs+json"

// passed are the headers of an answer that clients get.
var passed = []string{"Content-Type", "Content-Length", "Cache-Control", "Expires", "Pragma", "Retry-After", "Accept-Ranges", "Content-Range", "Etag", "Last-Modified"}

// modify makes the answer for the client of GitLab's.
func (x *exchange) modify(resp *http.Response) error {
	header := http.Header{}
	for _, name := range passed {
		for _, value := range resp.Header.Values(name) {
			if !x.leaks(value) {
				header.Add(name, value)
			}
		}
	}
	location, encoded := resp.Header.Get("Location"), resp.Header.Get("Content-Encoding")
	resp.Header = header
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case encoded != "" && encoded != "identity":
		return x.unusable("it is compressed, which was not asked for")
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return x.redirect(resp, location)
	case resp.StatusCode >= 400:
		return x.explain(resp, media)
	case x.route.kind == refs && media != "application/x-"+x.route.service+"-advertisement",
		x.route.kind == service && media != "application/x-"+x.route.service+"-result":
		return x.unusable("it is not git's")
	case x.route.kind == lfsBatch || x.route.kind == lfsAPI:
		return x.rewriteAPI(resp)
	}
	return nil
}

func (x *exchange) leaks(text string) bool {
	return slices.ContainsFunc(x.tokens, func(t token.Token) bool { return holds(t, text) })
}

// redirect passes a redirect on that leads to a repository that is served here, which
// is judged when the client comes there. An LFS object may be in a storage elsewhere,
// whose URLs are presigned.
func (x *exchange) redirect(resp *http.Response, location string) error {
	i := x.server.config.Instance
	base, _ := url.Parse(i.Origin() + x.route.Target) // it was parsed
	at, err := base.Parse(location)
	if err != nil || location == "" || at.User != nil || x.leaks(location) {
		return errRedirectedAway(i.String())
	}
	if to, ours := x.here(at, x.request.Method); ours && to.kind == x.route.kind && to.Operation == x.route.Operation {
		resp.Header.Set("Location", x.self+to.Target)
	} else if !sameHost(at, i) && at.Scheme == "https" && x.route.kind == lfsObject && x.route.Operation == Fetch {
		resp.Header.Set("Location", at.String())
	} else {
		return errRedirectedAway(i.String())
	}
	resp.Header.Del("Content-Length")
	x.replace(resp, nil)
	return nil
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

// here is what a URL of the instance asks for; false for one that is not served.
func (x *exchange) here(at *url.URL, method string) (Route, bool) {
	i := x.server.config.Instance
	if i.Match(at.Scheme, at.Host, strings.TrimPrefix(at.EscapedPath(), "/")) != instance.Ours {
		return Route{}, false
	}
	return Parse(i, method, at.RequestURI())
}

// explain passes an error on: GitLab's own text, when that is plain, without anything of
// the token. A page of something in front of GitLab says nothing to git.
func (x *exchange) explain(resp *http.Response, media string) error {
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
	if err != nil || words == "" || x.leaks(string(text)) || x.leaks(words) {
		words = "GitLab answered " + decimal(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
	}
	if resp.StatusCode == http.StatusProxyAuthRequired {
		resp.StatusCode = http.StatusBadGateway // git would ask for a proxy's password
	}
	x.record.Reason = "upstream-" + decimal(resp.StatusCode)
	body, media := []byte(words+"\n"), "text/plain; charset=utf-8"
	if x.route.kind >= lfsBatch {
		body, err = json.Marshal(map[string]string{"message": words})
		media = typeLFS
	}
	resp.Header.Set("Content-Type", media)
	x.replace(resp, body)
	return err
}

// replace gives an answer another body.
func (x *exchange) replace(resp *http.Response, body []byte) {
	x.hangUp()
	_ = resp.Body.Close()
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Set("Content-Length", decimal(len(body)))
}

// rewriteAPI passes an answer of LFS's API on. The transfers that a batch names lead
// to the proxy where they led to the instance, and hold nothing of the token.
func (x *exchange) rewriteAPI(resp *http.Response) error {
	defer x.heavy()()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJSON+1))
	var answer map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err != nil || len(body) > maxJSON || decoder.Decode(&answer) != nil {
		return x.unusable("it is not LFS's")
	}
	if x.route.kind == lfsBatch {
		objects, _ := answer["objects"].([]any)
		for _, o := range objects {
			object, _ := o.(map[string]any)
			actions, _ := object["actions"].(map[string]any)
			for name, a := range actions {
				action, ok := a.(map[string]any)
				if !ok || !x.rewriteAction(name, action) {
					return x.unusable("it names a transfer that this proxy can't make")
				}
			}
		}
	}
	encoded, err := json.Marshal(answer)
	if err != nil || x.leaks(string(encoded)) {
		return x.unusable(errLeak.Error())
	}
	resp.Header.Set("Content-Type", typeLFS)
	x.replace(resp, encoded)
	return nil
}

// rewriteAction changes one transfer; false for one that can't be made through here.
func (x *exchange) rewriteAction(name string, action map[string]any) bool {
	href, _ := action["href"].(string)
	at, err := url.Parse(href)
	if err != nil || at.User != nil || x.leaks(href) {
		return false
	}
	ours := sameHost(at, x.server.config.Instance)
	if ours {
		method := map[string]string{"download": http.MethodGet, "upload": http.MethodPut, "verify": http.MethodPost}[name]
		to, served := x.here(at, method)
		if !served || !strings.EqualFold(to.Project, x.route.Project) || to.kind < lfsBatch {
			return false
		}
		action["href"] = x.self + to.Target
	}
	header, _ := action["header"].(map[string]any)
	for key, v := range header {
		value, text := v.(string)
		if !text || x.leaks(value) || x.leaks(key) || ours && strings.EqualFold(key, "Authorization") {
			delete(header, key)
		}
	}
	return true
}
