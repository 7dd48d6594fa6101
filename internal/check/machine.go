package check

import (
	"context"
	"io"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/process"
)

// Machine is where the check runs.
type Machine struct {
	// Path is the variable that says where programs are, Home the user's directory, and
	// Environ all of the environment.
	Path    config.Setting
	Home    string
	Environ func() []string
	// MinAccess is the level for the helper that git runs; nil for its own.
	MinAccess *string
}

// maxOutput bounds what is taken of a program's output, in bytes.
const maxOutput = 4 << 10

// firstLine runs a program and gives the first line that it prints. The program gets
// nothing of the environment but where programs are. The error is exec.ErrNotFound when
// there is no such program.
func (m Machine) firstLine(ctx context.Context, program string, args ...string) (string, error) {
	cmd := process.Command(ctx, program, args...)
	cmd.Env = []string{m.Path.Name + "=" + m.Path.Value}
	out := &beginning{}
	cmd.Stdout = out
	err := cmd.Run()
	line, _, _ := strings.Cut(string(out.text), "\n")
	return line, err
}

// noPrompts are variables that make git not prompt, and print English.
var noPrompts = []string{"LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GCM_INTERACTIVE=never", "ACP_GITLAB_TRACE="}

// git runs git as the user would here, but without prompts and without the variables that
// redact changes, and returns its standard error. The exit code is -1 if it could not be
// started or was killed. git's traces are discarded.
func (m Machine) git(ctx context.Context, redact func(string) string, args ...string) (said string, code int) {
	cmd := process.Command(ctx, "git", args...)
	for _, variable := range m.Environ() {
		switch {
		case strings.HasPrefix(variable, "GIT_TRACE"), strings.HasPrefix(variable, "GIT_CURL_VERBOSE"):
		case redact(variable) == variable:
			cmd.Env = append(cmd.Env, variable)
		case strings.HasPrefix(variable, "GIT_CONFIG_"):
			return "", -1 // without it, git would have another configuration
		}
	}
	cmd.Env = append(cmd.Env, noPrompts...)
	if m.MinAccess != nil {
		cmd.Env = append(cmd.Env, "ACP_GITLAB_MIN_ACCESS="+*m.MinAccess) // for the helper that git runs
	}
	var words ending
	cmd.Stderr = &words
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return "", -1
	}
	return string(words.text), cmd.ProcessState.ExitCode()
}

// ending keeps the last maxOutput bytes.
type ending struct{ text []byte }

func (e *ending) Write(p []byte) (int, error) {
	e.text = append(e.text, p...)
	e.text = e.text[max(0, len(e.text)-maxOutput):]
	return len(p), nil
}

// maxNetrc bounds the file of logins, in bytes.
const maxNetrc = 1 << 20

// netrc is the path and content of the file of logins that git's libcurl reads
// (lib/netrc.c), "" where there is none.
func (m Machine) netrc() (path, content string) {
	home := m.Home
	for _, name := range []string{".netrc", "_netrc"} {
		path = filepath.Join(home, name)
		if text, err := file.Read(path, maxNetrc); home != "" && err == nil {
			return path, string(text)
		}
		if runtime.GOOS != "windows" {
			break
		}
	}
	return "", ""
}

// beginning keeps the first maxOutput bytes, and takes no more.
type beginning struct{ text []byte }

func (b *beginning) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput-len(b.text))
	b.text = append(b.text, p[:n]...)
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// mounts is the table of mounts, on Linux.
func mounts() string {
	data, err := file.Read("/proc/self/mountinfo", 4<<20)
	if err != nil {
		return ""
	}
	return string(data)
}
