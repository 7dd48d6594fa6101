package cli

import (
	"context"
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

// operation is something that git asks a helper for.
type operation struct {
	name, short string
	run         func(*app, context.Context) error
}

func operations() []operation {
	return []operation{
		{"get", "Answer git's request for a credential (on stdin)",
			func(a *app, ctx context.Context) error { return a.conclude(a.helper().Get(ctx, a.input())) }},
		// The input is left unread: git does not mind.
		{"store", "Do nothing: tokens are kept by the Secret, not by git",
			func(*app, context.Context) error { return nil }},
		{"erase", "Forget what is remembered of a token that git was refused (on stdin)",
			func(a *app, _ context.Context) error { return a.conclude(a.helper().Erase(a.input())) }},
		{"capability", "Tell git what this helper can do",
			func(a *app, _ context.Context) error {
				_, err := a.env.Stdout.Write(credential.Capabilities())
				return err
			}},
	}
}

// direct finds the operation when args are just what git calls a helper with:
// perhaps --instance URL, then its name. Building all commands to find it there
// would take longer than most answers.
func (a *app) direct(args []string) (operation, bool) {
	var instance string
	given := len(args) == 3 && args[0] == "--"+flagInstance
	if given {
		instance, args = args[1], args[2:]
	}
	if len(args) == 1 {
		for _, op := range operations() {
			if op.name == args[0] {
				a.instanceFlag, a.instanceGiven = instance, given
				return op, true
			}
		}
	}
	return operation{}, false
}

func (o operation) command(a *app) *cobra.Command {
	return &cobra.Command{
		Use: o.name, Short: o.short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.instanceGiven = cmd.Flags().Changed(flagInstance)
			return o.run(a, cmd.Context())
		},
	}
}

// input is a request. One that does not end in time ends the process: a read
// can't be called off.
func (a *app) input() io.Reader { return a.inputWithin(inputLimit) }

func (a *app) inputWithin(limit time.Duration) io.Reader {
	late := time.AfterFunc(limit, func() {
		a.tell(message.RequestLate(limit), asIs)
		a.env.Exit(exitRefused)
	})
	return &input{in: a.env.Stdin, late: late}
}

// input calls off the alarm when the request has ended: with the input, or with
// a blank line.
type input struct {
	in    io.Reader
	late  *time.Timer
	ended byte
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.in.Read(p)
	for _, c := range p[:n] {
		if c == '\n' && i.ended == '\n' {
			i.late.Stop()
		}
		i.ended = c
	}
	if err != nil {
		i.late.Stop()
	}
	return n, err
}

// conclude prints a result and turns it into an exit code.
func (a *app) conclude(result helper.Result) error {
	for _, m := range result.Messages {
		a.tell(m, result.Redact)
	}
	if len(result.Answer) > 0 {
		// One write: git reads as it comes.
		if _, err := a.env.Stdout.Write(result.Answer); err != nil {
			a.tell(message.AnswerLost(), asIs)
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

func (a *app) helper() helper.Helper {
	return helper.Helper{
		Secrets: a.secrets,
		Known:   a.known,
		Only:    a.instanceGiven,
		Rules:   a.rules,
		Remotes: a.remotes,
		Verify:  a.verify,
		Forget: func(tok token.Token) bool {
			store, problem := a.verdicts()
			return problem == nil && store.Forget(tok)
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
	defer a.guard(ctx)()
	store.OnWait = a.onWait(q.Found)
	store.OnLock = func() { a.tell(message.WaitForOther(q.Found.Instance.String()), q.Found.Token.Redact) }
	answer := store.Verify(ctx, question, func(ctx context.Context, known access.Facts) (access.Verdict, access.Facts) {
		var client *gitlab.Client
		limited := func(wait time.Duration, why access.Reason) {
			if why == access.RateLimited {
				store.Limited(question, wait)
			}
			store.OnWait(wait, why)
		}
		if client, problem = a.client(q.Found, timeout, limited); problem != nil {
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

// guard ends the process when the time limit or a signal has ended ctx and the
// work goes on all the same: some reads of files can't be called off. What it
// returns calls it off.
func (a *app) guard(ctx context.Context) func() {
	finished := make(chan struct{})
	context.AfterFunc(ctx, func() {
		select {
		case <-finished:
		case <-time.After(overtime):
			a.tell(message.Overtime(), asIs)
			_, _ = a.env.Stdout.Write(credential.Quit())
			a.env.Exit(exitUnverified)
		}
	})
	return func() { close(finished) }
}

// overtime is how long the work may take to notice that its time is up.
const overtime = 2 * time.Second

func (a *app) onWait(found secret.Found) func(time.Duration, access.Reason) {
	return func(wait time.Duration, why access.Reason) {
		if wait > noticeable {
			a.tell(message.Wait(wait, why, found.Instance.String()), found.Token.Redact)
		}
	}
}

// client makes a client for the instance of a token.
func (a *app) client(found secret.Found, limit time.Duration, onWait func(time.Duration, access.Reason)) (*gitlab.Client, *message.Message) {
	var problem *message.Message
	trust := gitlab.Trust{Required: a.env.Getenv(envGitCAInfo), RequiredBy: envGitCAInfo,
		Optional: a.env.Getenv(envCertFile), OptionalBy: envCertFile}
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
		Limit:     limit,
		UserAgent: Name + "/" + versionOf(a.env.Version),
		OnWait:    onWait,
	}), nil
}

// noticeable is the wait from which on people are told.
const noticeable = 2 * time.Second
