package cache

import (
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// warnCacheUnusable is for a directory that can't hold the cache.
func warnCacheUnusable(path, why, hint string) error {
	return &message.Error{Code: "cache-unusable", Topic: message.Warning,
		What: "verdicts can't be cached in " + message.Quote(path) + ": " + why + "; every git command asks GitLab", Hint: hint}
}
