package gitlab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	gittransport "github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// Service is one of git's two services.
type Service string

// The services: Fetch reads, Push writes.
const (
	Fetch Service = gittransport.UploadPackServiceName
	Push  Service = gittransport.ReceivePackServiceName
)

// Limits of git's replies in bytes: a million refs, and a refusal's text.
const (
	maxRefs    = 64 << 20
	maxRefusal = 4 << 10
)

// Refs requests the refs of the repository at path ("group/project.git") from git on the
// instance, as at the start of a fetch or push, with git's login. Unlike the API's, failed
// logins count toward GitLab's ban of addresses: use only a login that the API accepts.
func (c *Client) Refs(ctx context.Context, path string, service Service, username, password string) access.Refs {
	endpoint, err := gittransport.NewEndpoint(c.config.Instance.URL() + "/" + path)
	if err != nil {
		return access.Refs{Reply: silent(access.Garbled, "an invalid address")}
	}
	seen := &refusal{next: c.git.Transport}
	client := githttp.NewClient(&http.Client{Transport: seen, CheckRedirect: c.git.CheckRedirect})
	auth := &githttp.BasicAuth{Username: username, Password: password}
	var session gittransport.Session
	if service == Push {
		session, err = client.NewReceivePackSession(endpoint, auth)
	} else {
		session, err = client.NewUploadPackSession(endpoint, auth)
	}
	if err != nil {
		return access.Refs{Reply: silent(access.Garbled, "an invalid address")}
	}
	defer func() { _ = session.Close() }()
	advertised, err := session.AdvertisedReferencesContext(ctx)
	switch {
	case err == nil:
		return access.Refs{Reply: access.Reply{State: access.Given}, Count: len(advertised.References)}
	case errors.Is(err, gittransport.ErrEmptyRemoteRepository):
		return access.Refs{Reply: access.Reply{State: access.Given}}
	case seen.status == 0:
		fault := c.transport.Fault(err)
		if ctx.Err() != nil {
			fault = c.transport.Ended(ctx, err)
		}
		return access.Refs{Reply: c.silence(fault)}
	}
	return access.Refs{Reply: c.gitRefusal(seen)}
}

// refusal records the status of the last reply, and the text of a refusal, which go-git's
// error does not have completely.
type refusal struct {
	next   http.RoundTripper
	status int
	header http.Header
	text   string
}

func (r *refusal) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	r.status, r.header = resp.StatusCode, resp.Header
	if resp.StatusCode < http.StatusBadRequest {
		resp.Body = limited{io.LimitReader(resp.Body, maxRefs), resp.Body}
		return resp, nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what came is all there is to know
	r.text = string(text)
	resp.Body = limited{bytes.NewReader(text), resp.Body}
	return resp, nil
}

// limited reads from one and closes the other.
type limited struct {
	io.Reader
	io.Closer
}

// gitRefusal reads the refusals of git on GitLab (lib/gitlab/git_access.rb and what runs
// before it). Their text is not kept.
func (c *Client) gitRefusal(seen *refusal) access.Reply {
	has := func(part string) bool { return strings.Contains(seen.text, part) }
	refused := func(reason access.Reason) access.Reply {
		return access.Reply{State: access.Forbidden, Reason: reason}
	}
	if fault := transport.StatusFault(seen.status, seen.header, c.config.Now()); fault.Reason != "" {
		return c.silence(fault)
	}
	switch status := seen.status; {
	case status < 300:
		return silent(access.InFront, "200 and no refs")
	// GitLab's refusals are plain text, and its realm is GitLab.
	case strings.HasPrefix(seen.header.Get("Content-Type"), "text/html"),
		status == http.StatusUnauthorized && !strings.Contains(seen.header.Get("Www-Authenticate"), `realm="GitLab"`) && !has("HTTP Basic: Access denied"):
		return silent(access.InFront, strconv.Itoa(status)+", and not GitLab's")
	case status == http.StatusUnauthorized:
		return refused(access.GitLogin)
	case status == http.StatusNotFound:
		return refused(access.GitAbsent)
	case has("archived project"):
		return refused(access.GitArchived)
	case has("over HTTP is not allowed"):
		return refused(access.GitHTTPOff)
	case has("SSO session"):
		return refused(access.GitSSO)
	case has("Too many failed authentication attempts"):
		return refused(access.GitBanned)
	case has("from this project") || has("to this project"):
		return refused(access.GitRole)
	case has("You are not allowed to download code") || has("You are not allowed to upload code"):
		return refused(access.GitScope)
	}
	return refused(access.GitForbidden)
}
