//go:build unix

package file

import (
	"io/fs"
	"os"
	"syscall"
)

// OwnedAlone reports whether only this user may write to a file.
func OwnedAlone(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}

// Trusted reports whether what info is about belongs to this user or to root.
func Trusted(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == os.Geteuid())
}

// noFollow refuses to open a symbolic link.
const noFollow = syscall.O_NOFOLLOW
