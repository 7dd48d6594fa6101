package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	// A cached result counts no longer when the program has changed.
	_ "github.com/ambient-code/git-credential-acp/internal/cli"
)

// The demo server's commands work as printed and give the printed output. At its end, it has
// removed everything and changed nothing for the user.
func TestServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	bin, temp, home := filepath.Join(t.TempDir(), "somebody's bin"), t.TempDir(), t.TempDir()
	build := exec.CommandContext(ctx, "go", "build", "-o", bin+string(filepath.Separator), "../../cmd/git-credential-acp", ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server := exec.CommandContext(ctx, filepath.Join(bin, "demo"), "-server", filepath.Join(bin, "git-credential-acp"))
	server.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + temp}
	server.Stderr = os.Stderr
	printed, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	session, expected := read(t, bufio.NewScanner(printed))

	shell := exec.CommandContext(ctx, "sh")
	shell.Env, shell.Dir, shell.Stdin = server.Env, home, strings.NewReader(session)
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Errorf("the shell: %v", err)
	}
	said := strings.SplitAfter(string(out), "\n"+end)
	if len(said) != len(expected)+1 || len(expected) < 5 {
		t.Fatalf("%d trials for %d that are printed\n%s", len(said)-1, len(expected), out)
	}
	for n, want := range expected {
		code, _, _ := strings.Cut(said[n+1], "\n")
		if code != want.code || !strings.Contains(said[n], want.words) {
			t.Errorf("exit code %s and %q are promised, but the exit code is %s, with these words:\n%s", want.code, want.words, code, said[n])
		}
	}
	if strings.Contains(string(out), "Canary") {
		t.Errorf("a token was printed:\n%s", out)
	}

	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("interrupted, it ended with %v", err)
	}
	for _, dir := range []string{temp, home} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v was left (%v)", dir, left, err)
		}
	}
}

// end is printed after each example, and behind it the exit code.
const end = "== exit code "

type promise struct{ code, words string }

// read reads the instructions to its end, and gives all that is to be typed, and what
// should come of it.
func read(t *testing.T, lines *bufio.Scanner) (session string, promises []promise) {
	for lines.Scan() {
		line := lines.Text()
		if line == ends {
			return session, promises
		}
		if strings.Contains(line, "Canary") {
			t.Errorf("a token is shown: %s", line)
		}
		if typed, found := strings.CutPrefix(line, "    "); found {
			session += typed + "\n"
		}
		if promised, found := strings.CutPrefix(line, "  → exit code "); found {
			code, words, _ := strings.Cut(promised, ", and the output contains: ")
			promises = append(promises, promise{code, words})
			session += fmt.Sprintf("printf '\\n%s%%d\\n' $?\n", end)
		}
	}
	t.Fatalf("it ended early (%v), after:\n%s", lines.Err(), session)
	return "", nil
}
