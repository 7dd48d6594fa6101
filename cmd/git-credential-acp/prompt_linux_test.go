package main

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal that runs the program.
type terminal struct {
	t    *testing.T
	keys *os.File
	cmd  *exec.Cmd
	done chan struct{}

	mu    sync.Mutex
	shown bytes.Buffer
}

// at starts the program at a terminal.
func (r *rotation) at(args ...string) *terminal {
	r.t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { keys.Close() })
	if err := unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		r.t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err != nil {
		r.t.Fatal(err)
	}
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	// The test keeps it open too, so that the last output is not lost.
	r.t.Cleanup(func() { tty.Close() })
	s := &terminal{t: r.t, keys: keys, cmd: exec.Command(program(r.t), args...), done: make(chan struct{})}
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = r.dir, r.env, tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { _ = s.cmd.Wait(); close(s.done) }()
	go func() {
		for b := make([]byte, 1024); ; {
			n, err := keys.Read(b)
			s.mu.Lock()
			s.shown.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// screen is what has been shown.
func (s *terminal) screen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// await waits for a condition.
func (s *terminal) await(what string, true func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !true(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = s.cmd.Process.Kill()
			s.t.Fatalf("%s: not in time\n%s", what, s.screen())
		}
	}
}

// echoes reports whether the terminal shows what is typed.
func (s *terminal) echoes() bool {
	s.t.Helper()
	state, err := unix.IoctlGetTermios(int(s.keys.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// prompt waits for a prompt, and until the terminal shows what is typed, or not.
func (s *terminal) prompt(words string, echo bool) {
	s.t.Helper()
	s.await(words, func() bool { return strings.Contains(s.screen(), words) && s.echoes() == echo })
}

func (s *terminal) press(keys string) {
	s.t.Helper()
	if _, err := s.keys.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the exit, and checks the exit code, the output, and that the terminal was
// restored.
func (s *terminal) ends(code int, words string) {
	s.t.Helper()
	s.await("the end", func() bool {
		select {
		case <-s.done:
			return true
		default:
			return false
		}
	})
	s.await(words, func() bool { return strings.Contains(s.screen(), words) })
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit code %d, want %d\n%s", got, code, s.screen())
	}
	if !s.echoes() {
		s.t.Error("the terminal does not echo any more")
	}
	if strings.Contains(s.screen(), "Canary") {
		s.t.Errorf("a token was shown: %s", s.screen())
	}
}

const (
	tokenPrompt = "GitLab token (not shown): "
	interrupt   = "\x03"
	endOfInput  = "\x04"
)

// At a terminal, connect and rotate prompt for the token without echo.
func TestPrompt(t *testing.T) {
	r := newRotation(t)
	r.platform.SetConnection("dev", nil)
	connect := []string{"connect", "--platform", "--instance", r.gitlab.URL()}
	s := r.at(connect...)
	s.prompt(tokenPrompt, false)
	s.press(podToken + "\n")
	s.ends(0, "connected: the platform at ")
	if r.connected() != podToken {
		t.Error("the token is not there")
	}
	s = r.at("rotate", "--platform")
	s.prompt(tokenPrompt, false)
	s.press(otherToken + "\n")
	s.ends(0, "rotated: the platform at ")
	if r.connected() != otherToken || r.alive(podToken) {
		t.Error("it is not rotated")
	}
}

// An interrupted prompt restores the terminal and changes nothing.
func TestPromptInterrupted(t *testing.T) {
	r := newRotation(t)
	for _, args := range [][]string{{"connect", "--platform", "--instance", r.gitlab.URL()}, {"rotate", "--platform"}} {
		for name, row := range map[string]struct {
			does  func(s *terminal)
			code  int
			words string
		}{
			"Ctrl-C":      {func(s *terminal) { s.press(otherToken[:9] + interrupt) }, 3, "no token was entered; nothing was changed"},
			"terminated":  {func(s *terminal) { _ = s.cmd.Process.Signal(syscall.SIGTERM) }, 3, "no token was entered; nothing was changed"},
			"hung up":     {func(s *terminal) { _ = s.cmd.Process.Signal(syscall.SIGHUP) }, 3, "no token was entered; nothing was changed"},
			"just return": {func(s *terminal) { s.press("\n") }, 1, "hint: "},
		} {
			t.Run(args[0]+" "+name, func(t *testing.T) {
				s := r.at(args...)
				s.t = t
				s.prompt(tokenPrompt, false)
				row.does(s)
				s.ends(row.code, row.words)
				if r.connected() != podToken || !r.alive(podToken) {
					t.Error("something was changed")
				}
			})
		}
	}
}

// Only the answer yes revokes.
func TestPromptRevoke(t *testing.T) {
	r := newRotation(t)
	const question = "Everything that uses it stops working. [yes/no] "
	for name, keys := range map[string]string{"Ctrl-C": interrupt, "no": "no\n", "just return": "\n", "y": "y\n", "ended": endOfInput, "too much": "yes, of course, do it\n"} {
		t.Run(name, func(t *testing.T) {
			s := r.at("disconnect", "--platform", "--revoke")
			s.t = t
			s.prompt(question, true)
			s.press(keys)
			s.ends(2, "the revocation was not confirmed; nothing was changed")
			if r.connected() != podToken || !r.alive(podToken) {
				t.Error("something was changed")
			}
		})
	}
	s := r.at("disconnect", "--platform", "--revoke")
	s.prompt(question, true)
	s.press("yes\n")
	s.ends(0, "disconnected: ")
	if r.alive(podToken) || r.connected() != "" {
		t.Error("it is still there")
	}
}
