package cache

import (
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// warnCacheUnusable is said of a directory that verdicts can't be remembered in.
func warnCacheUnusable(path, why, hint string) error {
	return &message.Error{Code: "cache-unusable", Topic: message.Warning,
		What: "verdicts can't be cached in " + message.Quote(path) + ": " + why + "; every git command asks GitLab", Hint: hint}
}
