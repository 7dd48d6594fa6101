// Package gitconfig reads git's configuration with git itself: the repository's
// remotes, the settings that apply to a URL, the credential helpers that git asks.
//
// A repository's configuration is untrusted (see Scope.Trusted): it must not decide whom
// to trust, or where to send a token.
package gitconfig

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/process"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Git runs git.
type Git struct {
	// Program is its path; "" if there is none.
	Program string
	// Dir is its working directory, "" for that of this process, and Env its complete
	// environment (see Environment).
	Dir string
	Env []string
	// Limit is the time limit of one call; zero means ten seconds.
	Limit time.Duration
}

const (
	defaultLimit = 10 * time.Second
	// maxOutput is the limit of git's output in bytes.
	maxOutput = 16 << 20
)

// Find is the program of that name in the directories of a PATH; "" if there is none.
// Relative directories are ignored, since they may be in a repository.
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

// Locate is git's program in the directories of a PATH, to be run in dir with env. A
// directory of the PATH within the work tree that dir is in is skipped, since
// the repository must not choose the program.
func Locate(dir, pathList string, env []string) Git {
	dirs := filepath.SplitList(pathList)
	if top := workTree(real(dir)); top != "" {
		dirs = slices.DeleteFunc(dirs, func(dir string) bool {
			inner, err := filepath.Rel(top, real(dir))
			return err == nil && filepath.IsLocal(inner)
		})
	}
	return Git{Program: Find("git", strings.Join(dirs, string(filepath.ListSeparator))), Dir: dir, Env: env}
}

// workTree is the top of the work tree that a directory is in; "" for none, and for
// one that is the whole file system.
func workTree(dir string) string {
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
	}
	return ""
}

// real is a path without links, or as it is when that can't be told.
func real(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}

// Result is the result of a call of git: its output, or a non-zero exit code and the first
// line of its error output.
type Result struct {
	Out, Words string
	Code       int
}

// Run calls git. The error is for a git that could not be started or was killed.
func (g Git) Run(ctx context.Context, args ...string) (Result, error) {
	limit := g.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errLate)
	defer cancel()
	cmd := process.Command(ctx, g.Program, args...)
	cmd.Dir, cmd.Env = g.Dir, g.Env
	var out, words bounded
	cmd.Stdout, cmd.Stderr = &out, &words
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return Result{Out: string(out.text)}, nil
	case errors.Is(context.Cause(ctx), errLate):
		return Result{}, errGitLate(limit)
	case ctx.Err() != nil:
		return Result{}, errGitInterrupted()
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		line, _, _ := strings.Cut(strings.TrimSpace(string(words.text)), "\n")
		return Result{Out: string(out.text), Words: line, Code: exit.ExitCode()}, nil
	}
	return Result{}, errGitBroken(g.Program, file.Cause(err))
}

var (
	errLate     = errors.New("git took too long")
	errTooLarge = errors.New("git's output is too long")
)

// bounded is a buffer that takes at most maxOutput bytes.
type bounded struct{ text []byte }

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > maxOutput {
		return 0, errTooLarge
	}
	b.text = append(b.text, p...)
	return len(p), nil
}

// readLimit bounds how long git may take to read its configuration, once in the
// working directory and once outside of it.
const readLimit = 3 * time.Second

// ListFlags make `git config` print what Parse reads.
var ListFlags = []string{"--list", "--show-scope", "--show-origin", "-z"}

// Read reads git's configuration in the working directory; command is that of the environment
// (see FromEnvironment), which git does not get. If git can't read the repository's, that is
// left out; without git, only command remains.
func (g Git) Read(ctx context.Context, command []Entry) Config {
	if g.Program == "" {
		return Config{Entries: command, Problem: ErrNoGit}
	}
	g.Limit = readLimit
	var problem error
	for _, git := range []Git{g, g.outside()} {
		result, failed := git.Run(ctx, append([]string{"config"}, ListFlags...)...)
		switch {
		case failed != nil:
			problem = errors.New(message.As(failed).What)
		case result.Code != 0:
			problem = errors.New("git can't read it: " + message.Quote(token.Mask(withoutUser(result.Words))))
		default:
			return Config{Entries: append(Parse(result.Out, git.Dir), command...), Problem: problem}
		}
	}
	return Config{Entries: command, Problem: problem}
}

// outside is git outside of any repository.
func (g Git) outside() Git {
	env := []string{"GIT_DIR=" + os.DevNull}
	for _, variable := range g.Env {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE":
		default:
			env = append(env, variable)
		}
	}
	g.Dir, g.Env = string(filepath.Separator), env
	return g
}

// Parse reads what `git config` prints with ListFlags in a directory.
func Parse(out, dir string) []Entry {
	var entries []Entry
	items := strings.Split(out, "\x00")
	for ; len(items) >= 3; items = items[3:] {
		scope, origin, item := scopes[items[0]], items[1], items[2]
		path, isFile := strings.CutPrefix(origin, "file:")
		if !isFile {
			continue // the environment, which FromEnvironment reads
		}
		name, value, assigned := strings.Cut(item, "\n")
		if e, ok := newEntry(scope, absolute(path, dir), name, value, !assigned); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// absolute is the path of a repository's file, which git prints relative to the
// top of its work tree, at dir or above it.
func absolute(path, dir string) string {
	if filepath.IsAbs(path) {
		return path
	}
	for at := dir; at != ""; at = filepath.Dir(at) {
		if full := filepath.Join(at, path); exists(full) {
			return full
		}
		if filepath.Dir(at) == at {
			break
		}
	}
	return path
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Expand is a path in a setting as git reads it: ~/ is the home directory, ~name/
// another user's, %(prefix)/ where git is installed.
func (g Git) Expand(ctx context.Context, path string) (string, error) {
	switch {
	case !strings.HasPrefix(path, "~") && !strings.HasPrefix(path, "%(prefix)/"):
		return path, nil
	case g.Program == "":
		return "", ErrNoGit
	}
	g = g.outside()
	g.Limit = readLimit
	result, problem := g.Run(ctx, "config", "--file", os.DevNull, "--type=path", "--default", path, "--get", "acp.path")
	if problem != nil || result.Code != 0 {
		return "", ErrNoHome
	}
	return strings.TrimSuffix(result.Out, "\n"), nil
}
