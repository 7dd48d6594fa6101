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

// caller is who asks, as far as a token tells.
type caller struct {
	token Token
	user  User
}

// endpointScopes are the scopes of which an endpoint wants one; endpoints that
// are missing take any. The order is that of GitLab's "scope" field, which
// lists an endpoint's own scopes before those of the API as a whole, whether
// or not they'd do for the method (lib/api/api_guard.rb,
// scopes_registered_for_endpoint).
var endpointScopes = map[string][]string{
	"user":    {"read_user", "api", "read_api"},
	"project": {"api", "read_api"},
	"member":  {"api", "read_api"},
	"branch":  {"api", "read_api"},

	"merge_base": {"api", "read_api"},
	"rotate":     {"api", "self_rotate", "api", "read_api"},
}

// granularPermissions name what a fine-grained token lacks, and where.
var granularPermissions = map[string][2]string{
	"user":    {"user", "read_user"},
	"project": {"project", "read_project"},
	"member":  {"project", "read_member"},
	"branch":  {"project", "read_branch"},
	"rotate":  {"user", "rotate_personal_access_token"},
}

// serveAPI answers for the REST API: the limiter in front, then GitLab.
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

// answer decides. An endpoint that a version doesn't have is missing before
// anybody is asked who they are.
func (s *Server) answer(r *http.Request, rt route) reply {
	selfish := rt.endpoint == "self" || rt.endpoint == "rotate" || rt.endpoint == "revoke"
	if rt.endpoint == "other" || selfish && s.state.isOld() {
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

// authenticate finds the caller and holds the token against the endpoint:
// existence, expiry, revocation, account, scope, in this order. It returns
// neither caller nor refusal when there is no credential.
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

// apiToken is the credential that GitLab would look at: a PRIVATE-TOKEN wins
// over Authorization, and Basic isn't taken by the endpoints here.
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

// expired follows GitLab: the last usable day is the one before expires_at. A
// date that can't be read is a mistake in a test, and fails closed.
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
		want = []string{"api", "self_rotate"} // read_api is for reading
	}
	return want == nil || slices.ContainsFunc(want, func(w string) bool { return slices.Contains(t.Scopes, w) })
}

type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Scope       string `json:"scope,omitempty"`
}

// invalidToken is the 401 for a token that GitLab knows, and that is dead.
func invalidToken(why string) reply {
	return jsonReply(http.StatusUnauthorized, oauthError{Error: "invalid_token", Description: why}).
		with("WWW-Authenticate", fmt.Sprintf(`Bearer realm="Protected by OAuth 2.0", error="invalid_token", error_description=%q`, why)).
		with("Cache-Control", "no-store").with("Pragma", "no-cache")
}

// insufficientScope is the 403 that proves a token genuine. It has no
// WWW-Authenticate header, against the standard, as in GitLab.
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

// reply is a whole answer, so that it can be decided upon in one place and
// written in another.
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
		panic(err) // only types of this package come here
	}
	return reply{status: status, header: http.Header{"Content-Type": {typeJSON}}, body: b}
}

// message is GitLab's own form of an error: {"message":"404 Not found"}.
func message(status int, text string) reply {
	return jsonReply(status, struct {
		Message string `json:"message"`
	}{text})
}

// routeError is Grape's form, for what no endpoint matches.
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
