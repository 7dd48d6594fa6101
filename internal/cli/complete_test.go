package cli

import (
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every flag with a value says how it completes, by complete: one of a few words
// (cobra.FixedCompletions), a file (the same without words), or nothing that a
// shell could know (cobra.NoFileCompletions).
func TestFlagsComplete(t *testing.T) {
	seen := map[string]bool{}
	check := func(command *cobra.Command, flag *pflag.Flag) {
		if flag.Value.Type() == "bool" || flag.Hidden {
			return
		}
		seen[flag.Name] = true
		if _, found := command.GetFlagCompletionFunc(flag.Name); !found {
			t.Errorf("%s --%s: not said how it completes", command.CommandPath(), flag.Name)
		}
	}
	var walk func(*cobra.Command)
	walk = func(command *cobra.Command) {
		command.LocalFlags().VisitAll(func(flag *pflag.Flag) { check(command, flag) })
		for _, sub := range command.Commands() {
			walk(sub)
		}
	}
	walk(Commands())
	if !seen[flagInstance] {
		t.Errorf("--%s was not seen among %v", flagInstance, seen)
	}
}
