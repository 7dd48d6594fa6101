package check

import (
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Adding to a message does not change the original.
func TestAdded(t *testing.T) {
	why := message.Explain(access.Verdict{Reason: access.Unreachable, Detail: "h:1"}, message.Subject{Instance: "gitlab.example.com"})
	before := *message.As(why)
	for _, test := range []struct {
		added error
		want  string
	}{
		{signed(why, "a\x1b"), ` (signer: "a\x1b")`},
		{holding(why, nil), "; it has none"},
		{holding(why, []string{"api", "a b", "x"}), `; it has api, "a b" and x`},
		{brokenOff(why), " (the connection was lost before a reply)"},
		{besides(why, []error{&message.Error{Topic: message.Waiting, What: "zero"}, &message.Error{Topic: message.Warning, What: "one"}, &message.Error{Topic: message.Warning, What: "two"}}), "; one; two"},
		{besides(why, nil), ""},
	} {
		want := before
		want.What += test.want
		if *message.As(test.added) != want || *message.As(why) != before {
			t.Errorf("%+v, want %+v", *message.As(test.added), want)
		}
	}
}
