package platform

import (
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// A connection fault has the same text for the platform as for GitLab, and a hint of its own.
func TestPlatformSilent(t *testing.T) {
	platform := Endpoint{URL: "https://platform.example.com", Where: "here"}
	for _, reason := range []access.Reason{access.Timeout, access.Interrupted, access.NameUnknown, access.DNSFailed, access.Unreachable, access.ProxyFailed, access.ProxyLogin,
		access.TLSUntrusted, access.TLSWrongName, access.TLSNoName, access.TLSExpired, access.TLSUnusable, access.TLSVersion,
		access.TLSCiphers, access.TLSPlain, access.TLSFailed} {
		m := errSilent(access.Verdict{Reason: reason, Detail: "some detail"}, platform)
		if message.As(m).Code != string(reason) || !message.Unverified(m) || strings.Contains(message.As(m).Hint, "instance URL") || strings.Contains(message.As(m).Hint, "Secret") {
			t.Errorf("%s: %+v", reason, *message.As(m))
		}
	}
	busy := errBusy(platform, 90*time.Second)
	if !message.Unverified(busy) || !strings.Contains(message.As(busy).Hint, "90 s") {
		t.Errorf("%+v", *message.As(busy))
	}
	why := errError(platform, "502 Bad Gateway")
	before := *message.As(why)
	if m := errUncertain(why); *message.As(why) != before || message.As(m).Topic != message.As(why).Topic || !strings.HasPrefix(message.As(m).What, message.As(why).What) || message.As(m).Hint == message.As(why).Hint {
		t.Errorf("%+v of %+v", *message.As(m), *message.As(why))
	}
}
