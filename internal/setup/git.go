package setup

import (
	"context"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
)

// codeNotFound is the exit code of git config for a key that is not set (git-config(1)).
const codeNotFound = 1

// knows reports whether a key is set in git's configuration here, or, with the flag of a
// scope, in its file.
func knows(ctx context.Context, g gitconfig.Git, key string, scope ...string) (bool, error) {
	r, problem := g.Run(ctx, append(append([]string{"config"}, scope...), "--get", key)...)
	switch {
	case problem != nil:
		return false, problem
	case r.Code == 0 || r.Code == codeNotFound:
		return r.Code == 0, nil
	}
	return false, errGitFailed(r.Words)
}

// UnsetIdentity are the keys of an identity that are set in none of the scopes.
func UnsetIdentity(ctx context.Context, g *gitconfig.Git, scopes ...[]string) (unset []string, problem error) {
	for _, key := range IdentityKeys() {
		known := false
		for _, scope := range scopes {
			there, problem := knows(ctx, *g, key, scope...)
			if problem != nil {
				return nil, problem
			}
			known = known || there
		}
		if !known {
			unset = append(unset, key)
		}
	}
	return unset, nil
}

// Finds reports whether git finds the helper Program by name: next to git's own programs,
// or on the PATH.
func Finds(ctx context.Context, g gitconfig.Git, pathList string) bool {
	if gitconfig.Find(fileName, pathList) != "" {
		return true
	}
	r, problem := g.Run(ctx, "--exec-path")
	return problem == nil && r.Code == 0 && gitconfig.Find(fileName, strings.TrimSpace(r.Out)) != ""
}
