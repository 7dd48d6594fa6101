package cache

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// A place that was no help is left alone for half a minute, and what was said of
// it then is said again; one that helped is looked at each time.
func TestTurn(t *testing.T) {
	w := newWorld(t)
	dead := w.question("").Token
	note, helped, looks := error(&message.Error{Code: "kube-timeout", Topic: message.NotVerified, What: "the server did not answer"}), false, 0
	try := func(ctx context.Context, place string, want int) {
		t.Helper()
		turn, got, vain := w.store.Turn(ctx, dead, place)
		defer turn.End()
		if !vain {
			looks++
			got = note
			if !helped {
				turn.InVain(ctx, note)
			}
		}
		if looks != want || (got == nil) != (note == nil) || got != nil && *message.As(got) != *message.As(note) {
			t.Errorf("looked %d times, want %d: %v", looks, want, got)
		}
	}
	ctx := t.Context()
	try(ctx, "team/mine", 1)
	try(ctx, "team/mine", 1)
	try(ctx, "team/other", 2)
	w.now = w.now.Add(vainTTL - time.Second)
	try(ctx, "team/mine", 2)
	w.now = w.now.Add(time.Second)
	helped = true
	try(ctx, "team/mine", 3)
	try(ctx, "team/mine", 4)
	// Nothing to say is remembered as well.
	note, helped = nil, false
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
			turn, _, vain := w.store.Turn(t.Context(), dead, "team/mine")
			defer turn.End()
			if vain {
				return
			}
			if looks.Add(1); looking.Add(1) > 1 {
				t.Error("two look at the same time")
			}
			turn.InVain(t.Context(), nil)
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
		got, isFresh, known := w.store.Instance(place)
		if got != url || isFresh != fresh || known != (url != "") {
			t.Errorf("%s: %q, fresh %v, known %v; want %q, %v", place, got, isFresh, known, url, fresh)
		}
	}
	want("team/mine", "", false)
	w.store.SaveInstance("team/mine", "https://gitlab.example.com")
	want("team/mine", "https://gitlab.example.com", true)
	want("team/other", "", false)
	w.now = w.now.Add(w.store.TTL)
	want("team/mine", "https://gitlab.example.com", false)
	w.store.SaveInstance("team/mine", "https://other.example")
	want("team/mine", "https://other.example", true)
	w.now = w.now.Add(keep + time.Second)
	want("team/mine", "", false)
	w.now = w.now.Add(-24 * time.Hour)
	want("team/mine", "https://other.example", false)

	// A cut file is none, and all are ones that a sweep knows.
	files, err := filepath.Glob(filepath.Join(w.store.Dirs[0], "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if kind, ours := kindOf(filepath.Base(files[0])); kind != 'i' || !ours {
		t.Errorf("%s is of kind %c", files[0], kind)
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
	w.store.SaveInstance("team/mine", "https://gitlab.example.com")
	want("team/mine", "", false)
}
