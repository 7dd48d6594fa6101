package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// The demo server's projects, by the role of its one user.
const (
	writable = "demo/team/project"
	readable = "demo/team/handbook"
	foreign  = "demo/others/plans"
)

// serve runs a fake GitLab until ctx ends, with everything in dir that is needed to try
// the helper by hand, and prints the commands, which change nothing outside dir.
func serve(ctx context.Context, out io.Writer, dir, program string) error {
	gitlab, err := gitlabtest.Start(gitlabtest.Options{Dir: filepath.Join(dir, "gitlab")})
	if err != nil {
		return err
	}
	defer gitlab.Close()
	if err := fill(gitlab, dir); err != nil {
		return err
	}
	if _, err := io.WriteString(out, instructions(gitlab, dir, program)); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// fill fills the fake GitLab, and the directory with a file for each token.
func fill(gitlab *gitlabtest.Server, dir string) error {
	gitlab.AddUser(gitlabtest.User{ID: 1, Username: "you", Name: "You", Email: "you@example.com"})
	for path, level := range map[string]map[int]int{writable: {1: 30}, readable: {1: 20}, foreign: nil} {
		if err := gitlab.AddProject(gitlabtest.Project{Path: path, Direct: level}); err != nil {
			return err
		}
	}
	for _, made := range []string{"tokens", "work"} {
		if err := os.Mkdir(filepath.Join(dir, made), 0o700); err != nil {
			return err
		}
	}
	scopes := access.DefaultScopes()
	in := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	for n, t := range []gitlabtest.Token{
		{Name: "good", Scopes: scopes, ExpiresAt: in(90)},
		{Name: "expiring", Scopes: scopes, ExpiresAt: in(5)},
		{Name: "expired", Scopes: scopes, ExpiresAt: in(-1)},
		{Name: "revoked", Scopes: scopes, ExpiresAt: in(90), Revoked: true},
		{Name: "read-only", Scopes: []string{"read_api", "read_user", "read_repository"}, ExpiresAt: in(90)},
	} {
		t.UserID, t.Value = 1, fmt.Sprintf("glpat-Canary%08d", n)
		gitlab.AddToken(t)
		if err := os.WriteFile(filepath.Join(dir, "tokens", t.Name), []byte(t.Value+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// example is commands for one shell, and their result: the exit code of the last one, and
// text that it prints.
type example struct {
	say      string
	commands []string
	code     int
	words    string
}

func trials(url, dir string) []example {
	project := url + "/" + writable + ".git"
	fetchWith := func(token string) []string {
		return []string{"ACP_GITLAB_TOKEN_FILE=" + quote(filepath.Join(dir, "tokens", token)) + " git -C project fetch"}
	}
	return []example{
		{"The first two commands: check everything, and configure git to use the helper.",
			[]string{"git-credential-acp check " + project, "git-credential-acp setup --identity"}, 0, "git now uses this helper for"},
		{"Clone and push.",
			[]string{"git clone " + project, "git -C project commit --allow-empty -m 'an example'", "git -C project push"}, 0, "main -> main"},
		{"You may read this project, and not push to it: the role is too low.",
			[]string{"git clone " + url + "/" + readable + ".git"}, 128, "insufficient permissions: you have Reporter (20)"},
		{"Where projects are only read, that role can be declared enough.",
			[]string{"ACP_GITLAB_MIN_ACCESS=reporter git clone " + url + "/" + readable + ".git"}, 0, "Cloning into"},
		{"You have no access to this project.",
			[]string{"git clone " + url + "/" + foreign + ".git"}, 128, "was not found or you don't have access to it"},
		{"An expired token, a revoked one, one without a scope, and one that expires soon.",
			fetchWith("expired"), 128, "authentication failed"},
		{"", fetchWith("revoked"), 128, "was revoked"},
		{"", fetchWith("read-only"), 128, "lacks the scopes api and write_repository"},
		{"", fetchWith("expiring"), 0, "warning"},
		{"What it does, step by step, and how long each takes.",
			[]string{"ACP_GITLAB_TRACE=1 git -C project fetch"}, 0, "trace"},
	}
}

// ends is the last line of the instructions.
const ends = "Ctrl-C here ends the server and removes all of it, your clones as well."

// instructions is the printed instructions.
func instructions(gitlab *gitlabtest.Server, dir, program string) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("A fake GitLab listens on %s. Its tokens are not valid anywhere else.", gitlab.URL())
	say("\nPaste this into another shell. It keeps git's own settings, and all that is")
	say("made from here on, within the directory of this demo.\n")
	in := func(name string) string { return quote(filepath.Join(dir, name)) }
	for _, line := range []string{
		`export PATH=` + quote(filepath.Dir(program)) + `:"$PATH"`,
		"export ACP_GITLAB_SOURCE=file",
		"export ACP_GITLAB_TOKEN_FILE=" + in("tokens/good"),
		"export ACP_GITLAB_INSTANCE_URL=" + gitlab.URL(),
		"export ACP_GITLAB_CACHE_DIR=" + in("verdicts"),
		"export GIT_SSL_CAINFO=" + quote(gitlab.CAFile()),
		"export GIT_CONFIG_GLOBAL=" + in("gitconfig"),
		"export GIT_CONFIG_NOSYSTEM=1",
		"export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1",
		"cd " + in("work"),
	} {
		say("    %s", line)
	}
	say("\nThen try:")
	for _, t := range trials(gitlab.URL(), dir) {
		if t.say != "" {
			say("\n%s", t.say)
		}
		say("")
		for _, command := range t.commands {
			say("    %s", command)
		}
		say("  → exit code %d, and the output contains: %s", t.code, t.words)
	}
	say("\n%s", ends)
	return b.String()
}

// plain are the characters that need no quoting in a shell.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+:@%"

// quote writes a word for a shell.
func quote(word string) string {
	if !slices.ContainsFunc([]rune(word), func(r rune) bool { return !strings.ContainsRune(plain, r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
