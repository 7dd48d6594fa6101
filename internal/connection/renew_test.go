package connection

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A Renew that is killed at any step leaves a valid token in the keeper or the record, and
// Resume finishes it. The exception is the moment between GitLab's reply and the record.
func TestRenewKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range keepers {
		for n := 1; ; n++ {
			s := newScene(t, kind)
			steps, killed := s.child("renew", n, "")
			if !killed {
				if s.kept() == oldCanary || !s.alive(s.kept()) || n < 20 {
					t.Errorf("%s: after %d steps: %s", kind, n, steps)
				}
				s.check(true)
				break
			}
			at := fmt.Sprintf("%s, step %d, %s", kind, n, steps[len(steps)-1])
			s.check(false)
			saved, there := s.saved()
			lost := strings.HasSuffix(at, "after POST self/rotate")
			if there && !s.alive(oldCanary) && !s.alive(saved) && !lost {
				t.Errorf("%s: no valid token is left", at)
			}
			if !there {
				if !s.alive(s.kept()) {
					t.Errorf("%s: the keeper has a dead token, and there is no record", at)
				}
				continue
			}
			s.want(Renew(t.Context(), s.rotation(), time.Now().AddDate(0, 2, 0)), "rotate-unfinished")
			if n := s.gitlab.Count("rotate"); n > 1 {
				t.Errorf("%s: GitLab was asked for a token %d times", at, n)
			}
			s.resume(at, lost, saved)
		}
	}
}
