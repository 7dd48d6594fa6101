package connection

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

const (
	oldCanary   = "glpat-CanaryRotatedOut01"
	freshCanary = "glpat-CanaryRotatedIn002"
	otherCanary = "glpat-CanaryOfAnother003"
)

// memory is a Keeper that keeps a token in a variable.
type memory struct {
	kept  Kept
	write func(token.Token) error
}

func (*memory) Where() string                        { return "memory" }
func (m *memory) Read(context.Context) (Kept, error) { return m.kept, nil }
func (*memory) Try(context.Context, Kept) error      { return nil }
func (m *memory) Remove(context.Context, Kept) error { m.kept = Kept{}; return nil }
func (m *memory) Write(_ context.Context, _ Kept, tok token.Token, _ instance.Instance) error {
	if m.write != nil {
		return m.write(tok)
	}
	m.kept.Token = tok
	return nil
}

// rotation is one of a token that a fake GitLab knows, in a keeper in memory. The
// user has a second token, and somebody else has a third.
func rotation(t *testing.T) (Rotation, *memory, *gitlabtest.Server) {
	t.Helper()
	server, err := gitlabtest.Start(gitlabtest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	server.AddUser(gitlabtest.User{ID: 7, Username: "dev"})
	server.AddUser(gitlabtest.User{ID: 8, Username: "other"})
	for id, value := range []string{oldCanary, freshCanary, otherCanary} {
		server.AddToken(gitlabtest.Token{Value: value, ID: 11 + id, UserID: 7 + id/2, Scopes: []string{"api", "write_repository"}})
	}
	pem, err := os.ReadFile(server.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	i, err := instance.Parse(server.URL(), false)
	if err != nil {
		t.Fatal(err)
	}
	keeper := &memory{kept: Kept{Connected: true, Instance: i, Token: token.Issued(oldCanary)}}
	limit := 20 * time.Second
	return Rotation{
		Keeper: keeper, Limit: limit, Scopes: []string{"api"}, NewFrom: "the test", Recovery: recovery(t),
		Tell: func(string, string) {},
		Connect: func(tok token.Token, i instance.Instance, _ func() ([]byte, error)) (*gitlab.Client, error) {
			return gitlab.New(gitlab.Config{Instance: i, Token: tok, Limit: limit, Network: transport.Network{Roots: roots}}), nil
		},
	}, keeper, server
}

// The old token is revoked when the new one is stored and found to work, and at no
// other end of a rotation.
func TestReplace(t *testing.T) {
	failure := errors.New("the keeper is full")
	for _, test := range []struct {
		name, fresh string
		change      func(*Rotation, *memory)
		code        string
		keeps       string
		revoked     bool
	}{
		{"stored", freshCanary, nil, "", freshCanary, true},
		{"dry run", freshCanary, func(r *Rotation, _ *memory) { r.DryRun = true }, "", oldCanary, false},
		{"the same token", oldCanary, nil, "rotate-same", oldCanary, false},
		{"another user's token", otherCanary, nil, "rotate-other-user", oldCanary, false},
		{"not stored", freshCanary, func(_ *Rotation, m *memory) { m.write = func(token.Token) error { return failure } }, "*", oldCanary, false},
		{"stored, but not kept", freshCanary, func(_ *Rotation, m *memory) { m.write = func(token.Token) error { return nil } }, "not-kept", oldCanary, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, keeper, server := rotation(t)
			if test.change != nil {
				test.change(&r, keeper)
			}
			err := r.Replace(t.Context(), func() (token.Token, error) { return token.Issued(test.fresh), nil })
			switch {
			case test.code == "" && err != nil, test.code == "*" && !errors.Is(err, failure),
				test.code != "" && test.code != "*" && !message.Is(err, test.code):
				t.Errorf("error %v, want %q", err, test.code)
			}
			if got := keeper.kept.Token.Reveal(); got != test.keeps {
				t.Errorf("the wrong token is kept: the new one %t", got == test.fresh)
			}
			if old, _ := server.Token(oldCanary); old.Revoked != test.revoked {
				t.Errorf("the old token is revoked: %t", old.Revoked)
			}
		})
	}
}
