package cache

import (
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
		// What is known of a dead token is not made younger by its use.
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
	// What isn't known is asked all the same.
	w.granted(w.verify("c/d"))
	w.want("self c/d")
}

// While a rate limit is known to be used up, nobody asks: the answer is how long
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

// What is left of a limit is known from good answers, too.
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

// The expiry is told once a day and token, whatever it is asked for.
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

// Nothing that is written, and no name of it, holds any part of the token.
func TestNoTokenOnDisk(t *testing.T) {
	w := newWorld(t)
	for n := range 20 {
		w.verify(fmt.Sprintf("group/project%d", n))
	}
	w.says.Reply = silent(access.ServerError)
	w.now = w.now.Add(time.Hour)
	w.verify("group/project1")
	entries, err := os.ReadDir(w.store.Dirs[0])
	if err != nil || len(entries) < 20 {
		t.Fatalf("%d files, %v", len(entries), err)
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

// The directory stays small, and what is no longer of use goes.
func TestSweep(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now() // files have the machine's time
	w.says.ExpiresAt = w.now.AddDate(0, 2, 0)
	for n := range 400 {
		w.verify(fmt.Sprintf("group/project%d", n))
	}
	entries, err := os.ReadDir(w.store.Dirs[0])
	if err != nil || len(entries) > maxEntries+3 || len(entries) < maxEntries {
		t.Errorf("%d files, %v; want %d, the token's facts and two for locks", len(entries), err, maxEntries)
	}
	w.asked = nil
	w.verify("group/project399")
	w.want("") // the newest are kept
	w.now = w.now.Add(keep + time.Hour)
	w.verify("group/other")
	if entries, err = os.ReadDir(w.store.Dirs[0]); err != nil || len(entries) > 10 {
		t.Errorf("%d files after a day, %v", len(entries), err)
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

// An entry counts under its own name only, whole, and for who knows the token.
func TestSeal(t *testing.T) {
	w := newWorld(t)
	n := namesOf(w.question("a/b"))
	e := entryOf(access.Verdict{Outcome: access.Granted}, w.now)
	data, err := e.marshal(n.verdict, n.seal)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := unmarshal(data, n.verdict, n.seal); !ok || got.verdict().Outcome != access.Granted {
		t.Errorf("its own: %+v, %v", got, ok)
	}
	if _, ok := unmarshal(data, n.verdict+"0", n.seal); ok {
		t.Error("it counts under another name")
	}
	if _, ok := unmarshal(data, n.verdict, []byte("another token's")); ok {
		t.Error("it counts for another token")
	}
	for i := range data {
		changed := append([]byte{}, data...)
		changed[i] ^= 1
		if _, ok := unmarshal(changed, n.verdict, n.seal); ok {
			t.Errorf("it counts with byte %d changed", i)
		}
		if _, ok := unmarshal(data[:i], n.verdict, n.seal); ok {
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
	// Whatever a policy has, and will have, makes a difference: a verdict must not
	// be remembered for a stricter question than the one that it answers.
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

// Whatever stands in a file, reading it gives an entry that was written for that
// name and token, or none.
func FuzzEntry(f *testing.F) {
	key := []byte("key")
	for _, v := range []access.Verdict{{Outcome: access.Granted}, {Outcome: access.Refused, Reason: access.LevelTooLow, Level: 20}} {
		data, err := entryOf(v, time.Unix(1790000000, 0)).marshal("name", key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, false)
		f.Add(data[65:], true)
	}
	f.Add([]byte("0 2 0 true 0 0 0\n{"), true)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			// What lies behind a good seal is read as well.
			data = append([]byte(sealOf("name", key, data)+"\n"), data...)
		}
		e, ok := unmarshal(data, "name", key)
		if !ok {
			return
		}
		again, err := e.marshal("name", key)
		if err != nil {
			t.Fatal(err)
		}
		back, ok := unmarshal(again, "name", key)
		if !ok || back.head != e.head || fmt.Sprint(back.verdict()) != fmt.Sprint(e.verdict()) {
			t.Fatalf("%+v came back as %+v", e, back)
		}
	})
}

// What was learned until a login failed counts no more, also not in an outage; what
// others have learned since does.
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
