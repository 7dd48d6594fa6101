package gitlabtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// caller is the authenticated user and token of an API request.
type caller struct {
	token Token
	user  User
}

// endpointScopes are the scopes of which an endpoint requires one; an endpoint without an
// entry accepts any. The order is that of GitLab's "scope" field, which lists an
// endpoint's own scopes before those of the API, even if they don't suffice for the
// method (lib/api/api_guard.rb, scopes_registered_for_endpoint).
var endpointScopes = map[string][]string{
	"user":    {"read_user", "api", "read_api"},
	"project": {"api", "read_api"},
	"member":  {"api", "read_api"},
	"branch":  {"api", "read_api"},

	"merge_base": {"api", "read_api"},
	"rotate":     {"api", "self_rotate", "api", "read_api"},
}

// granularPermissions are the missing permission of a fine-grained token, and its kind.
var granularPermissions = map[string][2]string{
	"user":    {"user", "read_user"},
	"project": {"project", "read_project"},
	"member":  {"project", "read_member"},
	"branch":  {"project", "read_branch"},
	"rotate":  {"user", "rotate_personal_access_token"},
}

// serveAPI serves the REST API, behind the rate limit.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request, rt route) {
	limit, over := s.limits.hit(limitKey(r), s.opts.Now())
	maps.Copy(w.Header(), limit)
	if over {
		plain(http.StatusTooManyRequests, "Retry later").with("Content-Type", "text/plain").write(w)
		return
	}
	w.Header().Set("Cache-Control", "max-age=0, private, must-revalidate")
	w.Header().Set("Vary", "Origin")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Request-Id", fmt.Sprintf("01GITLABTEST%014d", s.Count("all")))
	s.answer(r, rt).write(w)
}

// answer returns the reply to an API request. A missing endpoint is 404 even without a
// token.
func (s *Server) answer(r *http.Request, rt route) reply {
	ofToken := rt.endpoint == "self" || rt.endpoint == "rotate" || rt.endpoint == "revoke"
	if rt.endpoint == "other" || ofToken && s.state.isOld() {
		return routeError(http.StatusNotFound, "404 Not Found")
	}
	c, refused := s.authenticate(r, rt.endpoint)
	if refused != nil {
		return *refused
	}
	public := rt.endpoint == "project" || rt.endpoint == "member" || rt.endpoint == "branch" || rt.endpoint == "merge_base"
	if c == nil && !public {
		return message(http.StatusUnauthorized, "401 Unauthorized")
	}
	switch rt.endpoint {
	case "self":
		return s.answerSelf(c)
	case "rotate":
		return s.rotate(r, c)
	case "revoke":
		return s.revoke(c)
	case "user":
		return s.answerUser(r, c)
	}
	if c == nil {
		c = &caller{}
	}
	return s.answerProject(r, rt, c)
}

// authenticate checks the token: existence, expiry, revocation, account, scope, in this
// order. Without a token it returns neither caller nor refusal.
func (s *Server) authenticate(r *http.Request, endpoint string) (*caller, *reply) {
	value := apiToken(r)
	if value == "" {
		return nil, nil
	}
	refuse := func(p reply) (*caller, *reply) { return nil, &p }
	t, ok := s.state.token(value)
	if !ok || t.Kind == "oauth" && r.Header.Get("Private-Token") != "" {
		return refuse(message(http.StatusUnauthorized, "401 Unauthorized"))
	}
	switch {
	case expired(t, s.opts.Now()):
		return refuse(invalidToken("Token is expired. You can either do re-authorization or token refresh."))
	case t.Revoked:
		if endpoint == "rotate" {
			s.revokeFamily(t)
		}
		return refuse(invalidToken("Token was revoked. You have to re-authorize from the user."))
	}
	u, ok := s.state.user(t.UserID)
	if !ok {
		return refuse(message(http.StatusUnauthorized, "401 Unauthorized"))
	}
	if u.Forbidden != "" {
		return refuse(message(http.StatusForbidden, "403 Forbidden - "+u.Forbidden))
	}
	if !scopeSuffices(t, endpoint) {
		return refuse(insufficientScope(t, endpoint))
	}
	return &caller{token: t, user: u}, nil
}

// apiToken returns the request's token: PRIVATE-TOKEN wins over Authorization, and these
// endpoints don't accept Basic.
func apiToken(r *http.Request) string {
	if v := r.Header.Get("Private-Token"); v != "" {
		return v
	}
	name, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(name, "bearer") {
		return ""
	}
	return strings.TrimSpace(value)
}

// expired reports whether a token has expired: the last day is the one before expires_at.
// An invalid date counts as expired.
func expired(t Token, now time.Time) bool {
	if t.ExpiresAt == "" {
		return false
	}
	day, err := time.Parse(time.DateOnly, t.ExpiresAt)
	return err != nil || !now.UTC().Before(day)
}

func scopeSuffices(t Token, endpoint string) bool {
	want := endpointScopes[endpoint]
	if endpoint == "rotate" {
		want = []string{"api", "self_rotate"} // not read_api
	}
	return want == nil || slices.ContainsFunc(want, func(w string) bool { return slices.Contains(t.Scopes, w) })
}

type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Scope       string `json:"scope,omitempty"`
}

// invalidToken is the 401 for an expired or revoked token.
func invalidToken(why string) reply {
	return jsonReply(http.StatusUnauthorized, oauthError{Error: "invalid_token", Description: why}).
		with("WWW-Authenticate", fmt.Sprintf(`Bearer realm="Protected by OAuth 2.0", error="invalid_token", error_description=%q`, why)).
		with("Cache-Control", "no-store").with("Pragma", "no-cache")
}

// insufficientScope is the 403 for a valid token. Like GitLab's, it has no
// WWW-Authenticate header.
func insufficientScope(t Token, endpoint string) reply {
	if t.Granular {
		p := granularPermissions[endpoint]
		return jsonReply(http.StatusForbidden, oauthError{Error: "insufficient_granular_scope", Description: fmt.Sprintf(
			"Access denied: This operation requires a fine-grained personal access token with the following %s permissions: [%s].", p[0], p[1])})
	}
	return jsonReply(http.StatusForbidden, oauthError{
		Error:       "insufficient_scope",
		Description: "The request requires higher privileges than provided by the access token.",
		Scope:       strings.Join(endpointScopes[endpoint], " "),
	})
}

// reply is an HTTP response.
type reply struct {
	status int
	header http.Header
	body   []byte
}

const (
	typeJSON  = "application/json"
	typePlain = "text/plain; charset=utf-8"
)

func jsonReply(status int, v any) reply {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // all callers' types can be encoded
	}
	return reply{status: status, header: http.Header{"Content-Type": {typeJSON}}, body: b}
}

// message is GitLab's usual error: {"message":"404 Not found"}.
func message(status int, text string) reply {
	return jsonReply(status, struct {
		Message string `json:"message"`
	}{text})
}

// routeError is the error of Grape, GitLab's API framework.
func routeError(status int, text string) reply {
	return jsonReply(status, struct {
		Error string `json:"error"`
	}{text})
}

func plain(status int, text string) reply {
	return reply{status: status, header: http.Header{"Content-Type": {typePlain}}, body: []byte(text)}
}

func (p reply) with(key, value string) reply {
	p.header.Set(key, value)
	return p
}

func (p reply) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.header)
	if p.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(p.body)))
	}
	w.WriteHeader(p.status)
	_, _ = w.Write(p.body)
}
