package cli

import "github.com/spf13/cobra"

// Commands are all commands below the program's own, those of the library
// included, for documents made from them. They are not for running.
func Commands() *cobra.Command {
	root := rootCommand(new(deps), nil)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// aFile, aDirectory and one of these words complete as they say.
var aFile = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)

var aDirectory = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)

func words(list ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
}

// complete says how a flag's value completes.
func complete(command *cobra.Command, flag string, how cobra.CompletionFunc) {
	if err := command.RegisterFlagCompletionFunc(flag, how); err != nil {
		panic(err) // no such flag, or said twice: a mistake in the code
	}
}
