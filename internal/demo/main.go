// Command demo shows the helper at work: a private project on a local fake GitLab,
// a token in a directory like a mounted Secret, and the real git; then the same through
// serve, for an agent that has no token. It fails if anything goes wrong.
//
// With -server, it only leaves the fake GitLab running until it is interrupted, and
// prints what to type to try the helper by hand.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// limit ends a demo that hangs.
const limit = 2 * time.Minute

func main() {
	server := flag.Bool("server", false, "leave the fake GitLab running, and print how to try the helper")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: demo [-server] PATH-OF-git-credential-acp") }
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *server); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	if *server {
		fmt.Println("\nThe server has stopped, and its files are deleted.")
	}
}

const (
	project   = "demo/team/project"
	developer = "glpat-Canary11111111"
	reporter  = "glpat-Canary22222222"
)

// run runs the demo in a temporary directory.
func run(program string, server bool) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if program, err = filepath.Abs(program); err != nil {
		return err
	}
	if _, err = os.Stat(program); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "git-credential-acp-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if server {
		return serve(ctx, os.Stdout, dir, program)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	gitlab, err := startGitLab(dir)
	if err != nil {
		return err
	}
	defer gitlab.Close()
	s, err := newStage(ctx, dir, program, gitlab)
	if err != nil {
		return err
	}
	if err := s.play(); err != nil {
		return err
	}
	if err := s.agent(dir, program); err != nil {
		return err
	}
	return s.conclude()
}

func startGitLab(dir string) (*gitlabtest.Server, error) {
	gitlab, err := gitlabtest.Start(gitlabtest.Options{Dir: filepath.Join(dir, "gitlab")})
	if err != nil {
		return nil, err
	}
	gitlab.AddUser(gitlabtest.User{ID: 1, Username: "developer"})
	gitlab.AddUser(gitlabtest.User{ID: 2, Username: "reporter"})
	gitlab.AddGoodToken(developer, 1)
	gitlab.AddGoodToken(reporter, 2)
	err = gitlab.AddProject(gitlabtest.Project{Path: project, Direct: map[int]int{1: 30, 2: 20}})
	return gitlab, err
}

// stage is a machine with git and the helper.
type stage struct {
	ctx          context.Context
	env          []string
	secret, work string
	gitlab       *gitlabtest.Server
}

func newStage(ctx context.Context, dir, program string, gitlab *gitlabtest.Server) (*stage, error) {
	s := &stage{ctx: ctx, gitlab: gitlab, secret: filepath.Join(dir, "secret"), work: filepath.Join(dir, "work")}
	if err := os.Mkdir(s.work, 0o755); err != nil {
		return nil, err
	}
	var err error
	s.env, err = gitlab.Environ(dir, program)
	s.env = append(s.env, "ACP_GITLAB_SECRET_DIR="+s.secret)
	return s, err
}

func (s *stage) mount(token string) error {
	return s.gitlab.MountSecret(s.secret, token, s.gitlab.URL())
}

func (s *stage) play() error {
	url := s.gitlab.URL()
	say("A GitLab for this demo answers on %s, with the private project %s.", url, project)
	say("The token of a Developer is mounted as kubelet mounts a Secret:")
	if err := s.mount(developer); err != nil {
		return err
	}
	if err := s.list(); err != nil {
		return err
	}
	for _, step := range []step{
		{say: "Configure git to use the helper for this instance:",
			command: "git config --global credential." + url + ".helper acp"},
		{command: "git config --global credential." + url + ".useHttpPath true"},
		{command: "git config --global user.name Demo"},
		{command: "git config --global user.email demo@example.com"},
		{say: "Clone, commit, push:", command: "git clone " + url + "/" + project + ".git"},
		{dir: "project", command: "git commit --allow-empty -m demo"},
		{dir: "project", command: "git push origin main", want: "main -> main"},
		{say: "The Secret is swapped for the token of a Reporter, who may not push:", mount: reporter,
			dir: "project", command: "git commit --allow-empty -m refused"},
		{dir: "project", command: "git push origin main", fails: true, want: "insufficient permissions"},
	} {
		if err := s.run(step); err != nil {
			return err
		}
	}
	return nil
}

// conclude counts what GitLab was asked. None of it may have been refused.
func (s *stage) conclude() error {
	logins := 0
	for _, r := range s.gitlab.Requests() {
		if r.Endpoint != "git" || !r.Authorized {
			continue
		}
		if logins++; r.Status >= 400 {
			return fmt.Errorf("git logged in to %s with a token that was refused", r.Path)
		}
	}
	say("GitLab received %d API requests and %d git requests with a token, and rejected none.",
		s.gitlab.Count("api"), logins)
	return nil
}

// list shows the mounted Secret's files without their contents.
func (s *stage) list() error {
	entries, err := os.ReadDir(s.secret)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		line := entry.Name()
		if target, err := os.Readlink(filepath.Join(s.secret, entry.Name())); err == nil {
			line += " -> " + target
		}
		fmt.Println("   ", line)
	}
	return nil
}

// step is a command to run in dir, after say is printed and the token mount is mounted. It
// must fail or not, and print want.
type step struct {
	say, mount, dir, command string
	fails                    bool
	want                     string
}

// run runs a command, shows its output and checks it.
func (s *stage) run(step step) error {
	if step.say != "" {
		say("%s", step.say)
	}
	if step.mount != "" {
		if err := s.mount(step.mount); err != nil {
			return err
		}
	}
	fmt.Println("  $", step.command)
	words := strings.Fields(step.command)
	cmd := exec.CommandContext(s.ctx, words[0], words[1:]...)
	cmd.Dir, cmd.Env = filepath.Join(s.work, step.dir), s.env
	var out bytes.Buffer
	indented := &indent{to: io.MultiWriter(os.Stdout, &out)}
	cmd.Stdout, cmd.Stderr = indented, indented
	err := cmd.Run()
	switch {
	case s.ctx.Err() != nil:
		return fmt.Errorf("%q did not end: %w", step.command, s.ctx.Err())
	case err != nil && !step.fails:
		return fmt.Errorf("%q failed: %w", step.command, err)
	case err == nil && step.fails:
		return fmt.Errorf("%q was not refused", step.command)
	case !strings.Contains(out.String(), step.want):
		return fmt.Errorf("%q did not print %q", step.command, step.want)
	case strings.Contains(out.String(), "Canary"), found(out.Bytes()):
		return fmt.Errorf("%q printed a token", step.command)
	}
	return nil
}

func say(format string, args ...any) { fmt.Printf("\n"+format+"\n", args...) }

// indent puts space before each line.
type indent struct {
	to     io.Writer
	within bool
}

func (w *indent) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if !w.within {
			line = "    " + line
		}
		w.within = !strings.HasSuffix(line, "\n")
		if _, err := io.WriteString(w.to, line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
