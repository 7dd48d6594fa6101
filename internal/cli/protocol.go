package cli

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// inputLimit is how long a request may take to arrive. git sends it at once; a
// caller that never ends it must not keep this process for ever.
const inputLimit = time.Minute

var errInputLate = errors.New("the request did not end within a minute")

func (a *app) get() *cobra.Command {
	return &cobra.Command{
		Use:   "get",
		Short: "Answer git's request for a credential (on stdin)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			result := a.helper().Get(cmd.Context(), &timedReader{in: a.env.Stdin, limit: inputLimit})
			for _, m := range result.Messages {
				a.tell(m, result.Redact)
			}
			if len(result.Answer) > 0 {
				// One write: git reads as it comes.
				if _, err := a.env.Stdout.Write(result.Answer); err != nil {
					a.line("the answer could not be written to git")
					return exitError(exitRefused)
				}
			}
			switch result.Outcome {
			case helper.Answered, helper.NotOurs:
				return nil
			case helper.Unverified:
				return exitError(exitUnverified)
			}
			return exitError(exitRefused)
		},
	}
}

// silent is an operation that does nothing, before any file or network is
// touched. The input is left unread: git does not mind.
func (a *app) silent(name, short string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs, RunE: func(*cobra.Command, []string) error { return nil }}
}

func (a *app) capability() *cobra.Command {
	return &cobra.Command{
		Use:   "capability",
		Short: "Tell git what this helper can do",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.env.Stdout.Write(credential.Capabilities())
			return err
		},
	}
}

func (a *app) helper() helper.Helper {
	return helper.Helper{
		Secrets: a.secrets,
		Known:   a.known,
		Only:    a.instanceFlag != "",
		Rules:   a.rules,
		Verify:  a.verify,
	}
}

// verify asks GitLab, until the time limit or a signal ends it.
func (a *app) verify(ctx context.Context, q helper.Question) (access.Verdict, *message.Message) {
	timeout, problem := a.timeout()
	if problem != nil {
		return access.Verdict{}, problem
	}
	trust := gitlab.Trust{Required: a.env.Getenv(envGitCAInfo), RequiredBy: envGitCAInfo, Optional: a.env.Getenv(envCertFile)}
	if q.Found.CA != nil {
		trust.Where = "the key ca.crt of the Secret"
		if trust.PEM, problem = q.Found.CA(); problem != nil {
			return access.Verdict{}, problem
		}
	}
	roots, problem := gitlab.Roots(trust)
	if problem != nil {
		return access.Verdict{}, problem
	}
	client := gitlab.New(gitlab.Config{
		Instance:  q.Found.Instance,
		Token:     q.Found.Token,
		Roots:     roots,
		Proxy:     http.ProxyFromEnvironment,
		UserAgent: Name + "/" + versionOf(a.env.Version),
		OnWait: func(wait time.Duration, why access.Reason) {
			if wait > noticeable {
				a.tell(message.Waiting(wait, why, q.Found.Instance.String()), q.Found.Token.Redact)
			}
		},
	})
	defer client.Close()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return client.Check(ctx, q.Project, q.Policy), nil
}

// noticeable is the wait from which on people are told.
const noticeable = 2 * time.Second

// timedReader gives up on an input that does not end in time.
type timedReader struct {
	in    io.Reader
	limit time.Duration
	timer <-chan time.Time
}

func (t *timedReader) Read(p []byte) (int, error) {
	if t.timer == nil {
		t.timer = time.After(t.limit)
	}
	type read struct {
		data []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		// A buffer of its own: the caller's must not be written to once the
		// time is up.
		data := make([]byte, len(p))
		n, err := t.in.Read(data)
		done <- read{data[:n], err}
	}()
	select {
	case r := <-done:
		return copy(p, r.data), r.err
	case <-t.timer:
		return 0, errInputLate
	}
}
