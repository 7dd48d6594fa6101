package cache

import (
	"context"
	"encoding/binary"
	"os"
	"sync"
	"time"
)

// Locks are taken in this order: a question's before its token's. Each kind is
// a file, and each name a byte in it, so that two names never wait for each
// other and no file is ever left over.
const (
	lockSuffix  = ".lock"
	lockVerdict = "verdict" + lockSuffix
	lockToken   = "token" + lockSuffix
	lockSecret  = "secret" + lockSuffix // alone
)

// noticeable is how long another caller is waited for before people are told.
const noticeable = 2 * time.Second

// lock waits until no other process holds the lock of that kind for name, or ctx
// ends; waited says that another one held it. Where there is no lock to be had,
// it returns at once: then every caller asks for itself. release is never nil,
// and may be called twice. A process takes one lock of a kind at a time: closing
// the file gives up all that it holds in it.
func (d *directory) lock(ctx context.Context, kind, name string, tell func()) (waited bool, release func()) {
	file, err := d.root.OpenFile(kind, os.O_RDWR|os.O_CREATE|nonBlocking, 0o600)
	if err != nil {
		return false, func() {}
	}
	release = sync.OnceFunc(func() { _ = file.Close() })
	sum := binary.BigEndian.Uint64([]byte(digest(name)))
	place := int64(sum >> 2)
	if held, err := tryLock(file, place); held || err != nil {
		return false, release
	}
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		if waitLock(file, place) != nil || ctx.Err() != nil {
			// Too late: nobody waits for this any more.
			release()
		}
	}()
	late := time.NewTimer(noticeable)
	defer late.Stop()
	for {
		select {
		case <-taken:
			return true, release
		case <-ctx.Done():
			return true, func() {}
		case <-late.C:
			if tell != nil {
				tell()
			}
		}
	}
}
