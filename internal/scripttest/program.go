package scripttest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/process"
)

// RunnerDir is the variable that names the directory of the platform's runner in scripts.
const RunnerDir = "ACP_TEST_RUNNER"

// The environment of a script tells the program where to copy its output, and
// which built program to run in its place.
const (
	recordVariable  = "ACP_TEST_RECORD"
	programVariable = "ACP_TEST_PROGRAM"
	recordDir       = "record"
)

// recorded runs the program and copies its output, except that of get, to the record
// directory, to be searched for tokens.
func recorded(run func(stdout, stderr io.Writer) int) int {
	stderr := process.Harden()
	dir := os.Getenv(recordVariable)
	if dir == "" {
		return run(os.Stdout, stderr)
	}
	var stdout io.Writer = os.Stdout
	if !slices.Contains(os.Args, "get") {
		file, err := os.CreateTemp(dir, "stdout")
		if err != nil {
			panic(err)
		}
		stdout = copied{os.Stdout, file}
	}
	file, err := os.CreateTemp(dir, "stderr")
	if err != nil {
		panic(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.MultiWriter(stderr, file), reader)
	}()
	var code int
	if built := os.Getenv(programVariable); built != "" {
		code = runBuilt(built, stdout, writer)
	} else {
		code = run(stdout, writer)
	}
	_ = writer.Close()
	<-done
	return code
}

// runBuilt runs a built program with the same arguments and returns its exit code.
func runBuilt(built string, stdout io.Writer, stderr *os.File) int {
	// The program must not see the test's variables.
	for _, name := range []string{programVariable, recordVariable, "GORACE"} {
		_ = os.Unsetenv(name)
	}
	cmd := exec.Command(built, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
	code, err := exitCode(cmd.Run())
	if err != nil {
		panic(err)
	}
	return code
}

// exitCode is the exit code of a command; err is for one that did not run.
func exitCode(ended error) (code int, err error) {
	var exit *exec.ExitError
	if errors.As(ended, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, ended
}

// copied is a file whose output is copied to another.
type copied struct{ file, copy *os.File }

func (c copied) Write(p []byte) (int, error) {
	if _, err := c.copy.Write(p); err != nil {
		panic(err)
	}
	return c.file.Write(p)
}

// Fd lets the program find out whether it writes to a terminal.
func (c copied) Fd() uintptr { return c.file.Fd() }

// askLimit is when a program that hangs is killed.
const askLimit = time.Minute

// ask is the program that scripts call as ask. It returns 98 for a wrong exit
// code, 99 for a program that can't be run.
func ask(name string, args []string) int {
	op, want := "get", 0
	program := []string{name}
	var flags []string
	var forward os.Signal
	var in strings.Builder
	given := map[string]bool{}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "op":
			op = value
		case "exit":
			want, _ = strconv.Atoi(value)
		case "flag":
			flags = append(flags, value)
		case "via":
			program, op = []string{"git", "credential"}, "fill"
		case "signal":
			forward = map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt, "KILL": os.Kill}[value]
		case "raw":
			given["protocol"], given["host"] = true, true
			in.WriteString(unquote(value))
		default:
			given[key] = true
			fmt.Fprintf(&in, "%s=%s\n", key, unquote(value))
		}
	}
	if !given["host"] {
		fmt.Fprintf(&in, "host=%s\n", os.Getenv("GITLAB_HOST"))
	}
	if !given["protocol"] {
		fmt.Fprintln(&in, "protocol=https")
	}
	cmd := exec.Command(program[0], slices.Concat(program[1:], flags, []string{op})...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in.String()), os.Stdout, os.Stderr
	code, err := exitCode(runForwarding(cmd, forward))
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "ask:", err)
		return 99
	case code != want:
		fmt.Fprintf(os.Stderr, "ask: exit code %d, want %d\n", code, want)
		return 98
	}
	return 0
}

// runForwarding runs a command for askLimit at most. With a signal, it sends that
// to the command after an interrupt.
func runForwarding(cmd *exec.Cmd, forward os.Signal) error {
	interrupted := make(chan os.Signal, 1)
	if forward != nil {
		signal.Notify(interrupted, os.Interrupt)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		<-interrupted
		_ = cmd.Process.Signal(forward)
	}()
	late := time.AfterFunc(askLimit, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	return cmd.Wait()
}

// unquote decodes Go's escapes; a text with an invalid one is returned as is.
func unquote(text string) string {
	if out, err := strconv.Unquote(`"` + text + `"`); err == nil {
		return out
	}
	return text
}
