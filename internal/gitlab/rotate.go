package gitlab

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Rotated is a token that GitLab created to replace the client's own.
type Rotated struct {
	access.Reply
	Token token.Token
	// ExpiresAt is when it expires, midnight UTC.
	ExpiresAt time.Time
}

// Rotate makes GitLab create a new token with the same scopes and revoke the client's (POST
// /personal_access_tokens/self/rotate, GitLab 16.10). It is never retried: GitLab treats a
// second request with the old token as theft, and revokes the new one too. So without a
// reply, it is unknown which of the two tokens is valid.
func (c *Client) Rotate(ctx context.Context, expires time.Time) Rotated {
	var answer struct {
		Token     secret          `json:"token"`
		ExpiresAt json.RawMessage `json:"expires_at"`
	}
	body := map[string]string{"expires_at": expires.UTC().Format(time.DateOnly)}
	reply := c.do(ctx, http.MethodPost, "/personal_access_tokens/self/rotate", body, true, &answer)
	if reply.State != access.Given {
		return Rotated{Reply: reply}
	}
	fresh := token.Issued(string(answer.Token))
	if fresh.IsZero() {
		return Rotated{Reply: incomplete("token")}
	}
	// The token is valid even if this can't be parsed; an error would lose it.
	var date *string
	err := json.Unmarshal(answer.ExpiresAt, &date)
	expiresAt, readable := midnight(date)
	if err != nil || !readable {
		expiresAt = expires
	}
	return Rotated{Reply: reply, Token: fresh, ExpiresAt: expiresAt}
}

// secret is text that must not be printed.
type secret string

func (secret) String() string   { return "[redacted]" }
func (secret) GoString() string { return "[redacted]" }

// Revoke revokes the client's own token (DELETE /personal_access_tokens/self, GitLab 15.4).
// For a token that is revoked already, the reply is Given too.
func (c *Client) Revoke(ctx context.Context) access.Reply {
	reply := c.do(ctx, http.MethodDelete, "/personal_access_tokens/self", nil, false, nil)
	if reply.State == access.Rejected && reply.Reason == access.TokenRevoked {
		return access.Reply{State: access.Given}
	}
	return reply
}
