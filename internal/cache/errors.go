package cache

import (
	"errors"
	"path/filepath"
	"syscall"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// warnCacheUnusable is for a directory that can't hold the cache, because of err.
func warnCacheUnusable(path string, err error) error {
	hint := "set ACP_GITLAB_CACHE_DIR to a directory that this user can write to, for example one below an emptyDir volume, or to off"
	switch {
	case errors.Is(err, errRelative):
		hint = "set ACP_GITLAB_CACHE_DIR to an absolute path"
	case errors.Is(err, errLink):
		hint = "set ACP_GITLAB_CACHE_DIR to the directory itself, or remove the link"
	case errors.Is(err, errNotDirectory), errors.Is(err, syscall.ENOTDIR):
		hint = "set ACP_GITLAB_CACHE_DIR to a directory, or remove the file in its place"
	case errors.Is(err, errShared):
		hint = "set ACP_GITLAB_CACHE_DIR to a directory within it, for example " + message.Quote(filepath.Join(path, "git-credential-acp")) +
			", which is created; or, if it is yours, remove write permission for others (chmod go-w)"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = "free some space there, or set ACP_GITLAB_CACHE_DIR to a directory on another volume"
	}
	return &message.Error{Code: "cache-unusable", Topic: message.Warning, Hint: hint,
		What: "verdicts can't be cached in " + message.Quote(path) + ": " + file.Cause(err) + "; every git command asks GitLab"}
}
