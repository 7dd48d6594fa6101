package main

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxProxy is how much memory serve may use, in bytes.
const maxProxy = 64 << 20

// serve measures clones through the proxy, and its memory while a large file is pushed
// and cloned.
func (b *bench) serve() error {
	proxy := exec.Command(b.program, "serve", "--listen", "127.0.0.1:0", "--instance", b.gitlab.URL())
	proxy.Env = b.env
	stdout, err := proxy.StdoutPipe()
	if err != nil {
		return err
	}
	if err := proxy.Start(); err != nil {
		return err
	}
	defer func() { _ = proxy.Process.Kill() }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return err
	}
	address := strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:])
	if err := b.throughServe(address); err != nil {
		return err
	}
	size, name := int64(1<<30), "1 GB"
	if b.quick {
		size, name = 200<<20, "200 MB"
	}
	took, err := b.large(address, size)
	if err != nil {
		return err
	}
	b.size("peak memory of `serve`, "+name+" pushed and cloned", peakOf(proxy.Process.Pid), show(took)+" in all", maxProxy)
	return errors.Join(proxy.Process.Signal(syscall.SIGTERM), proxy.Wait())
}

func (b *bench) throughServe(address string) error {
	clone := func(url string, config ...string) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			if err := os.RemoveAll(b.path("clone")); err != nil {
				return 0, err
			}
			took, _, err := b.timed("", nil, "git", slices.Concat(config, []string{"clone", "-q", url + "/" + first + ".git", b.path("clone")})...)
			return took, err
		}
	}
	ours, rival, err := b.median(max(3, b.rounds/3), clone(address, "-c", "credential.helper="),
		clone(b.gitlab.URL(), "-c", "credential.helper=store --file="+b.path("credentials")))
	if err == nil {
		b.compare("clone of a small repository through `serve`", "with `credential-store`", 1.15, ours, rival)
	}
	return err
}

// large pushes and clones a file that can't be compressed.
func (b *bench) large(address string, size int64) (time.Duration, error) {
	at := b.path("large")
	if _, _, err := b.timed("", nil, "git", "init", "-q", at); err != nil {
		return 0, err
	}
	file, err := os.Create(at + "/file")
	if err != nil {
		return 0, err
	}
	_, err = io.CopyN(file, rand.NewChaCha8([32]byte{}), size)
	if err := errors.Join(err, file.Close()); err != nil {
		return 0, err
	}
	var all time.Duration
	for _, args := range [][]string{
		{"-C", at, "-c", "core.bigFileThreshold=1m", "add", "file"},
		{"-C", at, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "-m", "large"},
		{"-C", at, "-c", "core.bigFileThreshold=1m", "push", "-q", address + "/" + first + ".git", "HEAD:refs/heads/large"},
		{"clone", "-q", "--bare", "--single-branch", "-b", "large", address + "/" + first + ".git", b.path("large.git")},
	} {
		took, _, err := b.timed("", nil, "git", args...)
		if err != nil {
			return 0, err
		}
		if args[len(args)-1] == b.path("large.git") || slices.Contains(args, "push") {
			all += took
		}
	}
	return all, nil
}

// peakOf is the most memory that a process has had in use, in bytes; 0 where the system
// does not tell.
func peakOf(pid int) int64 {
	status, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, _ := strconv.ParseInt(number, 10, 64)
	return kib << 10
}
