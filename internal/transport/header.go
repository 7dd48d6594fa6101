package transport

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// NotNow reports a status by which a server says that it can't answer just now: 429,
// and every fault of its own but that it does not know the request at all
// (RFC 9110, 15.6; 501).
func NotNow(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError && status != http.StatusNotImplemented
}

// Status is a status in words, by its number alone where it has no name.
func Status(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// IsJSON reports whether an answer says that its body is JSON.
func IsJSON(header http.Header) bool {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// RetryAfter is the wait that the header Retry-After asks for, in seconds or as
// a date (RFC 9110, 10.2.3), bounded as by [Wait]; 0 if there is none.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	after := header.Get("Retry-After")
	seconds, err := strconv.ParseUint(after, 10, 31)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return maxWait
	case err == nil:
		return Wait(time.Duration(seconds) * time.Second)
	}
	if date, err := http.ParseTime(after); err == nil {
		return Wait(date.Sub(now))
	}
	return 0
}

// Target is where a redirect from an address leads: the scheme and host, fit to be
// shown, and the path. Both are "" when it does not lead to another web page. What
// else an address has may be secret.
func Target(from, location string) (origin, path string) {
	base, err := url.Parse(from)
	if err != nil || location == "" {
		return "", ""
	}
	to, err := base.Parse(location)
	if err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http" {
		return "", ""
	}
	host := strings.ToLower(to.Host)
	host = strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[to.Scheme])
	return message.Quote(to.Scheme + "://" + host), to.Path
}

// maxWait is more than anybody waits for; what is asked beyond it is no more
// than that either.
const maxWait = 24 * time.Hour

// Wait bounds a wait that a server asked for: from 0 to a day.
func Wait(wait time.Duration) time.Duration { return min(max(wait, 0), maxWait) }
