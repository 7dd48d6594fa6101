// Command release writes the manual pages, and the root certificates for the container
// image.
package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra/doc"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/ambient-code/git-credential-acp/internal/cli"
	"github.com/ambient-code/git-credential-acp/internal/config"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "man":
		err = writeMan(os.Args[2])
	case len(os.Args) == 3 && os.Args[1] == "roots":
		err = writeRoots(os.Args[2])
	default:
		err = errors.New("usage: release man DIRECTORY, or release roots FILE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// writeMan writes a page for each command, and git-credential-acp-settings(7) about the
// environment, dated SOURCE_DATE_EPOCH if set.
func writeMan(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	title := "% " + cli.Name + "-settings 7\n\n# NAME\n\n" + cli.Name + "-settings - environment variables of " + cli.Name + "\n\n"
	if err := os.WriteFile(filepath.Join(dir, cli.Name+"-settings.7"), md2man.Render([]byte(title+config.Manual())), 0o644); err != nil {
		return err
	}
	root := cli.Commands()
	root.DisableAutoGenTag = true
	root.Long += "\n\nExit codes:\n"
	for code, meaning := range cli.ExitCodes() {
		root.Long += fmt.Sprintf("\n- `%d`: %s", code, meaning)
	}
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: cli.Name, Manual: "User Commands"}, dir)
}

// writeRoots writes the certificates that Mozilla trusts for servers, pinned by go.mod.
// Those that are trusted under conditions only, which PEM can't express, are left out.
func writeRoots(name string) error {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			err = errors.Join(err, pem.Encode(out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return errors.Join(err, out.Close())
}
