package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/connection"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// disconnectFlags are disconnect's flags.
type disconnectFlags struct {
	keeperFlags
	revoke, yes bool
}

func disconnectCommand(d *deps) *cobra.Command {
	var flags disconnectFlags
	command := &cobra.Command{
		Use: "disconnect", SuggestFor: []string{"logout", "remove", "delete"},
		Short: "Remove the GitLab token from the platform or a Secret",
		Example: `  git-credential-acp disconnect --platform
  git-credential-acp disconnect --secret team/my-gitlab --revoke`,
		Args: alone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return runDisconnect(ctx, d, flags)
		},
	}
	flags.add(command)
	command.Flags().BoolVar(&flags.revoke, "revoke", false, "revoke the token on GitLab first, after asking")
	command.Flags().BoolVar(&flags.yes, "yes", false, "revoke without asking")
	return command
}

func runDisconnect(ctx context.Context, d *deps, flags disconnectFlags) error {
	limit, problem := d.config.Timeout()
	if problem != nil {
		return failed(d, problem, asIs)
	}
	keeper, problem := newKeeper(ctx, d, "disconnect", flags.keeperFlags, limit)
	if problem != nil {
		return failed(d, problem, asIs)
	}
	reading, cancel := context.WithTimeout(ctx, limit)
	kept, problem := keeper.Read(reading)
	cancel()
	switch {
	case problem != nil:
		return failed(d, problem, asIs)
	case !kept.Connected:
		_, err := fmt.Fprintf(d.env.Stdout, "nothing to do: there is no token in %s\n", keeper.Where())
		return written(err)
	case kept.Stuck != nil:
		return failed(d, kept.Stuck, asIs)
	}
	tok, where := kept.Token, keeper.Where()
	if flags.revoke {
		if kept.Problem != nil {
			return failed(d, kept.Problem, asIs)
		}
		if known, problem := knownInstance(d); d.flags.instance != nil && (problem != nil || *known != kept.Instance) {
			if problem == nil {
				problem = message.RotateOtherInstance(keeper.Where(), kept.Instance.String(), known.String())
			}
			return failed(d, problem, asIs)
		}
	}
	if tok.IsZero() && flags.revoke {
		found := keptHere(ctx, d, kept.Instance)
		tok, where = found.Token, found.Where
	}
	redact := redactAll(kept.Token, tok)
	if flags.revoke {
		// First, so that a token that is still alive is never lost sight of.
		revoked, problem := revoke(ctx, d, keeper, kept, tok, where, flags.yes)
		if problem != nil {
			return failed(d, problem, redact)
		}
		if _, err := fmt.Fprintf(d.env.Stdout, "revoked: %s on %s\n", revoked, kept.Instance.String()); err != nil {
			return written(err)
		}
	}
	removing, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if problem := keeper.Remove(removing, kept); problem != nil {
		return failed(d, problem, redact)
	}
	said := fmt.Sprintf("disconnected: there is no token in %s any more\n", keeper.Where())
	if kept.Token.IsZero() && kept.Problem == nil {
		said += fmt.Sprintf("note: it did not show its token; if that is another one and still alive, revoke it at %s\n", message.TokensPage(kept.Instance.URL()))
	}
	_, err := io.WriteString(d.env.Stdout, said)
	return written(err)
}

// revoke has GitLab revoke a token, which is the kept one, or else the one that
// was found where it says, and gives the token's name.
func revoke(ctx context.Context, d *deps, keeper connection.Keeper, kept connection.Kept, tok token.Token, where string, yes bool) (string, error) {
	if tok.IsZero() {
		return "", errRevokeNothing(keeper.Where())
	}
	self, problem := askSelf(ctx, d, tok, kept.Instance, kept.CA, where)
	switch {
	case problem != nil && kept.Token.IsZero() && !message.Unverified(problem):
		// The keeper's own may well be alive.
		return "", errRevokeOther(problem, keeper.Where(), message.TokensPage(kept.Instance.URL()))
	case message.Is(problem, string(access.TokenRevoked)):
		return "a token that was revoked before", nil
	case problem != nil:
		return "", errRevokeFailed(problem)
	}
	name := fmt.Sprintf("the token %s (%d) from %s", message.Quote(self.Name), self.ID, where)
	if !yes && !confirmed(ctx, d, "revoke "+name+" on "+kept.Instance.String()+"? Everything that uses it stops working.") {
		return "", errRevokeUnconfirmed()
	}
	limit, problem := d.config.Timeout()
	if problem != nil {
		return "", problem
	}
	client, problem := newConnector(d, limit)(tok, kept.Instance, kept.CA)
	if problem != nil {
		return "", errRevokeFailed(problem)
	}
	defer client.Close()
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if reply := client.Revoke(asking); reply.State != access.Given {
		v := access.Verdict{Outcome: access.Refused, Reason: reply.Reason, Detail: reply.Detail, Wait: reply.Wait}
		if reply.State == access.Silent {
			v.Outcome = access.Unverified
		}
		if v.Reason == access.Timeout {
			v.Detail = limit.String()
		}
		return "", errRevokeFailed(message.Explain(v, subjectOf(kept.Instance, where)))
	}
	return name, nil
}

// askSelf is what GitLab says of a token.
func askSelf(ctx context.Context, d *deps, tok token.Token, i instance.Instance, ca authorities, where string) (access.Self, error) {
	limit, problem := d.config.Timeout()
	if problem != nil {
		return access.Self{}, problem
	}
	client, problem := newConnector(d, limit)(tok, i, ca)
	if problem != nil {
		return access.Self{}, problem
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	verdict, facts := client.Check(ctx, "", access.Policy{}, access.Facts{})
	if verdict.Outcome != access.Granted {
		return facts.Self, message.Explain(verdict, subjectOf(i, where))
	}
	return facts.Self, nil
}

func subjectOf(i instance.Instance, where string) message.Subject {
	return message.Subject{Instance: i.String(), URL: i.URL(), Where: where, Renew: "connect it"}
}
