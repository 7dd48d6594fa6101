package cache

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
)

// lockFile has a lock for each name: one byte, found by a digest. So callers with
// different questions don't wait for each other, and no lock is left over. A caller
// locks its question, then the token, then the token's file.
const lockFile = "acp.lock"

// noticeable is how long a caller waits for another before a message.
const noticeable = 2 * time.Second

// lock waits until the lock of that name is free, or ctx ends; waited reports whether it was
// held. Without locks (Windows, a directory that can't be written)
// it returns at once. release is never nil, and may be called twice.
func (d *directory) lock(ctx context.Context, name string, tell func()) (waited bool, release func()) {
	opened, err := d.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return false, func() {}
	}
	unlock := sync.OnceFunc(func() { file.Unlock(opened) })
	at, _ := strconv.ParseInt(digest("lock", name)[:15], 16, 64) // hex digits
	if err := file.LockByte(opened, at, false); !errors.Is(err, file.ErrHeld) {
		return false, unlock
	}
	taken := make(chan struct{})
	go func() {
		_ = file.LockByte(opened, at, true) // without the lock, the caller goes on
		close(taken)
	}()
	late := time.NewTimer(noticeable)
	defer late.Stop()
	for {
		select {
		case <-taken:
			return true, unlock
		case <-ctx.Done():
			go func() { <-taken; unlock() }()
			return true, func() {}
		case <-late.C:
			if tell != nil {
				tell()
			}
		}
	}
}
