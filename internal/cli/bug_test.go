package cli

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
)

// A panic is reported in two lines with its place, and never with its value.
func TestBug(t *testing.T) {
	const canary = "glpat-CanaryInAPanic0123"
	var array []string
	for name, panics := range map[string]func(string) (string, bool){
		"a text":          func(string) (string, bool) { panic("bad token " + canary) },
		"the runtime's":   func(name string) (string, bool) { return array[len(name)], true },
		"an error":        func(string) (string, bool) { panic(context.DeadlineExceeded) },
		"nothing special": func(string) (string, bool) { panic(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var out, said bytes.Buffer
			code := Run(t.Context(), Env{
				Stdin:  strings.NewReader("protocol=https\nhost=gitlab.example.com\n"),
				Stdout: &out, Stderr: &said, LookupEnv: panics, Build: Build{Version: "v1.2.3"},
			}, []string{"get"})
			want := regexp.MustCompile(`^git-credential-acp: internal error: this is a bug in git-credential-acp v1\.2\.3 \(in cli\.TestBug\.func\d+, bug_test\.go:\d+\)
git-credential-acp: hint: report this line at https://\S+; running the command again may help
$`)
			if code != exitRefused || out.Len() > 0 || !want.MatchString(said.String()) {
				t.Errorf("exit code %d, answered %q, said:\n%s", code, &out, &said)
			}
		})
	}
}

// Wrong arguments are shown without control characters.
func TestUsageIsPrintable(t *testing.T) {
	var said bytes.Buffer
	code := Run(t.Context(), Env{Stdout: &said, Stderr: &said, LookupEnv: func(string) (string, bool) { return "", false }}, []string{"get", "--\x1b[2Kname\nglpat-CanaryInAFlag0123"})
	if code != exitUsage || !strings.HasPrefix(said.String(), `git-credential-acp: unknown flag: --\x1b[2Kname\n[redacted]`+"\n") {
		t.Errorf("exit code %d, said %q", code, &said)
	}
}
