package verify

import (
	"fmt"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// noteWait is for a noticeable wait before a retry.
func noteWait(wait time.Duration, why access.Reason, instance string) error {
	what := instance + " answered with an error"
	switch why {
	case access.RateLimited:
		what = "rate limited by " + instance
	case access.DNSFailed:
		what = "the DNS server did not answer for " + instance
	case access.Unreachable, access.ProxyFailed:
		what = "no connection to " + instance
	case access.InFront, access.NotGitLab:
		what = "something in front of GitLab answered for " + instance
	}
	return &message.Error{Code: "waiting", Topic: message.Waiting, What: fmt.Sprintf("%s; retrying in %d s", what, message.Seconds(wait))}
}

// noteWaitForOther is for a wait for another call's reply.
func noteWaitForOther(instance string) error {
	return &message.Error{Code: "waiting-for-other", Topic: message.Waiting,
		What: "another process is already checking this token with " + instance + "; waiting for its result"}
}

// errBridged is for the last good verdict, used because of trouble.
func errBridged(trouble access.Verdict, age time.Duration, s message.Subject) error {
	m := message.As(message.Explain(trouble, s))
	return &message.Error{Code: "bridged", Topic: m.Topic,
		What: m.What + "; using the last good verdict, from " + ago(age) + " ago (valid for up to 12 hours)"}
}

func ago(age time.Duration) string {
	switch {
	case age < time.Minute:
		return fmt.Sprintf("%d s", int(age.Seconds()))
	case age < time.Hour:
		return fmt.Sprintf("%d min", int(age.Minutes()))
	}
	return fmt.Sprintf("%d h %d min", int(age.Hours()), int(age.Minutes())%60)
}
