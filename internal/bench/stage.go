package main

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

const (
	token = "glpat-Canary33333333"
	first = "group/project00"
	// host is GitLab's name through the slow connection.
	host = "gitlab.example.com"
	// distance is its round-trip time.
	distance = 50 * time.Millisecond
	// limit ends a command that hangs.
	limit = 5 * time.Minute
)

// stage is an environment with a fake GitLab, directly and through a slow connection, a
// mounted Secret, and an empty git configuration.
type stage struct {
	dir, program, store, curl string
	gitlab                    *gitlabtest.Server
	far                       *gitlabtest.Proxy
	// instance is the URL of the token's instance, the slow one.
	instance string
	paths    []string
	env      []string
}

func newStage(dir, program string) (*stage, error) {
	s := &stage{dir: dir, instance: "https://" + host}
	var err error
	if s.program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	core, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, err
	}
	s.store = filepath.Join(strings.TrimSpace(string(core)), "git-credential-store")
	s.curl, _ = exec.LookPath("curl")
	if s.gitlab, err = gitlabtest.Start(gitlabtest.Options{Dir: s.path("gitlab"), Hosts: []string{host}}); err != nil {
		return nil, err
	}
	if s.far, err = gitlabtest.StartProxy(gitlabtest.ProxyOptions{
		Routes: map[string]string{host + ":443": s.gitlab.Addr()}, Delay: distance}); err != nil {
		s.gitlab.Close()
		return nil, err
	}
	if err := s.setUp(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) close() {
	s.far.Close()
	s.gitlab.Close()
}

// setUp fills the fake GitLab, writes a Secret for each of its two addresses, and the
// same credential for credential-store.
func (s *stage) setUp() error {
	s.gitlab.AddUser(gitlabtest.User{ID: 1, Username: "dev"})
	s.gitlab.AddGoodToken(token, 1)
	for n := range 100 {
		p := gitlabtest.Project{Path: fmt.Sprintf("group/project%02d", n), Direct: map[int]int{1: 30}, NoRepository: n > 0}
		if err := s.gitlab.AddProject(p); err != nil {
			return err
		}
		s.paths = append(s.paths, p.Path)
	}
	near, err := url.Parse(s.gitlab.URL())
	if err != nil {
		return err
	}
	var credentials string
	for name, at := range map[string]string{"secret-far": s.instance, "secret-near": s.gitlab.URL()} {
		if err := s.gitlab.MountSecret(s.path(name), token, at); err != nil {
			return err
		}
	}
	for _, name := range []string{host, near.Host} {
		credentials += "https://oauth2:" + token + "@" + name + "\n"
	}
	if err := os.WriteFile(s.path("credentials"), []byte(credentials), 0o600); err != nil {
		return err
	}
	s.env, err = s.gitlab.Environ(s.dir, s.program)
	s.env = append(s.env, "ACP_GITLAB_SECRET_DIR="+s.path("secret-far")+string(os.PathListSeparator)+s.path("secret-near"))
	return err
}

// request is git's request for a project of the slow instance, "" for no project
// (credential-store has an answer only for the path that it was given).
func (s *stage) request(project string) string {
	if project == "" {
		return "protocol=https\nhost=" + host + "\n"
	}
	return "protocol=https\nhost=" + host + "\npath=" + project + ".git\n"
}

// output is a command's output and peak memory.
type output struct {
	stdout, stderr string
	// memory is the most that it used, in bytes.
	memory int64
}

// timed runs a command and measures its time.
func (s *stage) timed(in string, env []string, name string, args ...string) (time.Duration, output, error) {
	cmd := exec.Command(name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env = s.dir, slices.Concat(s.env, env)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, output{}, err
	}
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	took := time.Since(start)
	timer.Stop()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(name), err, stderr.String())
	}
	return took, output{stdout.String(), stderr.String(), peakMemory(cmd.ProcessState)}, err
}
