// Package platform is a client for the Ambient Code Platform's API: a user's GitLab
// connection and a session's credentials.
package platform

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/strictjson"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// Config is what a Client needs.
type Config struct {
	// Base is the only place where the tokens are sent.
	Base Base
	// Token is the user's token for the platform, or the session's own, and TokenFrom
	// the name of its source.
	Token     token.Bearer
	TokenFrom string
	// Network is how the platform is reached. Plain http requests never use a proxy, which
	// could read the tokens.
	Network transport.Network
	// AllowHTTPLoopback lets instances be plain http on a loopback address.
	AllowHTTPLoopback bool
	// Limit is the configured time limit, for messages.
	Limit time.Duration
	// UserAgent names the program and its version.
	UserAgent string
}

// Client makes requests to one platform. A request's context bounds it, retries included.
//
// [message.Unverified] is true for errors without a reply, and false for refusals. After a
// change without a reply, the platform may or may not have made it; the message says so.
type Client struct {
	config    Config
	http      *http.Client
	transport *transport.Transport
	platform  Endpoint
}

// New makes a client. It opens no connection.
func New(config Config) *Client {
	if config.Base.plain() {
		config.Network.Proxy = nil
	}
	c := &Client{config: config, transport: transport.New(config.Network), platform: Endpoint{URL: config.Base.URL(), Where: config.TokenFrom}}
	c.http = &http.Client{Transport: transport.Redirects{Next: c.transport}}
	return c
}

// Close ends the client's connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Platform is the platform for messages.
func (c *Client) Platform() Endpoint { return c.platform }

// Connection is a GitLab connection as the platform sees it. The zero value is
// none.
type Connection struct {
	Connected bool
	// Instance is the one that the stored token belongs to.
	Instance instance.Instance
	// UpdatedAt is when the token was stored; zero if unknown.
	UpdatedAt time.Time
	// Username is the account on GitLab, "" if unknown. It is untrusted text: show it
	// with message.Quote.
	Username string
}

// Connect makes the platform store a token for an instance, replacing any other. It is
// never retried.
func (c *Client) Connect(ctx context.Context, tok token.Token, i instance.Instance) (Connection, error) {
	got, problem := c.send(ctx, change(http.MethodPost, "/api/auth/gitlab/connect", struct {
		Token       string `json:"personalAccessToken"`
		InstanceURL string `json:"instanceUrl"`
	}{tok.Reveal(), i.URL()}))
	if problem != nil {
		return Connection{}, problem
	}
	switch got.status {
	case http.StatusOK:
	case http.StatusBadRequest:
		return Connection{}, refusedInput(c.platform, got, i)
	default:
		return Connection{}, c.unknown(got)
	}
	// One version replies with connected, another only with a message and the instance.
	var body struct {
		Connected   *bool   `json:"connected"`
		Message     string  `json:"message"`
		InstanceURL *string `json:"instanceUrl"`
		Username    string  `json:"username"`
	}
	if strictjson.Decode(got.body, &body) != nil || body.InstanceURL == nil ||
		body.Connected == nil && body.Message == "" || body.Connected != nil && !*body.Connected {
		return Connection{}, errUncertain(c.garbled("nothing about a connection"))
	}
	if stored, err := c.instance(*body.InstanceURL); err != nil || stored != i {
		return Connection{}, errUncertain(c.garbled("a connection to another instance"))
	}
	return Connection{Connected: true, Instance: i, Username: body.Username}, nil
}

// Status is what the platform has stored.
func (c *Client) Status(ctx context.Context) (Connection, error) {
	got, problem := c.send(ctx, request{method: http.MethodGet, path: "/api/auth/gitlab/status"})
	switch {
	case problem != nil:
		return Connection{}, problem
	case got.status != http.StatusOK:
		return Connection{}, c.unknown(got)
	}
	var body struct {
		Connected   *bool           `json:"connected"`
		InstanceURL string          `json:"instanceUrl"`
		UpdatedAt   json.RawMessage `json:"updatedAt"`
		Username    string          `json:"username"`
	}
	switch {
	case strictjson.Decode(got.body, &body) != nil || body.Connected == nil:
		return Connection{}, c.garbled("nothing about a connection")
	case !*body.Connected:
		return Connection{}, nil
	}
	i, err := c.instance(body.InstanceURL)
	if err != nil {
		return Connection{}, message.InstanceInvalid("what "+c.config.Base.URL()+" has stored", err)
	}
	return Connection{Connected: true, Instance: i, UpdatedAt: moment(body.UpdatedAt), Username: body.Username}, nil
}

// Disconnect removes the stored token from the platform. It succeeds if there is none.
func (c *Client) Disconnect(ctx context.Context) error {
	const path = "/api/auth/gitlab/disconnect"
	got, problem := c.send(ctx, change(http.MethodDelete, path, nil))
	if got.status == http.StatusNotFound || got.status == http.StatusMethodNotAllowed {
		// An older platform, which has not changed anything yet.
		got, problem = c.send(ctx, change(http.MethodPost, path, nil))
	}
	if problem == nil && got.status != http.StatusOK {
		problem = c.unknown(got)
	}
	return problem
}

// Credentials are the GitLab credentials of a session's user. The zero value
// means that the user has not connected GitLab.
type Credentials struct {
	// Token returns the platform's token, which may be invalid; nil for none. It is a
	// function, so that printing can't show it.
	Token func() string
	// InstanceURL is the instance that the token belongs to; "" is gitlab.com.
	InstanceURL string
}

// SessionCredentials returns the GitLab credentials of a session's user, using the
// session's own token.
func (c *Client) SessionCredentials(ctx context.Context, project, session Name) (Credentials, error) {
	path := "/projects/" + project.text + "/agentic-sessions/" + session.text + "/credentials/gitlab"
	got, problem := c.send(ctx, request{method: http.MethodGet, path: "/api" + path})
	if c.config.Base.bare && message.Is(problem, "platform-absent") {
		// The address without /api may be the complete one.
		got, problem = c.send(ctx, request{method: http.MethodGet, path: path})
	}
	switch {
	case problem != nil:
		return Credentials{}, problem
	case got.status == http.StatusNotFound && strings.HasPrefix(got.errorText(), "GitLab credentials not configured"):
		return Credentials{}, nil
	case got.status == http.StatusNotFound && strings.HasPrefix(got.errorText(), "Session not found"):
		return Credentials{}, errSessionNotFound(c.platform, project.text+"/"+session.text)
	case got.status != http.StatusOK:
		return Credentials{}, c.unknown(got)
	}
	var body struct {
		Token       string `json:"token"`
		InstanceURL string `json:"instanceUrl"`
		Provider    string `json:"provider"`
	}
	if strictjson.Decode(got.body, &body) != nil || body.Token == "" || body.Provider != "" && body.Provider != "gitlab" {
		return Credentials{}, c.garbled("no GitLab credentials")
	}
	return Credentials{Token: func() string { return body.Token }, InstanceURL: body.InstanceURL}, nil
}

// instance reads the platform's instance URL, in which "" is gitlab.com.
func (c *Client) instance(raw string) (instance.Instance, error) {
	if strings.TrimSpace(raw) == "" {
		raw = "https://gitlab.com"
	}
	return instance.Parse(raw, c.config.AllowHTTPLoopback)
}

// moment reads a time as the platform stores it, a string with seconds since 1970. A
// number and RFC 3339 are accepted too.
func moment(raw json.RawMessage) time.Time {
	text := strings.Trim(string(raw), `"`)
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 {
		return time.Unix(seconds, 0)
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

// refusedInput is the message for a 400 about a token. Its text is not shown.
func refusedInput(p Endpoint, got reply, i instance.Instance) error {
	said := got.errorText()
	switch {
	case strings.HasPrefix(said, "GitLab connectivity check failed"):
		return errCheck(p, i.String())
	case strings.HasPrefix(said, "Invalid input: instance URL"):
		return errInput(p, "the address of "+i.String())
	case strings.HasPrefix(said, "Invalid input: token"):
		return errInput(p, "the form of the token")
	}
	return errInput(p, "the token or the address of "+i.String())
}

func (c *Client) garbled(what string) error {
	return errGarbled(c.platform, what)
}

// unknown is the message for an unexpected status.
func (c *Client) unknown(got reply) error {
	if got.status == http.StatusNotFound {
		return errAbsent(c.platform)
	}
	return c.garbled("the status " + strconv.Itoa(got.status))
}
