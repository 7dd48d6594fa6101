package cli

import (
	"cmp"
	"context"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/connection"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/kube"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// keeperFlags say where a token is stored.
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
func newKeeper(ctx context.Context, d *deps, command string, f keeperFlags) (connection.Keeper, error) {
	limit, err := d.config.Timeout()
	if err != nil {
		return nil, err
	}
	if f.platform || f.backend != "" {
		client, err := platformEnvironment(d).Open(f.backend, limit)
		if err != nil {
			return nil, err
		}
		return connection.Platform{Client: client, Limit: limit}, nil
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
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	client, err := kube.Open(ctx, clusterConfig(d))
	if err != nil {
		return nil, err
	}
	return &connection.Secret{Client: client, Name: name, Limit: limit, AllowHTTPLoopback: d.config.AllowHTTPLoopback}, nil
}

// newGitLab asks GitLab about tokens, which are redacted in all output from then on.
func newGitLab(d *deps) (connection.GitLab, error) {
	limit, err := d.config.Timeout()
	return connection.GitLab{Limit: limit, Connect: func(found source.Found) (*gitlab.Client, error) {
		d.trace.Hide(found.Token)
		d.say.hideToken(found.Token)
		return newClients(d).Connect(helper.Question{Found: found, URL: found.Instance.URL()}, limit, nil)
	}}, err
}

// interruptible ends ctx by a signal that would end the process. A second one does end it.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// keptHere is the token that get would use for an instance, in place of the one of the
// platform's connection, which the platform does not return; the zero value if there is none.
// In the runner, it may be the token of another user than the connection's, which must not be
// replaced or revoked for that one.
func keptHere(ctx context.Context, d *deps, i instance.Instance) source.Found {
	protocol, host, _ := strings.Cut(i.Origin(), "://")
	places, _, _ := newLookup(d).Find(ctx, credential.Request{Protocol: protocol, Host: host})
	for _, found := range places {
		if found.Instance != i || found.Problem != nil {
			continue
		}
		if found.Source == source.Runner && !newLookup(d).Keeps(ctx, found.Token) {
			break
		}
		return found
	}
	return source.Found{}
}
