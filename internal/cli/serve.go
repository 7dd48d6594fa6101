package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

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
	listen, health := "127.0.0.1:8466", ""
	command := &cobra.Command{
		Use:   "serve",
		Short: "Proxy for git that holds the token, for a sidecar",
		Long: `serve is a proxy for git and LFS over HTTP that adds the token, so that its clients
can work with the instance and never see the token. Each request is checked as
get does: a fetch needs Reporter on the project, a push Developer. To set up a client:

  git-credential-acp setup --proxy http://127.0.0.1:8466 --instance URL

Whoever can connect can use the token within the policy, so serve listens only on
loopback addresses and Unix sockets. Without --allow-push, branches may be created and
fast-forwarded, and no other refs may be pushed. In a pattern of refs, * matches any
text. Push options are passed on; with --allow-push, those that merge are refused.
Repositories of snippets are not served.`,
		Example: `  git-credential-acp serve --project group/project --allow-push 'refs/heads/session/*'
  git-credential-acp serve --read-only --min-access none`,
		Args: noArguments,
	}
	flags := command.Flags()
	flags.StringVar(&listen, "listen", listen, "loopback `address` as HOST:PORT, or unix:PATH")
	flags.StringVar(&health, "health", "", "`address` as HOST:PORT or :PORT for /livez, /readyz and /metrics (default none)")
	flags.StringArrayVar(&policy.Projects, "project", nil, "`path` of a project to serve, or GROUP/* for all below a group; repeatable (default all)")
	flags.StringArrayVar(&policy.Refs, "allow-push", nil, "`pattern` of refs that may be pushed; repeatable (default refs/heads/*)")
	flags.BoolVar(&policy.Delete, "allow-delete", false, "let pushes delete refs")
	flags.BoolVar(&policy.Force, "allow-force", false, "let pushes rewind branches, and change refs that are not branches")
	flags.BoolVar(&policy.ReadOnly, "read-only", false, "refuse pushes")
	takesMinAccess(d, command)
	for _, name := range []string{"listen", "health", "project", "allow-push"} {
		complete(command, name, cobra.NoFileCompletions)
	}
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		problem := servePolicy(d, &policy)
		if problem == nil {
			problem = runServe(cmd.Context(), d, listen, health, policy)
		}
		if problem == nil {
			return nil
		}
		d.say.tell(problem, asIs)
		return exitError(codeOf(problem))
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

func runServe(ctx context.Context, d *deps, listen, health string, policy serve.Policy) error {
	runtime.SetDefaultGOMAXPROCS() // package onecpu has set 1
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
	monitor := &serve.Monitor{Ready: func(probe context.Context) error {
		if ctx.Err() != nil {
			return errStopping()
		}
		return haveToken(probe, d, i)
	}}
	requests := slog.New(slog.NewJSONHandler(d.env.Stderr, nil))
	server := serve.New(serve.Config{
		Instance: i, Policy: policy, Token: tokenFor(d, i), Reach: func(found source.Found) (transport.Network, error) { return reachFor(d, found) },
		Forget: func(t token.Token) { newVerifier(perRequest(d)).Forget(t) },
		Ancestor: func(ctx context.Context, found source.Found, project, old, of string) (bool, error) {
			return ancestor(ctx, d, found, project, old, of)
		},
		Done: func(r serve.Record) {
			monitor.Add(r)
			logRequest(requests, r)
		},
	})
	text := fmt.Sprintf("serving %s on %s\n", i.URL(), address)
	if health != "" {
		monitored, problem := startMonitor(ctx, health, monitor)
		if problem != nil {
			_ = listener.Close()
			return problem
		}
		// Until the end: probes go on while the last requests do.
		defer func() { _ = monitored.Close() }()
		text += "serving /livez, /readyz and /metrics on http://" + monitored.Addr + "\n"
	}
	if _, err := io.WriteString(d.env.Stdout, text); err != nil {
		_ = listener.Close()
		return nil //nolint:nilerr // exitCode reports it
	}
	if err := server.Serve(ctx, listener); err != nil {
		return errServe(err)
	}
	return nil
}

// monitorConnections bounds connections for probes and metrics.
const monitorConnections = 32

// startMonitor serves the monitor on an address.
func startMonitor(ctx context.Context, address string, m *serve.Monitor) (*http.Server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, errMonitor(address, err)
	}
	server := &http.Server{Addr: l.Addr().String(), Handler: m, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		MaxHeaderBytes: 16 << 10, ConnState: serve.AtMost(monitorConnections), ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(l) }()
	return server, nil
}

// haveToken says why there is no token for an instance. It asks GitLab nothing.
func haveToken(ctx context.Context, d *deps, i instance.Instance) error {
	at, _ := url.Parse(i.URL()) // an instance's is a URL
	h := servedHelper(perRequest(d), i)
	found, result := h.Find(deadline.Begin(ctx), credential.Request{Protocol: at.Scheme, Host: at.Host, Path: strings.TrimPrefix(at.Path+"/", "/")})
	switch {
	case found != nil:
		return found.Problem
	case len(result.Messages) > 0:
		return result.Messages[0]
	}
	return message.NotConnected(i.String(), []string{"nothing that is for it"}, h.Source.Connect())
}

// logRequest writes a line for a request. It holds nothing of a token, and of what the
// client sent only the project.
func logRequest(to *slog.Logger, r serve.Record) {
	level := slog.LevelInfo
	if r.Outcome() != serve.OK {
		level = slog.LevelWarn
	}
	attributes := []slog.Attr{
		slog.String("operation", string(r.Operation)), slog.String("project", r.Project),
		slog.String("outcome", r.Outcome()), slog.Int("status", r.Status),
		slog.Int64("duration_ms", r.Took.Milliseconds()), slog.Int64("received", r.Received), slog.Int64("sent", r.Sent),
	}
	if r.Reason != "" {
		attributes = append(attributes, slog.String("reason", r.Reason))
	}
	to.LogAttrs(context.Background(), level, "request", attributes...)
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

// servedHelper answers for one instance only, at the level that the policy says.
func servedHelper(request *deps, i instance.Instance) helper.Helper {
	h := newHelper(request)
	h.Known, h.KnownProblem, h.Only, h.MinAccess = &i, nil, true, nil
	return h
}

// tokenFor finds tokens for repositories of an instance.
func tokenFor(d *deps, i instance.Instance) func(context.Context, serve.Want) (source.Found, time.Time, error) {
	at, _ := url.Parse(i.Origin()) // an instance's is a URL
	return func(ctx context.Context, want serve.Want) (source.Found, time.Time, error) {
		request := perRequest(d)
		h := servedHelper(request, i)
		found, made, notes, problem := h.Token(deadline.Begin(ctx), credential.Request{Protocol: at.Scheme, Host: at.Host, Path: want.Path}, want.Minimum, want.Failed)
		for _, note := range notes {
			if note != nil {
				request.say.tell(note, found.Token.Redact)
			}
		}
		return found, made, problem
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

// errMonitor is for an address of --health that can't be listened on.
func errMonitor(address string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return &message.Error{Code: "health-address", Topic: message.Configuration, What: "can't listen on " + message.Quote(address) + " of --health: " + err.Error(),
		Hint: "give a free address as HOST:PORT, or :PORT for all of them"}
}

// errStopping is for a proxy that finishes its last requests.
func errStopping() error {
	return &message.Error{Code: "serve-stopping", Topic: message.NotVerified, What: "the proxy is stopping", Hint: "wait until it has been started again"}
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
