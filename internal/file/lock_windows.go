package file

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// errorSharingViolation is Windows' error for a file that another process has open.
const errorSharingViolation = syscall.Errno(32)

// Lock takes the lock of a path, an empty file that stays, without waiting: ErrHeld if it is
// held already. release gives it up, as does the end of the process.
func Lock(path string) (release func(), err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	const noSharing = 0
	handle, err := syscall.CreateFile(name, syscall.GENERIC_WRITE, noSharing, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	switch {
	case errors.Is(err, errorSharingViolation):
		return nil, ErrHeld
	case err != nil:
		return nil, err
	}
	return sync.OnceFunc(func() { _ = syscall.CloseHandle(handle) }), nil
}

// LockByte can't lock here.
func LockByte(*os.File, int64, bool) error { return errors.ErrUnsupported }

// Unlock closes a file.
func Unlock(opened *os.File) { _ = opened.Close() }
