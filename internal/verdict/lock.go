package verdict

import (
	"context"
	"os"
	"strconv"
	"time"
)

const lockSuffix = ".lock"

// Locks are taken in this order: a question's before its token's. The buckets
// of the two are apart, so that no two callers wait for each other.
const (
	lockVerdict = "verdict"
	lockToken   = "token"
)

// lockPause is the time between two tries.
const lockPause = 4 * time.Millisecond

// lock waits until nobody else holds the lock of that kind for name, or ctx
// ends. Without a lock to be had, it returns at once: then every caller asks for
// itself. release is never nil.
func (d *directory) lock(ctx context.Context, kind, name string) (release func()) {
	bucket, _ := strconv.ParseUint(digest(name)[:4], 16, 16)
	file, err := d.root.OpenFile(kind+"-"+strconv.FormatUint(bucket%lockBuckets, 10)+lockSuffix,
		os.O_RDWR|os.O_CREATE|nonBlocking, 0o600)
	if err != nil {
		return func() {}
	}
	release = func() { _ = file.Close() }
	for {
		held, err := tryLock(file)
		if held || err != nil {
			return release
		}
		select {
		case <-ctx.Done():
			return release
		case <-time.After(lockPause):
		}
	}
}
