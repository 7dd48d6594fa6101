package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A get with a cached verdict opens only the Secret and the cache file: no socket, program or
// configuration, and it writes nothing.
func TestWarmPath(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace (.ci/run installs it)")
	}
	p := newPod(t, "group/project")
	p.mustGet()
	p.gitlab.ResetRequests()

	log := p.path("strace")
	get, out := p.get("group/project")
	get.Args = append([]string{strace, "-f", "-qq", "-e", "signal=none", "-o", log,
		"-e", "trace=open,openat,openat2,creat,%network,execve,execveat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat"}, get.Args...)
	get.Path = strace
	if err := get.Run(); err != nil || !strings.Contains(out.String(), "\npassword="+podToken+"\n") {
		t.Fatalf("get: %v\n%s", err, out)
	}
	p.wantRequests(map[string]int{"api": 0})
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var opened []string
	for line := range strings.Lines(string(text)) {
		call := regexp.MustCompile(`^\d+ +(\w+)\((.*?)(, O_\w+.*)?\) += `).FindStringSubmatch(line)
		switch {
		case call == nil:
			t.Errorf("not understood: %s", line)
		case call[1] == "execve" && len(opened) == 0 && strings.Contains(call[2], program(t)): // its own start
		case call[1] != "openat" || strings.Contains(call[3], "O_CREAT"):
			t.Errorf("a warm get does %s", line)
		default:
			_, name, _ := strings.Cut(call[2], ", ")
			opened = append(opened, what(strings.Trim(name, `"`)))
		}
	}
	// The Go runtime reads the page size and the number of processors.
	opened = slices.DeleteFunc(opened, func(name string) bool { return name == "the runtime's" })
	want := []string{
		"null", // to which standard error leads
		"secret",
		"a version", "token",
		"a version", "credentials.json",
		"a version", "instanceUrl",
		"a version", "ca.crt",
		"cache", "a verdict",
	}
	// Without the right to read any process, strace sees no names, since the process is
	// hardened.
	if slices.Contains(opened, "hidden") {
		for i := range want {
			want[i] = "hidden"
		}
	}
	if !slices.Equal(opened, want) {
		t.Errorf("a warm get opens %q,\nnot just %q\n%s", opened, want, text)
	}
}

// what names the kind of an opened file.
func what(path string) string {
	name := filepath.Base(path)
	switch {
	case strings.HasPrefix(path, "0x"):
		return "hidden"
	case strings.HasPrefix(path, "/proc/"), strings.HasPrefix(path, "/sys/"):
		return "the runtime's"
	case strings.HasPrefix(name, "..2"):
		return "a version"
	case regexp.MustCompile(`^acp2-[0-9a-f]{32}$`).MatchString(name):
		return "a verdict"
	}
	return name
}
