package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// agent plays the third act: serve has the Secret, and the agent's git uses it. The agent
// has a home of its own and no Secret, helper or variable of theirs.
func (s *stage) agent(dir, program string) (err error) {
	url := s.gitlab.URL()
	say("serve runs with the Secret of the Developer, as in a sidecar:")
	if err := s.mount(developer); err != nil {
		return err
	}
	proxy, stop, err := s.proxy(program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	home := filepath.Join(dir, "agent")
	trace := filepath.Join(home, "trace")
	agent := &stage{ctx: s.ctx, gitlab: s.gitlab, work: filepath.Join(home, "work"), env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_TRACE=" + trace, "GIT_TRACE_CURL=" + trace, "GIT_TRACE_PACKET=" + trace, "GIT_TRACE_REDACT=0",
	}}
	if err := os.MkdirAll(agent.work, 0o700); err != nil {
		return err
	}
	setup := exec.CommandContext(s.ctx, program, "setup", "--print", "--proxy", proxy, "--instance", url)
	setup.Env = s.env
	config, err := setup.Output()
	if err != nil {
		return fmt.Errorf("setup --print --proxy: %w", err)
	}
	config = append(config, "[user]\n\tname = Agent\n\temail = agent@example.com\n"...)
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), config, 0o600); err != nil {
		return err
	}
	for _, step := range []step{
		{say: "The agent has its own home, without Secret and helper, and git's configuration from setup --print --proxy:",
			command: "git config --global --list", want: "insteadof=" + url},
		{command: "git clone " + url + "/" + project + ".git"},
		{dir: "project", command: "git commit --allow-empty -m agent"},
		{dir: "project", command: "git push origin HEAD:refs/heads/session/demo", want: "HEAD -> session/demo"},
		{say: "It may push to no other branch:", dir: "project", command: "git push origin HEAD:main", fails: true,
			want: "(policy: only refs/heads/session/* may be pushed)"},
	} {
		if err := agent.run(step); err != nil {
			return err
		}
	}
	return s.search(agent, home, trace)
}

// proxy starts serve on a free port, and gives its URL.
func (s *stage) proxy(program string) (url string, stop func() error, err error) {
	args := []string{"serve", "--listen=127.0.0.1:0", "--instance=" + s.gitlab.URL(), "--project=" + project, "--allow-push=refs/heads/session/*"}
	fmt.Println("  $ git-credential-acp", strings.Join(args, " "))
	cmd := exec.CommandContext(s.ctx, program, args...)
	cmd.Env = s.env
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error {
		err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
		if found(log.Bytes()) {
			err = errors.Join(err, errors.New("the token is in the log of serve"))
		}
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	fmt.Print("    ", line)
	_, url, ok := strings.Cut(strings.TrimSpace(line), " on ")
	if err != nil || !ok {
		return "", nil, errors.Join(fmt.Errorf("serve printed %q: %w", line, err), stop())
	}
	return url, stop, nil
}

// search looks for the token in all that the agent has: its files, among them all that git
// sent and received, and its environment. The same search finds it in the Secret.
func (s *stage) search(agent *stage, home, trace string) error {
	files, holding, err := searched(home)
	if err != nil {
		return err
	}
	if found([]byte(strings.Join(agent.env, "\n"))) {
		holding = append(holding, "the environment")
	}
	traced, err := os.ReadFile(trace)
	if err != nil {
		return err
	}
	_, control, err := searched(s.secret)
	switch {
	case err != nil:
		return err
	case len(holding) > 0:
		return fmt.Errorf("the agent has the token in %q", holding)
	case len(control) == 0:
		return errors.New("the search does not find the token in the Secret")
	case !bytes.Contains(traced, []byte("/git-receive-pack HTTP/1.1")):
		return errors.New("git's trace does not have the push")
	}
	say("The token, plain or in base64, is in none of the agent's %d files, its environment, and\n%d bytes of git's unredacted traces. The same search finds it in the Secret.", files, len(traced))
	return nil
}

// searched counts the files below a directory, and names those with the token.
func searched(dir string) (files int, holding []string, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if found(text) {
			holding = append(holding, path)
		}
		return err
	})
	return files, holding, err
}

// found reports whether a text has the Developer's token, plain or in base64 at any offset.
func found(text []byte) bool {
	forms := []string{developer}
	for _, before := range []string{"", "x", "xx"} {
		// Without the digits that depend on what is before and after.
		encoded := base64.RawStdEncoding.EncodeToString([]byte(before + developer))
		forms = append(forms, encoded[4:len(encoded)-4])
	}
	for _, form := range forms {
		if bytes.Contains(text, []byte(form)) {
			return true
		}
	}
	return false
}
