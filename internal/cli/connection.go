package cli

import (
	"cmp"
	"context"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/connection"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/lookup"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// keeperFlags say where a token is kept.
type keeperFlags struct {
	platform bool
	backend  string
	secret   string
}

func (f *keeperFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.BoolVar(&f.platform, "platform", false, "the platform stores the token, as in Settings → Integrations → GitLab")
	flags.StringVar(&f.backend, "backend", "", "`URL` of the platform's API (default: ACP_BACKEND_URL, else BACKEND_API_URL)")
	flags.StringVar(&f.secret, "secret", "", "a Secret `namespace/name` stores the token (default: ACP_GITLAB_SECRET)")
	complete(command, "backend", cobra.NoFileCompletions)
	complete(command, "secret", cobra.NoFileCompletions)
}

// newKeeper is the place that the flags name.
func newKeeper(ctx context.Context, d *deps, command string, f keeperFlags, limit time.Duration) (connection.Keeper, error) {
	switch {
	case f.secret != "" && (f.platform || f.backend != ""):
		return nil, errFlagsClash("--secret", "--platform")
	case f.platform || f.backend != "":
		client, problem := platformEnvironment(d).Open(f.backend, limit)
		if problem != nil {
			return nil, problem
		}
		return connection.Platform{Client: client}, nil
	}
	text := cmp.Or(f.secret, d.config.Secret.Value)
	if text == "" {
		return nil, errKeeperUnset(command)
	}
	name, err := kube.ParseName(text)
	switch {
	case err != nil && f.secret == "":
		return nil, message.SettingInvalid(d.config.Secret.Name, err)
	case err != nil:
		return nil, errFlagInvalid("--secret", "is "+err.Error())
	}
	keeper, problem := secretKeeper(ctx, d, name)
	if problem != nil {
		return nil, problem
	}
	return keeper, nil
}

// secretKeeper keeps the token in a Secret.
func secretKeeper(ctx context.Context, d *deps, name kube.Name) (*connection.Secret, error) {
	limit, problem := d.config.Timeout()
	if problem != nil {
		return nil, problem
	}
	opening, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	client, problem := kube.Open(opening, clusterConfig(d))
	if problem != nil {
		return nil, problem
	}
	return &connection.Secret{Client: client, Name: name, Found: func(s kube.Secret) (source.Found, bool) {
		return source.Read(name.String(), lookup.ObjectOf(s), d.config.AllowHTTPLoopback), len(s.Data) > 0
	}}, nil
}

// authorities are those in PEM form that are kept along with a token.
type authorities = func() ([]byte, error)

// connector makes a client for a token.
type connector func(token.Token, instance.Instance, authorities) (*gitlab.Client, error)

// newConnector makes clients for tokens, wherever they are from.
func newConnector(d *deps, limit time.Duration) connector {
	return func(tok token.Token, i instance.Instance, ca authorities) (*gitlab.Client, error) {
		d.trace.Hide(tok)
		found := source.Found{Token: tok, Instance: i, CA: ca}
		return newClients(d).Connect(helper.Question{Found: found, URL: i.URL()}, limit, nil)
	}
}

// interruptible ends ctx by a signal that would end the process. A second one
// does end it, whatever it waits for.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// failed tells a message and ends with its exit code.
func failed(d *deps, m error, redact func(string) string) error {
	d.say.tell(m, redact)
	if message.As(m).Topic == message.Warning {
		return nil
	}
	return exitError(codeOf(m))
}

// redactAll takes what is known of several tokens out of a text.
func redactAll(tokens ...token.Token) func(string) string {
	return func(text string) string {
		for _, t := range tokens {
			text = t.Redact(text)
		}
		return text
	}
}

// tokenHere is the token that get would use for an instance; the zero value when
// there is none that can be used.
func tokenHere(ctx context.Context, d *deps, i instance.Instance) source.Found {
	places, _, _ := newLookup(d).Find(ctx, requestFor(i))
	for _, found := range places {
		if found.Instance == i && found.Problem == nil {
			return found
		}
	}
	return source.Found{}
}

// keptHere is tokenHere in place of the token of the platform's connection, which the
// platform does not return. In the runner, it may be the token of another user than the
// connection's, which must not be replaced or revoked for that one.
func keptHere(ctx context.Context, d *deps, i instance.Instance) source.Found {
	found := tokenHere(ctx, d, i)
	if found.Source == source.Runner && !newLookup(d).Keeps(ctx, found.Token) {
		return source.Found{}
	}
	return found
}

// requestFor is what git asks for without a path.
func requestFor(i instance.Instance) credential.Request {
	protocol, host, _ := strings.Cut(i.Origin(), "://")
	return credential.Request{Protocol: protocol, Host: host}
}

// chosenInstance is the instance of --instance or the environment, else gitlab.com.
func chosenInstance(d *deps) (instance.Instance, error) {
	known, problem := knownInstance(d)
	switch {
	case problem != nil:
		return instance.Instance{}, problem
	case known != nil:
		return *known, nil
	}
	i, err := instance.Parse(source.DefaultInstanceURL, false)
	if err != nil {
		return i, message.InstanceInvalid("this program", err)
	}
	return i, nil
}
