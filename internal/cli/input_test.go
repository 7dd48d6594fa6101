package cli

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// A request that never ends ends the process, in words, whether nothing comes or
// always a little.
func TestInputLimit(t *testing.T) {
	for name, first := range map[string]string{"nothing": "", "a part": "host="} {
		t.Run(name, func(t *testing.T) {
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Close()
			if _, err := writer.WriteString(first); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			ended := make(chan int, 1)
			d := &deps{env: Env{Stdin: reader, Exit: func(code int) { ended <- code }}, say: &printer{to: &said}}
			in := inputWithin(d, 10*time.Millisecond)
			go func() { _, _ = io.ReadAll(in) }()
			select {
			case code := <-ended:
				if code != exitRefused || !strings.Contains(said.String(), "malformed request: ") || !strings.Contains(said.String(), "did not end within 10ms") {
					t.Errorf("exit code %d, said %q", code, said.String())
				}
			case <-time.After(10 * time.Second):
				t.Error("it goes on")
			}
		})
	}
}

// A request that has arrived is not cut off later.
func TestInputInTime(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for name, stdin := range map[string]io.Reader{"pipe": reader, "no file": strings.NewReader("a=b\n")} {
		d := &deps{env: Env{Stdin: stdin, Exit: func(int) { t.Errorf("%s: ended", name) }}, say: &printer{to: io.Discard}}
		if stdin == reader {
			if _, err := writer.WriteString("a=b\n"); err != nil {
				t.Fatal(err)
			}
			if err := writer.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if data, err := io.ReadAll(inputWithin(d, 50*time.Millisecond)); err != nil || string(data) != "a=b\n" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	time.Sleep(200 * time.Millisecond) // an alarm that was left on would have gone off
}
