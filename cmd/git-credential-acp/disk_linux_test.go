package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A full disk costs requests, never an answer, and leaves no halves behind.
func TestFullDisk(t *testing.T) {
	p := newPod(t, "group/project")
	cache := p.path("cache")
	if err := os.Mkdir(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	limited := fill(t, cache)
	for range 2 {
		cmd, out := p.get("group/project")
		if limited {
			cmd.Args = append([]string{"sh", "-c", `ulimit -f 0; exec "$@"`, "sh"}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
			cmd.Path, _ = exec.LookPath("sh")
		}
		if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "\npassword="+podToken+"\n") {
			t.Errorf("get: %v\n%s", err, out)
		}
	}
	p.wantRequests(map[string]int{"self": 2, "project": 2})
	left, err := filepath.Glob(filepath.Join(cache, "*-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// fill makes dir a full disk: a small tmpfs where that is allowed; else it is
// true that the caller has to limit the size of files.
func fill(t *testing.T, dir string) (limited bool) {
	if syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16k,mode=0700") != nil {
		return true
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	file, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 1024))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return false
}
