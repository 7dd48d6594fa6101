package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// installing runs install without an environment and with umask 077.
func installing(t *testing.T, program string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd, stdout, stderr = exec.Command("sh", append([]string{"-c", `umask 077; exec "$@"`, "sh", program, "install"}, args...)...), &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Env, cmd.Stdout, cmd.Stderr = []string{}, stdout, stderr
	return cmd, stdout, stderr
}

func mustInstall(t *testing.T, program, dir, want string) {
	t.Helper()
	cmd, stdout, stderr := installing(t, program, dir)
	if err := cmd.Run(); err != nil || stdout.String() != want+"\n" || stderr.Len() > 0 {
		t.Errorf("%v\nstdout %q, want %q\nstderr %q", err, stdout, want+"\n", stderr)
	}
}

// refuseInstall wants one message and an unchanged dir.
func refuseInstall(t *testing.T, cmd *exec.Cmd, stdout, stderr *bytes.Buffer, dir, want string) {
	t.Helper()
	before := listing(t, dir)
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || stdout.Len() > 0 ||
		!strings.HasPrefix(stderr.String(), "git-credential-acp: configuration: "+want) || strings.Count(stderr.String(), "\n") != 2 {
		t.Errorf("%v\nstdout %q\nstderr %q\nwant   %q", err, stdout, stderr, want)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
}

// listing lists a directory: name, mode, inode and size.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	var all strings.Builder
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %s %d %d\n", entry.Name(), info.Mode(), info.Sys().(*syscall.Stat_t).Ino, info.Size())
	}
	return all.String()
}

// wantInstalled wants only the program in dir, complete and executable for all.
func wantInstalled(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "git-credential-acp" {
		t.Errorf("in the directory: %v, %v", entries, err)
		return
	}
	copied := filepath.Join(dir, "git-credential-acp")
	if info, err := os.Lstat(copied); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if !same(t, program(t), copied) {
		t.Error("the copy is not the program")
	}
}

func same(t *testing.T, one, other string) bool {
	t.Helper()
	a, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(other)
	return err == nil && bytes.Equal(a, b)
}

// shared is a directory like a volume that another user reads.
func shared(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shared")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestInstall(t *testing.T) {
	dir := shared(t)
	copied := filepath.Join(dir, "git-credential-acp")
	mustInstall(t, program(t), dir, "installed "+copied)
	wantInstalled(t, dir)
	if out, err := exec.Command(copied, "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "git-credential-acp ") {
		t.Errorf("the copy says %q, %v", out, err)
	}

	// Again by the copy itself: nothing to do. By another: replaced while the old one runs.
	before := listing(t, dir)
	mustInstall(t, copied, dir, copied+" is already this version of the program")
	if after := listing(t, dir); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
	running := exec.Command(copied, "get")
	stdin, err := running.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	mustInstall(t, program(t), dir, "installed "+copied)
	wantInstalled(t, dir)
	if listing(t, dir) == before {
		t.Error("it was not replaced")
	}
	if _, err := io.WriteString(stdin, "protocol=https\nhost=github.com\n\n"); err != nil {
		t.Error(err)
	}
	if err := running.Wait(); err != nil {
		t.Errorf("the old one: %v", err)
	}

	// A program with another name gets the right one; a copy with mode 0700 is replaced.
	named := filepath.Join(shared(t), "helper")
	if err := os.Link(program(t), named); err != nil {
		t.Fatal(err)
	}
	dir = shared(t)
	mustInstall(t, named, dir, "installed "+filepath.Join(dir, "git-credential-acp"))
	wantInstalled(t, dir)
	if err := os.Chmod(filepath.Join(dir, "git-credential-acp"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustInstall(t, filepath.Join(dir, "git-credential-acp"), dir, "installed "+filepath.Join(dir, "git-credential-acp"))
	wantInstalled(t, dir)

	// Other files stay.
	put(t, filepath.Join(dir, ".git-credential-acp-x"), "not ours")
	cmd, _, _ := installing(t, program(t), dir)
	if err := cmd.Run(); err != nil || !strings.Contains(listing(t, dir), ".git-credential-acp-x ") {
		t.Errorf("%v: %s", err, listing(t, dir))
	}
}

// A link in the program's place is replaced, not its target. The directory may be a link.
func TestInstallLink(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	put(t, elsewhere, "old")
	for _, target := range []string{elsewhere, program(t), "/missing", "git-credential-acp"} {
		dir := shared(t)
		link := dir + "-link"
		for to, at := range map[string]string{target: filepath.Join(dir, "git-credential-acp"), dir: link} {
			if err := os.Symlink(to, at); err != nil {
				t.Fatal(err)
			}
		}
		mustInstall(t, program(t), link, "installed "+link+"/git-credential-acp")
		wantInstalled(t, dir)
	}
	if text, err := os.ReadFile(elsewhere); err != nil || string(text) != "old" {
		t.Errorf("what the link led to: %q, %v", text, err)
	}
}

// A failed install prints one message and changes nothing.
func TestInstallRefused(t *testing.T) {
	dir := shared(t)
	blocked, file := shared(t), filepath.Join(dir, "file")
	if err := os.Mkdir(filepath.Join(blocked, "git-credential-acp"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, file, "")
	for name, test := range map[string]struct{ dir, want string }{
		"missing":     {dir + "/missing", "can't install to " + dir + "/missing: no such file or directory\n"},
		"a file":      {file, "can't install to " + file + ": it is not a directory\n"},
		"below one":   {file + "/x", "can't install to " + file + "/x: not a directory\n"},
		"empty":       {"", `can't install to "": no such file or directory` + "\n"},
		"odd":         {dir + "/a\nb\x1b[2J", `can't install to "` + dir + `/a\nb\x1b[2J": `},
		"a directory": {blocked, "can't install to " + blocked + "/git-credential-acp: it is a directory\n"},
		"no room":     {"/proc/self", "the program can't be copied to /proc/self/git-credential-acp: "},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, stdout, stderr := installing(t, program(t), test.dir)
			watched := test.dir
			if strings.HasPrefix(watched, "/proc") {
				watched = dir
			}
			refuseInstall(t, cmd, stdout, stderr, watched, test.want)
		})
	}
	for _, args := range [][]string{{}, {dir, dir}, {"--mode=0755", dir}} {
		cmd, stdout, stderr := installing(t, program(t), args...)
		if _ = cmd.Run(); cmd.ProcessState.ExitCode() != 2 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "hint: run git-credential-acp help") {
			t.Errorf("%q: exit code %d, %s", args, cmd.ProcessState.ExitCode(), stderr)
		}
	}
}

// A user ID without write access, with an older program in place.
func TestInstallNotWritable(t *testing.T) {
	dir := shared(t)
	put(t, filepath.Join(dir, "git-credential-acp"), "old")
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	reachable(t)
	cmd, stdout, stderr := installing(t, program(t), dir)
	refuseInstall(t, asNobody(cmd), stdout, stderr, dir, "the program can't be copied to "+dir+"/git-credential-acp: permission denied\n")
}

// reachable lets other users enter the test's directories and the program's.
func reachable(t *testing.T) {
	t.Helper()
	program(t)
	for _, dir := range []string{filepath.Dir(t.TempDir()), built.dir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// A user ID without a name and home, as on OpenShift.
func TestInstallAsNobody(t *testing.T) {
	dir := shared(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	reachable(t)
	cmd, stdout, stderr := installing(t, program(t), dir)
	if err := asNobody(cmd).Run(); err != nil || stdout.String() != "installed "+dir+"/git-credential-acp\n" {
		t.Errorf("%v\n%s%s", err, stdout, stderr)
	}
	wantInstalled(t, dir)
}

// With all but the volume read-only, as in a restricted pod.
func TestInstallReadOnlyRoot(t *testing.T) {
	dir := shared(t)
	cmd, stdout, stderr := installing(t, program(t), dir)
	// In mount and user namespaces of its own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "VOLUME=" + dir}
	cmd.Args[2] = `set -e
parent=$(dirname "$VOLUME")
mount --bind "$parent" "$parent"
mount --bind "$VOLUME" "$VOLUME"
mount -o remount,bind,ro "$parent"
mount -o remount,bind,ro /
if touch "$VOLUME/../elsewhere"; then exit 99; fi
` + cmd.Args[2]
	err := cmd.Run()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		t.Skip("no namespaces for users on this system:", err)
	}
	if err != nil || stdout.String() != "installed "+dir+"/git-credential-acp\n" || !strings.Contains(stderr.String(), "Read-only") {
		t.Errorf("%v\n%s%s", err, stdout, stderr)
	}
	wantInstalled(t, dir)
}

// A full disk, with and without an older program in place.
func TestInstallFullDisk(t *testing.T) {
	for _, old := range []string{"", "old"} {
		dir := shared(t)
		limited := fill(t, dir)
		if old != "" {
			if err := os.Truncate(filepath.Join(dir, "ballast"), 0); !limited && err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "git-credential-acp"), old)
		}
		cmd, stdout, stderr := installing(t, program(t), dir)
		why := "no space left on device"
		if limited {
			cmd.Args[2] = "ulimit -f 8; " + cmd.Args[2]
			why = "file too large"
		}
		refuseInstall(t, cmd, stdout, stderr, dir, "the program can't be copied to "+dir+"/git-credential-acp: "+why+"\n")
	}
}

// Interrupted at any time, install leaves no partial or temporary file, and an older program
// stays until the new one replaces it.
func TestInstallEnded(t *testing.T) {
	// Data after its end makes the copy take longer.
	fat := filepath.Join(shared(t), "fat")
	content, err := os.ReadFile(program(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fat, append(content, bytes.Repeat([]byte("ballast "), 4<<20)...), 0o755); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	dir := shared(t)
	mustInstall(t, fat, dir, "installed "+dir+"/git-credential-acp")
	takes := time.Since(begun)

	const runs = 60
	ends := map[string]int{}
	for n := range runs {
		after := takes * time.Duration(n) / runs
		signal := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[n%2]
		dir := shared(t)
		copied := filepath.Join(dir, "git-credential-acp")
		if n%4 > 1 {
			put(t, copied, "old")
		}
		before := listing(t, dir)
		cmd, _, stderr := installing(t, fat, dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		_ = cmd.Process.Signal(signal)
		_ = cmd.Wait()
		said := strings.Contains(stderr.String(), "git-credential-acp: it was interrupted\n")
		switch code, now := cmd.ProcessState.ExitCode(), listing(t, dir); {
		case code != 0 && now == before && (code == 1) == said:
			ends[fmt.Sprintf("%v, before, in words %v", signal, said)]++
		case code <= 0 && same(t, fat, copied) && strings.Count(now, "\n") == 1:
			ends[signal.String()+", after"]++
		default:
			t.Errorf("%v after %v: exit code %d, before %q, now %q\n%s", signal, after, code, before, now, stderr)
		}
	}
	t.Log(ends)
	if ends["killed, before, in words false"] == 0 || ends["terminated, before, in words true"] == 0 {
		t.Errorf("never interrupted while copying: %v", ends)
	}
}

// Concurrent installs all succeed.
func TestInstallTogether(t *testing.T) {
	t.Parallel()
	dir := shared(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			cmd, _, stderr := installing(t, program(t), dir)
			if err := cmd.Run(); err != nil {
				t.Errorf("%v: %s", err, stderr)
			}
		})
	}
	all.Wait()
	wantInstalled(t, dir)
}
