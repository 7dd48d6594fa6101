package transport

import (
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// notNow reports a status by which a server says that it can't answer just now: 429,
// and all 5xx but 501, by which it does not know the method (RFC 9110, 15.6).
func notNow(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError && status != http.StatusNotImplemented
}

// Status is a status in words, by its number alone where it has no name.
func Status(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// isJSON reports whether an answer says that its body is JSON.
func isJSON(header http.Header) bool {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// retryAfter is the wait that the header Retry-After asks for, in seconds or as
// a date (RFC 9110, 10.2.3), at most a day; 0 if there is none.
func retryAfter(header http.Header, now time.Time) time.Duration {
	after := header.Get("Retry-After")
	seconds, err := strconv.ParseUint(after, 10, 31)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return maxWait
	case err == nil:
		return bounded(time.Duration(seconds) * time.Second)
	}
	if date, err := http.ParseTime(after); err == nil {
		return bounded(date.Sub(now))
	}
	return 0
}

// serverTime is the server's clock, by the reply's Date if any.
func serverTime(header http.Header, now time.Time) time.Time {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		return date
	}
	return now
}

// maxWait is the limit for waits that a server asks for.
const maxWait = 24 * time.Hour

func bounded(wait time.Duration) time.Duration { return min(max(wait, 0), maxWait) }
