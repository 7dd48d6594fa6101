package message

import (
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// Any outside text in a message: the printer has nothing left to escape, and no line is long.
func FuzzWords(f *testing.F) {
	f.Add("group/project", "/var/run/secrets", "gitlab.example.com", 30, uint8(0))
	f.Add("group/\x1b[2Jproject\r\n", "/tmp/\u202e\u2028", "\x00", -1, uint8(14))
	f.Add(strings.Repeat("é", 300), strings.Repeat("\xff", 300), strings.Repeat("x", 300), 1<<30, uint8(18))
	f.Fuzz(func(t *testing.T, project, path, name string, number int, which uint8) {
		s := Subject{Instance: "gitlab.example.com", URL: "https://gitlab.example.com", Project: project,
			Where: "the Secret at " + Quote(path), Renew: "write it to " + Quote(path)}
		messages := []error{
			FileUnreadable(Quote(path), "permission denied"), FileTooLarge(Quote(path), number),
			CredentialsGarbled(Quote(path)),
			Expiry(access.Verdict{Outcome: access.Granted, ExpiresAt: time.Unix(int64(number), 0).UTC()}, time.Unix(0, 0), s),
		}
		reasons := access.Reasons()
		v := access.Verdict{Outcome: access.Unverified, Reason: reasons[int(which)%len(reasons)],
			Detail: Quote(name), Level: number, Minimum: number, Wait: time.Duration(number)}
		messages = append(messages, Explain(v, s))
		v.Outcome = access.Refused
		messages = append(messages, Explain(v, s))
		for _, m := range messages {
			for _, line := range As(m).Lines() {
				if line != Printable(line) || len(line) > 10*maxQuoted {
					t.Fatalf("%s: %q", As(m).Code, line)
				}
			}
		}
	})
}
