package cache

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

const canary = "glpat-Canary55667788"

// world is a store with a clock of its own and a GitLab that answers as set.
type world struct {
	t     *testing.T
	now   time.Time
	store Store
	// says is what GitLab says of the token, project of the project.
	says    access.Self
	project access.Project
	rate    access.Rate
	asked   []string
	// after rules out what was learned until then.
	after time.Time
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	w.store = Store{Dirs: []string{filepath.Join(t.TempDir(), "verdicts")}, TTL: 5 * time.Minute, Now: func() time.Time { return w.now }}
	w.says = access.Self{Reply: access.Reply{State: access.Given}, ID: 1, UserID: 7, Active: true,
		Scopes: []string{"api", "write_repository"}, ExpiresAt: w.now.AddDate(0, 2, 0)}
	w.project = access.Project{Reply: access.Reply{State: access.Given}, ID: 3, Level: 30}
	return w
}

func (w *world) question(project string) Question {
	w.t.Helper()
	tok, err := token.Parse(canary)
	if err != nil {
		w.t.Fatal(err)
	}
	i, err := instance.Parse("https://gitlab.example.com", false)
	if err != nil {
		w.t.Fatal(err)
	}
	return Question{Token: tok, Instance: i, Project: project, After: w.after,
		Policy: access.Policy{Minimum: 30, Scopes: access.DefaultScopes(), Project: project != ""}}
}

// verify asks the store, as the program does, and records what GitLab is asked.
func (w *world) verify(project string) Answer {
	w.t.Helper()
	q := w.question(project)
	if a, ok := w.store.Fresh(q); ok {
		return a
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return w.store.Verify(ctx, q, func(_ context.Context, known access.Facts) (access.Verdict, access.Facts) {
		facts := known
		if facts.Self.State == access.Unasked {
			facts.Self = w.says
			w.asked = append(w.asked, "self")
		}
		if q.Project != "" && !known.Rejected() {
			facts.Project = w.project
			w.asked = append(w.asked, q.Project)
		}
		facts.Member = access.Member{Reply: access.Reply{State: access.Absent}}
		facts.User.State = access.Given
		facts.User.ID = 7
		facts.Rate = w.rate
		v, _ := q.Policy.Judge(facts, w.now)
		return v, facts
	})
}

// want holds what was asked since the last time to want.
func (w *world) want(want string) {
	w.t.Helper()
	if got := strings.Join(w.asked, " "); got != want {
		w.t.Errorf("asked %q, want %q", got, want)
	}
	w.asked = nil
}

func (w *world) granted(a Answer) {
	w.t.Helper()
	if a.Verdict.Outcome != access.Granted || a.Bridged != 0 {
		w.t.Errorf("got %+v, want a verdict of now that grants", a)
	}
}

// file is the path of the token's file, and record is its content.
func (w *world) file() string {
	return filepath.Join(w.store.Dirs[0], namesOf(w.question("")).file)
}

func (w *world) record() record {
	w.t.Helper()
	data, err := os.ReadFile(w.file())
	if err != nil {
		w.t.Fatal(err)
	}
	n := namesOf(w.question(""))
	return parse(data, n.file, n.key)
}

func silent(reason access.Reason) access.Reply {
	return access.Reply{State: access.Silent, Reason: reason, Detail: "503 Service Unavailable"}
}

func TestFreshness(t *testing.T) {
	w := newWorld(t)
	w.granted(w.verify("a/b"))
	w.want("self a/b")
	w.now = w.now.Add(5*time.Minute - time.Second)
	w.granted(w.verify("a/b"))
	w.want("")
	// Another project is asked about with what is known of the token, and its
	// verdict is no fresher than that.
	w.granted(w.verify("c/d"))
	w.want("c/d")
	w.now = w.now.Add(time.Second)
	w.granted(w.verify("c/d"))
	w.want("self c/d")
	w.granted(w.verify("a/b"))
	w.want("a/b")
}

func TestExpiryEndsAFreshVerdict(t *testing.T) {
	w := newWorld(t)
	w.says.ExpiresAt = w.now.Add(time.Minute)
	a := w.verify("a/b")
	w.granted(a)
	if !a.Verdict.ExpiresAt.Equal(w.says.ExpiresAt) || !a.Tell {
		t.Errorf("got %+v", a)
	}
	a = w.verify("a/b")
	if !a.Verdict.ExpiresAt.Equal(w.says.ExpiresAt) || a.Tell {
		t.Errorf("remembered %+v", a)
	}
	w.want("self a/b")
	w.now = w.now.Add(time.Minute)
	w.says = access.Self{Reply: access.Reply{State: access.Rejected, Reason: access.TokenExpired}}
	if a := w.verify("a/b"); a.Verdict.Reason != access.TokenExpired {
		t.Errorf("got %+v", a)
	}
	w.want("self a/b")
	// Nor does it bridge an outage.
	w = newWorld(t)
	w.says.ExpiresAt = w.now.Add(time.Minute)
	w.verify("a/b")
	w.now = w.now.Add(time.Minute)
	w.says.Reply = silent(access.ServerError)
	if a := w.verify("a/b"); a.Verdict.Outcome != access.Unverified {
		t.Errorf("got %+v", a)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.project.Level = 20
	for range 3 {
		if a := w.verify("a/b"); a.Verdict.Reason != access.LevelTooLow || a.Verdict.Level != 20 || a.Verdict.Minimum != 30 {
			t.Errorf("got %+v", a)
		}
	}
	w.want("self a/b")
	w.project.Level = 30
	w.now = w.now.Add(30 * time.Second)
	w.granted(w.verify("a/b"))
	w.want("a/b")
}

func TestDeadTokenIsAskedAboutOnce(t *testing.T) {
	w := newWorld(t)
	w.says = access.Self{Reply: access.Reply{State: access.Rejected, Reason: access.TokenRevoked}}
	for _, project := range []string{"a/b", "c/d", "", "a/b"} {
		if a := w.verify(project); a.Verdict.Reason != access.TokenRevoked {
			t.Errorf("got %+v", a)
		}
		// Using a cached refusal does not extend it.
		w.now = w.now.Add(9 * time.Second)
	}
	w.want("self a/b")
	w.verify("e/f")
	w.want("self e/f")
}

// A token that dies while what is known of it is fresh is found out by the
// project's answer, for all projects.
func TestTokenDiesWhileKnown(t *testing.T) {
	w := newWorld(t)
	w.granted(w.verify("a/b"))
	w.project = access.Project{Reply: access.Reply{State: access.Rejected, Reason: access.TokenRevoked}}
	w.want("self a/b")
	if a := w.verify("c/d"); a.Verdict.Reason != access.TokenRevoked {
		t.Errorf("got %+v", a)
	}
	w.want("c/d")
	if a := w.verify("e/f"); a.Verdict.Reason != access.TokenRevoked {
		t.Errorf("got %+v", a)
	}
	w.want("")
}

func TestOutage(t *testing.T) {
	w := newWorld(t)
	good := w.says
	w.granted(w.verify("a/b"))
	w.want("self a/b")
	w.says.Reply, w.project.Reply = silent(access.ServerError), silent(access.ServerError)

	w.now = w.now.Add(6 * time.Minute)
	a := w.verify("a/b")
	if a.Verdict.Outcome != access.Granted || a.Bridged != 6*time.Minute || a.Trouble.Reason != access.ServerError || a.Trouble.Detail == "" {
		t.Errorf("got %+v", a)
	}
	w.want("self a/b")
	// For a while nobody else tries.
	w.now = w.now.Add(29 * time.Second)
	if a := w.verify("a/b"); a.Bridged != 6*time.Minute+29*time.Second || a.Trouble.Reason != access.ServerError {
		t.Errorf("got %+v", a)
	}
	w.want("")
	w.now = w.now.Add(2 * time.Second)
	w.verify("a/b")
	w.want("self a/b")
	// No other project is bridged.
	if a := w.verify("c/d"); a.Verdict.Outcome != access.Unverified || a.Bridged != 0 {
		t.Errorf("got %+v", a)
	}
	w.asked = nil

	w.now = time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC)
	if a := w.verify("a/b"); a.Bridged != 12*time.Hour {
		t.Errorf("got %+v", a)
	}
	w.now = w.now.Add(time.Minute)
	if a := w.verify("a/b"); a.Verdict.Outcome != access.Unverified || a.Verdict.Reason != access.ServerError {
		t.Errorf("after 12 hours: %+v", a)
	}
	w.asked = nil
	// Back again.
	w.says, w.project.State = good, access.Given
	w.granted(w.verify("a/b"))
	w.want("self a/b")
}

// A refusal takes the place of what was good before.
func TestRefusalEndsTheBridge(t *testing.T) {
	w := newWorld(t)
	w.granted(w.verify("a/b"))
	w.now = w.now.Add(6 * time.Minute)
	w.project.Level = 10
	w.verify("a/b")
	w.now = w.now.Add(time.Minute)
	w.says.Reply, w.project.Reply = silent(access.Timeout), silent(access.Timeout)
	if a := w.verify("a/b"); a.Verdict.Outcome == access.Granted {
		t.Errorf("got %+v", a)
	}
}

func TestInterruptionIsNotRemembered(t *testing.T) {
	w := newWorld(t)
	w.granted(w.verify("a/b"))
	w.now = w.now.Add(6 * time.Minute)
	good := w.says
	w.says.Reply = access.Reply{State: access.Silent, Reason: access.Interrupted}
	if a := w.verify("a/b"); a.Verdict.Reason != access.Interrupted {
		t.Errorf("got %+v", a)
	}
	w.asked, w.says = nil, good
	w.granted(w.verify("a/b"))
	w.want("self a/b")
}

func TestRateLimit(t *testing.T) {
	w := newWorld(t)
	w.rate = access.Rate{Limit: 300, Remaining: 31, Reset: w.now.Add(10 * time.Minute)}
	w.verify("a/b")
	w.now = w.now.Add(6 * time.Minute)
	w.rate.Remaining = 30
	w.granted(w.verify("a/b"))
	w.want("self a/b self a/b") // 31 of 300 was enough to ask
	// Now a tenth is left: what is good is stretched until the limit is reset.
	w.now = w.now.Add(3 * time.Minute)
	w.now = w.now.Add(2*time.Minute + time.Second)
	w.rate.Reset = w.now.Add(time.Minute)
	w.granted(w.verify("a/b"))
	w.want("self a/b") // it was reset a second ago
	w.now = w.now.Add(5*time.Minute + time.Second)
	w.rate.Reset = w.now.Add(20 * time.Minute)
	w.granted(w.verify("a/b"))
	w.want("self a/b")
	w.now = w.now.Add(19 * time.Minute)
	w.granted(w.verify("a/b"))
	w.want("")
	// Unknown facts are requested in spite of the cache.
	w.granted(w.verify("c/d"))
	w.want("self c/d")
}

// While a rate limit is known to be used up, no call asks GitLab: the answer is how long
// that will be so.
func TestRetryAfterIsShared(t *testing.T) {
	w := newWorld(t)
	w.says.Reply = access.Reply{State: access.Silent, Reason: access.RateLimited, Wait: time.Minute}
	w.project.Reply = w.says.Reply
	w.verify("a/b")
	w.want("self a/b")
	w.now = w.now.Add(20 * time.Second)
	a := w.verify("c/d")
	if a.Verdict.Reason != access.RateLimited || a.Verdict.Wait != 40*time.Second {
		t.Errorf("got %+v", a)
	}
	w.want("")
	w.now = w.now.Add(40*time.Second + time.Millisecond)
	w.verify("c/d")
	w.want("self c/d")
	// A refusal that does not say for how long counts for a moment.
	w.now = w.now.Add(time.Hour)
	w.says.Wait, w.project.Wait = 0, 0
	w.verify("a/b")
	w.want("self a/b")
	if a := w.verify("c/d"); a.Verdict.Reason != access.RateLimited || a.Verdict.Wait != time.Second {
		t.Errorf("got %+v", a)
	}
	w.want("")
	w.now = w.now.Add(2 * time.Second)
	w.verify("c/d")
	w.want("self c/d")
}

// Granted verdicts store what is left of the rate limit too.
func TestLastRequest(t *testing.T) {
	w := newWorld(t)
	w.rate = access.Rate{Limit: 300, Reset: w.now.Add(30 * time.Second)}
	w.granted(w.verify("a/b"))
	w.want("self a/b")
	if a := w.verify("c/d"); a.Verdict.Reason != access.RateLimited || a.Verdict.Wait != 31*time.Second {
		t.Errorf("got %+v", a)
	}
	w.granted(w.verify("a/b"))
	w.want("")
	w.now, w.rate = w.now.Add(31*time.Second), access.Rate{}
	w.granted(w.verify("c/d"))
	w.want("c/d")
}

// A question that was held back says nothing of the limit to those who can't wait;
// what was learned of the token counts for all.
func TestHeldBack(t *testing.T) {
	w := newWorld(t)
	w.project.Reply = access.Reply{State: access.Silent, Reason: access.RateLimited, Wait: time.Minute, Detail: access.Held}
	for range 2 {
		if a := w.verify("a/b"); a.Verdict.Reason != access.RateLimited || a.Verdict.Wait != time.Minute {
			t.Errorf("got %+v", a)
		}
	}
	w.want("self a/b a/b")
	w.project.Reply = access.Reply{State: access.Given}
	w.granted(w.verify("a/b"))
	w.want("a/b")
	// A good verdict of some minutes ago does instead.
	w.now = w.now.Add(6 * time.Minute)
	w.project.Reply = access.Reply{State: access.Silent, Reason: access.RateLimited, Wait: time.Minute, Detail: access.Held}
	w.granted(w.verify("a/b"))
}

func TestClockJumpsBack(t *testing.T) {
	w := newWorld(t)
	w.granted(w.verify("a/b"))
	w.want("self a/b")
	w.now = w.now.Add(-time.Hour)
	w.granted(w.verify("a/b"))
	w.want("self a/b")
	// A correction by a moment costs nothing.
	w.now = w.now.Add(-time.Second)
	w.granted(w.verify("a/b"))
	w.want("")
}

// The expiry warning is shown once a day per token, for any project.
func TestTellOnce(t *testing.T) {
	w := newWorld(t)
	w.says.ExpiresAt = time.Time{}
	for n, want := range []bool{true, false, false} {
		if a := w.verify("a/b"); a.Tell != want {
			t.Errorf("call %d: %v", n, a.Tell)
		}
	}
	if a := w.verify("c/d"); a.Tell {
		t.Error("told for the second project")
	}
	w.now = w.now.Add(12 * time.Hour)
	if a := w.verify("c/d"); !a.Tell {
		t.Error("not told on the next day")
	}
	if a := w.verify("a/b"); a.Tell {
		t.Error("told twice on the next day")
	}
}

// No file and no file name contains a part of the token.
func TestNoTokenOnDisk(t *testing.T) {
	w := newWorld(t)
	for n := range 20 {
		w.verify(fmt.Sprintf("group/project%d", n))
	}
	w.says.Reply = silent(access.ServerError)
	w.now = w.now.Add(time.Hour)
	w.verify("group/project1")
	turn, _, _ := w.store.Turn(t.Context(), w.question("").Token, "team/mine")
	turn.Failed(t.Context(), RescueFailure{})
	turn.End()
	entries, err := os.ReadDir(w.store.Dirs[0])
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d files, %v; want the token's and the lock", len(entries), err)
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(w.store.Dirs[0], entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+6 <= len(canary); i++ {
			if part := canary[i : i+6]; strings.Contains(string(data)+entry.Name(), part) {
				t.Errorf("%s holds %q", entry.Name(), part)
			}
		}
	}
}

// There is one file for each token; it and the directory stay small, and what is no
// longer used goes.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now() // files have the machine's time
	w.says.ExpiresAt = w.now.AddDate(0, 2, 0)
	w.project.Level = 10 // refusals are longer than good verdicts
	for n := range 400 {
		w.verify(fmt.Sprintf("group/project%d", n))
	}
	r := w.record()
	data, err := os.ReadFile(w.file())
	if err != nil || len(r.entries) > maxEntries || len(r.entries) < 200 || len(data) > firstLine+maxBody {
		t.Errorf("%d entries, %d bytes, %v", len(r.entries), len(data), err)
	}
	w.asked = nil
	w.verify("group/project399")
	w.verify("group/project300")
	w.want("") // the newest are kept
	w.verify("group/project0")
	w.want("group/project0")
	for n := range maxFiles + 20 {
		tok, err := token.Parse(fmt.Sprintf("glpat-Canary%08d", n))
		if err != nil {
			t.Fatal(err)
		}
		q := w.question("a/b")
		q.Token = tok
		w.store.Verify(t.Context(), q, func(context.Context, access.Facts) (access.Verdict, access.Facts) {
			return access.Verdict{Outcome: access.Granted}, access.Facts{Self: w.says}
		})
	}
	entries, err := os.ReadDir(w.store.Dirs[0])
	if err != nil || len(entries) != maxFiles+1 {
		t.Errorf("%d files, %v; want %d and the lock", len(entries), err, maxFiles)
	}
	w.now = w.now.Add(maxAge + time.Hour)
	w.verify("group/other")
	if entries, err = os.ReadDir(w.store.Dirs[0]); err != nil || len(entries) > 2 {
		t.Errorf("%d files after a day, %v", len(entries), err)
	}
}

// An entry that is too large is not stored, and takes the place of no other.
func TestLargeEntry(t *testing.T) {
	var r record
	r.set("verdict-a", entry{Verdict: access.Verdict{Outcome: access.Refused}})
	r.set("verdict-b", entry{Verdict: access.Verdict{Outcome: access.Refused, Detail: strings.Repeat("x", maxBody)}})
	if len(r.entries) != 1 || r.get("verdict-a").Verdict.Outcome != access.Refused {
		t.Errorf("%d entries", len(r.entries))
	}
}

// A cache hit writes nothing.
func TestReadersDoNotWrite(t *testing.T) {
	w := newWorld(t)
	w.says.ExpiresAt = time.Time{}
	w.verify("a/b")
	before, err := os.Stat(w.file())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.verify("a/b")
		w.store.Verify(t.Context(), w.question("a/b"), nil)
	}
	if after, err := os.Stat(w.file()); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced, or: %v", err)
	}
}

func TestForget(t *testing.T) {
	w := newWorld(t)
	w.verify("a/b")
	w.verify("c/d")
	other, err := token.Parse("glpat-Canary99999999")
	if err != nil {
		t.Fatal(err)
	}
	if w.store.Forget(other) {
		t.Error("another token had verdicts")
	}
	if !w.store.Forget(w.question("").Token) {
		t.Error("there were no verdicts")
	}
	w.now = w.now.Add(time.Millisecond)
	w.asked = nil
	w.verify("a/b")
	w.want("self a/b")
	if (Store{}).Forget(other) {
		t.Error("no store had verdicts")
	}
}

// A file counts under its own name only, whole, and for a holder of the token.
func TestAuthentication(t *testing.T) {
	w := newWorld(t)
	n := namesOf(w.question("a/b"))
	var r record
	r.set(n.verdict, entry{Made: w.now, Verdict: access.Verdict{Outcome: access.Granted}})
	data := r.marshal(n.file, n.key)
	counts := func(data []byte, name string, key []byte) bool { return len(parse(data, name, key).entries) > 0 }
	if got := parse(data, n.file, n.key).get(n.verdict); got.Verdict.Outcome != access.Granted || !got.Made.Equal(w.now) {
		t.Errorf("its own: %+v", got)
	}
	if counts(data, n.file+"0", n.key) {
		t.Error("it counts under another name")
	}
	if counts(data, n.file, []byte("another token's")) {
		t.Error("it counts for another token")
	}
	for i := range data {
		changed := append([]byte{}, data...)
		changed[i] ^= 1
		if counts(changed, n.file, n.key) {
			t.Errorf("it counts with byte %d changed", i)
		}
		if counts(data[:i], n.file, n.key) {
			t.Errorf("it counts cut after %d bytes", i)
		}
	}
}

// Names differ in everything that a verdict depends on.
func TestNames(t *testing.T) {
	w := newWorld(t)
	base := w.question("a/b")
	other := func(change func(*Question)) Question { q := base; change(&q); return q }
	seen := map[string]bool{namesOf(base).verdict: true}
	if other := other(func(q *Question) { q.Token, _ = token.Parse("glpat-Canary99999999") }); namesOf(base).file == namesOf(other).file {
		t.Error("two tokens share a file")
	}
	for _, q := range []Question{
		other(func(q *Question) { q.Token, _ = token.Parse("glpat-Canary99999999") }),
		other(func(q *Question) { q.Instance, _ = instance.Parse("https://gitlab.example.com:8443", false) }),
		other(func(q *Question) { q.Project = "a/c" }),
		other(func(q *Question) { q.Project = "a/"; q.Policy.Scopes = append([]string{"b"}, q.Policy.Scopes...) }),
		other(func(q *Question) { q.Policy.Minimum = 40 }),
		other(func(q *Question) { q.Policy.Scopes = []string{"api"} }),
		other(func(q *Question) { q.Policy.Project = false }),
	} {
		if name := namesOf(q).verdict; seen[name] {
			t.Errorf("%+v has the name of another", q)
		} else {
			seen[name] = true
		}
	}
	// Every field of a policy is a part of the key: a verdict must not answer a stricter
	// question than its own.
	policy := reflect.TypeFor[access.Policy]()
	for n := range policy.NumField() {
		changed := other(func(q *Question) { change(t, reflect.ValueOf(&q.Policy).Elem().Field(n)) })
		if namesOf(changed).verdict == namesOf(base).verdict {
			t.Errorf("the name of a verdict does not depend on the policy's %s: namesOf has to have it", policy.Field(n).Name)
		}
	}
	if namesOf(other(func(q *Question) { q.Policy.Scopes = []string{"b", "a"} })).verdict !=
		namesOf(other(func(q *Question) { q.Policy.Scopes = []string{"a", "b"} })).verdict {
		t.Error("the order of scopes makes a difference")
	}
}

// change gives a field another value.
func change(t *testing.T, field reflect.Value) {
	t.Helper()
	switch field.Kind() {
	case reflect.Bool:
		field.SetBool(!field.Bool())
	case reflect.Int, reflect.Int64:
		field.SetInt(field.Int() + 1)
	case reflect.String:
		field.SetString(field.String() + "x")
	case reflect.Slice:
		field.Set(reflect.Append(reflect.AppendSlice(reflect.New(field.Type()).Elem(), field), reflect.Zero(field.Type().Elem())))
	default:
		t.Fatalf("a field of the kind %s: say here how it changes", field.Kind())
	}
}

// Reading any file gives entries that are written back unchanged.
func FuzzEntry(f *testing.F) {
	key := []byte("key")
	for _, v := range []access.Verdict{{Outcome: access.Granted}, {Outcome: access.Refused, Reason: access.LevelTooLow, Level: 20}} {
		var r record
		r.set("verdict-a", entry{Made: time.Unix(1790000000, 0), Verdict: v})
		data := r.marshal("name", key)
		f.Add(data, false)
		f.Add(data[firstLine:], true)
	}
	f.Add([]byte("verdict-a 1 2 true\nverdict-a {\n\nverdict-a"), true)
	f.Fuzz(func(t *testing.T, data []byte, authentic bool) {
		if authentic {
			// Lines after a valid first line are read too.
			data = append(authentication("name", key, data), data...)
		}
		r := parse(data, "name", key)
		if len(r.entries) == 0 {
			return
		}
		if again := r.marshal("name", key); !bytes.Equal(again, data) {
			t.Fatalf("%q came back as %q", data, again)
		}
		e := r.get("verdict-a")
		r.set("verdict-a", e)
		if back := parse(r.marshal("name", key), "name", key).get("verdict-a"); !reflect.DeepEqual(decode(string(back.encode())), decode(string(e.encode()))) {
			t.Fatalf("%+v came back as %+v", e, back)
		}
	})
}

// After a failed login, older verdicts are not used, not even in an outage; newer ones of
// other calls are.
func TestAfter(t *testing.T) {
	w := newWorld(t)
	w.granted(w.verify("a/b"))
	w.want("self a/b")
	q := w.question("a/b")
	a, _ := w.store.Fresh(q)
	if !a.Made.Equal(w.now) {
		t.Errorf("made at %v", a.Made)
	}
	w.after = a.Made
	w.now = w.now.Add(time.Second)
	good := w.project
	w.project.Reply = silent(access.ServerError)
	if a := w.verify("a/b"); a.Verdict.Outcome != access.Unverified {
		t.Errorf("got %+v", a)
	}
	w.want("self a/b")
	w.project = good
	w.now = w.now.Add(time.Minute)
	w.granted(w.verify("a/b"))
	w.granted(w.verify("a/b"))
	w.want("a/b")
	// A time that is yet to come can be no more than now.
	w.after = w.now.Add(time.Hour)
	w.granted(w.verify("a/b"))
	w.want("self a/b")
	w.now = w.now.Add(time.Second)
	w.after = time.Time{}
	w.granted(w.verify("a/b"))
	w.want("")
}
