//go:build !unix

package verdict

import (
	"errors"
	"io/fs"
	"os"
)

const nonBlocking = 0

// ownedAlone has no answer here: the directory lies in the user's own profile.
func ownedAlone(fs.FileInfo) bool { return true }

// tryLock can't lock here, so every caller asks for itself.
func tryLock(*os.File, int64) (bool, error) { return false, errors.ErrUnsupported }

func waitLock(*os.File, int64) error { return errors.ErrUnsupported }
