package gitlabtest

import (
	"net/http"
	"net/url"
	"strings"
)

// route is a parsed request.
type route struct {
	endpoint string // a name as in Fault.Match, or "other"
	rest     bool   // below <Path>/api/v4
	project  string // :id, unescaped
	arg      string // user ID or branch, unescaped
	tail     string // escaped path after :id, for redirects
	repo     *repoRoute
}

// repoRoute is a request for a repository, by git or by git-lfs.
type repoRoute struct {
	path    string // full path of the project, without ".git" and ".wiki"
	wiki    bool
	suffix  bool   // the URL has ".git"
	service string // "git-upload-pack", "git-receive-pack", or another
	rpc     string // "/info/refs", "/git-upload-pack", "/git-receive-pack", or that of LFS
}

// route parses the escaped path, in which a project's "%2F" is part of its name.
func (s *Server) route(r *http.Request) route {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), s.opts.Path)
	if !ok || !strings.HasPrefix(path, "/") {
		return route{endpoint: "other"}
	}
	if rest, ok := strings.CutPrefix(path, "/api/v4/"); ok {
		return apiRoute(r.Method, rest)
	}
	if rt := gitRoute(r, path); rt != nil {
		name := "git"
		if strings.HasPrefix(rt.rpc, "/info/lfs/") || strings.HasPrefix(rt.rpc, "/gitlab-lfs/") {
			name = "lfs"
		}
		return route{endpoint: name, repo: rt}
	}
	return route{endpoint: "other"}
}

func apiRoute(method, path string) route {
	rt := route{endpoint: "other", rest: true}
	read := method == http.MethodGet || method == http.MethodHead
	parts := strings.Split(path, "/")
	switch {
	case path == "personal_access_tokens/self" && read:
		rt.endpoint = "self"
	case path == "personal_access_tokens/self" && method == http.MethodDelete:
		rt.endpoint = "revoke"
	case path == "personal_access_tokens/self/rotate" && method == http.MethodPost:
		rt.endpoint = "rotate"
	case path == "user" && read:
		rt.endpoint = "user"
	case len(parts) >= 2 && parts[0] == "projects" && read:
		var err error
		if rt.project, err = url.PathUnescape(parts[1]); err != nil || rt.project == "" {
			return rt
		}
		rt.tail = strings.TrimPrefix(path, parts[0]+"/"+parts[1])
		switch {
		case len(parts) == 2:
			rt.endpoint = "project"
		case len(parts) == 4 && parts[2] == "repository" && parts[3] == "merge_base":
			rt.endpoint = "merge_base"
		case len(parts) == 5 && parts[2] == "members" && parts[3] == "all":
			rt.endpoint, rt.arg = "member", parts[4]
		case len(parts) == 5 && parts[2] == "repository" && parts[3] == "branches":
			if rt.arg, err = url.PathUnescape(parts[4]); err == nil {
				rt.endpoint = "branch"
			}
		}
	}
	return rt
}

// gitRoute finds the repository in a path of git or git-lfs.
func gitRoute(r *http.Request, path string) *repoRoute {
	path, err := url.PathUnescape(path)
	if err != nil {
		return nil
	}
	rt := &repoRoute{}
	for _, mark := range []string{"/info/lfs/", "/gitlab-lfs/objects/"} {
		if repo, rest, ok := strings.Cut(path, ".git"+mark); ok {
			rt.rpc, rt.suffix = mark+rest, true
			return rt.named(repo)
		}
	}
	for _, rpc := range []string{"/info/refs", "/git-upload-pack", "/git-receive-pack"} {
		if repo, ok := strings.CutSuffix(path, rpc); ok {
			rt.rpc, rt.service = rpc, strings.TrimPrefix(rpc, "/")
			if rpc == "/info/refs" {
				rt.service = r.URL.Query().Get("service")
			}
			repo, rt.suffix = strings.CutSuffix(repo, ".git")
			return rt.named(repo)
		}
	}
	return nil
}

func (rt *repoRoute) named(repo string) *repoRoute {
	rt.path, rt.wiki = strings.CutSuffix(strings.Trim(repo, "/"), ".wiki")
	return rt
}

// push reports whether a request belongs to a push.
func (rt *repoRoute) push() bool { return rt.service == "git-receive-pack" }
