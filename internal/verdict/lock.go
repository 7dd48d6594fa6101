package verdict

import (
	"context"
	"encoding/binary"
	"os"
	"sync"
)

// Locks are taken in this order: a question's before its token's. Each kind is
// a file, and each name a byte in it, so that two names never wait for each
// other and no file is ever left over.
const (
	lockSuffix  = ".lock"
	lockVerdict = "verdict" + lockSuffix
	lockToken   = "token" + lockSuffix
)

// lock waits until no other process holds the lock of that kind for name, or ctx
// ends. Where there is no lock to be had, it returns at once: then every caller
// asks for itself. release is never nil. A process takes one lock of a kind at a
// time: closing the file gives up all that it holds in it.
func (d *directory) lock(ctx context.Context, kind, name string) (release func()) {
	file, err := d.root.OpenFile(kind, os.O_RDWR|os.O_CREATE|nonBlocking, 0o600)
	if err != nil {
		return func() {}
	}
	release = sync.OnceFunc(func() { _ = file.Close() })
	sum := binary.BigEndian.Uint64([]byte(digest(name)))
	place := int64(sum >> 2)
	if held, err := tryLock(file, place); held || err != nil {
		return release
	}
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		if waitLock(file, place) != nil || ctx.Err() != nil {
			// Too late: nobody waits for this any more.
			release()
		}
	}()
	select {
	case <-taken:
		return release
	case <-ctx.Done():
		return func() {}
	}
}
