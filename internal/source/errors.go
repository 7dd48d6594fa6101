package source

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errSecretType is for a Secret, named by where, of another type than Opaque.
func errSecretType(where, kind string) error {
	return &message.Error{Code: "secret-type", Topic: message.Configuration,
		What: where + " is of type " + message.Quote(kind) + "; a Secret with a GitLab token has type Opaque",
		Hint: "check that ACP_GITLAB_SECRET names the right Secret, or create one of type Opaque with the key token"}
}

// errTokenFileMissing is for a token file that does not exist, when no other source
// has a token; connect is as for NotConnected.
func errTokenFileMissing(path, connect string) error {
	if !filepath.IsAbs(path) {
		connect = "set ACP_GITLAB_TOKEN_FILE to an absolute path: git calls the helper in different directories, and ~ is not expanded"
	}
	return &message.Error{Code: "token-file-missing", Topic: message.Configuration,
		What: "GitLab is not connected: the token file " + message.Quote(path) + " (ACP_GITLAB_TOKEN_FILE) does not exist", Hint: connect}
}

// errNoTurn is for the runner's token file while it does not exist.
func errNoTurn(path string) error {
	return &message.Error{Code: "no-turn", Topic: message.Authentication,
		What: "no user's turn is running: the platform's runner writes the token to " + message.Quote(path) + " at each turn, and removes it afterwards",
		Hint: turnHint}
}

const turnHint = "run git during a turn; if one is running, its user has to connect GitLab under Settings → Integrations → GitLab"

// errTurnForeign is for the token file of the platform's runner, named by where, that
// another user has put there.
func errTurnForeign(where string) error {
	return &message.Error{Code: "turn-foreign", Topic: message.Configuration,
		What: where + " belongs to another user, so the runner did not write it",
		Hint: "run git as the user that the platform's runner runs as"}
}

// errTurnUnreadable is for what is in the place of the runner's token file and can't be
// read because of why.
func errTurnUnreadable(why error) error {
	m := *message.As(why)
	m.Hint = "the runner writes a regular file there; run git as the user that the runner runs as, or remove what is there and start a new turn"
	return &m
}

// errSecretNotDirectory is for an ACP_GITLAB_SECRET_DIR that is not a directory.
func errSecretNotDirectory(path string) error {
	return &message.Error{Code: "secret-not-directory", Topic: message.Configuration,
		What: message.Quote(path) + " is not a directory",
		Hint: "set ACP_GITLAB_SECRET_DIR to the directory where the Secret is mounted; for a single file, set ACP_GITLAB_TOKEN_FILE"}
}

// errTokenKeyMissing is for a Secret, named by where, without a token; renew says how
// to store one.
func errTokenKeyMissing(where, renew string) error {
	return &message.Error{Code: "token-key-missing", Topic: message.Configuration,
		What: where + " has neither a key token nor a key credentials.json",
		Hint: renew + ", or write the token to the Secret's key token"}
}

// TwoForms is for a Secret, named by where, that has the platform's form and a key of the
// bare one: the token's if bare, otherwise only the instance's.
func TwoForms(where string, bare bool) error {
	key := map[bool]string{true: KeyToken, false: KeyInstance}[bare]
	return &message.Error{Code: "two-forms", Topic: message.Configuration,
		What: where + " has both a key " + key + " and a key credentials.json",
		Hint: "remove one of the two keys from the Secret"}
}

// sourceUnknown is for an invalid ACP_GITLAB_SOURCE; known lists the valid ones.
func sourceUnknown(known []string) error {
	return message.SettingInvalid("ACP_GITLAB_SOURCE", fmt.Errorf("not one of %s", strings.Join(known, ", ")))
}

// NoTurn reports that no user's turn is running.
func NoTurn(err error) bool { return message.Is(err, "no-turn") }

// NoToken reports that a Secret exists without a token.
func NoToken(err error) bool { return message.Is(err, "token-key-missing") }
