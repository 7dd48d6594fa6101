package helper

import (
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// The message that is made of another one leaves that one as it is.
func TestAllowedUnverified(t *testing.T) {
	why := message.Explain(access.Verdict{Reason: access.RateLimited, Wait: time.Minute}, message.Subject{Instance: "gitlab.example.com"})
	before := *message.As(why)
	m := errAllowedUnverified(why)
	if *message.As(why) != before {
		t.Errorf("it changed to %+v", *message.As(why))
	}
	if message.As(m).Topic != message.RateLimit || message.As(m).Code != "allowed-unverified" || !strings.HasPrefix(message.As(m).What, before.What) || message.As(m).Hint == before.Hint {
		t.Errorf("%+v", *message.As(m))
	}
}
