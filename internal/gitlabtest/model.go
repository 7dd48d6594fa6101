package gitlabtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Access levels (GitLab's Gitlab::Access).
const (
	levelGuest      = 10
	levelReporter   = 20 // may clone private code
	levelDeveloper  = 30 // may push
	levelMaintainer = 40 // may push to a protected branch
)

// User is an account.
type User struct {
	ID                    int
	Username, Name, Email string
	CommitEmail           string // Email if empty
	Admin                 bool
	// Forbidden is why the account is refused: the text after "403 Forbidden - " in the API,
	// such as "Your account has been blocked.". git replies 401 to a blocked account, and
	// 403 with the text to others.
	Forbidden string
}

// Token is a credential. A project's, a group's or an impersonation token is a
// personal one whose user is a bot.
type Token struct {
	Value  string
	ID     int // 0: assigned by the server
	UserID int
	Name   string
	Scopes []string
	// ExpiresAt is a date such as "2026-12-31", or empty. The token expires at 00:00 UTC on
	// that day.
	ExpiresAt string
	Revoked   bool
	// Granular is a fine-grained token: its scopes are shown as ["granular"], and Scopes are
	// what its grants amount to.
	Granular bool
	// Kind is "" for a personal token, or "oauth" (with git only for the user name oauth2).
	Kind                  string
	CreatedAt, LastUsedAt time.Time // zero: some fixed time; never
	// family is the ID of the first token of its rotations.
	family int
}

// Project is a project with its repository and wiki.
type Project struct {
	ID       int    // 0: assigned by the server
	Path     string // full path, group/sub/project
	Archived bool
	Public   bool
	// Direct, Group and Invited are access levels by user ID: members of the project, of its
	// group or an ancestor, and of a group that it is shared with. The highest counts; the
	// API's permissions show the first two only.
	Direct, Group, Invited map[int]int
	// OldPaths are its paths before it was moved: 301 from the API; git is served, with a
	// notice after a push.
	OldPaths []string
	// ProtectedBranches require Maintainer. Unlike in GitLab, the default is none.
	ProtectedBranches []string
	// NoRepository omits repository and wiki: git gets 404.
	NoRepository bool
	// Empty is a repository without commits.
	Empty bool
	// RepositoryAccessLevel is "enabled" if empty; "disabled" refuses git.
	RepositoryAccessLevel string
	// GroupOnly makes it a group with a wiki, not a project.
	GroupOnly bool
	// MarkedForDeletionOn is a date such as "2026-12-31", or empty.
	MarkedForDeletionOn string
}

// level is the user's access level, 0 without any. Minimal access (5) doesn't include a
// group's projects.
func (p Project) level(userID int) int {
	if l := max(p.Direct[userID], p.Group[userID], p.Invited[userID]); l >= levelGuest {
		return l
	}
	return 0
}

func (p Project) visible(u User) bool { return p.Public || u.Admin || p.level(u.ID) > 0 }

// codeVisible reports whether u may clone; the zero user is anonymous.
func (p Project) codeVisible(u User) bool {
	switch {
	case p.RepositoryAccessLevel == "disabled":
		return false
	case u.Admin || p.level(u.ID) >= levelReporter:
		return true
	}
	return p.Public
}

func (p Project) pushable(u User, branchProtected bool) bool {
	need := levelDeveloper
	if branchProtected {
		need = levelMaintainer
	}
	return !p.Archived && p.RepositoryAccessLevel != "disabled" && (u.Admin || p.level(u.ID) >= need)
}

func (p Project) clone() Project {
	p.Direct, p.Group, p.Invited = maps.Clone(p.Direct), maps.Clone(p.Group), maps.Clone(p.Invited)
	p.OldPaths, p.ProtectedBranches = slices.Clone(p.OldPaths), slices.Clone(p.ProtectedBranches)
	return p
}

// state is the instance's data. Maps and slices in its values are copied, not changed.
type state struct {
	mu       sync.Mutex
	users    map[int]User
	tokens   map[string]Token
	projects map[int]Project
	nextID   int
	old      bool
	refusal  gitRefusal
}

func (st *state) init() {
	st.users, st.tokens, st.projects = map[int]User{}, map[string]Token{}, map[int]Project{}
	st.nextID = 1000
}

func (st *state) id(given int) int {
	if given != 0 {
		return given
	}
	st.nextID++
	return st.nextID
}

func (st *state) user(id int) (User, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	u, ok := st.users[id]
	return u, ok
}

func (st *state) token(value string) (Token, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	t, ok := st.tokens[value]
	return t, ok
}

func (st *state) isOld() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.old
}

// project finds a project by ID or by full path, ignoring case; moved reports a former
// path.
func (st *state) project(ref string) (p Project, moved, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if id, err := strconv.Atoi(ref); err == nil {
		p, ok = st.projects[id]
		return p, false, ok
	}
	for _, p := range st.projects {
		if strings.EqualFold(p.Path, ref) {
			return p, false, true
		}
	}
	for _, p := range st.projects {
		if slices.ContainsFunc(p.OldPaths, func(old string) bool { return strings.EqualFold(old, ref) }) {
			return p, true, true
		}
	}
	return Project{}, false, false
}

// AddUser adds or replaces an account.
func (s *Server) AddUser(u User) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.users[u.ID] = u
}

// AddToken adds or replaces a token.
func (s *Server) AddToken(t Token) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.addToken(t)
}

func (st *state) addToken(t Token) Token {
	t.ID = st.id(t.ID)
	if t.family == 0 {
		t.family = t.ID
	}
	t.Scopes = slices.Clone(t.Scopes)
	st.tokens[t.Value] = t
	return t
}

// AddProject adds a project with a repository and a wiki, each with one commit on main
// (unless NoRepository or Empty). If its ID exists, it keeps that one's repositories.
func (s *Server) AddProject(p Project) error {
	if strings.Trim(p.Path, "/") != p.Path || !strings.Contains(p.Path, "/") {
		return fmt.Errorf("gitlabtest: project path %q is not of the form group/project", p.Path)
	}
	s.state.mu.Lock()
	p.ID = s.state.id(p.ID)
	s.state.mu.Unlock()
	if !p.NoRepository {
		if err := s.git.create(p); err != nil {
			return err
		}
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.projects[p.ID] = p.clone()
	return nil
}

// UpdateToken changes a token, but not its value.
func (s *Server) UpdateToken(value string, change func(*Token)) error {
	return update(&s.state, s.state.tokens, value, func(t *Token) {
		t.Scopes = slices.Clone(t.Scopes)
		change(t)
		t.Value = value
	})
}

// UpdateProject changes a project, but not its ID and repositories.
func (s *Server) UpdateProject(path string, change func(*Project)) error {
	p, _, ok := s.state.project(path)
	if !ok {
		return errors.New("gitlabtest: no such project: " + path)
	}
	return update(&s.state, s.state.projects, p.ID, func(p *Project) {
		id := p.ID
		*p = p.clone()
		change(p)
		p.ID = id
	})
}

func update[K comparable, V any](st *state, m map[K]V, key K, change func(*V)) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	v, ok := m[key]
	if !ok {
		return fmt.Errorf("gitlabtest: no such %T", v) // without the key, which may be a token
	}
	change(&v)
	m[key] = v
	return nil
}

// Token returns a token's current state.
func (s *Server) Token(value string) (Token, bool) {
	t, ok := s.state.token(value)
	t.Scopes = slices.Clone(t.Scopes)
	return t, ok
}

// RepositoryDir is the bare repository of a project, or of its wiki for path.wiki; "" if
// there is no such project. A trailing ".git" is ignored.
func (s *Server) RepositoryDir(path string) string {
	path = strings.TrimSuffix(path, ".git")
	base, wiki := strings.CutSuffix(path, ".wiki")
	p, _, ok := s.state.project(path)
	if ok {
		wiki = false
	} else if p, _, ok = s.state.project(base); !ok {
		return ""
	}
	return s.git.dir(p.ID, wiki)
}

// SetOld makes it an instance before GitLab 15.5, without the endpoints
// personal_access_tokens/self.
func (s *Server) SetOld(old bool) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.old = old
}
