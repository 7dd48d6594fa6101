package serve

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/instance"
)

// Operation is what a request does to a repository.
type Operation string

// The operations. Fetch needs Reporter, Push Developer.
const (
	Fetch Operation = "fetch"
	Push  Operation = "push"
)

// kind is a part of git's or LFS's protocol over HTTP.
type kind int

const (
	refs      kind = iota // info/refs, the advertisement of a service
	service               // git-upload-pack, git-receive-pack
	lfsBatch              // LFS batch API; its body says which operation it is
	lfsAPI                // LFS locks and verify
	lfsObject             // the content of an LFS object
)

// Route is a request that the proxy forwards, by its method, path and query alone.
type Route struct {
	Operation Operation
	// Project is the full path of the project; of the wiki's project or group for
	// a wiki.
	Project string
	Wiki    bool
	// Target is the path and query at the instance.
	Target string
	// Repository is the path of the repository at the instance, without a slash in
	// front.
	Repository string
	kind       kind
	// service is the git program, for refs and service.
	service string
}

// maxTarget bounds the path and query of a request in bytes.
const maxTarget = 4096

const (
	letters    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	pathBytes  = letters + "_-./"
	hexDigits  = "0123456789abcdef"
	digits     = "0123456789"
	oidLength  = 64 // of an LFS object, SHA-256
	maxDecimal = 15 // digits of a size
)

// Parse parses a request line; false for everything that is not git's or LFS's. The path is
// not decoded: no repository or service on GitLab needs a percent sign, so a path with one is
// refused, and the path that was checked is the one that is forwarded.
func Parse(i instance.Instance, method, target string) (Route, bool) {
	path, query, asked := strings.Cut(target, "?")
	base := strings.TrimPrefix(i.URL(), i.Origin())
	rest, below := strings.CutPrefix(path, base+"/")
	if len(target) > maxTarget || strings.Trim(path, pathBytes) != "" || !below {
		return Route{}, false
	}
	repository, tail := split(rest)
	r := Route{Repository: strings.TrimPrefix(base+"/"+repository, "/")}
	if !r.named(repository) || !r.is(method, tail, query, asked) {
		return Route{}, false
	}
	// The verdict is for the project that package instance finds in this path.
	if project, err := i.Project(r.Repository); err != nil || project != r.Project && (!r.Wiki || project != "") {
		return Route{}, false
	}
	r.Target = "/" + r.Repository + tail
	if asked {
		r.Target += "?" + query
	}
	return r, true
}

// split splits a path below the instance after the first segment that ends in .git. git also
// requests repositories without that suffix, which is added.
func split(rest string) (repository, tail string) {
	if at := strings.Index(rest, ".git/"); at >= 0 {
		return rest[:at+len(".git")], rest[at+len(".git"):]
	}
	for _, tail := range []string{"/info/refs", "/git-upload-pack", "/git-receive-pack"} {
		if name, found := strings.CutSuffix(rest, tail); found {
			return name + ".git", tail
		}
	}
	return "", ""
}

// named reads the name of a repository: a project's or a wiki's. Snippets are not served,
// since their paths look like those of projects.
func (r *Route) named(repository string) bool {
	r.Project = strings.TrimSuffix(repository, ".git")
	r.Project, r.Wiki = strings.CutSuffix(r.Project, ".wiki")
	segments := strings.Split(r.Project, "/")
	for _, s := range segments {
		if s == "" || strings.Trim(s, ".") == "" || s[0] == '-' || hasEnding(s, ".git") || hasEnding(s, ".wiki") {
			return false
		}
	}
	n := len(segments)
	snippet := n > 1 && segments[n-2] == "snippets" && strings.Trim(segments[n-1], digits) == ""
	return !snippet && (n > 1 || r.Wiki)
}

func hasEnding(segment, ending string) bool {
	return len(segment) >= len(ending) && strings.EqualFold(segment[len(segment)-len(ending):], ending)
}

// is reads the path after the repository. The paths are those of GitLab's
// config/routes/git_http.rb, without the deprecated ones.
func (r *Route) is(method, tail, query string, asked bool) bool {
	as := func(k kind, o Operation, m string) bool {
		r.kind, r.Operation = k, o
		return method == m && !asked
	}
	lock, locked := strings.CutPrefix(tail, "/info/lfs/locks/")
	object, transfer := strings.CutPrefix(tail, "/gitlab-lfs/objects/")
	switch {
	case tail == "/info/refs":
		r.service = strings.TrimPrefix(query, "service=")
		r.kind, r.Operation = refs, operations[r.service]
		return method == http.MethodGet && r.Operation != "" && query == "service="+r.service
	case operations[strings.TrimPrefix(tail, "/")] != "":
		r.service = tail[1:]
		return as(service, operations[r.service], http.MethodPost)
	case tail == "/info/lfs/objects/batch":
		return as(lfsBatch, Push, http.MethodPost)
	case tail == "/info/lfs/locks" && method == http.MethodGet:
		r.kind, r.Operation = lfsAPI, Fetch
		return !asked || filter(query)
	case tail == "/info/lfs/locks", tail == "/info/lfs/verify", tail == "/info/lfs/locks/verify":
		return as(lfsAPI, Push, http.MethodPost)
	case locked:
		id, unlock := strings.CutSuffix(lock, "/unlock")
		return unlock && isDecimal(id) && as(lfsAPI, Push, http.MethodPost)
	case transfer && method == http.MethodGet:
		return isOID(object) && as(lfsObject, Fetch, http.MethodGet)
	case transfer:
		oid, size, _ := strings.Cut(object, "/")
		return isOID(oid) && isDecimal(size) && as(lfsObject, Push, http.MethodPut)
	}
	return false
}

// contentType is that of the request's body.
func (r *Route) contentType() string {
	switch r.kind {
	case refs, service:
		return "application/x-" + r.service + "-request"
	case lfsObject:
		return "application/octet-stream"
	case lfsBatch, lfsAPI:
	}
	return typeLFS
}

var operations = map[string]Operation{"git-upload-pack": Fetch, "git-receive-pack": Push}

func isOID(text string) bool { return len(text) == oidLength && strings.Trim(text, hexDigits) == "" }

func isDecimal(text string) bool {
	return text != "" && len(text) <= maxDecimal && strings.Trim(text, digits) == ""
}

// filter reports whether a query is one of the list of locks (git-lfs's
// docs/api/locking.md).
func filter(query string) bool {
	values, err := url.ParseQuery(query)
	for name, all := range values {
		if len(all) != 1 || !slices.Contains([]string{"path", "id", "cursor", "limit", "refspec"}, name) {
			return false
		}
	}
	return err == nil && strings.Trim(query, letters+"_-.~%&=+/") == ""
}
