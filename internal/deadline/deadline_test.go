package deadline

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func limit(timeout time.Duration, overrun func()) Limit {
	return Limit{Timeout: func() (time.Duration, error) { return timeout, nil }, Overrun: overrun}
}

// start is when the time of a call is up, by Start.
func start(ctx context.Context, t *testing.T, l Limit) time.Time {
	t.Helper()
	limited, stop, _, err := l.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ends, bounded := limited.Deadline()
	if !bounded {
		t.Fatal("it never ends")
	}
	return ends
}

// All steps of a call end at the same time, a call within it as well. Other calls
// have a time of their own, at the same time too.
func TestOneLimitForACall(t *testing.T) {
	l := limit(time.Minute, nil)
	one, other := Begin(t.Context()), Begin(t.Context())
	ends := start(one, t, l)
	time.Sleep(time.Millisecond)
	if again, inner := start(one, t, l), start(Begin(one), t, l); again != ends || inner != ends {
		t.Errorf("it ends at %v, then at %v and %v", ends, again, inner)
	}
	if start(other, t, l).Equal(ends) || start(t.Context(), t, l).Equal(ends) {
		t.Error("another call ends at the same time")
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			ctx := Begin(t.Context())
			if ends := start(ctx, t, l); !Wait(ctx, time.Millisecond) || Waited(ctx) != time.Millisecond || !start(ctx, t, l).After(ends) {
				t.Errorf("it waited for %v", Waited(ctx))
			}
		})
	}
	group.Wait()
	if Waited(one) != 0 {
		t.Errorf("it waited for %v", Waited(one))
	}
}

// A wait for a rate limit is no part of the time of a call; one that ends early is.
func TestWait(t *testing.T) {
	ctx := Begin(t.Context())
	ends := start(ctx, t, limit(time.Minute, nil))
	if !Wait(ctx, 20*time.Millisecond) || Waited(ctx) != 20*time.Millisecond {
		t.Errorf("it waited for %v", Waited(ctx))
	}
	if later := start(ctx, t, limit(time.Minute, nil)); later.Sub(ends) < 20*time.Millisecond {
		t.Errorf("it ends only %v later", later.Sub(ends))
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if Wait(canceled, time.Hour) || Waited(ctx) != 20*time.Millisecond {
		t.Errorf("it waited for %v", Waited(ctx))
	}
}

func TestTimeoutInvalid(t *testing.T) {
	wrong := errors.New("wrong")
	l := Limit{Timeout: func() (time.Duration, error) { return 0, wrong }}
	if _, _, _, err := l.Start(t.Context()); !errors.Is(err, wrong) {
		t.Error(err)
	}
}

// Overrun is called for work that goes on, and not for work that has ended.
func TestOverrun(t *testing.T) {
	called := make(chan string, 2)
	ended, stop, _, err := limit(time.Millisecond, func() { called <- "ended" }).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop()
	<-ended.Done()
	_, late, _, err := limit(time.Millisecond, func() { called <- "late" }).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer late()
	select {
	case who := <-called:
		if who != "late" {
			t.Error("called for work that has ended")
		}
	case <-time.After(time.Minute):
		t.Error("not called")
	}
}
