package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/connection"
	"github.com/ambient-code/git-credential-acp/internal/message"
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
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := exclusive(cmd, []string{"secret"}, []string{"platform", "backend"}); err != nil {
				return err
			}
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
	keeper, err := newKeeper(ctx, d, "disconnect", flags.keeperFlags)
	if err != nil {
		return err
	}
	kept, err := keeper.Read(ctx)
	switch {
	case err != nil:
		return err
	case !kept.Connected:
		_, _ = fmt.Fprintf(d.env.Stdout, "nothing to do: there is no token in %s\n", keeper.Where())
		return nil
	case kept.Unremovable != nil:
		return kept.Unremovable
	}
	if flags.revoke {
		// First, so that a token that is still valid is never removed without being revoked.
		revoked, err := revoke(ctx, d, keeper.Where(), kept, flags.yes)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(d.env.Stdout, "revoked: %s on %s\n", revoked, kept.Instance.String())
	}
	if err := keeper.Remove(ctx, kept); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(d.env.Stdout, "disconnected: there is no token in %s any more\n", keeper.Where())
	if kept.Token.IsZero() && kept.Problem == nil {
		_, _ = fmt.Fprintf(d.env.Stdout, "note: it did not show its token; if that is another one and still alive, revoke it at %s\n", message.TokensPage(kept.Instance.URL()))
	}
	return nil
}

// revoke makes GitLab revoke the stored token or, if the keeper does not return it, the one
// that is here. It returns the token's name.
func revoke(ctx context.Context, d *deps, keeper string, kept connection.Kept, yes bool) (string, error) {
	if kept.Problem != nil {
		return "", kept.Problem
	}
	if d.flags.instance != nil {
		known, err := knownInstance(d)
		switch {
		case err != nil:
			return "", err
		case *known != kept.Instance:
			return "", message.RotateOtherInstance(keeper, kept.Instance.String(), known.String())
		}
	}
	found := kept.Found
	if found.Token.IsZero() {
		found = keptHere(ctx, d, kept.Instance)
	}
	if found.Token.IsZero() {
		return "", errRevokeNothing(keeper)
	}
	server, err := newGitLab(d)
	if err != nil {
		return "", err
	}
	self, err := server.Self(ctx, found)
	switch {
	case err != nil && kept.Token.IsZero() && !message.Unverified(err):
		// The keeper's own token may be valid.
		return "", errRevokeOther(err, keeper, message.TokensPage(kept.Instance.URL()))
	case message.Is(err, string(access.TokenRevoked)):
		return "a token that was revoked before", nil
	case err != nil:
		return "", errRevokeFailed(err)
	}
	name := fmt.Sprintf("the token %s (%d) from %s", message.Quote(self.Name), self.ID, found.Where)
	if !yes && !confirm(ctx, d, "revoke "+name+" on "+kept.Instance.String()+"? Everything that uses it stops working.") {
		return "", errRevokeUnconfirmed()
	}
	if err := server.Revoke(ctx, found); err != nil {
		return "", errRevokeFailed(err)
	}
	return name, nil
}
