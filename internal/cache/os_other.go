//go:build !unix

package cache

import (
	"errors"
	"os"
)

const nonBlocking = 0

// tryLock can't lock here, so every caller asks for itself.
func tryLock(*os.File, int64) (bool, error) { return false, errors.ErrUnsupported }

func waitLock(*os.File, int64) error { return errors.ErrUnsupported }
