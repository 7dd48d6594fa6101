package cli

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Build is what the program was built from. Without a version, it is what the go command
// recorded in the binary.
type Build struct {
	// Version is a tag such as v1.2.3, or the output of git describe.
	Version string
	// Commit is the full hash of the commit.
	Commit string
	// Date is the commit's (RFC 3339, UTC), for reproducible builds.
	Date string
}

func versionCommand(d *deps) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and the commit it was built from",
		Args:  noArguments,
		RunE:  func(*cobra.Command, []string) error { return printVersion(d) },
	}
}

func printVersion(d *deps) error {
	_, err := fmt.Fprintf(d.env.Stdout, "%s %s\n", Name, d.env.Build.known())
	return err
}

// String is the version, with commit and date in brackets if known.
func (b Build) String() string {
	var origin []string
	for _, text := range []string{b.Commit, b.Date} {
		if text != "" {
			origin = append(origin, text)
		}
	}
	if len(origin) == 0 {
		return b.Version
	}
	return fmt.Sprintf("%s (%s)", b.Version, strings.Join(origin, ", "))
}

// known is b, or what the go command recorded if b has no version.
func (b Build) known() Build {
	if b.Version != "" {
		return b
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	return recorded(info)
}

func recorded(info *debug.BuildInfo) Build {
	b := Build{Version: cmp.Or(info.Main.Version, "(devel)")}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.time":
			b.Date = setting.Value
		}
	}
	return b
}
