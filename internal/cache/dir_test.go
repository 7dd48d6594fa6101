//go:build unix

package cache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/instance"
)

// usable reports whether verdicts are remembered in a directory.
func usable(w *world, dir string) bool {
	w.store.Dirs = []string{dir}
	w.asked = nil
	w.verify("a/b")
	w.verify("a/b")
	return len(w.asked) == 2
}

// Only a directory that is the user's own, and that nobody else can write to, is
// used; the next one is, where there is one.
func TestDirectories(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	directory := func(name string, mode os.FileMode) string {
		if err := os.MkdirAll(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at(name), mode); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	link := func(name, to string) string {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path string
		want       bool
	}{
		{"missing", at("a/b/c"), true},
		{"own", directory("own", 0o700), true},
		{"readable by others", directory("readable", 0o755), true},
		{"writable by the group", directory("group", 0o770), false},
		{"writable by others", directory("others", 0o702), false},
		{"a symlink", link("link", directory("target", 0o700)), false},
		{"a dangling symlink", link("dangling", at("nothing")), false},
		{"a file", at("file"), false},
		{"below a file", at("file/x"), false},
		{"a FIFO", at("fifo"), false},
		{"relative", "relative", false},
		{"none", "", false},
	} {
		if got := usable(newWorld(t), test.path); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	if _, err := os.Stat("relative"); err == nil {
		t.Error("a relative path was made in the working directory")
	}
	w := newWorld(t)
	w.store.Dirs = []string{at("file"), at("second")}
	w.verify("a/b")
	if _, err := os.Stat(at("second")); err != nil {
		t.Errorf("the second directory was not used: %v", err)
	}
}

// Another user's directory is not used. Whose it is can't be changed without
// being the superuser, so the test is about file.OwnedAlone elsewhere.
func TestOwnedAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	own, err := os.Lstat(dir)
	if err != nil || !file.OwnedAlone(own) {
		t.Errorf("one's own: %v", err)
	}
	if stat, ok := own.Sys().(*syscall.Stat_t); ok {
		stat.Uid++
	}
	if file.OwnedAlone(own) {
		t.Error("another user's passes")
	}
}

// Something other than a file in a file's place counts as empty, at once.
func TestEntryIsNoFile(t *testing.T) {
	for name, put := range map[string]func(string) error{
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"FIFO":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"symlink":   func(path string) error { return os.Symlink("/dev/zero", path) },
		"huge":      func(path string) error { return os.WriteFile(path, make([]byte, firstLine+maxBody+1), 0o600) },
	} {
		w := newWorld(t)
		w.verify("a/b")
		if err := os.Remove(w.file()); err != nil {
			t.Fatal(err)
		}
		if err := put(w.file()); err != nil {
			t.Fatal(err)
		}
		w.asked = nil
		w.granted(w.verify("a/b"))
		if len(w.asked) == 0 {
			t.Errorf("%s: it counts", name)
		}
	}
}

// The directory may hold what is not ours: it stays, however old and many.
func TestSweepLeavesOthers(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now()
	w.says.ExpiresAt = w.now.AddDate(0, 1, 0)
	w.verify("a/b")
	dir := w.store.Dirs[0]
	old := time.Now().Add(-30 * 24 * time.Hour)
	const digest = "0123456789abcdef0123456789abcdef"
	others := []string{"thesis.txt", "tmp-1-x", "0123456789abcdef", "0123456789abcdef-x-y", "0123456789abcdeg-v-y", "0123456789abcdef-v",
		digest, "acp2-" + digest + "0", "acp2-thesis", "acp-" + digest, "acp2-tmp.txt", "other.lock"}
	ours := []string{"acp2-" + digest, "acp2-tmp-x1", "acp3-" + digest,
		// Those of format 1.
		"0123456789abcdef-v-y", "0123456789abcdef-t-1-x", "0123456789abcdef-w-1", "0123456789abcdef-e-",
		"verdict.lock", "token.lock", "secret.lock"}
	for _, name := range append(others, ours...) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	w.verify("c/d")
	for _, name := range others {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
	for _, name := range ours {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	// Temporary files of killed writers are removed soon, those in use stay.
	for name, age := range map[string]time.Duration{"acp2-tmp-old": 2 * time.Minute, "acp2-tmp-new": time.Second} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, w.now.Add(-age), w.now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	w.verify("e/f")
	left, err := filepath.Glob(filepath.Join(dir, "*-tmp-*"))
	if err != nil || len(left) != 1 || !strings.HasSuffix(left[0], "-new") {
		t.Errorf("left %v, %v", left, err)
	}
	// Files that an outage would still use stay.
	at := w.now.Add(-maxStale)
	if err := os.Chtimes(w.file(), at, at); err != nil {
		t.Fatal(err)
	}
	opened, err := openDir(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.close()
	opened.sweep(w.now)
	if _, err := os.Stat(w.file()); err != nil {
		t.Error("a verdict of twelve hours ago is gone")
	}
}

// A write that fails leaves nothing behind.
func TestFailedWrite(t *testing.T) {
	w := newWorld(t)
	w.verify("a/b")
	dir, err := w.store.open(false)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	if err := dir.root.Mkdir("in-the-way", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := dir.write("in-the-way", []byte("x")); err == nil {
		t.Error("a directory was replaced")
	}
	if left, _ := filepath.Glob(filepath.Join(w.store.Dirs[0], "*-tmp-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// Facts of one instance say nothing of another.
func TestFactsAreTheInstances(t *testing.T) {
	w := newWorld(t)
	one, other := w.question("a/b"), w.question("a/b")
	other.Instance, _ = instance.Parse("https://gitlab.example.org", false)
	if a, b := namesOf(one), namesOf(other); a.token == b.token || a.rate == b.rate || a.verdict == b.verdict {
		t.Error("two instances share an entry")
	}
	// No two lists of fields look the same.
	if digest("a", "bc") == digest("ab", "c") || digest("a", "") == digest("a") {
		t.Error("the digest runs fields together")
	}
}

// Only one caller at a time has a lock. Callers for different names don't wait for
// each other, and one that stopped waiting does not keep the lock.
func TestLock(t *testing.T) {
	w := newWorld(t)
	dir, err := w.store.open(true)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waited, release := dir.lock(ctx, "a", nil)
	if waited {
		t.Error("waited for nobody")
	}
	if waited, release := dir.lock(ctx, "b", nil); waited {
		t.Error("waited for another name")
	} else {
		release() // and keeps the lock of a
	}
	if runtime.GOOS == "linux" || runtime.GOOS == "darwin" { // elsewhere, locks belong to the process
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if waited, _ := dir.lock(short, "a", nil); !waited || short.Err() == nil {
			t.Error("two have a lock")
		}
	}
	release()
	release()
	_, release = dir.lock(ctx, "a", nil)
	release()
	if ctx.Err() != nil {
		t.Error("the one that stopped waiting keeps the lock")
	}
	// Without a file there is no lock, and nothing to wait for.
	if err := os.Remove(filepath.Join(w.store.Dirs[0], lockFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(w.store.Dirs[0], lockFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if waited, release = dir.lock(ctx, "a", nil); waited || ctx.Err() != nil {
		t.Error("waited for a lock that can't be had")
	}
	release()
}

// Callers that store different verdicts at once lose none.
func TestUpdatesAtOnce(t *testing.T) {
	w := newWorld(t)
	dir, err := w.store.open(true)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	c := w.store.question(dir, w.question(""))
	var group sync.WaitGroup
	const callers = 50
	for n := range callers {
		group.Go(func() {
			c.update(func(r *record) { r.set(fmt.Sprintf("verdict-%d", n), entry{Made: w.now}) })
		})
	}
	group.Wait()
	if got := len(w.record().entries); got != callers {
		t.Errorf("%d entries", got)
	}
}

// A caller that does not get the lock of the file in time writes only a drop.
func TestUpdateWithoutLock(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("locks belong to the process here")
	}
	w := newWorld(t)
	w.granted(w.verify("a/b"))
	dir, err := w.store.open(true)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	_, release := dir.lock(t.Context(), namesOf(w.question("")).file, nil)
	defer release()
	before := len(w.record().entries)
	w.granted(w.verify("c/d"))
	if got := len(w.record().entries); got != before {
		t.Errorf("%d entries, want %d", got, before)
	}
	if !w.store.Forget(w.question("").Token) || len(w.record().entries) != 1 {
		t.Errorf("%d entries are left", len(w.record().entries))
	}
}

// A refusal's age counts from the request, not from older facts about the token.
func TestRefusalIsOfNow(t *testing.T) {
	w := newWorld(t)
	w.granted(w.verify("a/b"))
	w.project.Level = 20
	w.now = w.now.Add(4 * time.Minute)
	w.verify("c/d")
	w.asked = nil
	w.now = w.now.Add(20 * time.Second)
	w.verify("c/d")
	w.want("")
}

// A token that is found dead takes its other verdicts with it: they serve
// nobody, in an outage neither.
func TestDeadTokenTakesAllWithIt(t *testing.T) {
	for _, reply := range []access.Reply{
		{State: access.Rejected, Reason: access.TokenRevoked}, {State: access.Forbidden, Reason: access.AccountBlocked},
	} {
		w := newWorld(t)
		w.granted(w.verify("a/b"))
		w.project = access.Project{Reply: reply}
		w.verify("c/d")
		w.asked = nil
		if a := w.verify("a/b"); a.Verdict.Reason != reply.Reason {
			t.Errorf("got %+v", a)
		}
		w.want("")
		w.now = w.now.Add(time.Hour)
		w.says.Reply, w.project.Reply = silent(access.Timeout), silent(access.Timeout)
		if a := w.verify("a/b"); a.Verdict.Outcome == access.Granted {
			t.Errorf("got %+v", a)
		}
	}
}

// A small step back of the clock during an outage does not cost the bridge.
func TestClockStepsBackInAnOutage(t *testing.T) {
	w := newWorld(t)
	w.granted(w.verify("a/b"))
	w.now = w.now.Add(time.Hour)
	w.says.Reply, w.project.Reply = silent(access.ServerError), silent(access.ServerError)
	w.verify("a/b")
	w.now = w.now.Add(-10 * time.Second)
	if a := w.verify("a/b"); a.Verdict.Outcome != access.Granted || a.Bridged == 0 {
		t.Errorf("got %+v", a)
	}
	w.now = w.now.Add(time.Minute)
	if a := w.verify("a/b"); a.Verdict.Outcome != access.Granted || a.Bridged == 0 {
		t.Errorf("a minute later: %+v", a)
	}
}

// A verdict that is dropped during a request does not come back with its reply.
func TestForgetWhileAsking(t *testing.T) {
	w := newWorld(t)
	w.granted(w.verify("a/b"))
	q := w.question("c/d")
	w.now = w.now.Add(time.Second)
	w.store.Verify(t.Context(), q, func(context.Context, access.Facts) (access.Verdict, access.Facts) {
		w.now = w.now.Add(time.Second)
		w.store.Forget(q.Token)
		w.now = w.now.Add(time.Second)
		return access.Verdict{Outcome: access.Granted}, access.Facts{Self: w.says, Project: w.project}
	})
	w.asked = nil
	w.now = w.now.Add(time.Second)
	w.granted(w.verify("c/d"))
	w.want("self c/d")
	w.granted(w.verify("c/d"))
	w.want("")
}

// Rate limits and shown expiry warnings are kept.
func TestForgetKeepsTheRest(t *testing.T) {
	w := newWorld(t)
	w.says.ExpiresAt = time.Time{}
	if a := w.verify("a/b"); !a.Tell {
		t.Error("not told")
	}
	good := w.project
	w.project.Reply = access.Reply{State: access.Silent, Reason: access.RateLimited, Wait: 30 * time.Minute}
	w.verify("c/d")
	w.project = good
	w.store.Forget(w.question("").Token)
	w.now = w.now.Add(time.Second)
	if a := w.verify("a/b"); a.Verdict.Reason != access.RateLimited {
		t.Errorf("got %+v", a)
	}
	w.now = w.now.Add(31 * time.Minute)
	if a := w.verify("a/b"); a.Tell || a.Verdict.Outcome != access.Granted {
		t.Errorf("got %+v", a)
	}
}

// A verdict that spares the last requests is an hour old at most, and not the
// verdict on a token that has expired; a limit far ahead is not believed.
func TestStretchEnds(t *testing.T) {
	w := newWorld(t)
	w.rate = access.Rate{Limit: 100, Remaining: 1, Reset: w.now.Add(100 * time.Hour)}
	w.granted(w.verify("a/b"))
	w.now = w.now.Add(59 * time.Minute)
	w.granted(w.verify("a/b"))
	w.want("self a/b")
	w.now = w.now.Add(2 * time.Minute)
	w.granted(w.verify("a/b"))
	w.want("self a/b")

	w = newWorld(t)
	w.rate = access.Rate{Limit: 100, Remaining: 1, Reset: w.now.Add(time.Hour)}
	w.says.ExpiresAt = w.now.Add(10 * time.Minute)
	w.granted(w.verify("a/b"))
	w.now = w.now.Add(11 * time.Minute)
	w.says.Reply = access.Reply{State: access.Rejected, Reason: access.TokenExpired}
	if a := w.verify("a/b"); a.Verdict.Outcome == access.Granted {
		t.Errorf("got %+v", a)
	}
}

// A clock that was minutes ahead leaves no verdict that counts, one that was a
// second ahead does.
func TestSkew(t *testing.T) {
	for ahead, want := range map[time.Duration]string{time.Second: "", 5 * time.Minute: "self a/b"} {
		w := newWorld(t)
		w.verify("a/b")
		w.asked = nil
		w.now = w.now.Add(-ahead)
		w.granted(w.verify("a/b"))
		w.want(want)
	}
}

// However long a verdict may be fresh by the setting, twelve hours are the end.
func TestTTLHasAnEnd(t *testing.T) {
	w := newWorld(t)
	w.store.TTL = 1000 * time.Hour
	w.granted(w.verify("a/b"))
	w.now = w.now.Add(maxStale - time.Minute)
	w.granted(w.verify("a/b"))
	w.want("self a/b")
	w.now = w.now.Add(2 * time.Minute)
	w.granted(w.verify("a/b"))
	w.want("self a/b")
}

// Trouble that is one caller's own is not handed to those who waited for it;
// GitLab's is.
func TestSharedTrouble(t *testing.T) {
	for reason, shared := range map[access.Reason]bool{
		access.ServerError: true, access.RateLimited: true, access.InFront: true, access.Redirected: true, access.Garbled: true, access.NotGitLab: true,
		access.Timeout: false, access.ProxyFailed: false, access.TLSUntrusted: false, access.NameUnknown: false, access.Unreachable: false,
	} {
		w := newWorld(t)
		q := w.question("a/b")
		dir, err := w.store.open(true)
		if err != nil {
			t.Fatal(err)
		}
		late := w.store.question(dir, q) // it began before the other one failed
		w.now = w.now.Add(time.Second)
		w.says.Reply, w.project.Reply = silent(reason), silent(reason)
		w.verify("a/b")
		a, got := late.shared(late.read())
		if got != shared || got && a.Verdict.Reason != reason {
			t.Errorf("%s: %v, %+v", reason, got, a)
		}
		dir.close()
	}
}

// A failure does not overwrite a verdict that another call stored meanwhile.
func TestOwnFailureAfterAnothersSuccess(t *testing.T) {
	w := newWorld(t)
	q := w.question("a/b")
	a := w.store.Verify(t.Context(), q, func(context.Context, access.Facts) (access.Verdict, access.Facts) {
		w.now = w.now.Add(time.Second)
		dir, _ := w.store.open(true)
		defer dir.close()
		other := w.store.question(dir, q)
		w.now = w.now.Add(time.Second)
		other.update(func(r *record) {
			other.learn(r, entry{}, access.Verdict{Outcome: access.Granted}, access.Facts{Self: w.says})
		})
		return access.Verdict{Reason: access.Timeout}, access.Facts{Self: access.Self{Reply: silent(access.Timeout)}}
	})
	w.granted(a)
	w.granted(w.verify("a/b"))
	w.want("")
}

// A failure of another caller makes an old verdict no newer for those who waited
// for it: it bridges, with a word, or it doesn't.
func TestWaitersAreBridgedToo(t *testing.T) {
	for age, want := range map[time.Duration]access.Outcome{time.Hour: access.Granted, 13 * time.Hour: access.Unverified} {
		w := newWorld(t)
		w.granted(w.verify("a/b"))
		w.now = w.now.Add(age)
		dir, err := w.store.open(true)
		if err != nil {
			t.Fatal(err)
		}
		late := w.store.question(dir, w.question("a/b"))
		w.now = w.now.Add(time.Second)
		w.says.Reply, w.project.Reply = silent(access.ServerError), silent(access.ServerError)
		w.verify("a/b")
		a, ok := late.fresh(late.read())
		if !ok {
			a, ok = late.shared(late.read())
		}
		if !ok || a.Verdict.Outcome != want || (a.Bridged > 0) != (want == access.Granted) {
			t.Errorf("after %v: %v, %+v", age, ok, a)
		}
		dir.close()
	}
}

// A thousand projects don't push out what all of them need.
func TestManyProjects(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now()
	w.says.ExpiresAt = time.Time{}
	told := 0
	for n := range 600 {
		if w.verify(fmt.Sprintf("group/project%d", n)).Tell {
			told++
		}
	}
	self := 0
	for _, asked := range w.asked {
		if asked == "self" {
			self++
		}
	}
	if told != 1 || self != 1 {
		t.Errorf("told %d times, asked about the token %d times", told, self)
	}
}
