package cli

import (
	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/config"
)

// environment is a topic of help: the variables that are read.
func environment() *cobra.Command {
	return &cobra.Command{Use: "environment", Short: "The environment variables that are read", Long: config.Text()}
}
