// Command image makes the container image of a release: an OCI image layout
// for linux/amd64 and linux/arm64 with the program, the roots of trust and the
// licences, and nothing else. It needs no container engine. It also reads such a
// layout back and runs what is in it.
//
// It is a module of its own, so that the program's has nothing to do with
// images.
package main

import (
	"errors"
	"fmt"
	"os"
)

const usage = `usage:
  image make DIST COMMIT-DATE LAYOUT LICENCE…   makes an image layout from what goreleaser left in DIST
  image check LAYOUT                            reads it back and runs its root file system (Linux)
  image root DIRECTORY PROGRAM LICENCE…         writes the image's root file system, for a Dockerfile`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 5 && args[0] == "make":
		release, err := readRelease(args[1], args[2], args[4:])
		if err != nil {
			return err
		}
		return release.write(args[3])
	case len(args) == 2 && args[0] == "check":
		return check(args[1])
	case len(args) >= 4 && args[0] == "root":
		root, err := rootTree(args[2], args[3:])
		if err != nil {
			return err
		}
		return root.write(args[1])
	case len(args) >= 4 && args[0] == stageCommand:
		return stage(args[1], args[2] == "true", args[3:])
	}
	return errors.New(usage)
}
