package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// nobody is an unprivileged user ID.
const nobody = 65534

// spy tries to read another process (its argument is the ID), and prints what succeeds.
func spy() {
	pid, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	tell := func(way string, err error) {
		if err == nil {
			fmt.Println(way, "open")
		} else {
			fmt.Println(way, "closed")
		}
	}
	for _, name := range []string{"environ", "mem", "maps"} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err == nil {
			err = file.Close()
		}
		tell(name, err)
	}
	_, err = os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	tell("fd", err)
	runtime.LockOSThread()
	err = syscall.PtraceAttach(pid)
	tell("attach", err)
	if err == nil {
		var status syscall.WaitStatus
		_, _ = syscall.Wait4(pid, &status, syscall.WALL, nil)
		_ = syscall.PtraceDetach(pid)
	}
}

// asNobody runs a process of root's as nobody, since root can read any process.
func asNobody(cmd *exec.Cmd) *exec.Cmd {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// hanging is the built program with the token in memory, while it waits for GitLab.
func hanging(t *testing.T, p *pod) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	for _, path := range []string{filepath.Dir(p.dir), p.dir, built.dir, p.gitlab.CAFile()} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	work := p.path("work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(work, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	p.gitlab.ClearFaults()
	p.gitlab.AddFault(gitlabtest.Fault{Match: "api", Hang: true})
	get, said := p.get("group/project")
	get.Env = append(get.Env, "ACP_GITLAB_CACHE_DIR=off", "GOTRACEBACK=crash")
	get.Dir = work
	get.Args = append([]string{"sh", "-c", `ulimit -c unlimited 2>&-; exec "$@"`, "sh"}, append([]string{get.Path}, get.Args[1:]...)...)
	get.Path, _ = exec.LookPath("sh")
	if err := asNobody(get).Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = get.Process.Kill() })
	p.await("api", 2)
	return get, said
}

// Other processes can't read this one's memory, even the same user's.
func TestMemoryIsClosed(t *testing.T) {
	t.Parallel()
	p := newPod(t, "group/project")
	get, _ := hanging(t, p)
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	eye := filepath.Join(p.dir, "spy")
	if err := os.WriteFile(eye, own, 0o755); err != nil {
		t.Fatal(err)
	}
	look := func(pid int) map[string]string {
		out, err := asNobody(exec.Command(eye, strconv.Itoa(pid))).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		ways := map[string]string{}
		for line := range strings.Lines(string(out)) {
			way, how, _ := strings.Cut(strings.TrimSpace(line), " ")
			ways[way] = how
		}
		return ways
	}
	// Compare with another program: some systems close a part for all.
	other := asNobody(exec.Command("sleep", "60"))
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill() }()
	usual, here := look(other.Process.Pid), look(get.Process.Pid)
	if usual["environ"] != "open" || len(here) != 5 {
		t.Fatalf("nothing can be seen of any process: %v, %v", usual, here)
	}
	for way, how := range here {
		if how != "closed" {
			t.Errorf("%s is %s (with any program: %s)", way, how, usual[way])
		}
	}
}

// The kernel writes no core dump, with any limit, and the runtime no stack trace.
func TestNoCoreDump(t *testing.T) {
	t.Parallel()
	p := newPod(t, "group/project")
	get, said := hanging(t, p)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", get.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("limits:\n%s", limits)
	}
	if err := get.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := get.Wait(); !errors.As(err, &exit) {
		t.Errorf("it ended with %v", err)
	}
	if said.Len() > 0 {
		t.Errorf("it said:\n%s", said)
	}
	left, err := os.ReadDir(get.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}
