package gitlabtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// gitProgram is the machine's git, run without its configuration and environment, and the
// repositories of a server.
type gitProgram struct {
	git, backend        string
	home, hooks         string
	repositories, model string
}

// repositoryConfig starts nothing in the background, which could outlive a test. Clients may
// ask for the same as on GitLab. The reflog names who pushed.
const repositoryConfig = `
[core]
	logAllRefUpdates = true
[http]
	receivepack = true
[uploadpack]
	allowFilter = true
	allowAnySHA1InWant = true
[gc]
	auto = 0
[receive]
	advertisePushOptions = true
	autogc = false
[maintenance]
	auto = false
`

// The hooks use variables that serveGit sets.
const (
	preReceive = `#!/bin/sh
set -f
while read -r old new ref; do
	for branch in $GITLABTEST_PROTECTED; do
		if [ "$ref" = "refs/heads/$branch" ]; then
			echo "GitLab: You are not allowed to push code to protected branches on this project." >&2
			exit 1
		fi
	done
done
`
	postReceive = `#!/bin/sh
cat >/dev/null
if [ -n "$GITLABTEST_NOTICE" ]; then
	printf '\n%s\n\n' "$GITLABTEST_NOTICE"
fi
`
)

func newGitProgram(root string) (gitProgram, error) {
	g := gitProgram{
		home: filepath.Join(root, "home"), hooks: filepath.Join(root, "hooks"),
		repositories: filepath.Join(root, "repositories"), model: filepath.Join(root, "model.git"),
	}
	var err error
	if g.git, err = exec.LookPath("git"); err != nil {
		return g, fmt.Errorf("gitlabtest: %w", err)
	}
	for _, dir := range []string{g.home, g.hooks, g.repositories} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return g, fmt.Errorf("gitlabtest: %w", err)
		}
	}
	out, err := g.run(context.Background(), nil, "--exec-path")
	if err != nil {
		return g, err
	}
	g.backend = filepath.Join(strings.TrimSpace(out), "git-http-backend")
	if _, err := os.Stat(g.backend); err != nil {
		return g, fmt.Errorf("gitlabtest: git's http-backend is not installed: %w", err)
	}
	for name, text := range map[string]string{"pre-receive": preReceive, "post-receive": postReceive} {
		if err := os.WriteFile(filepath.Join(g.hooks, name), []byte(text), 0o755); err != nil {
			return g, fmt.Errorf("gitlabtest: %w", err)
		}
	}
	if _, err := g.run(context.Background(), nil, "init", "--quiet", "--bare", "--initial-branch=main", "--template=", g.model); err != nil {
		return g, err
	}
	f, err := os.OpenFile(filepath.Join(g.model, "config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return g, fmt.Errorf("gitlabtest: %w", err)
	}
	_, err = f.WriteString(repositoryConfig)
	return g, errors.Join(err, f.Close())
}

// env is the complete environment of git. safe.directory is for containers that map users.
func (g gitProgram) env(more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.home, "XDG_CONFIG_HOME=" + g.home, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_CONFIG_KEY_1=core.hooksPath", "GIT_CONFIG_VALUE_1=" + g.hooks,
	}, more...)
}

func (g gitProgram) run(ctx context.Context, stdin []byte, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, g.git, args...)
	cmd.Dir, cmd.Env = g.home, g.env()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("gitlabtest: git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// name is the directory of a repository, by ID, so that a moved project keeps it.
func (g gitProgram) name(id int, wiki bool) string {
	if wiki {
		return strconv.Itoa(id) + ".wiki.git"
	}
	return strconv.Itoa(id) + ".git"
}

func (g gitProgram) dir(id int, wiki bool) string {
	return filepath.Join(g.repositories, g.name(id, wiki))
}

// create makes a project's repository and wiki, if missing.
func (g gitProgram) create(p Project) error {
	pages := []struct {
		wiki          bool
		file, content string
	}{
		{false, "README.md", "# " + path.Base(p.Path) + "\n"},
		{true, "home.md", "The wiki of " + path.Base(p.Path) + ".\n"},
	}
	for _, page := range pages {
		dir := g.dir(p.ID, page.wiki)
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		if err := os.CopyFS(dir, os.DirFS(g.model)); err != nil {
			return fmt.Errorf("gitlabtest: %w", err)
		}
		if p.Empty && !page.wiki {
			continue
		}
		// With a fixed date, the commit is always the same.
		const who = "GitLab <noreply@gitlab.invalid> 1735787045 +0000\n"
		stream := "commit refs/heads/main\nauthor " + who + "committer " + who + data("Initial commit\n") +
			"M 100644 inline " + page.file + "\n" + data(page.content) + "done\n"
		if _, err := g.run(context.Background(), []byte(stream), "--git-dir="+dir, "fast-import", "--quiet", "--done"); err != nil {
			return err
		}
	}
	return nil
}

// data is a string for git fast-import.
func data(s string) string { return fmt.Sprintf("data %d\n%s\n", len(s), s) }

// branch returns a branch's commit ID.
func (g gitProgram) branch(ctx context.Context, id int, name string) (commit string, ok bool) {
	out, err := g.run(ctx, nil, "--git-dir="+g.dir(id, false), "show-ref", "--verify", "--hash", "refs/heads/"+name)
	out = strings.TrimSpace(out)
	return out, err == nil && len(out) >= 40
}

// empty reports whether a repository has no branch, without starting git.
func (g gitProgram) empty(id int) bool {
	dir := g.dir(id, false)
	if packed, err := os.ReadFile(filepath.Join(dir, "packed-refs")); err == nil && bytes.Contains(packed, []byte(" refs/heads/")) {
		return false
	}
	empty := true
	_ = filepath.WalkDir(filepath.Join(dir, "refs", "heads"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			empty = false
			return fs.SkipAll
		}
		return nil
	})
	return empty
}
