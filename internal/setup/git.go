package setup

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Git runs git's own program.
type Git struct {
	// Program is its path, and Env all of its environment (see Environment).
	Program string
	Env     []string
	// Limit is how long one call may take; zero means ten seconds.
	Limit time.Duration
}

const usualLimit = 10 * time.Second

// Exit codes of git config (git-config(1)).
const (
	codeNotFound  = 1   // no such key
	codeUnset     = 5   // no such line to unset, or several
	codeUnwritten = 255 // the file can't be locked
)

// Find is the program of that name in the directories of a PATH; "" when there
// is none. Directories relative to the working directory are passed over:
// whatever lies there was not installed.
func Find(name, pathList string) string {
	for _, dir := range filepath.SplitList(pathList) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found
		}
	}
	return ""
}

// passed are the variables that git's program gets: where it and its files are,
// and nothing that may hold a token.
var passed = []string{
	"PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "SUDO_UID",
	"GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM",
	"GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
	"SYSTEMROOT", "PROGRAMDATA", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA",
}

// heeded are the keys of the environment's configuration that git's program
// needs to know: whether it may work in a repository, and who makes commits.
// Others may hold a token (http.extraHeader).
var heeded = []string{"safe.directory", "safe.barerepository", "user.name", "user.email"}

// Environment is what git's program gets of an environment and of the pairs of
// configuration that are in it.
func Environment(environ []string, pairs [][2]string) []string {
	env := []string{"LC_ALL=C"}
	for _, variable := range environ {
		if name, _, _ := strings.Cut(variable, "="); slices.Contains(passed, name) {
			env = append(env, variable)
		}
	}
	count := 0
	for _, pair := range pairs {
		if slices.Contains(heeded, strings.ToLower(pair[0])) {
			at := strconv.Itoa(count)
			env = append(env, "GIT_CONFIG_KEY_"+at+"="+pair[0], "GIT_CONFIG_VALUE_"+at+"="+pair[1])
			count++
		}
	}
	return append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(count))
}

// variable is the value of one that git's program gets.
func (g Git) variable(name string) string {
	for _, variable := range g.Env {
		if value, found := strings.CutPrefix(variable, name+"="); found {
			return value
		}
	}
	return ""
}

// result is how a call of git ended: with its output, or with a code that is not
// 0 and git's words for it.
type result struct {
	out, words string
	code       int
}

// run calls git. The problem is that it could not be run to its end.
func (g Git) run(ctx context.Context, args ...string) (result, *message.Message) {
	limit := g.Limit
	if limit == 0 {
		limit = usualLimit
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errLate)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.Program, args...) //nolint:gosec // git, with arguments made here: an instance's checked URL, and none that is a token
	cmd.Env = g.Env
	// What git leaves behind must not keep its pipes open.
	cmd.WaitDelay = time.Second
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return result{out: out.String()}, nil
	case errors.Is(context.Cause(ctx), errLate):
		return result{}, message.GitLate(limit)
	case ctx.Err() != nil:
		return result{}, message.GitInterrupted()
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return result{out: out.String(), words: firstLine(words.String()), code: exit.ExitCode()}, nil
	}
	return result{}, message.GitBroken(g.Program)
}

var errLate = errors.New("git takes too long")

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// Knows reports whether a key is set anywhere that git looks from here, or with
// the flag of a scope, in its file.
func (g Git) Knows(ctx context.Context, key string, scope ...string) (bool, *message.Message) {
	r, problem := g.run(ctx, append(append([]string{"config"}, scope...), "--get", key)...)
	switch {
	case problem != nil:
		return false, problem
	case r.code == 0 || r.code == codeNotFound:
		return r.code == 0, nil
	}
	return false, message.GitFailed(r.words)
}

// Finds reports whether git finds the helper Program by itself: beside git's own
// programs, or on the PATH.
func (g Git) Finds(ctx context.Context, pathList string) bool {
	if Find(fileName, pathList) != "" {
		return true
	}
	r, problem := g.run(ctx, "--exec-path")
	return problem == nil && r.code == 0 && Find(fileName, strings.TrimSpace(r.out)) != ""
}
