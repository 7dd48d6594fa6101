package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// fleet starts the sessions of one user, each with a cache of its own, against the
// rate limit of the platform's guide. maxRequests is for all of them.
func (b *bench) fleet() error {
	sessions, window, within, maxRequests := 300, time.Minute, 20*time.Second, 660
	if b.quick {
		sessions, window, within, maxRequests = 20, 5*time.Second, time.Second, 80
	}
	b.gitlab.SetRateLimit(sessions, window)
	defer b.gitlab.SetRateLimit(0, 0)
	b.gitlab.ResetRequests()
	near := strings.TrimPrefix(b.gitlab.URL(), "https://")
	request := "protocol=https\nhost=" + near + "\npath=" + first + ".git\n"
	errs := make([]error, sessions)
	var group sync.WaitGroup
	start := time.Now()
	for n := range sessions {
		group.Go(func() {
			time.Sleep(within * time.Duration(n) / time.Duration(sessions))
			_, out, err := b.timed(request, []string{"ACP_GITLAB_CACHE_DIR=" + b.path(fmt.Sprintf("caches/%d", n))}, b.program, "get")
			if err == nil && !strings.Contains(out.stdout, "\npassword="+token+"\n") {
				err = fmt.Errorf("get answered %q", out.stderr)
			}
			errs[n] = err
		})
	}
	group.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	got := b.gitlab.Count("api")
	over := failed > 0 || got > maxRequests
	b.rows = append(b.rows, row{fmt.Sprintf("%d sessions within %s, each with its own cache, %d requests allowed in %s", sessions, within, sessions, window),
		show(time.Since(start)) + " in all", fmt.Sprintf("%d requests, %d failures", got, failed), "-", fmt.Sprintf("≤ %d requests, 0 failures", maxRequests), over, over})
	return errors.Join(errs...)
}
