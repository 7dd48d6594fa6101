package gitlabtest

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// isoTime is how GitLab writes times.
const isoTime = "2006-01-02T15:04:05.000Z07:00"

// Limits of a new token's life: the default after a rotation, and the longest.
const (
	rotatedLife = 7 * 24 * time.Hour
	longestLife = 365 * 24 * time.Hour
)

type tokenJSON struct {
	ID          int      `json:"id"`
	Name        string   `json:"name"`
	Revoked     bool     `json:"revoked"`
	CreatedAt   string   `json:"created_at"`
	Description *string  `json:"description"`
	Scopes      []string `json:"scopes"`
	UserID      int      `json:"user_id"`
	LastUsedAt  *string  `json:"last_used_at"`
	Active      bool     `json:"active"`
	ExpiresAt   *string  `json:"expires_at"`
	Granular    bool     `json:"granular,omitempty"` // newer GitLab, optional
	Token       string   `json:"token,omitempty"`    // after a rotation only
}

func (s *Server) tokenView(t Token) tokenJSON {
	v := tokenJSON{
		ID: t.ID, Name: t.Name, Revoked: t.Revoked, Scopes: t.Scopes, UserID: t.UserID, Granular: t.Granular,
		Active: !t.Revoked && !expired(t, s.opts.Now()),
	}
	if t.Granular {
		v.Scopes = []string{"granular"}
	}
	if v.Scopes == nil {
		v.Scopes = []string{}
	}
	if t.CreatedAt.IsZero() {
		t.CreatedAt = time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	v.CreatedAt = t.CreatedAt.UTC().Format(isoTime)
	if !t.LastUsedAt.IsZero() {
		used := t.LastUsedAt.UTC().Format(isoTime)
		v.LastUsedAt = &used
	}
	if t.ExpiresAt != "" {
		v.ExpiresAt = &t.ExpiresAt
	}
	return v
}

func (s *Server) answerSelf(c *caller) reply {
	if c.token.Kind == "oauth" {
		return message(http.StatusBadRequest, "400 Bad request - This endpoint requires token type to be a personal access token")
	}
	return jsonReply(http.StatusOK, s.tokenView(c.token))
}

// rotate replaces the caller's token. The old one is dead before the new one
// is on its way, so an answer that gets lost is a token that is lost.
func (s *Server) rotate(r *http.Request, c *caller) reply {
	if c.token.Kind != "" {
		return routeError(http.StatusMethodNotAllowed, "405 Method Not Allowed")
	}
	now := s.opts.Now().UTC()
	day := now.Add(rotatedLife).Format(time.DateOnly)
	if given := parameter(r, "expires_at"); given != "" {
		at, err := time.Parse(time.DateOnly, given)
		switch {
		case err != nil:
			return routeError(http.StatusBadRequest, "expires_at is invalid")
		case !at.After(now):
			return message(http.StatusBadRequest, "400 Bad request - Expiration date must be in the future")
		case at.After(now.Add(longestLife)):
			return message(http.StatusBadRequest, "400 Bad request - Expiration date must be before "+now.Add(longestLife).Format(time.DateOnly))
		}
		day = given
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	old, ok := s.state.tokens[c.token.Value]
	if !ok || old.Revoked { // another rotation was faster
		return invalidToken("Token was revoked. You have to re-authorize from the user.")
	}
	old.Revoked = true
	s.state.tokens[old.Value] = old
	fresh := old
	fresh.Value, fresh.ID, fresh.Revoked = "glpat-CanaryRotated-"+rand.Text(), 0, false
	fresh.ExpiresAt, fresh.CreatedAt, fresh.LastUsedAt = day, now, time.Time{}
	fresh = s.state.addToken(fresh)
	v := s.tokenView(fresh)
	v.Token = fresh.Value
	return jsonReply(http.StatusOK, v)
}

// revokeFamily is what GitLab does when a revoked token is used to rotate: it
// takes it for a stolen one, and ends all that it was rotated into.
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

// parameter reads a parameter where Grape does: query, form or JSON.
func parameter(r *http.Request, name string) string {
	if v := r.URL.Query().Get(name); v != "" {
		return v
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return ""
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), typeJSON) {
		var m map[string]any
		_ = json.Unmarshal(body, &m)
		v, _ := m[name].(string)
		return v
	}
	q, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return q.Get(name)
}
