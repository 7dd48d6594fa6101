package connection

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/platform"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

const (
	oldCanary    = "glpat-CanaryRotatedOut01"
	freshCanary  = "glpat-CanaryRotatedIn002"
	otherCanary  = "glpat-CanaryOfAnother003"
	narrowCanary = "glpat-CanaryOfReadApi005"
	briefCanary  = "glpat-CanaryOfToday00006"
	platformUser = "sha256~CanaryOfThePlatform"
	specVariable = "ACP_CONNECTION_TEST"
	limit        = 20 * time.Second
)

// spec says where a rotation takes place, for a child process as well.
type spec struct {
	// GitLab and Platform are addresses, whose authority is in CA. Platform is "" where
	// the token is kept in the Secret that Kubeconfig leads to.
	GitLab, Platform, CA, Kubeconfig string
	// Recovery is the path of the recovery file.
	Recovery string
	// Do is what a child does: renew, replace or resume. It is killed at the step
	// number Kill, or at the step named KillAt.
	Do     string
	Kill   int
	KillAt string
}

// TestMain runs a rotation where this is such a child.
func TestMain(m *testing.M) {
	text := os.Getenv(specVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		panic(err)
	}
	steps := 0
	r, err := s.rotation(func(step string) {
		fmt.Println(step)
		if steps++; steps == s.Kill || step == s.KillAt {
			self, _ := os.FindProcess(os.Getpid())
			_ = self.Kill()
			select {}
		}
	})
	if err == nil {
		err = s.run(r)
	}
	if err != nil {
		fmt.Println(strings.Join(message.As(err).Lines(), "\n"))
	}
	fmt.Println("ended")
}

func (s spec) run(r Rotation) error {
	switch s.Do {
	case "renew":
		return Renew(context.Background(), r, time.Now().AddDate(0, 2, 0))
	case "replace":
		return Replace(context.Background(), r, given(freshCanary))
	}
	return Resume(context.Background(), r)
}

// given is a new token as a user gives it.
func given(value string) func() (source.Found, error) {
	return func() (source.Found, error) { return source.Found{Token: token.Issued(value), Where: "the test"}, nil }
}

// stepped is a Keeper that tells before and after each call.
type stepped struct {
	Keeper
	step func(string)
}

func (k stepped) Read(ctx context.Context) (Kept, error) {
	k.step("before Read")
	defer k.step("after Read")
	return k.Keeper.Read(ctx)
}

func (k stepped) Try(ctx context.Context, old Kept) error {
	k.step("before Try")
	defer k.step("after Try")
	return k.Keeper.Try(ctx, old)
}

func (k stepped) Write(ctx context.Context, old Kept, tok token.Token, i instance.Instance) error {
	k.step("before Write")
	defer k.step("after Write")
	return k.Keeper.Write(ctx, old, tok, i)
}

// rotation is made of the real parts. step is told of each step: what the rotation
// tells, calls of the keeper, and requests to GitLab before they are sent and when
// their answer has come.
func (s spec) rotation(step func(string)) (Rotation, error) {
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return Rotation{}, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	keeper, err := s.keeper(roots)
	if err != nil {
		return Rotation{}, err
	}
	r := Rotation{
		Keeper: stepped{keeper, step}, Scopes: []string{"api"}, Recovery: Recovery{Path: s.Recovery},
		Shield: func() func() { step("asking for a token"); return func() {} },
		Tell:   func(name, _ string) { step("told " + name) },
	}
	r.GitLab = GitLab{Limit: limit, Connect: func(found source.Found) (*gitlab.Client, error) {
		step("before a request to GitLab")
		return gitlab.New(gitlab.Config{Instance: found.Instance, Token: found.Token, Limit: limit, Network: transport.Network{Roots: roots},
			OnExchange: func(req *http.Request, _ int, _ time.Time) {
				step("after " + req.Method + " " + strings.TrimPrefix(req.URL.Path, "/api/v4/personal_access_tokens/"))
			}}), nil
	}}
	if s.Platform != "" {
		// The platform gives no token away: it is also here.
		r.Here = here(oldCanary)
	}
	return r, nil
}

func (s spec) keeper(roots *x509.CertPool) (Keeper, error) {
	if s.Platform == "" {
		secret, err := openSecret(s.Kubeconfig)
		if err != nil {
			return nil, err
		}
		secret.Replace = true
		return secret, nil
	}
	base, err := platform.ParseBase(s.Platform, false)
	if err != nil {
		return nil, err
	}
	bearer, err := token.ParseBearer(platformUser)
	if err != nil {
		return nil, err
	}
	return Platform{Client: platform.New(platform.Config{Base: base, Token: bearer, TokenFrom: "the test", Roots: roots, Limit: limit}), Limit: limit}, nil
}

// scene is a GitLab and a keeper of a token, old. The user has a second token, fresh,
// and somebody else has a third.
type scene struct {
	spec
	t        *testing.T
	gitlab   *gitlabtest.Server
	platform *gitlabtest.Platform
	cluster  *cluster
	// told is all that was printed.
	told bytes.Buffer
	// during is called at each step of a rotation in this process; nil for nothing.
	during func(step string)
}

// day is the date in so many days.
func day(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }

// keepers are the kinds of keepers.
var keepers = []string{"platform", "secret"}

func newScene(t *testing.T, kind string) *scene {
	t.Helper()
	dir := t.TempDir()
	server, err := gitlabtest.Start(gitlabtest.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	server.AddUser(gitlabtest.User{ID: 7, Username: "dev"})
	server.AddUser(gitlabtest.User{ID: 8, Username: "other"})
	for id, value := range []string{oldCanary, freshCanary, otherCanary} {
		server.AddToken(gitlabtest.Token{Value: value, ID: 11 + id, UserID: 7 + id/2, Scopes: []string{"api", "write_repository"},
			ExpiresAt: day(20 + id)})
	}
	server.AddToken(gitlabtest.Token{Value: narrowCanary, ID: 15, UserID: 7, Scopes: []string{"api"}, ExpiresAt: day(90)})
	server.AddToken(gitlabtest.Token{Value: briefCanary, ID: 16, UserID: 7, Scopes: []string{"api", "write_repository"}, ExpiresAt: day(10)})
	s := &scene{t: t, gitlab: server}
	s.spec = spec{GitLab: server.URL(), CA: server.CAFile(), Recovery: filepath.Join(t.TempDir(), "state", "rotation.json")}
	if kind == "secret" {
		s.cluster = newCluster(t)
		s.cluster.put(map[string]string{"token": oldCanary, "instanceUrl": server.URL(), "other": "stays"})
		s.Kubeconfig = s.cluster.kubeconfig
		return s
	}
	if s.platform, err = gitlabtest.StartPlatform(gitlabtest.PlatformOptions{Dir: dir, GitLab: server}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.platform.Close)
	s.Platform = s.platform.URL()
	s.platform.AddUser("dev", platformUser)
	s.platform.SetConnection("dev", &gitlabtest.PlatformConnection{Token: oldCanary, InstanceURL: server.URL(), UpdatedAt: time.Now()})
	return s
}

// rotation is one in this process.
func (s *scene) rotation(changes ...func(*Rotation)) Rotation {
	s.t.Helper()
	r, err := s.spec.rotation(func(step string) {
		if s.during != nil {
			s.during(step)
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	tell := r.Tell
	r.Tell = func(name, text string) {
		fmt.Fprintln(&s.told, name, text)
		tell(name, text)
	}
	for _, change := range changes {
		change(&r)
	}
	return r
}

// child runs a rotation in another process, and returns the steps it came to and
// whether it was killed.
func (s *scene) child(do string, kill int, killAt string) (steps []string, killed bool) {
	s.t.Helper()
	s.Do, s.Kill, s.KillAt = do, kill, killAt
	text, err := json.Marshal(s.spec)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), specVariable+"="+string(text))
	out, _ := cmd.CombinedOutput()
	s.told.Write(out)
	steps = strings.Split(strings.TrimSpace(string(out)), "\n")
	return steps, steps[len(steps)-1] != "ended"
}

// kept is the token in the keeper.
func (s *scene) kept() string {
	if s.cluster != nil {
		return s.cluster.key("token")
	}
	c, _ := s.platform.Connection("dev")
	return c.Token
}

// saved is the token in the recovery file, "" for none, and whether there is a file.
func (s *scene) saved() (value string, there bool) {
	s.t.Helper()
	record, there, err := Recovery{Path: s.Recovery}.Read()
	if err != nil {
		s.t.Error(err)
	}
	return record.Token.Reveal(), there
}

func (s *scene) alive(value string) bool {
	tok, known := s.gitlab.Token(value)
	return known && !tok.Revoked
}

// want fails unless an error has the code, "" for no error.
func (s *scene) want(err error, code string) {
	s.t.Helper()
	switch {
	case err == nil && code == "":
		return
	case err == nil || code == "" || !message.Is(err, code):
		s.t.Errorf("error %v, want %q", err, code)
	}
	if err != nil {
		fmt.Fprintln(&s.told, strings.Join(message.As(err).Lines(), "\n"))
	}
}

// check ends a test: no token in what was printed, none on the disk but in a recovery
// file that is for its owner alone, and nothing left if the rotation is over.
func (s *scene) check(over bool) {
	s.t.Helper()
	if i := strings.Index(s.told.String(), "Canary"); i >= 0 {
		s.t.Errorf("a token was printed: %q", s.told.String()[max(0, i-40):i+6])
	}
	err := filepath.WalkDir(filepath.Dir(s.Recovery), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		recovery := path == s.Recovery || path == s.Recovery+".new"
		switch {
		case bytes.Contains(data, []byte("Canary")) && !recovery:
			s.t.Errorf("a token is in %s", path)
		case recovery && info.Mode().Perm() != 0o600:
			s.t.Errorf("%s has mode %v", path, info.Mode())
		case over && path != s.Recovery+".lock":
			s.t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		s.t.Error(err)
	}
}

// Killed at any step, a rotation by GitLab leaves a working token at hand, and can be
// finished. The only exception is the moment between GitLab's answer and the file.
func TestRenewKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range keepers {
		for n := 1; ; n++ {
			s := newScene(t, kind)
			steps, killed := s.child("renew", n, "")
			if !killed {
				if s.kept() == oldCanary || !s.alive(s.kept()) || n < 20 {
					t.Errorf("%s: after %d steps: %s", kind, n, steps)
				}
				s.check(true)
				break
			}
			at := fmt.Sprintf("%s, step %d, %s", kind, n, steps[len(steps)-1])
			s.check(false)
			saved, there := s.saved()
			lost := strings.HasSuffix(at, "after POST self/rotate")
			if there && !s.alive(oldCanary) && !s.alive(saved) && !lost {
				t.Errorf("%s: no working token is at hand", at)
			}
			if !there {
				if !s.alive(s.kept()) {
					t.Errorf("%s: the keeper has a dead token, and nothing is noted", at)
				}
				continue
			}
			s.want(Renew(t.Context(), s.rotation(), time.Now().AddDate(0, 2, 0)), "rotate-unfinished")
			if n := s.gitlab.Count("rotate"); n > 1 {
				t.Errorf("%s: GitLab was asked for a token %d times", at, n)
			}
			s.resume(at, lost, saved)
		}
	}
}

// resume finishes an interrupted rotation, and fails unless the keeper then has a
// working token.
func (s *scene) resume(at string, lost bool, saved string) {
	s.t.Helper()
	switch err := Resume(s.t.Context(), s.rotation()); {
	case lost:
		s.want(err, "rotate-lost")
	case err != nil:
		s.want(err, "rotate-unmade")
		fallthrough
	default:
		if !s.alive(s.kept()) || saved != "" && s.kept() != saved {
			s.t.Errorf("%s: the keeper has not the new token, or a dead one (%v)", at, err)
		}
	}
	s.check(true)
	if s.t.Failed() {
		s.t.Logf("at %s", at)
	}
}

// A resumption that is killed can be resumed.
func TestResumeKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range keepers {
		for n := 1; ; n++ {
			s := newScene(t, kind)
			if steps, killed := s.child("renew", 0, "told "+stepMake); !killed {
				t.Fatal(steps)
			}
			saved, _ := s.saved()
			steps, killed := s.child("resume", n, "")
			if !killed {
				if s.kept() != saved || n < 8 {
					t.Errorf("%s: after %d steps: %s", kind, n, steps)
				}
				s.check(true)
				break
			}
			if s.check(false); !s.alive(saved) {
				t.Fatalf("%s: the saved token is dead: %s", kind, steps)
			}
			if _, there := s.saved(); there {
				s.resume(fmt.Sprint(kind, steps), false, saved)
			}
			if s.kept() != saved {
				t.Errorf("%s: the saved token is not stored: %s", kind, steps)
			}
		}
	}
}

// Killed at any step, a rotation to a token that the user gives leaves a working one
// with the keeper, and can be run again.
func TestReplaceKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range keepers {
		for n := 1; ; n++ {
			s := newScene(t, kind)
			steps, killed := s.child("replace", n, "")
			s.check(true)
			if !s.alive(s.kept()) || !s.alive(freshCanary) {
				t.Fatalf("%s: the keeper has a dead token: %s", kind, steps)
			}
			if !killed {
				if s.kept() != freshCanary || s.alive(oldCanary) || n < 15 {
					t.Errorf("%s: after %d steps: %s", kind, n, steps)
				}
				break
			}
			code := ""
			switch {
			case kind == "secret" && s.kept() == freshCanary:
				code = "rotate-same" // only a person knows whether the old one may go
			case !s.alive(oldCanary):
				code = "rotate-old-dead"
			}
			s.want(Replace(t.Context(), s.rotation(), given(freshCanary)), code)
			if s.kept() != freshCanary || code == "" && s.alive(oldCanary) {
				t.Errorf("%s: not finished after %s", kind, steps)
			}
		}
	}
}

// The old token is revoked when the new one is stored and found to work, and at no
// other end of a rotation.
func TestReplace(t *testing.T) {
	for _, test := range []struct {
		name, fresh string
		change      func(*Rotation)
		code        string
	}{
		{"stored", freshCanary, nil, ""},
		{"dry run", freshCanary, dryRun, ""},
		{"the same token", oldCanary, nil, "rotate-same"},
		{"another user's token", otherCanary, nil, "rotate-other-user"},
		{"a token that GitLab doesn't know", "glpat-CanaryOfNobody0004", nil, "token-unknown"},
		{"without a scope that is required", freshCanary, func(r *Rotation) { r.Scopes = []string{"sudo"} }, "rotate-scopes"},
		{"without a scope that the old one has", narrowCanary, nil, "rotate-scopes"},
		{"that ends no later", briefCanary, nil, "rotate-expiry"},
		{"a short wait", freshCanary, func(r *Rotation) { r.Grace = time.Millisecond }, ""},
	} {
		for _, kind := range keepers {
			t.Run(test.name+", "+kind, func(t *testing.T) {
				s := newScene(t, kind)
				r := s.rotation()
				if test.change != nil {
					test.change(&r)
				}
				s.want(Replace(t.Context(), r, given(test.fresh)), test.code)
				stored := test.code == "" && !r.DryRun
				if (s.kept() == freshCanary) != stored || s.alive(oldCanary) == stored || !s.alive(s.kept()) {
					t.Errorf("stored %v, the old token is alive: %v", s.kept() == freshCanary, s.alive(oldCanary))
				}
				if s.cluster != nil && s.cluster.key("other") != "stays" {
					t.Error("another key of the Secret is gone")
				}
				s.check(true)
			})
		}
	}
}

// During the wait both tokens work. An interruption keeps the old one alive, and so
// does a keeper that has another token when the wait is over.
func TestGrace(t *testing.T) {
	for _, kind := range keepers {
		s := newScene(t, kind)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.during = func(step string) {
			if step == "told "+stepWait {
				if s.kept() != freshCanary || !s.alive(oldCanary) || !s.alive(freshCanary) {
					t.Errorf("%s: during the wait", kind)
				}
				cancel()
			}
		}
		s.want(Replace(ctx, s.rotation(func(r *Rotation) { r.Grace = time.Hour }), given(freshCanary)), "rotate-not-revoked")
		if !s.alive(oldCanary) || s.kept() != freshCanary {
			t.Errorf("%s: after the interruption", kind)
		}
		s.check(true)
	}
	s := newScene(t, "secret")
	s.during = func(step string) {
		if step == "told "+stepWait {
			s.cluster.put(map[string]string{"token": otherCanary})
		}
	}
	s.want(Replace(t.Context(), s.rotation(func(r *Rotation) { r.Grace = time.Millisecond }), given(freshCanary)), "rotate-not-revoked")
	if !s.alive(oldCanary) {
		t.Error("the old token is revoked, and the Secret has another one")
	}
}

// Requests that fail, by the step before which the fault is set. GitLab's fault has
// the endpoint's name, the platform's "platform " before it.
func TestFaults(t *testing.T) {
	refused := gitlabtest.Fault{Status: 403, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"message":"403 Forbidden"}`}
	for _, test := range []struct {
		name, at, endpoint string
		fault              gitlabtest.Fault
		do, code           string
		// oldAlive, stored and saved are what is true afterwards.
		oldAlive, stored, saved bool
	}{
		{"the answer with the token is lost", "", "rotate", gitlabtest.Fault{Cut: true}, "renew", "rotate-lost", false, false, false},
		{"no answer, and no token", "", "rotate", gitlabtest.Fault{Close: true}, "renew", "unreachable", true, false, false},
		{"GitLab makes no token", "", "rotate", refused, "renew", "rotate-denied", true, false, false},
		{"GitLab is down", "", "self", gitlabtest.Fault{Status: 501}, "renew", "server-error", true, false, false},
		{"GitLab is down afterwards", "told make", "self", gitlabtest.Fault{Status: 501}, "renew", "rotate-saved", false, true, true},
		{"the platform refuses it", "told make", "platform connect", gitlabtest.Fault{Status: 501}, "renew", "rotate-saved", false, false, true},
		{"the platform's answer is lost", "told make", "platform connect", gitlabtest.Fault{Cut: true}, "renew", "rotate-saved", false, true, true},
		{"the platform is down afterwards", "told store", "platform status", gitlabtest.Fault{Status: 501}, "renew", "rotate-saved", false, true, true},
		{"not revoked", "told store", "revoke", gitlabtest.Fault{Status: 501}, "replace", "rotate-not-revoked", true, true, false},
		{"not revoked, refused", "told store", "revoke", refused, "replace", "rotate-not-revoked", true, true, false},
		{"the answer of the revocation is lost", "told store", "revoke", gitlabtest.Fault{Cut: true, Times: 1}, "replace", "", false, true, false},
		{"the platform's answer is lost, replace", "told verify", "platform connect", gitlabtest.Fault{Cut: true}, "replace", "platform-uncertain", true, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, "platform")
			add := s.gitlab.AddFault
			endpoint, atPlatform := strings.CutPrefix(test.endpoint, "platform ")
			if atPlatform {
				add = s.platform.AddFault
			}
			test.fault.Match = endpoint
			s.during = func(step string) {
				if step == test.at {
					add(test.fault)
				}
			}
			s.during("")
			s.Do = test.do
			s.want(s.run(s.rotation()), test.code)
			saved, there := s.saved()
			if s.alive(oldCanary) != test.oldAlive || (s.kept() != oldCanary) != test.stored || (saved != "") != test.saved {
				t.Errorf("the old token is alive: %v, the new one stored: %v, saved: %v", s.alive(oldCanary), s.kept() != oldCanary, saved != "")
			}
			s.check(!test.saved)
			if s.during = nil; there {
				s.gitlab.ClearFaults()
				s.platform.ClearFaults()
				s.resume(test.name, false, saved)
			}
		})
	}
}

// Any request that fails leaves a working token at hand, is told, and can be finished.
func TestFaultsAnywhere(t *testing.T) {
	t.Parallel()
	// The requests of a rotation in their order, and which of its kind each is.
	type request struct {
		endpoint string
		n        int
	}
	orders := map[string][]request{
		"renew":   {{"status", 1}, {"self", 1}, {"rotate", 1}, {"self", 2}, {"connect", 1}, {"status", 2}, {"self", 3}},
		"replace": {{"status", 1}, {"self", 1}, {"self", 2}, {"connect", 1}, {"status", 2}, {"self", 3}, {"revoke", 1}},
	}
	faults := map[string]gitlabtest.Fault{"500": {Status: 500}, "cut": {Cut: true}, "closed": {Close: true}, "a page": {HTML: true},
		"403": {Status: 403, Body: `{"message":"403 Forbidden"}`, Header: http.Header{"Content-Type": {"application/json"}}}}
	for do, order := range orders {
		for kind, fault := range faults {
			for _, at := range order {
				t.Run(fmt.Sprint(do, at, kind), func(t *testing.T) {
					t.Parallel()
					s := newScene(t, "platform")
					add := s.gitlab.AddFault
					if at.endpoint == "status" || at.endpoint == "connect" {
						add = s.platform.AddFault
					}
					if at.n > 1 {
						add(gitlabtest.Fault{Match: at.endpoint, Times: at.n - 1, Delay: time.Nanosecond})
					}
					fault := fault
					fault.Match, fault.Times = at.endpoint, 1
					add(fault)
					s.Do = do
					err := s.run(s.rotation())
					saved, there := s.saved()
					switch lost := at.endpoint == "rotate" && kind == "cut"; {
					case lost:
						s.want(err, "rotate-lost")
					case err == nil && (!s.alive(s.kept()) || s.kept() == oldCanary || there):
						t.Error("called done, and it is not")
					case err != nil && message.As(err).Hint == "":
						t.Errorf("no hint: %v", err)
					case !s.alive(oldCanary) && !s.alive(saved) && !s.alive(s.kept()):
						t.Errorf("no working token is at hand: %v", err)
					}
					if n := s.gitlab.Count("rotate"); n > 1 {
						t.Errorf("GitLab was asked for a token %d times", n)
					}
					s.check(!there)
					if there {
						s.resume(kind, false, saved)
					}
				})
			}
		}
	}
}

// What has changed since a rotation was interrupted: a record is taken for no more than
// it is.
func TestResume(t *testing.T) {
	revoke := func(s *scene, value string, revoked bool) {
		if err := s.gitlab.UpdateToken(value, func(tok *gitlabtest.Token) { tok.Revoked = revoked }); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, kind string
		// killAt is the step at which the rotation was interrupted.
		killAt string
		change func(s *scene, saved string)
		edit   func(*Rotation)
		code   string
		// kept is whether the record stays.
		kept bool
	}{
		{"nothing to resume", "secret", "before Read", func(s *scene, _ string) { _ = os.Remove(s.Recovery) }, nil, "nothing-to-resume", false},
		{"another keeper's", "secret", "told make", nil, func(r *Rotation) { r.Keeper.(stepped).Keeper.(*Secret).Name.Name = "other" }, "recovery-elsewhere", true},
		{"the saved token is dead", "platform", "told make", func(s *scene, saved string) { revoke(s, saved, true) }, nil, "rotate-dead", true},
		{"the saved token is dead", "secret", "told make", func(s *scene, saved string) { revoke(s, saved, true) }, nil, "rotate-dead", true},
		{"restored from a backup", "platform", "told make", func(s *scene, saved string) {
			revoke(s, saved, true)
			revoke(s, oldCanary, false)
		}, nil, "rotate-unmade", false},
		{"another token here", "platform", "asking for a token", nil, func(r *Rotation) { r.Here = here(freshCanary) }, "rotate-overtaken", false},
		{"no token here", "platform", "told make", nil, func(r *Rotation) { r.Here = nil }, "", false},
		{"no token here, and none saved", "platform", "after POST self/rotate", nil, func(r *Rotation) { r.Here = nil }, "rotate-unknown", true},
		{"another instance's connection", "platform", "told make", func(s *scene, _ string) {
			s.platform.SetConnection("dev", &gitlabtest.PlatformConnection{Token: otherCanary, InstanceURL: "https://other.example"})
		}, nil, "rotate-other-instance", true},
		{"another user's connection", "platform", "told make", func(s *scene, _ string) { s.owner("somebody.else") }, nil, "recovery-owner", true},
		{"the same user's connection", "platform", "told make", func(s *scene, _ string) { s.owner("dev") }, nil, "", false},
		{"another token that works", "secret", "told make", func(s *scene, _ string) { s.cluster.put(map[string]string{"token": freshCanary}) }, nil, "rotate-two", true},
		{"another token that is dead", "secret", "told make", func(s *scene, _ string) {
			revoke(s, freshCanary, true)
			s.cluster.put(map[string]string{"token": freshCanary})
		}, nil, "", false},
		{"the Secret is deleted", "secret", "told make", func(s *scene, _ string) { s.cluster.secret = nil }, nil, "", false},
		{"dry run, saved", "platform", "told make", nil, dryRun, "", true},
		{"dry run, the answer is lost", "platform", "after POST self/rotate", nil, dryRun, "rotate-lost", true},
		{"dry run, another token here", "platform", "asking for a token", nil, func(r *Rotation) {
			r.Here = here(freshCanary)
			r.DryRun = true
		}, "rotate-overtaken", true},
	} {
		t.Run(test.name+", "+test.kind, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, test.kind)
			if test.kind == "platform" {
				s.owner("dev")
			}
			if steps, killed := s.child("renew", 0, test.killAt); !killed {
				t.Fatal(steps)
			}
			saved, _ := s.saved()
			if s.platform != nil {
				s.platform.ClearFaults()
			}
			s.gitlab.ResetRequests()
			if test.change != nil {
				test.change(s, saved)
			}
			r := s.rotation()
			if test.edit != nil {
				test.edit(&r)
			}
			before := s.kept()
			s.want(Resume(t.Context(), r), test.code)
			if stored := test.code == "" && !r.DryRun; stored && s.kept() != saved || !stored && s.kept() != before {
				t.Errorf("stored %v, want %v", s.kept() != before, stored)
			}
			if _, there := s.saved(); there != test.kept {
				t.Errorf("the record is there: %v", there)
			}
			// No token is shown to an instance that it may not belong to.
			if n := s.gitlab.Count("api"); n > 0 && slices.Contains([]string{"rotate-other-instance", "rotate-unknown", "recovery-owner"}, test.code) {
				t.Errorf("GitLab was asked %d times", n)
			}
			s.check(!test.kept)
		})
	}
}

// owner has the platform say whose the connection is.
func (s *scene) owner(name string) {
	s.platform.ClearFaults()
	s.platform.AddFault(gitlabtest.Fault{Match: "status", Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: fmt.Sprintf(`{"connected":true,"instanceUrl":%q,"username":%q}`, s.GitLab, name)})
}

func dryRun(r *Rotation) { r.DryRun = true }

// here finds one token on this machine.
func here(value string) func(context.Context, instance.Instance) source.Found {
	return func(context.Context, instance.Instance) source.Found {
		return source.Found{Token: token.Issued(value), Where: "the test"}
	}
}

// What others do to the Secret between the read and the write.
func TestConflicts(t *testing.T) {
	type change func(c *cluster)
	beside := func(c *cluster) { c.change(map[string]string{"other": "changed"}) }
	swapped := func(c *cluster) { c.change(map[string]string{"token": otherCanary}) }
	gone := func(c *cluster) { c.secret = nil }
	for _, test := range []struct {
		name   string
		change change
		// times is how often it happens.
		times         int
		code, renewed string
		stored        bool
	}{
		{"another key", beside, 1, "", "", true},
		{"another key, again and again", beside, 99, "kube-conflict", "rotate-saved", false},
		{"another token", swapped, 1, "rotate-overtaken", "rotate-two", false},
		{"deleted", gone, 1, "nothing-kept", "rotate-saved", false},
	} {
		for do, code := range map[string]string{"replace": test.code, "renew": test.renewed} {
			t.Run(test.name+", "+do, func(t *testing.T) {
				s := newScene(t, "secret")
				left := test.times
				s.cluster.before = func(_ http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodPatch && r.URL.Query().Get("dryRun") == "" && left > 0 {
						left--
						test.change(s.cluster)
					}
					return false
				}
				s.Do = do
				s.want(s.run(s.rotation()), code)
				saved, _ := s.saved()
				if fresh := s.kept() != oldCanary && s.kept() != otherCanary && s.kept() != ""; fresh != test.stored {
					t.Errorf("stored: %v", fresh)
				}
				switch {
				case do == "replace" && s.alive(oldCanary) == test.stored:
					t.Errorf("the old token is alive: %v", s.alive(oldCanary))
				case do == "renew" && (saved != "") == test.stored:
					t.Errorf("the new token is saved: %v", saved != "")
				}
				s.check(test.stored || do == "replace")
			})
		}
	}
}
