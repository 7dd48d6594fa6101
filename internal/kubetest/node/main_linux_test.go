// Package node tests docs/kubernetes and docs/pods.md on a real Kubernetes node:
// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, containerd
// and runc, in namespaces of the test's own, with a registry, a DNS and a fake GitLab
// beside them. make test-node builds what it needs; it takes root.
package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	envKube = "ACP_KUBE_ASSETS" // the directory with Kubernetes' programs
	envNode = "ACP_NODE_ASSETS" // what .ci/fetch-node makes
	// Set for the process in the namespaces.
	envDir    = "ACP_NODE_DIR"    // a temporary directory
	envCgroup = "ACP_NODE_CGROUP" // kubelet's, in all hierarchies
)

// limit is for everything. It is shorter than go test's, which would leave things
// behind.
const limit = 12 * time.Minute

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		os.Exit(inside(m, dir))
	}
	if os.Getenv(envNode) == "" || os.Getenv(envKube) == "" {
		fmt.Fprintln(os.Stderr, envNode+" or "+envKube+" is not set: run make test-node")
		os.Exit(1)
	}
	code, err := outside()
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		code = 1
	}
	os.Exit(code)
}

// outside runs this program again as the first process of new namespaces, which end
// with it, and cleans up.
func outside() (code int, err error) {
	removeStale()
	dir, err := os.MkdirTemp("", cgroupName+"-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "git-credential-acp"), "./cmd/git-credential-acp")
	program.Dir, program.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := program.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%w: %s", err, out)
	}

	if err := makeCgroups(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, removeCgroups(cgroupName)) }()
	// A second signal is not waited for: cleaning up has time limits.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the time limit of %s is over", limit))
	defer cancel()
	self := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	self.Env = append(os.Environ(), envDir+"="+dir, envCgroup+"="+cgroupName, "TMPDIR="+dir)
	self.Stdout, self.Stderr, self.WaitDelay = os.Stdout, os.Stderr, 10*time.Second
	// The kernel kills it with all processes of its namespace if this thread ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	self.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Setpgid:    true, Pdeathsig: syscall.SIGKILL,
	}
	err = self.Run()
	if ctx.Err() != nil {
		return 1, context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return 1, nil // it has said why
	}
	return 0, err
}

// cgroupName is kubelet's part of the cgroup hierarchies; the process's ID is in it.
var cgroupName = "acp-node-" + strconv.Itoa(os.Getpid())

// hierarchies are the directories of the cgroup hierarchies: one, with version 2.
func hierarchies() ([]string, error) {
	const top = "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(top, "cgroup.controllers")); err == nil {
		return []string{top}, nil
	}
	entries, err := os.ReadDir(top)
	var all []string
	for _, entry := range entries {
		if entry.IsDir() {
			all = append(all, filepath.Join(top, entry.Name()))
		}
	}
	return all, err
}

func makeCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range all {
		own := filepath.Join(hierarchy, cgroupName)
		if err := os.Mkdir(own, 0o755); err != nil {
			return errors.Join(err, removeCgroups(cgroupName))
		}
		// With version 1, a cpuset has no CPUs and no memory at first.
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			if text, err := os.ReadFile(filepath.Join(hierarchy, name)); err == nil {
				if err := os.WriteFile(filepath.Join(own, name), text, 0o644); err != nil {
					return errors.Join(err, removeCgroups(cgroupName))
				}
			}
		}
	}
	return nil
}

// removeCgroups waits for the kernel to have taken dead processes out of them.
func removeCgroups(name string) error {
	all, err := hierarchies()
	for _, hierarchy := range all {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			left := removeTree(filepath.Join(hierarchy, name))
			if left == nil {
				break
			}
			if time.Now().After(deadline) {
				err = errors.Join(err, left)
				break
			}
		}
	}
	return err
}

// removeTree removes directories, the lowest first. Files of a cgroup go with it.
func removeTree(dir string) (err error) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			err = errors.Join(err, removeTree(filepath.Join(dir, entry.Name())))
		}
	}
	if removed := syscall.Rmdir(dir); removed != nil && !errors.Is(removed, syscall.ENOENT) {
		err = errors.Join(err, fmt.Errorf("%s: %w", dir, removed))
	}
	return err
}

// removeStale removes what a run left behind that was killed by SIGKILL: everything
// else ended with the namespaces.
func removeStale() {
	ended := func(path string) bool {
		id, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), "acp-node-"), "-")
		_, err := os.Stat("/proc/" + id)
		return errors.Is(err, os.ErrNotExist)
	}
	hierarchies, _ := hierarchies()
	for _, hierarchy := range hierarchies {
		found, _ := filepath.Glob(filepath.Join(hierarchy, "acp-node-*"))
		for _, dir := range found {
			if ended(dir) {
				_ = removeTree(dir)
			}
		}
	}
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), "acp-node-*"))
	for _, dir := range found {
		if ended(dir) {
			_ = os.RemoveAll(dir)
		}
	}
}
