package gitlab

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// Service is one of git's two services.
type Service string

// The services: Fetch reads, Push writes.
const (
	Fetch Service = "git-upload-pack"
	Push  Service = "git-receive-pack"
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.config.Instance.URL()+"/"+path+"/info/refs?service="+string(service), nil)
	if err != nil {
		return access.Refs{Reply: silent(access.Garbled, "an invalid address")}
	}
	req.SetBasicAuth(username, password)
	req.Header.Set("User-Agent", "git/"+c.config.UserAgent)
	resp, err := c.git.Do(req)
	if err != nil {
		return access.Refs{Reply: silence(c.config.Instance, c.transport.RequestFault(ctx, err))}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what came is all there is to know
		return access.Refs{Reply: gitRefusal(c.config.Instance, resp, string(text), c.config.Now())}
	}
	count, err := countRefs(io.LimitReader(resp.Body, maxRefs), service)
	switch {
	case err == nil:
		return access.Refs{Reply: access.Reply{State: access.Given}, Count: count}
	case ctx.Err() != nil:
		return access.Refs{Reply: silence(c.config.Instance, c.transport.RequestFault(ctx, err))}
	}
	return access.Refs{Reply: silent(access.InFront, "200 and no refs")}
}

// errNotRefs is for a reply that is not git's.
var errNotRefs = errors.New("no advertisement of refs")

// countRefs reads git's advertisement of refs (gitprotocol-http(5), "Smart Clients"), to its
// end, without HEAD and peeled tags. Only go-git's packet lines are used: its decoder links git's
// configuration and encoding/gob, whose initializers would run at every start.
func countRefs(r io.Reader, service Service) (count int, err error) {
	lines := pktline.NewScanner(r)
	if !lines.Scan() || strings.TrimSuffix(string(lines.Bytes()), "\n") != "# service="+string(service) || !lines.Scan() || len(lines.Bytes()) > 0 {
		return 0, cmp.Or(lines.Err(), errNotRefs)
	}
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 { // flush: the end
			return count, nil
		}
		id, name, found := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		name, _, _ = strings.Cut(name, "\x00") // capabilities
		switch {
		case strings.HasPrefix(string(line), "shallow "):
		case !found || strings.Trim(id, "0123456789abcdef") != "" || len(id) != 40 && len(id) != 64:
			return 0, errNotRefs
		case name != "HEAD" && !strings.HasSuffix(name, "^{}"): // peeled, or "capabilities^{}" for no refs
			count++
		}
	}
	return 0, cmp.Or(lines.Err(), io.ErrUnexpectedEOF)
}

// gitRefusal reads the refusals of git on GitLab (lib/gitlab/git_access.rb and what runs
// before it). Their text is not kept.
func gitRefusal(i instance.Instance, resp *http.Response, text string, now time.Time) access.Reply {
	has := func(part string) bool { return strings.Contains(text, part) }
	refused := func(reason access.Reason) access.Reply {
		return access.Reply{State: access.Forbidden, Reason: reason}
	}
	if fault := transport.StatusFault(resp.StatusCode, resp.Header, now); fault.Reason != "" {
		return silence(i, fault)
	}
	switch status := resp.StatusCode; {
	case status < 200:
		return silent(access.InFront, strconv.Itoa(status)+", and no reply")
	// GitLab's refusals are plain text, and its realm is GitLab.
	case strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html"),
		status == http.StatusUnauthorized && !strings.Contains(resp.Header.Get("Www-Authenticate"), `realm="GitLab"`) && !has("HTTP Basic: Access denied"):
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
