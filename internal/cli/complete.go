package cli

import "github.com/spf13/cobra"

// Commands are all commands, cobra's own included, for generated documents.
func Commands() *cobra.Command {
	root := rootCommand(new(deps), nil)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// aFile, aDirectory and words are completions of a flag's value.
var aFile = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)

var aDirectory = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)

func words(list ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
}

// complete sets the completion of a flag's value.
func complete(command *cobra.Command, flag string, how cobra.CompletionFunc) {
	if err := command.RegisterFlagCompletionFunc(flag, how); err != nil {
		panic(err) // no such flag, or set twice: a bug
	}
}
