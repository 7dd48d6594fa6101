//go:build !unix

package file

import "io/fs"

// OwnedAlone is always true on this system, where the files are in the user's profile.
func OwnedAlone(fs.FileInfo) bool { return true }

// Trusted has no answer here either.
func Trusted(fs.FileInfo) bool { return true }

// noFollow has no meaning on this system.
const noFollow = 0
