package gitlabtest

import (
	"cmp"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

type userJSON struct {
	ID          int     `json:"id"`
	Username    string  `json:"username"`
	Name        string  `json:"name"`
	State       string  `json:"state"`
	Locked      bool    `json:"locked"`
	AvatarURL   *string `json:"avatar_url"`
	WebURL      string  `json:"web_url"`
	Email       string  `json:"email,omitempty"`
	CommitEmail string  `json:"commit_email,omitempty"`
	IsAdmin     bool    `json:"is_admin,omitempty"` // shown to administrators only
}

func (s *Server) userView(r *http.Request, u User) userJSON {
	return userJSON{ID: u.ID, Username: u.Username, Name: u.Name, State: u.State, WebURL: s.base(r) + "/" + u.Username}
}

// base is the instance's URL as the client sees it.
func (s *Server) base(r *http.Request) string { return s.origin(r) + s.opts.Path }

func (s *Server) answerUser(r *http.Request, c *caller) reply {
	v := s.userView(r, c.user)
	v.Email, v.CommitEmail, v.IsAdmin = c.user.Email, cmp.Or(c.user.CommitEmail, c.user.Email), c.user.Admin
	return jsonReply(http.StatusOK, v)
}

func (s *Server) answerVersion() reply {
	v := struct {
		Version  string `json:"version"`
		Revision string `json:"revision"`
	}{"19.5.0", "0123456789a"}
	if s.state.isOld() {
		v.Version = "15.4.6"
	}
	return jsonReply(http.StatusOK, v)
}

type accessJSON struct {
	AccessLevel       int `json:"access_level"`
	NotificationLevel int `json:"notification_level"`
}

type permissionsJSON struct {
	ProjectAccess *accessJSON `json:"project_access"`
	GroupAccess   *accessJSON `json:"group_access"`
}

type projectJSON struct {
	ID                int              `json:"id"`
	Description       *string          `json:"description"`
	Name              string           `json:"name"`
	Path              string           `json:"path"`
	PathWithNamespace string           `json:"path_with_namespace"`
	DefaultBranch     string           `json:"default_branch,omitempty"` // absent without access to the code
	HTTPURL           string           `json:"http_url_to_repo"`
	WebURL            string           `json:"web_url"`
	EmptyRepo         bool             `json:"empty_repo"`
	Archived          bool             `json:"archived"`
	Visibility        string           `json:"visibility"`
	RepositoryLevel   string           `json:"repository_access_level"`
	MarkedForDeletion *string          `json:"marked_for_deletion_on"`
	Permissions       *permissionsJSON `json:"permissions,omitempty"` // absent for nobody
}

// answerProject answers for a project and what lies below it. Access comes
// before the redirect, so that a path that moved says nothing to strangers.
func (s *Server) answerProject(r *http.Request, rt route, c *caller) reply {
	p, moved, ok := s.state.project(rt.project)
	if !ok || p.GroupOnly || !p.visible(c.user) {
		return message(http.StatusNotFound, "404 Project Not Found")
	}
	if moved {
		to := fmt.Sprintf("%s/api/v4/projects/%d%s", s.base(r), p.ID, rt.tail)
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		return plain(http.StatusMovedPermanently, "This resource has been moved permanently to "+to).
			with("Content-Type", "text/plain").with("Location", to)
	}
	switch rt.endpoint {
	case "member":
		return s.answerMember(r, rt, p)
	case "branch":
		return s.answerBranch(r, rt, p, c)
	case "merge_base":
		return s.answerMergeBase(r, p, c)
	}
	return jsonReply(http.StatusOK, s.projectView(r, p, c))
}

func (s *Server) projectView(r *http.Request, p Project, c *caller) projectJSON {
	web := s.base(r) + "/" + p.Path
	v := projectJSON{
		ID: p.ID, Name: path.Base(p.Path), Path: path.Base(p.Path), PathWithNamespace: p.Path,
		HTTPURL: web + ".git", WebURL: web, Archived: p.Archived, Visibility: "private",
		RepositoryLevel: p.RepositoryAccessLevel, EmptyRepo: p.NoRepository || s.git.empty(p.ID),
	}
	if p.Public {
		v.Visibility = "public"
	}
	if v.RepositoryLevel == "" {
		v.RepositoryLevel = "enabled"
	}
	if p.MarkedForDeletionOn != "" {
		v.MarkedForDeletion = &p.MarkedForDeletionOn
	}
	if p.codeVisible(c.user) && !v.EmptyRepo {
		v.DefaultBranch = "main"
	}
	if c.user.ID != 0 {
		// Invited groups and administrators are not in here, in GitLab
		// neither: both entries null doesn't mean no access.
		v.Permissions = &permissionsJSON{ProjectAccess: accessView(p.Direct[c.user.ID]), GroupAccess: accessView(p.Group[c.user.ID])}
	}
	return v
}

func accessView(level int) *accessJSON {
	if level == 0 {
		return nil
	}
	return &accessJSON{AccessLevel: level, NotificationLevel: 3}
}

func (s *Server) answerMember(r *http.Request, rt route, p Project) reply {
	id, err := strconv.Atoi(rt.arg)
	if err != nil {
		return routeError(http.StatusBadRequest, "user_id is invalid")
	}
	u, known := s.state.user(id)
	level := p.level(id)
	if !known || level == 0 {
		return message(http.StatusNotFound, "404 Not found")
	}
	return jsonReply(http.StatusOK, struct {
		userJSON
		AccessLevel     int     `json:"access_level"`
		CreatedAt       string  `json:"created_at"`
		ExpiresAt       *string `json:"expires_at"`
		MembershipState string  `json:"membership_state"`
	}{userJSON: s.userView(r, u), AccessLevel: level, CreatedAt: "2025-01-02T03:04:05.000Z", MembershipState: "active"})
}

func (s *Server) answerBranch(r *http.Request, rt route, p Project, c *caller) reply {
	if !p.codeVisible(c.user) {
		return message(http.StatusForbidden, "403 Forbidden")
	}
	commit, ok := "", false
	if !p.NoRepository {
		commit, ok = s.git.branch(r.Context(), p.ID, rt.arg)
	}
	if !ok {
		return message(http.StatusNotFound, "404 Branch Not Found")
	}
	type commitJSON struct {
		ID      string `json:"id"`
		ShortID string `json:"short_id"`
	}
	protected := slices.Contains(p.ProtectedBranches, rt.arg)
	return jsonReply(http.StatusOK, struct {
		Name               string     `json:"name"`
		Commit             commitJSON `json:"commit"`
		Merged             bool       `json:"merged"`
		Protected          bool       `json:"protected"`
		DevelopersCanPush  bool       `json:"developers_can_push"`
		DevelopersCanMerge bool       `json:"developers_can_merge"`
		CanPush            bool       `json:"can_push"`
		Default            bool       `json:"default"`
		WebURL             string     `json:"web_url"`
	}{
		Name: rt.arg, Commit: commitJSON{commit, commit[:8]}, Protected: protected,
		CanPush: c.user.ID != 0 && p.pushable(c.user, protected), Default: rt.arg == "main",
		WebURL: s.base(r) + "/" + strings.TrimPrefix(p.Path, "/") + "/-/tree/" + rt.arg,
	})
}

// answerMergeBase is GET /projects/:id/repository/merge_base (lib/api/repositories.rb).
func (s *Server) answerMergeBase(r *http.Request, p Project, c *caller) reply {
	refs := r.URL.Query()["refs[]"]
	switch {
	case !p.codeVisible(c.user):
		return message(http.StatusForbidden, "403 Forbidden")
	case len(refs) < 2:
		return message(http.StatusBadRequest, "400 Bad request - Provide at least 2 refs")
	}
	var unknown []string
	for _, ref := range refs {
		if _, err := s.git.run(r.Context(), nil, "--git-dir="+s.git.dir(p.ID, false), "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}"); err != nil {
			unknown = append(unknown, ref)
		}
	}
	if len(unknown) > 0 {
		return message(http.StatusBadRequest, "400 Bad request - Could not find refs: "+strings.Join(unknown, ", "))
	}
	base, err := s.git.run(r.Context(), nil, append([]string{"--git-dir=" + s.git.dir(p.ID, false), "merge-base", "--end-of-options"}, refs...)...)
	if err != nil {
		return message(http.StatusNotFound, "404 Merge Base Not Found")
	}
	return jsonReply(http.StatusOK, map[string]string{"id": strings.TrimSpace(base)})
}
