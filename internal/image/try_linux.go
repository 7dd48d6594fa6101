package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// stranger is a user and group that nothing belongs to, as a cluster assigns
	// them.
	stranger = 1000710000
	// stageCommand is what this program calls itself with, in namespaces of its
	// own.
	stageCommand = "stage"
	patience     = time.Minute
)

// trial is a call of the program and what has to come of it.
type trial struct {
	name           string
	args, env      []string
	stdin          string
	code           int
	stdout, stderr string // how they begin; "" is nothing at all
}

func (r *release) trials() []trial {
	const own = "https://gitlab.example.com"
	request := func(host string) string { return "protocol=https\nhost=" + host + "\npath=group/project.git\n\n" }
	return []trial{
		{name: "version", args: []string{"version"}, stdout: r.says()},
		{name: "get for a foreign host", args: []string{"get"}, stdin: request("git.example.org")},
		{name: "get without a token", args: []string{"--instance", own, "get"}, stdin: request("gitlab.example.com"), code: 1,
			stdout: "quit=1\n", stderr: "git-credential-acp: configuration: "},
		// Nothing can be remembered either.
		{name: "get without a network", args: []string{"get"}, stdin: request("gitlab.example.com"), code: 3,
			env:    []string{"GITLAB_TOKEN=glpat-Canary11111111", "ACP_GITLAB_INSTANCE_URL=" + own, "ACP_GITLAB_TIMEOUT=1s"},
			stdout: "quit=1\n", stderr: "git-credential-acp: not verified: "},
	}
}

// try runs the program in a root file system that it has for itself, read-only,
// without devices, processes or network to be seen, as a user whom nobody knows.
func (r *release) try(t tree) (err error) {
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// The way there has to be open to the stranger.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	if err := t.write(root); err != nil {
		return err
	}
	for _, trial := range r.trials() {
		if err := trial.run(root); err != nil {
			return fmt.Errorf("%s: %w", trial.name, err)
		}
		fmt.Printf("as user %d, all read-only: %s\n", stranger, trial.name)
	}
	return nil
}

func (t trial) run(root string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// Root may make namespaces as it is. Anybody else, and root without its
	// privileges, has to begin with one of users, if the machine lets them.
	out, said, code, err := t.start(ctx, root, false)
	if err != nil {
		out, said, code, err = t.start(ctx, root, true)
	}
	if err != nil {
		return fmt.Errorf("no namespaces can be made here: run the check as root, or where user namespaces are allowed (%w)", err)
	}
	if code != t.code || !begins(out, t.stdout) || !begins(said, t.stderr) {
		return fmt.Errorf("exit code %d, stdout %q, stderr %q; want %d, %q…, %q…", code, out, said, t.code, t.stdout, t.stderr)
	}
	return nil
}

func begins(text, with string) bool {
	return strings.HasPrefix(text, with) && (with != "" || text == "")
}

// start calls this program again in new namespaces, one of users among them if
// nested, with what there is to run.
func (t trial) start(ctx context.Context, root string, nested bool) (stdout, stderr string, code int, err error) {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC}
	if nested {
		become(attr, 0, os.Geteuid(), os.Getegid())
	}
	args := []string{stageCommand, root, strconv.FormatBool(nested), "/" + programPath}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append(args, t.args...)...)
	cmd.Env = append([]string{}, t.env...)
	cmd.Stdin = strings.NewReader(t.stdin)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.SysProcAttr = attr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		err = nil
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode(), err
}

// become shows a user and group of here as others, in a new namespace of users.
func become(attr *syscall.SysProcAttr, id, user, group int) {
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: id, HostID: user, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: id, HostID: group, Size: 1}}
}

// stage is what runs in the new namespaces: it makes the root file system
// read-only, runs the program in it and ends as it does.
func stage(root string, nested bool, command []string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := syscall.Mount(root, root, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", root, err)
	}
	const locked = syscall.MS_REMOUNT | syscall.MS_BIND | syscall.MS_RDONLY | syscall.MS_NOSUID | syscall.MS_NODEV
	if err := syscall.Mount("", root, "", locked, ""); err != nil {
		return fmt.Errorf("mount %s read-only: %w", root, err)
	}
	if err := os.Mkdir(filepath.Join(root, "written"), 0o700); !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%s is not read-only: %w", root, err)
	}
	attr := &syscall.SysProcAttr{Chroot: root}
	if nested {
		// There is no other user to become here; but in a further namespace, this
		// one can have the stranger's number.
		become(attr, stranger, 0, 0)
	} else {
		attr.Credential = &syscall.Credential{Uid: stranger, Gid: stranger}
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Dir, cmd.SysProcAttr = "/", attr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		os.Exit(exit.ExitCode())
	}
	return err
}
