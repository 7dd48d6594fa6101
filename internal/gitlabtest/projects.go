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

func (s *Server) userView(r *http.Request, u User) map[string]any {
	return map[string]any{"id": u.ID, "username": u.Username, "name": u.Name, "state": "active", "locked": false, "avatar_url": nil,
		"web_url": s.base(r) + "/" + u.Username}
}

// base is the instance's URL as seen by the client.
func (s *Server) base(r *http.Request) string { return s.origin(r) + s.opts.Path }

func (s *Server) answerUser(r *http.Request, c *caller) reply {
	v := s.userView(r, c.user)
	v["email"], v["commit_email"] = c.user.Email, cmp.Or(c.user.CommitEmail, c.user.Email)
	if c.user.Admin { // only administrators have it
		v["is_admin"] = true
	}
	return jsonReply(http.StatusOK, v)
}

// answerProject serves a project and what is below it. Access is checked before the
// redirect of a moved path.
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

func (s *Server) projectView(r *http.Request, p Project, c *caller) map[string]any {
	web, name := s.base(r)+"/"+p.Path, path.Base(p.Path)
	v := map[string]any{
		"id": p.ID, "description": nil, "name": name, "path": name, "path_with_namespace": p.Path,
		"http_url_to_repo": web + ".git", "web_url": web, "archived": p.Archived, "visibility": "private",
		"repository_access_level": cmp.Or(p.RepositoryAccessLevel, "enabled"), "empty_repo": p.NoRepository || s.git.empty(p.ID),
		"marked_for_deletion_on": nil,
	}
	if p.Public {
		v["visibility"] = "public"
	}
	if p.MarkedForDeletionOn != "" {
		v["marked_for_deletion_on"] = p.MarkedForDeletionOn
	}
	if p.codeVisible(c.user) && v["empty_repo"] == false {
		v["default_branch"] = "main" // only with access to the code
	}
	if c.user.ID != 0 {
		// As in GitLab, without invited groups and administrators: two nulls don't mean no
		// access.
		v["permissions"] = map[string]any{"project_access": accessView(p.Direct[c.user.ID]), "group_access": accessView(p.Group[c.user.ID])}
	}
	return v
}

func accessView(level int) any {
	if level == 0 {
		return nil
	}
	return map[string]int{"access_level": level, "notification_level": 3}
}

func (s *Server) answerMember(r *http.Request, rt route, p Project) reply {
	id, err := strconv.Atoi(rt.arg)
	if err != nil {
		return routeError(http.StatusBadRequest, "user_id is invalid")
	}
	u, known := s.state.user(id)
	if !known || p.level(id) == 0 {
		return message(http.StatusNotFound, "404 Not found")
	}
	v := s.userView(r, u)
	v["access_level"], v["created_at"], v["expires_at"], v["membership_state"] = p.level(id), "2025-01-02T03:04:05.000Z", nil, "active"
	return jsonReply(http.StatusOK, v)
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
	protected := slices.Contains(p.ProtectedBranches, rt.arg)
	return jsonReply(http.StatusOK, map[string]any{
		"name": rt.arg, "commit": map[string]string{"id": commit, "short_id": commit[:8]}, "merged": false, "protected": protected,
		"developers_can_push": false, "developers_can_merge": false,
		"can_push": c.user.ID != 0 && p.pushable(c.user, protected), "default": rt.arg == "main",
		"web_url": s.base(r) + "/" + strings.TrimPrefix(p.Path, "/") + "/-/tree/" + rt.arg,
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
