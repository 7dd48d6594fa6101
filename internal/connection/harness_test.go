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

// TestMain runs a rotation in a child process.
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

// given returns a new token, for Replace.
func given(value string) func() (source.Found, error) {
	return func() (source.Found, error) { return source.Found{Token: token.Issued(value), Where: "the test"}, nil }
}

// stepped is a Keeper that calls step before and after each call.
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

// rotation uses the real parts. step is called at each step: the rotation's own, calls of
// the keeper, and requests to GitLab before they are sent and after the reply.
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
		Keeper: stepped{keeper, step}, Scopes: []string{"api"}, Recovery: Recovery{Path: s.Recovery, Keeper: keeper.Where(), Flags: keeper.Flag()},
		Shield: func() func() { step("shield"); return func() {} },
		Tell:   func(name, _ string) { step("done " + name) },
	}
	r.GitLab = GitLab{Limit: limit, Connect: func(found source.Found) (*gitlab.Client, error) {
		step("before a request to GitLab")
		return gitlab.New(gitlab.Config{Instance: found.Instance, Token: found.Token, Limit: limit, Network: transport.Network{Roots: roots,
			OnExchange: func(req *http.Request, _ int, _ time.Time) {
				step("after " + req.Method + " " + strings.TrimPrefix(req.URL.Path, "/api/v4/personal_access_tokens/"))
			}}}), nil
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
	return Platform{Client: platform.New(platform.Config{Base: base, Token: bearer, TokenFrom: "the test", Network: transport.Network{Roots: roots}, Limit: limit}), Limit: limit}, nil
}

// scene is a GitLab and a keeper with the token old. Its user has a second token, fresh, and
// another user a third.
type scene struct {
	spec
	t        *testing.T
	gitlab   *gitlabtest.Server
	platform *gitlabtest.Platform
	cluster  *cluster
	// output is all that was printed.
	output bytes.Buffer
	// during is called at each step of a rotation in this process; nil for nothing.
	during func(step string)
}

// day is the date in a number of days.
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

// rotation is a rotation in this process.
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
		fmt.Fprintln(&s.output, name, text)
		tell(name, text)
	}
	for _, change := range changes {
		change(&r)
	}
	return r
}

// child runs a rotation in another process, and returns its steps and whether it was
// killed.
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
	s.output.Write(out)
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
		fmt.Fprintln(&s.output, strings.Join(message.As(err).Lines(), "\n"))
	}
}

// check fails if a token was printed, or is on disk outside of a recovery file that only its
// owner can read. If the rotation is over, no file may be left but the lock.
func (s *scene) check(over bool) {
	s.t.Helper()
	if i := strings.Index(s.output.String(), "Canary"); i >= 0 {
		s.t.Errorf("a token was printed: %q", s.output.String()[max(0, i-40):i+6])
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

// resume finishes an interrupted rotation, and fails unless the keeper then has a valid
// token.
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
			s.t.Errorf("%s: the keeper does not have the new token, or it is dead (%v)", at, err)
		}
	}
	s.check(true)
	if s.t.Failed() {
		s.t.Logf("at %s", at)
	}
}

// owner makes the platform return the connection's user.
func (s *scene) owner(name string) {
	s.platform.ClearFaults()
	s.platform.AddFault(gitlabtest.Fault{Match: "status", Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: fmt.Sprintf(`{"connected":true,"instanceUrl":%q,"username":%q}`, s.GitLab, name)})
}

func dryRun(r *Rotation) { r.DryRun = true }

// here returns a Rotation.Here that finds one token.
func here(value string) func(context.Context, instance.Instance) source.Found {
	return func(context.Context, instance.Instance) source.Found {
		return source.Found{Token: token.Issued(value), Where: "the test"}
	}
}
