package serve

import (
	"cmp"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// Policy is what the proxy allows. The zero value allows fetches of all projects, and creating
// and fast-forwarding branches.
type Policy struct {
	// ReadOnly refuses every push.
	ReadOnly bool
	// Projects are full paths, or a group's with "/*" for all that is below it;
	// none means all projects. Case does not count, as on GitLab.
	Projects []string
	// Refs are full names of refs that may be pushed, with at most one "*" for any
	// text, slashes included; none means all branches.
	Refs []string
	// Delete allows deleting refs. Force allows non-fast-forward pushes and moving tags.
	Delete, Force bool
	// MinAccess is the level that a fetch needs, and a push if that is more than
	// Developer; nil means Reporter.
	MinAccess *int
}

// ValidProject and ValidRefs report whether a text can be in Policy.Projects and
// Policy.Refs.
func ValidProject(text string) bool {
	name := strings.TrimSuffix(text, "/*")
	r := Route{}
	return strings.Trim(name, pathBytes) == "" && r.named(name+"/x") && (name != text || strings.Contains(name, "/"))
}

// ValidRefs is for one pattern of refs.
func ValidRefs(text string) bool {
	return strings.HasPrefix(text, "refs/") && strings.Count(text, "*") <= 1 && validRef(strings.Replace(text, "*", "x/x", 1))
}

// minimum is the access level that an operation needs.
func (p Policy) minimum(o Operation) int {
	level := access.Reporter
	if p.MinAccess != nil {
		level = *p.MinAccess
	}
	if o == Push {
		return max(level, access.Developer)
	}
	return level
}

// project reports whether a project is allowed.
func (p Policy) project(path string) bool {
	for _, allowed := range p.Projects {
		group, below := strings.CutSuffix(allowed, "/*")
		if strings.EqualFold(allowed, path) ||
			below && len(path) > len(group) && path[len(group)] == '/' && strings.EqualFold(path[:len(group)], group) {
			return true
		}
	}
	return len(p.Projects) == 0
}

// ref reports whether a ref may be pushed.
func (p Policy) ref(name string) bool {
	for _, allowed := range p.refs() {
		before, after, star := strings.Cut(allowed, "*")
		rest, found := strings.CutPrefix(name, before)
		if star && found && strings.HasSuffix(rest, after) || name == allowed {
			return true
		}
	}
	return false
}

func (p Policy) refs() []string {
	if len(p.Refs) == 0 {
		return []string{"refs/heads/*"}
	}
	return p.Refs
}

// updates are the refused updates of a push by their refs, and the ones that must be verified to
// be fast-forwards.
func (p Policy) updates(u Updates) (refused map[string]error, moved []Update) {
	refused = map[string]error{}
	option := p.options(u.Options)
	for _, update := range u.List {
		moves, why := p.update(update)
		switch why = cmp.Or(why, option); {
		case why != nil:
			refused[update.Ref] = why
		case moves && len(moved) == maxMoved:
			refused[update.Ref] = errRefUnproven("more than " + decimal(maxMoved) + " branches move")
		case moves:
			moved = append(moved, update)
		}
	}
	return refused, moved
}

// update reports whether a ref update must be verified to be a fast-forward; the error is
// its refusal, nil for none.
func (p Policy) update(u Update) (forward bool, refused error) {
	switch {
	case !p.ref(u.Ref):
		return false, errRefNotAllowed(p.refs())
	case u.deletes() && !p.Delete:
		return false, errRefDelete()
	case u.deletes() || u.creates() || p.Force:
		return false, nil
	case !strings.HasPrefix(u.Ref, "refs/heads/"):
		return false, errRefMoved()
	}
	return u.Old != u.New, nil
}

// options is the refusal of push options, nil for none: those that make GitLab merge into a
// branch that may not be pushed, or create a merge request in another project. GitLab also
// has short names for them (lib/gitlab/push_options.rb).
func (p Policy) options(all []string) error {
	for _, option := range all {
		name, value, _ := strings.Cut(strings.ToLower(option), "=")
		value = strings.TrimSpace(value)
		if len(p.Projects) > 0 && strings.Contains(name, "target_project") && (!ValidProject(value) || !p.project(value)) {
			return errOptionRefused(name, "names a project that --project does not")
		}
		if len(p.Refs) > 0 && (strings.Contains(name, "merge_when_pipeline_succeeds") || strings.Contains(name, "auto_merge")) {
			return errOptionRefused(name, "would change a branch that --allow-push does not name")
		}
	}
	return nil
}
