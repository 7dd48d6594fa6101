package cache

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// A place that did not help is not asked again for half a minute, and what was said of
// it then is said again; one that helped is looked at each time.
func TestTurn(t *testing.T) {
	w := newWorld(t)
	dead := w.question("").Token
	why, helped, looks := RescueFailure{Problem: "kube-timeout"}, false, 0
	try := func(ctx context.Context, place string, want int) {
		t.Helper()
		turn, got, known := w.store.Turn(ctx, dead, place)
		defer turn.End()
		if !known {
			looks++
			got = why
			if !helped {
				turn.Failed(ctx, why)
			}
		}
		if looks != want || !reflect.DeepEqual(got, why) {
			t.Errorf("looked %d times, want %d: %v", looks, want, got)
		}
	}
	ctx := t.Context()
	try(ctx, "team/mine", 1)
	try(ctx, "team/mine", 1)
	try(ctx, "team/other", 2)
	w.now = w.now.Add(refusalTTL - time.Second)
	try(ctx, "team/mine", 2)
	w.now = w.now.Add(time.Second)
	why, helped = RescueFailure{Verdict: access.Verdict{Outcome: access.Refused, Reason: access.ScopeMissing, Missing: []string{"api"}}}, true
	try(ctx, "team/mine", 3)
	try(ctx, "team/mine", 4)
	// An empty result is cached too.
	why, helped = RescueFailure{}, false
	try(ctx, "team/mine", 5)
	try(ctx, "team/mine", 5)
	// A caller that was interrupted learned nothing.
	w.now = w.now.Add(time.Hour)
	interrupted, cancel := context.WithCancel(ctx)
	cancel()
	try(interrupted, "team/mine", 6)
	try(ctx, "team/mine", 7)
	// Nowhere to remember: each one looks.
	w.store.Dirs = nil
	try(ctx, "team/mine", 8)
	try(ctx, "team/mine", 9)
}

// Calls with the same dead token look one after another, and those that wait profit
// from what the first met.
func TestTurnsOneAfterAnother(t *testing.T) {
	w := newWorld(t)
	dead := w.question("").Token
	var looking, looks atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			turn, _, failure := w.store.Turn(t.Context(), dead, "team/mine")
			defer turn.End()
			if failure {
				return
			}
			if looks.Add(1); looking.Add(1) > 1 {
				t.Error("two look at the same time")
			}
			turn.Failed(t.Context(), RescueFailure{})
			looking.Add(-1)
		})
	}
	group.Wait()
	if looks.Load() != 1 {
		t.Errorf("%d calls looked", looks.Load())
	}
}

func TestInstance(t *testing.T) {
	w := newWorld(t)
	want := func(place, url string, fresh bool) {
		t.Helper()
		if got := w.store.OfPlace(place).Get(); got != (Instance{Known: url != "", URL: url, Fresh: fresh}) {
			t.Errorf("%s: %+v; want %q, %v", place, got, url, fresh)
		}
	}
	want("team/mine", "", false)
	w.store.OfPlace("team/mine").Save("https://gitlab.example.com")
	want("team/mine", "https://gitlab.example.com", true)
	want("team/other", "", false)
	w.now = w.now.Add(w.store.TTL)
	want("team/mine", "https://gitlab.example.com", false)
	w.store.OfPlace("team/mine").Save("https://other.example")
	want("team/mine", "https://other.example", true)
	w.now = w.now.Add(maxAge + time.Second)
	want("team/mine", "", false)
	w.now = w.now.Add(-24 * time.Hour)
	want("team/mine", "https://other.example", false)

	// A cut file counts as empty.
	files, err := filepath.Glob(filepath.Join(w.store.Dirs[0], prefix+"*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil || !slices.Contains(strings.Split(string(data), "\""), "https://other.example") {
		t.Fatalf("%s, %v", data, err)
	}
	if err := os.WriteFile(files[0], data[:len(data)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	want("team/mine", "", false)
	w.store.Dirs = nil
	w.store.OfPlace("team/mine").Save("https://gitlab.example.com")
	want("team/mine", "", false)
}

// The instance of a token is in the token's file. It goes when the token is found dead,
// since it may be the wrong one, and when git's login fails.
func TestTokenInstance(t *testing.T) {
	w := newWorld(t)
	tok := w.question("").Token
	want := func(want Instance) {
		t.Helper()
		if got := w.store.OfToken(tok).Get(); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	want(Instance{})
	w.store.OfToken(tok).SaveFailed()
	want(Instance{Failed: true})
	w.now = w.now.Add(outageTTL)
	want(Instance{})
	w.store.OfToken(tok).Save("")
	want(Instance{Known: true, Fresh: true})
	w.store.OfToken(tok).Save("https://gitlab.example.com")
	want(Instance{Known: true, URL: "https://gitlab.example.com", Fresh: true})
	w.granted(w.verify("a/b"))
	w.now = w.now.Add(w.store.TTL)
	w.store.OfToken(tok).SaveFailed()
	want(Instance{Known: true, URL: "https://gitlab.example.com", Failed: true})
	if !w.store.Forget(tok) {
		t.Error("there were no verdicts")
	}
	want(Instance{})
	w.store.OfToken(tok).Save("https://gitlab.example.com")
	w.now = w.now.Add(time.Second)
	w.says.Reply = access.Reply{State: access.Rejected, Reason: access.TokenUnknown}
	w.verify("a/b")
	want(Instance{})
}
