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
	"github.com/ambient-code/git-credential-acp/internal/secret"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/verdict"
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
			return a.conclude(a.helper().Get(cmd.Context(), a.input()))
		},
	}
}

func (a *app) erase() *cobra.Command {
	return &cobra.Command{
		Use:   "erase",
		Short: "Forget what is remembered of a token that git was refused (on stdin)",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.conclude(a.helper().Erase(a.input())) },
	}
}

func (a *app) input() io.Reader { return &timedReader{in: a.env.Stdin, limit: inputLimit} }

// conclude prints a result and turns it into an exit code.
func (a *app) conclude(result helper.Result) error {
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
}

// store does nothing, before any file or network is touched. The input is left
// unread: git does not mind.
func (a *app) store() *cobra.Command {
	return &cobra.Command{
		Use:   "store",
		Short: "Do nothing: tokens are kept by the Secret, not by git",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return nil },
	}
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
		Forget: func(tok token.Token) bool {
			store, problem := a.verdicts()
			return problem == nil && store.Forget(tok) > 0
		},
	}
}

// verify finds a verdict: the one that is remembered, else by asking GitLab,
// until the time limit or a signal ends it. The way through memory alone comes
// first, since it is the one that nearly every call takes: it sets up nothing.
func (a *app) verify(ctx context.Context, q helper.Question) helper.Finding {
	store, problem := a.verdicts()
	if problem != nil {
		return helper.Finding{Problem: problem}
	}
	question := verdict.Question{Token: q.Found.Token, Instance: q.Found.Instance, Project: q.Project, Policy: q.Policy}
	if answer, fresh := store.Fresh(question); fresh {
		return finding(answer, q)
	}
	timeout, problem := a.timeout()
	if problem != nil {
		return helper.Finding{Problem: problem}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer := store.Verify(ctx, question, func(ctx context.Context, known access.Facts) (access.Verdict, access.Facts) {
		var client *gitlab.Client
		if client, problem = a.client(q.Found); problem != nil {
			return access.Verdict{}, access.Facts{}
		}
		defer client.Close()
		return client.Check(ctx, q.Project, q.Policy, known)
	})
	if problem != nil {
		return helper.Finding{Problem: problem}
	}
	return finding(answer, q)
}

// finding adds to a verdict what people should know of it.
func finding(answer verdict.Answer, q helper.Question) helper.Finding {
	f := helper.Finding{Verdict: answer.Verdict}
	if answer.Bridged > 0 {
		f.Notes = append(f.Notes, message.Bridged(answer.Trouble, answer.Bridged, helper.SubjectOf(q)))
	}
	if answer.Tell {
		f.Notes = append(f.Notes, message.Expiry(answer.Verdict, time.Now(), helper.SubjectOf(q)))
	}
	return f
}

// client makes a client for the instance of a token.
func (a *app) client(found secret.Found) (*gitlab.Client, *message.Message) {
	var problem *message.Message
	trust := gitlab.Trust{Required: a.env.Getenv(envGitCAInfo), RequiredBy: envGitCAInfo, Optional: a.env.Getenv(envCertFile)}
	if found.CA != nil {
		trust.Where = "the key ca.crt of the Secret"
		if trust.PEM, problem = found.CA(); problem != nil {
			return nil, problem
		}
	}
	roots, problem := gitlab.Roots(trust)
	if problem != nil {
		return nil, problem
	}
	return gitlab.New(gitlab.Config{
		Instance:  found.Instance,
		Token:     found.Token,
		Roots:     roots,
		Proxy:     http.ProxyFromEnvironment,
		UserAgent: Name + "/" + versionOf(a.env.Version),
		OnWait: func(wait time.Duration, why access.Reason) {
			if wait > noticeable {
				a.tell(message.Waiting(wait, why, found.Instance.String()), found.Token.Redact)
			}
		},
	}), nil
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
