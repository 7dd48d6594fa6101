package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// With a full disk, get answers without a cache, and leaves no temporary files.
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

// fill makes dir a full disk: a small tmpfs. Where mounting is not allowed, it returns true,
// and the caller has to limit the size of files.
func fill(t *testing.T, dir string) (limited bool) {
	if syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16k,mode=0700") != nil {
		return true
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	ballast(t, dir)
	return false
}

// ballast fills a small file system.
func ballast(t *testing.T, dir string) {
	t.Helper()
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
}

// If the disk fills up while GitLab creates a token, the token is saved: the record has
// reserved the space.
func TestRotateNewFullDisk(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	dir := filepath.Join(r.dir, "state", "git-credential-acp")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mounted := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700") == nil
	if mounted {
		t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	}
	r.platform.AddFault(gitlabtest.Fault{Match: "connect", Status: 500})
	gate := gate{endpoint: "rotate", n: 1}
	r.fault(gate, gitlabtest.Fault{Delay: 2 * time.Second})
	cmd, said := r.start("--new")
	for deadline := time.Now().Add(20 * time.Second); r.count(gate) == 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the request never came: %s", said)
		}
	}
	if mounted {
		ballast(t, dir)
	} else if err := os.Chmod(dir, 0o500); err != nil { // as good, for all but root
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if saved, _ := r.saved(); r.alive(podToken) || !r.alive(saved) || !strings.Contains(said.String(), "the new token is saved in ") {
		t.Errorf("no valid token is left: %s", said)
	}
	r.platform.ClearFaults()
	if code, said := r.run("--resume"); code != 0 || !r.alive(r.connected()) {
		t.Errorf("%d %s", code, said)
	}
}
