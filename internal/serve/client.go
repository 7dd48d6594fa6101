package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// client is the client's side of a request: its body and the response to it. It counts the
// bytes, and ends an idle request.
type client struct {
	http.ResponseWriter
	body   io.Reader
	idle   time.Duration
	cancel context.CancelCauseFunc

	// timer aborts the request unless it has ended, when the connection may have another one.
	// status is 0 until the response begins.
	mu     sync.Mutex
	timer  *time.Timer
	ended  bool
	status int
	// complete: the client has sent all of the body. received and sent are bytes.
	complete atomic.Bool
	received atomic.Int64
	sent     int64
}

// newClient starts the timer. cancel ends what the request waits for elsewhere.
func newClient(w http.ResponseWriter, r *http.Request, idle time.Duration, cancel context.CancelCauseFunc) *client {
	c := &client{ResponseWriter: w, body: r.Body, idle: idle, cancel: cancel}
	c.complete.Store(r.ContentLength == 0)
	c.mu.Lock() // the timer may fire at once
	c.timer = time.AfterFunc(idle, c.abort)
	c.mu.Unlock()
	return c
}

// progress is how many bytes of a body restart the timer. For single bytes, a client could hold
// a request forever.
const progress = 64 << 10

// Read reads the body.
func (c *client) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	if total := c.received.Add(int64(n)); err != nil || total/progress != (total-int64(n))/progress {
		c.active()
	}
	c.complete.Store(errors.Is(err, io.EOF))
	return n, err
}

// clientBody is a client's body as it is sent to GitLab. Its errors are not GitLab's.
type clientBody struct {
	io.Reader
	client *client
}

func (b clientBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case errors.Is(err, io.ErrUnexpectedEOF) && !b.client.complete.Load():
		b.client.cancel(nil) // it left
	default:
		err = errPushMalformed(err)
	}
	return n, err
}

// WriteHeader forwards a status. A connection with an unread body is not reused: the rest could
// be parsed as a request.
func (c *client) WriteHeader(status int) {
	c.mu.Lock()
	c.status = status
	c.mu.Unlock()
	if !c.complete.Load() {
		c.Header().Set("Connection", "close")
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *client) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent += int64(n)
	c.active()
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (c *client) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// active restarts the timer. It is called when GitLab or the client makes progress.
func (c *client) active() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.timer.Reset(c.idle)
	}
}

// errIdle is why an idle request ended.
var errIdle = errors.New("idle")

// abort ends an idle request.
func (c *client) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.cancel(errIdle)
	now := time.Now()
	control := http.NewResponseController(c.ResponseWriter)
	_ = control.SetReadDeadline(now)
	if c.status == 0 {
		now = now.Add(lingerTimeout) // for the reason
	}
	_ = control.SetWriteDeadline(now)
}

// lingerTimeout is how long a client may continue to send after an early response, which could
// be lost if the connection were closed, and how long it may take to read why it was too slow.
const lingerTimeout = time.Second

// end stops the timer. With linger, it reads the rest of the body for a moment.
func (c *client) end(linger bool) {
	c.mu.Lock()
	c.timer.Stop()
	c.ended = true
	c.mu.Unlock()
	c.cancel(nil)
	control := http.NewResponseController(c.ResponseWriter)
	if linger && control.Flush() == nil && control.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		_, _ = io.Copy(io.Discard, c.body)
	}
}
