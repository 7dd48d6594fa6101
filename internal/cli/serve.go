package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/serve"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

func serveCommand(d *deps) *cobra.Command {
	var policy serve.Policy
	listen := "127.0.0.1:8466"
	command := &cobra.Command{
		Use:   "serve",
		Short: "Proxy for git that holds the token, for a sidecar",
		Long: `serve is a proxy for git and LFS over HTTP that adds the token, so that its clients
can work with the instance and never see the token. Each request is checked as by
get: a fetch needs Reporter on the project, a push Developer. Clients use

  git config --global url.http://127.0.0.1:8466/.insteadOf https://gitlab.example.com/

Whoever can connect can use the token within the policy, so only loopback addresses
and Unix sockets can be listened on. Without --allow-push, branches may be created
and moved forward, and no other ref be pushed. In a pattern of refs, * stands for any
text. Push options are passed on; with --allow-push, those that merge are refused.
Repositories of snippets are not served.`,
		Example: `  git-credential-acp serve --project group/project --allow-push 'refs/heads/session/*'
  git-credential-acp serve --read-only --min-access none`,
		Args: alone,
	}
	flags := command.Flags()
	flags.StringVar(&listen, "listen", listen, "loopback `address` as HOST:PORT, or unix:PATH")
	flags.StringArrayVar(&policy.Projects, "project", nil, "`path` of a project to serve, or GROUP/* for all below a group; repeatable (default all)")
	flags.StringArrayVar(&policy.Refs, "allow-push", nil, "`pattern` of refs that may be pushed; repeatable (default refs/heads/*)")
	flags.BoolVar(&policy.Delete, "allow-delete", false, "let pushes delete refs")
	flags.BoolVar(&policy.Force, "allow-force", false, "let pushes move branches back, and other refs at all")
	flags.BoolVar(&policy.ReadOnly, "read-only", false, "refuse pushes")
	takesMinAccess(d, command)
	for _, name := range []string{"listen", "project", "allow-push"} {
		complete(command, name, cobra.NoFileCompletions)
	}
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		problem := servePolicy(d, &policy)
		if problem == nil {
			problem = runServe(cmd.Context(), d, listen, policy)
		}
		if problem == nil {
			return nil
		}
		d.say.tell(problem, asIs)
		if message.As(problem).Topic == message.Usage {
			return exitError(exitUsage)
		}
		return exitError(exitRefused)
	}
	return command
}

// servePolicy checks what was given on the command line.
func servePolicy(d *deps, p *serve.Policy) error {
	for _, project := range p.Projects {
		if !serve.ValidProject(project) {
			return errFlagInvalid("--project", "is no full path of a project, such as group/project or group/*")
		}
	}
	for _, refs := range p.Refs {
		if !serve.ValidRefs(refs) {
			return errFlagInvalid("--allow-push", "is no pattern of refs, such as refs/heads/session/*")
		}
	}
	if d.flags.minAccess == nil && !d.config.MinAccessSet() {
		return nil
	}
	rules, problem := rulesOf(d)
	p.MinAccess = &rules.Minimum
	return problem
}

func runServe(ctx context.Context, d *deps, listen string, policy serve.Policy) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	i, problem := servedInstance(ctx, d)
	if problem != nil {
		return problem
	}
	listener, problem := serve.Listen(ctx, listen)
	if problem != nil {
		return problem
	}
	address := "http://" + listener.Addr().String()
	if listener.Addr().Network() == "unix" {
		address = listen
	}
	if _, err := fmt.Fprintf(d.env.Stdout, "serving %s on %s\n", i.URL(), address); err != nil {
		return nil //nolint:nilerr // exitCode reports it
	}
	server := serve.New(serve.Config{
		Instance: i, Policy: policy, Token: tokenFor(d, i), Reach: func(found source.Found) (transport.Network, error) { return reachFor(d, found) },
		Forget: func(t token.Token) { newVerifier(perRequest(d)).Forget(t) },
		Ancestor: func(ctx context.Context, found source.Found, project, old, of string) (bool, error) {
			return ancestor(ctx, d, found, project, old, of)
		},
	})
	if err := server.Serve(ctx, listener); err != nil {
		return errServe(err)
	}
	return nil
}

// servedInstance is the one instance to serve: the one that is named, else that of the token.
func servedInstance(ctx context.Context, d *deps) (instance.Instance, error) {
	if known, problem := knownInstance(d); known != nil || problem != nil {
		if problem != nil {
			return instance.Instance{}, problem
		}
		return *known, nil
	}
	places, looked, problem := newLookup(d).Find(deadline.Begin(ctx), credential.Request{})
	var all []instance.Instance
	for _, place := range places {
		if place.Instance != (instance.Instance{}) && !slices.Contains(all, place.Instance) {
			all = append(all, place.Instance)
		}
		if problem == nil && place.Instance == (instance.Instance{}) {
			problem = place.Problem
		}
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case problem != nil:
		return instance.Instance{}, problem
	}
	return instance.Instance{}, errServedUnknown(len(all), looked)
}

// perRequest is the program for one request of a client: it reads git's configuration and
// the platform's token anew, and does not end the process.
func perRequest(d *deps) *deps {
	fresh := *d
	fresh.git = gitOnce(&fresh)
	fresh.env.Exit = func(int) {}
	return &fresh
}

// tokenFor finds tokens for repositories of an instance.
func tokenFor(d *deps, i instance.Instance) func(context.Context, serve.Want) (source.Found, error) {
	at, _ := url.Parse(i.Origin()) // an instance's is a URL
	return func(ctx context.Context, want serve.Want) (source.Found, error) {
		request := perRequest(d)
		h := newHelper(request)
		h.Known, h.KnownProblem, h.Only, h.MinAccess = &i, nil, true, nil
		found, notes, problem := h.Token(deadline.Begin(ctx), credential.Request{Protocol: at.Scheme, Host: at.Host, Path: want.Path}, want.Minimum, want.Failed)
		for _, note := range notes {
			if note != nil {
				request.say.tell(note, found.Token.Redact)
			}
		}
		return found, problem
	}
}

// reachFor says how to reach the instance of a token, as git would reach it.
func reachFor(d *deps, found source.Found) (transport.Network, error) {
	return newClients(perRequest(d)).Network(found, found.Instance.URL())
}

// ancestor asks GitLab about two commits of a project.
func ancestor(ctx context.Context, d *deps, found source.Found, project, old, of string) (bool, error) {
	request := perRequest(d)
	ctx, stop, timeout, problem := timeLimit(request).Start(deadline.Begin(ctx))
	if problem != nil {
		return false, problem
	}
	defer stop()
	question := helper.Question{Found: found, Project: project}
	client, problem := newClients(request).Connect(question, timeout, nil)
	if problem != nil {
		return false, problem
	}
	defer client.Close()
	ancestor, reply := client.Ancestor(ctx, project, old, of)
	if reply.State != access.Given {
		v := access.Verdict{Outcome: access.Unverified, Reason: reply.Reason, Detail: reply.Detail, Wait: reply.Wait}
		if reply.State != access.Silent {
			v = access.Verdict{Outcome: access.Refused, Reason: reply.Reason, Missing: []string{"read_api"}}
		}
		return false, message.Explain(v, helper.SubjectOf(question))
	}
	return ancestor, nil
}

// errServedUnknown is for serve without an instance, or with several.
func errServedUnknown(count int, looked []string) error {
	what := "the instance to serve is unknown: no token was found"
	if count > 1 {
		what = "the instance to serve is unknown: there are tokens for several"
	}
	return &message.Error{Code: "served-unknown", Topic: message.Configuration, What: what + " (looked at " + message.List(looked) + ")",
		Hint: "name it with --instance or ACP_GITLAB_INSTANCE_URL"}
}

// errServe is for a server that stopped by itself.
func errServe(err error) error {
	why := "it stopped listening"
	var number syscall.Errno
	if errors.As(err, &number) {
		why = number.Error()
	}
	return &message.Error{Code: "serve-failed", Topic: message.Internal, What: "the proxy ended: " + why, Hint: "start it again"}
}
