package setup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
)

// FileOf is the file of a scope by git's rules (git-config(1), FILES); "" for the
// repository's, which git finds itself, and for the user's without a home. git is nil
// when there is no git program.
func FileOf(ctx context.Context, scope Scope, git *gitconfig.Git, c config.Config) string {
	switch scope {
	case Local:
		return ""
	case System:
		return systemFile(ctx, git, c)
	}
	// git writes to the last of the user's files that exists, and to the last if none
	// does.
	files := userFiles(c)
	for _, file := range slices.Backward(files) {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			return file
		}
	}
	if len(files) == 0 {
		return ""
	}
	return files[len(files)-1]
}

// systemFile is /etc/gitconfig, or etc/gitconfig below where git is installed
// when that is not /usr (git's Makefile, sysconfdir).
func systemFile(ctx context.Context, git *gitconfig.Git, c config.Config) string {
	if named := c.GitSystem.Value; named != "" {
		return named
	}
	if git == nil {
		return "/etc/gitconfig"
	}
	own, err := git.Expand(ctx, "%(prefix)/etc/gitconfig")
	if _, missing := os.Stat(own); err == nil && !errors.Is(missing, fs.ErrNotExist) && own != "/usr/etc/gitconfig" {
		return own
	}
	return "/etc/gitconfig"
}

// userFiles are the user's files of configuration, in git's order. Without a
// home there are none: a relative path would lead into the repository.
func userFiles(c config.Config) []string {
	if global := c.GitGlobal; global.Set {
		return []string{global.Value}
	}
	var files []string
	home := c.Home.Value
	if dir := c.ConfigHome.Value; dir != "" {
		files = append(files, filepath.Join(dir, "git", "config"))
	} else if home != "" {
		files = append(files, filepath.Join(home, ".config", "git", "config"))
	}
	if home != "" {
		files = append(files, filepath.Join(home, ".gitconfig"))
	}
	return files
}
