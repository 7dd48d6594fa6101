package cli

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/install"
)

func (a *app) install() *cobra.Command {
	return &cobra.Command{
		Use:   "install DIR",
		Short: "Copy this program into a directory, for an init container",
		Long: `install copies this program into a directory as git-credential-acp, executable for
everyone. It replaces an existing file atomically, and needs neither a shell nor cp.`,
		Example: "  git-credential-acp install /shared",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runInstall(cmd.Context(), args[0]) },

		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
	}
}

func (a *app) runInstall(ctx context.Context, dir string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	path, fresh, problem := install.Copy(ctx, dir)
	if problem != nil {
		a.tell(problem, asIs)
		return exitError(exitRefused)
	}
	if _, err := fmt.Fprintln(a.env.Stdout, installed(path, fresh)); err != nil {
		return exitError(exitRefused)
	}
	return nil
}
