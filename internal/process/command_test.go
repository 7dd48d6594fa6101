//go:build linux || darwin

package process

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A program that is ended takes with it what it has started: git-remote-https of a
// git that takes too long must not go on with a token.
func TestCommandEndsChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	note := filepath.Join(t.TempDir(), "child")
	cmd := Command(ctx, "sh", "-c", `sleep 600 & echo $! >"$0.new" && mv "$0.new" "$0"; wait`, note)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	within(t, "the child starts", func() bool {
		text, err := os.ReadFile(note)
		child, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil && child > 0
	})
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("the program ended well")
	}
	within(t, "the child ends", func() bool { return syscall.Kill(child, 0) != nil })
}

// within waits for something that has to happen.
func within(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("20 s, and not yet: %s", what)
		}
	}
}
