package gitlabtest

import (
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// rateLimits counts API requests in fixed windows, by token or, without one, by address.
type rateLimits struct {
	mu      sync.Mutex
	limit   int
	window  time.Duration
	windows map[string]*rateWindow
}

type rateWindow struct {
	ends time.Time
	seen int
}

// SetRateLimit allows each token that many API requests in a window, which begins with its
// first request. Replies have RateLimit-Limit, -Observed, -Remaining and -Reset (unix
// seconds); beyond the limit, 429 "Retry later" with Retry-After. 0 turns it off.
func (s *Server) SetRateLimit(limit int, window time.Duration) {
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	s.limits.limit, s.limits.window, s.limits.windows = limit, window, map[string]*rateWindow{}
}

func limitKey(r *http.Request) string {
	if t := apiToken(r); t != "" {
		return t
	}
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	return "ip " + ip
}

// hit counts a request, and returns the headers and whether the limit is exceeded.
func (l *rateLimits) hit(key string, now time.Time) (http.Header, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit == 0 {
		return nil, false
	}
	w := l.windows[key]
	if w == nil || !now.Before(w.ends) {
		w = &rateWindow{ends: now.Add(l.window)}
		l.windows[key] = w
	}
	w.seen++
	// http.Header.Set would write Ratelimit; GitLab sends RateLimit.
	h := http.Header{
		"RateLimit-Limit":     {strconv.Itoa(l.limit)},
		"RateLimit-Observed":  {strconv.Itoa(w.seen)},
		"RateLimit-Remaining": {strconv.Itoa(max(0, l.limit-w.seen))},
		"RateLimit-Reset":     {strconv.FormatInt(w.ends.Unix(), 10)},
	}
	if w.seen <= l.limit {
		return h, false
	}
	h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(w.ends.Sub(now).Seconds())))))
	return h, true
}
