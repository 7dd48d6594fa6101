package cli

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// A request that never ends ends the process, in words.
func TestInputLimit(t *testing.T) {
	reader, writer := io.Pipe()
	defer writer.Close()
	var said bytes.Buffer
	ended := make(chan int, 1)
	a := &app{env: Env{Stdin: reader, Stderr: &said, Exit: func(code int) { ended <- code }}}
	in := a.inputWithin(time.Millisecond)
	go func() { _, _ = in.Read(make([]byte, 1)) }()
	select {
	case code := <-ended:
		if code != exitRefused || said.String() != "git-credential-acp: malformed request: it did not end within 1ms; nothing was answered\n" {
			t.Errorf("exit code %d, said %q", code, said.String())
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}

// One that has ended, by a blank line in whatever parts or by its end, does not.
func TestInputLimitIsCalledOff(t *testing.T) {
	for _, parts := range [][]string{{"a=b\n\n"}, {"a=b\n", "\n"}, {"a=b"}} {
		reader, writer := io.Pipe()
		a := &app{env: Env{Stdin: reader, Stderr: io.Discard, Exit: func(int) {}}}
		in, _ := a.inputWithin(time.Hour).(*input)
		go func() {
			for _, part := range parts {
				_, _ = writer.Write([]byte(part))
			}
			_ = writer.Close()
		}()
		for range parts {
			_, _ = in.Read(make([]byte, 10))
		}
		if parts[0] == "a=b" {
			_, _ = in.Read(make([]byte, 10))
		}
		if in.late.Stop() {
			t.Errorf("%q: the alarm was still on", parts)
		}
	}
}
