package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// With few file descriptors, a command works, or reports "too many open files" and no other
// cause.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	p := newPod(t, "group/project")
	for _, command := range []string{"get", "check " + p.gitlab.URL() + "/group/project", "check --json", "status", "setup --print", "version"} {
		for limit := 5; limit <= 24; limit++ {
			if err := os.RemoveAll(p.path("cache")); err != nil {
				t.Fatal(err)
			}
			run, out := p.get("group/project")
			run.Path, _ = exec.LookPath("sh")
			run.Args = append([]string{"sh", "-c", `ulimit -n "$1"; shift; exec "$@"`, "sh", strconv.Itoa(limit), program(t)}, strings.Fields(command)...)
			err := run.Run()
			named := strings.Contains(out.String(), "too many open files")
			wrong := err != nil && (!named || run.ProcessState.ExitCode() != exitRefused)
			for _, blamed := range []string{"has both", "holds no token", "not there", "does not ask", "goroutine", "killed"} {
				wrong = wrong || strings.Contains(out.String(), blamed)
			}
			if wrong || err != nil && limit >= 20 {
				t.Errorf("%s with %d descriptors: %v\n%s", command, limit, err, out)
			}
		}
	}
}

const exitRefused = 1
