package cli

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/install"
)

func installCommand(d *deps) *cobra.Command {
	return &cobra.Command{
		Use:   "install DIR",
		Short: "Copy this program into a directory, for an init container",
		Long: `install copies this program into a directory as git-credential-acp, executable for
everyone. It replaces an existing file atomically, and needs neither a shell nor cp.`,
		Example: "  git-credential-acp install /shared",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runInstall(cmd.Context(), d, args[0]) },

		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
	}
}

func runInstall(ctx context.Context, d *deps, dir string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	path, fresh, problem := install.Copy(ctx, dir)
	if problem != nil {
		d.say.tell(problem, asIs)
		return exitError(exitRefused)
	}
	if _, err := fmt.Fprintln(d.env.Stdout, installed(path, fresh)); err != nil {
		return exitError(exitRefused)
	}
	return nil
}
