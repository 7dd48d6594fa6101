// Command manual makes from the program's commands what packagers install
// beside it: the manual page and the completions for shells.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/cli"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "page":
		err = writePage(os.Args[2], os.Args[3], time.Now())
	case len(os.Args) == 3 && os.Args[1] == "completions":
		err = writeCompletions(os.Args[2])
	default:
		err = errors.New("usage: manual page SETTINGS FILE, or manual completions DIRECTORY")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

// writePage brings the page in a file up to date. Its date changes only when
// something else does: a page that is up to date stays as it is.
func writePage(settings, name string, now time.Time) error {
	text, err := os.ReadFile(settings)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if date := dated(old); date != "" {
		if same, err := render(cli.Commands(), string(text), date); err != nil || same == string(old) {
			return err
		}
	}
	page, err := render(cli.Commands(), string(text), now.UTC().Format(time.DateOnly))
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(page), 0o644)
}

var heading = regexp.MustCompile(`(?m)^\.TH \S+ 1 (\d{4}-\d\d-\d\d) `)

// dated is the date in a page's heading, "" when there is none.
func dated(page []byte) string {
	if match := heading.FindSubmatch(page); match != nil {
		return string(match[1])
	}
	return ""
}

// writeCompletions writes one file for each shell, named as the shells look for
// it.
func writeCompletions(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root := cli.Commands()
	for _, shell := range []struct {
		file string
		make func(*cobra.Command, io.Writer) error
	}{
		{cli.Name + ".bash", func(c *cobra.Command, w io.Writer) error { return c.GenBashCompletionV2(w, true) }},
		{"_" + cli.Name, (*cobra.Command).GenZshCompletion},
		{cli.Name + ".fish", func(c *cobra.Command, w io.Writer) error { return c.GenFishCompletion(w, true) }},
		{cli.Name + ".ps1", (*cobra.Command).GenPowerShellCompletionWithDesc},
	} {
		var script bytes.Buffer
		if err := shell.make(root, &script); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, shell.file), script.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
