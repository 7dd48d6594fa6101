package verify

import (
	"net/http"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/gitnet"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// Clients makes clients for GitLab, which go there as git does.
type Clients struct {
	Net gitnet.Settings
	// UserAgent is as in gitlab.Config, and OnExchange as in transport.Network.
	UserAgent  string
	OnExchange func(req *http.Request, status int, began time.Time)
	Progress   Progress
}

// Connect makes a client for the instance of a question's token. limit and onLimit are
// as in gitlab.Config.
func (c Clients) Connect(q helper.Question, limit time.Duration, onLimit func(time.Duration) bool) (*gitlab.Client, error) {
	network, problem := c.Network(q.Found, q.Target())
	if problem != nil {
		return nil, problem
	}
	network.OnExchange = c.OnExchange
	return gitlab.New(gitlab.Config{
		Instance:  q.Found.Instance,
		Token:     q.Found.Token,
		Network:   network,
		Limit:     limit,
		UserAgent: c.UserAgent,
		OnLimit:   onLimit,
		OnWait:    c.Progress.Waits(q.Found),
	}), nil
}

// Network is how to reach a URL at the instance of a token, trusting the authorities
// that came with the token.
func (c Clients) Network(found source.Found, url string) (transport.Network, error) {
	trust := transport.Trust{Where: "the key ca.crt of the Secret"}
	if found.CA != nil {
		var problem error
		if trust.PEM, problem = found.CA(); problem != nil {
			return transport.Network{}, problem
		}
	}
	return c.Net.To(url).Network(trust)
}
