// Package gitlab asks a GitLab instance about a token and a project over its REST
// API, version 4. It turns replies into facts; package access judges them.
package gitlab

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// maxRedirects is the most redirects that are followed; a moved project needs one.
const maxRedirects = 3

// Config is what a Client needs.
type Config struct {
	// Instance is the token's, and the only place where it is sent.
	Instance instance.Instance
	Token    token.Token
	// Network is how the instance is reached.
	Network transport.Network
	// Limit is the configured time limit, for messages.
	Limit time.Duration
	// UserAgent names the program and its version.
	UserAgent string
	// OnLimit reports whether the caller will wait that long for a rate limit to reset,
	// and then ask again. With it, a 429 is returned at once, and so is a limit that
	// others are about to use up. With nil, a 429 is retried like other failures, within
	// the context's deadline.
	OnLimit func(wait time.Duration) bool
	// OnWait is called before a wait between two tries; nil for none.
	OnWait func(wait time.Duration, why access.Reason)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Client asks one instance about one token.
type Client struct {
	config    Config
	transport *transport.Transport
	// http is for the API, and git for git's own requests, which go to the
	// instance's pages.
	http, git *http.Client

	pace pace
}

// New makes a client. It opens no connection.
func New(config Config) *Client {
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &Client{config: config, transport: transport.New(config.Network)}
	c.pace.config = &c.config
	c.http = &http.Client{Transport: transport.Redirects{Next: c.transport, Allow: inside(config.Instance, config.Instance.API())}, CheckRedirect: checkRedirect}
	c.git = &http.Client{Transport: transport.Redirects{Next: c.transport, Allow: inside(config.Instance, config.Instance.URL())}, CheckRedirect: checkRedirect}
	return c
}

// Close ends the client's connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Connection is what the replies have shown of the way to the instance.
type Connection struct {
	// ProxyHost is the proxy in use, without user and password; "" for none.
	ProxyHost string
	// Unread names the certificate authorities that could not be read.
	Unread []string
	// ClockAhead is how far GitLab's clock is ahead of the local one, in whole seconds, by
	// the Date of its last reply; ClockKnown is false if none had one.
	ClockAhead time.Duration
	ClockKnown bool
}

// Connection is what is known so far.
func (c *Client) Connection() Connection {
	ahead, known := c.pace.clock()
	return Connection{ProxyHost: c.transport.ProxyHost(), Unread: c.config.Network.Unread, ClockAhead: ahead, ClockKnown: known}
}

// inside allows redirects within a part of the instance: same scheme, host and
// port, below base.
func inside(i instance.Instance, base string) func(*http.Request, *url.URL) bool {
	return func(req *http.Request, to *url.URL) bool {
		// A change is not redirected.
		return req.Method == http.MethodGet && to.User == nil && to.Scheme+"://"+to.Host == i.Origin() && below(base, i.Origin()+to.Path)
	}
}

// below reports whether an address is below base, without .. segments.
func below(base, address string) bool {
	rest, found := strings.CutPrefix(address, base+"/")
	for segment := range strings.SplitSeq(rest, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return found
}

// checkRedirect limits the number of redirects.
func checkRedirect(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// Check requests what the policy needs: the token and the project in parallel, then the
// rest, if any, one by one. What is known is not requested again. project is a full path,
// requested only if the policy has a project to check. The context bounds all of it, retries
// included.
func (c *Client) Check(ctx context.Context, project string, policy access.Policy, known access.Facts) (access.Verdict, access.Facts) {
	facts := known
	if !known.Rejected() {
		c.first(ctx, &facts, project, policy.Project)
	}
	for {
		verdict, need := policy.Judge(facts, c.config.Now())
		switch need {
		case access.AskUser:
			facts.User = c.User(ctx)
		case access.AskMember:
			facts.Member = c.member(ctx, facts.Project.ID, facts.UserID())
		default:
			if verdict.Reason == access.Timeout {
				verdict.Detail = c.config.Limit.String()
			}
			facts.Rate = c.pace.lowest()
			return verdict, facts
		}
	}
}

// first makes the two requests of every check. A reply that rules the token out cancels the
// other one.
func (c *Client) first(ctx context.Context, facts *access.Facts, path string, withProject bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	var failure any
	answered, connected := make(chan struct{}), make(chan struct{})
	if withProject {
		group.Go(func() {
			// A panic in this goroutine would bypass the handler of panics.
			defer func() { failure = recover() }()
			if reply, held := c.pace.hold(ctx, connected, answered); held {
				facts.Project.Reply = reply
			} else if facts.Project = c.project(ctx, path); facts.Project.State == access.Rejected {
				cancel()
			}
		})
	}
	if facts.Self.State != access.Unasked {
		close(connected)
	} else {
		tell := sync.OnceFunc(func() { close(connected) })
		traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{TLSHandshakeStart: tell, GotConn: func(httptrace.GotConnInfo) { tell() }})
		if facts.Self = c.self(traced); facts.Self.State == access.Rejected {
			cancel()
		}
	}
	close(answered)
	group.Wait()
	if failure != nil {
		panic(failure)
	}
}

// ask gets one API endpoint and decodes a 200 into answer.
func (c *Client) ask(ctx context.Context, path string, answer any) access.Reply {
	if reply, full := c.pace.usedUp(); full {
		return reply
	}
	return c.do(ctx, http.MethodGet, path, nil, false, answer)
}

// do makes an API request, with once without retries. A 200 is decoded into value.
func (c *Client) do(ctx context.Context, method, path string, body any, once bool, value any) access.Reply {
	req, err := transport.Request(ctx, method, c.config.Instance.API()+path, body, c.config.Token.Reveal(), c.config.UserAgent)
	if err != nil {
		return silent(access.Garbled, "an invalid address")
	}
	var reply access.Reply
	retry := &transport.Retry{Once: once, OnWait: c.pace.announce, Now: c.config.Now}
	retry.Read = func(a transport.Answer) (fault transport.Fault) {
		c.pace.note(a.Header)
		reply, fault = decode(c.config.Instance, a, value, once)
		if fault.Reason == access.RateLimited && c.config.OnLimit != nil {
			c.pace.refuse(reply)
			fault.Again = false
		}
		return fault
	}
	if fault := retry.Do(c.transport, c.http, req); fault.Reason != "" {
		return silence(c.config.Instance, fault)
	}
	return reply
}
