package connection

import (
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// The platform tells of a connection and never shows its token; it stores another one
// and forgets it.
func TestPlatformKeeper(t *testing.T) {
	s := newScene(t, "platform")
	keeper, i := s.rotation().Keeper, parse(t, s.GitLab)
	if where := keeper.Where(); where != "the platform at "+s.Platform {
		t.Error(where)
	}
	read := func(connected bool) Kept {
		t.Helper()
		kept, err := keeper.Read(t.Context())
		if err != nil || kept.Connected != connected || !kept.Token.IsZero() || kept.CA != nil {
			t.Fatalf("%+v, %v", kept, err)
		}
		return kept
	}
	kept := read(true)
	if kept.Instance != i || time.Since(kept.UpdatedAt) > time.Minute {
		t.Errorf("%+v", kept)
	}
	if err := keeper.Try(t.Context(), kept); err != nil || s.kept() != oldCanary {
		t.Errorf("try: %v", err)
	}
	if err := keeper.Write(t.Context(), kept, token.Issued(freshCanary), i); err != nil || s.kept() != freshCanary {
		t.Errorf("write: %v", err)
	}
	for range 2 { // the second time there is nothing
		if err := keeper.Remove(t.Context(), kept); err != nil || s.kept() != "" {
			t.Errorf("remove: %v", err)
		}
		read(false)
	}
	// A platform that does not reply is not taken for one without a connection.
	s.platform.AddFault(gitlabtest.Fault{Match: "all", Status: 501})
	if _, err := keeper.Read(t.Context()); !message.Is(err, "platform-error") {
		t.Errorf("read: %v", err)
	}
	s.platform.ClearFaults()
	s.platform.AddFault(gitlabtest.Fault{Match: "connect", Cut: true})
	if err := keeper.Write(t.Context(), kept, token.Issued(freshCanary), i); !message.Is(err, "platform-uncertain") || s.platform.Count("connect") != 2 {
		t.Errorf("write: %v, %d requests", err, s.platform.Count("connect"))
	}
}
