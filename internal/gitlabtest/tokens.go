package gitlabtest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"time"
)

// isoTime is GitLab's format of times.
const isoTime = "2006-01-02T15:04:05.000Z07:00"

// Life of a rotated token: the default and the maximum.
const (
	rotatedLife = 7 * 24 * time.Hour
	longestLife = 365 * 24 * time.Hour
)

func (s *Server) tokenView(t Token) map[string]any {
	if t.CreatedAt.IsZero() {
		t.CreatedAt = time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	v := map[string]any{
		"id": t.ID, "name": t.Name, "revoked": t.Revoked, "scopes": append([]string{}, t.Scopes...), "user_id": t.UserID, "description": nil,
		"active": !t.Revoked && !expired(t, s.opts.Now()), "created_at": t.CreatedAt.UTC().Format(isoTime), "last_used_at": nil, "expires_at": nil,
	}
	if t.Granular { // newer GitLab, optional
		v["scopes"], v["granular"] = []string{"granular"}, true
	}
	if !t.LastUsedAt.IsZero() {
		v["last_used_at"] = t.LastUsedAt.UTC().Format(isoTime)
	}
	if t.ExpiresAt != "" {
		v["expires_at"] = t.ExpiresAt
	}
	return v
}

func (s *Server) answerSelf(c *caller) reply {
	if c.token.Kind == "oauth" {
		return message(http.StatusBadRequest, "400 Bad request - This endpoint requires token type to be a personal access token")
	}
	return jsonReply(http.StatusOK, s.tokenView(c.token))
}

// rotate replaces the caller's token. The old one is revoked before the reply is sent.
func (s *Server) rotate(r *http.Request, c *caller) reply {
	if c.token.Kind != "" {
		return routeError(http.StatusMethodNotAllowed, "405 Method Not Allowed")
	}
	now := s.opts.Now().UTC()
	day := now.Add(rotatedLife).Format(time.DateOnly)
	var given struct {
		ExpiresAt string `json:"expires_at"`
	}
	if _ = json.NewDecoder(r.Body).Decode(&given); given.ExpiresAt != "" { // the body is optional
		at, err := time.Parse(time.DateOnly, given.ExpiresAt)
		switch {
		case err != nil:
			return routeError(http.StatusBadRequest, "expires_at is invalid")
		case !at.After(now):
			return message(http.StatusBadRequest, "400 Bad request - Expiration date must be in the future")
		case at.After(now.Add(longestLife)):
			return message(http.StatusBadRequest, "400 Bad request - Expiration date must be before "+now.Add(longestLife).Format(time.DateOnly))
		}
		day = given.ExpiresAt
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	old, ok := s.state.tokens[c.token.Value]
	if !ok || old.Revoked { // by a concurrent rotation
		return invalidToken("Token was revoked. You have to re-authorize from the user.")
	}
	old.Revoked = true
	s.state.tokens[old.Value] = old
	fresh := old
	fresh.Value, fresh.ID, fresh.Revoked = "glpat-CanaryRotated-"+rand.Text(), 0, false
	fresh.ExpiresAt, fresh.CreatedAt, fresh.LastUsedAt = day, now, time.Time{}
	fresh = s.state.addToken(fresh)
	v := s.tokenView(fresh)
	v["token"] = fresh.Value
	return jsonReply(http.StatusOK, v)
}

// revokeFamily revokes all tokens of a rotation chain, as GitLab does when a revoked token
// is rotated.
func (s *Server) revokeFamily(t Token) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	for value, other := range s.state.tokens {
		if other.family == t.family {
			other.Revoked = true
			s.state.tokens[value] = other
		}
	}
}

func (s *Server) revoke(c *caller) reply {
	if c.token.Kind != "" {
		return message(http.StatusBadRequest, "400 Bad request - This endpoint requires token type to be a personal access token")
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	t := s.state.tokens[c.token.Value]
	t.Revoked = true
	s.state.tokens[t.Value] = t
	return reply{status: http.StatusNoContent, header: http.Header{}}
}
