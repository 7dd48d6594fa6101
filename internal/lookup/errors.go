package lookup

import (
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/platform"
)

// errSessionUnknown is for an unknown session, because of the variable that should name
// it.
func errSessionUnknown(variable string, why error) error {
	return &message.Error{Code: "session-unknown", Topic: message.Configuration,
		What: "the session is unknown: " + variable + " " + why.Error(),
		Hint: "set PROJECT_NAME and AGENTIC_SESSION_NAME, as in a session pod"}
}

// errPlatformNotConnected is for a session whose user has not connected GitLab on
// the platform.
func errPlatformNotConnected(p platform.Endpoint, session string) error {
	return &message.Error{Code: "platform-not-connected", Topic: message.Configuration,
		What: "GitLab is not connected: " + p.Name() + " has no GitLab token for the user of the session " + message.Quote(session),
		Hint: "connect GitLab under Settings → Integrations → GitLab"}
}

// errClusterSecretUnset is for ACP_GITLAB_SOURCE=api without ACP_GITLAB_SECRET.
func errClusterSecretUnset() error {
	return &message.Error{Code: "cluster-secret-unset", Topic: message.Configuration,
		What: "ACP_GITLAB_SOURCE is api, but ACP_GITLAB_SECRET is not set",
		Hint: "set ACP_GITLAB_SECRET to the namespace/name of the Secret"}
}

// errTokenFileUnset is for ACP_GITLAB_SOURCE=file without ACP_GITLAB_TOKEN_FILE.
func errTokenFileUnset() error {
	return &message.Error{Code: "token-file-unset", Topic: message.Configuration,
		What: "ACP_GITLAB_SOURCE is file, but ACP_GITLAB_TOKEN_FILE is not set",
		Hint: "set ACP_GITLAB_TOKEN_FILE to the path of the file with the token"}
}

// errCredentialUnbound is for a session of the control plane without a GitLab credential.
func errCredentialUnbound() error {
	return &message.Error{Code: "credential-unbound", Topic: message.Configuration,
		What: "GitLab is not connected: CREDENTIAL_IDS names no credential for the provider gitlab",
		Hint: "bind a GitLab credential to the session's agent or project, then start a new session"}
}

// errTurnInstance is for a runner's token whose instance is unknown because of why.
func errTurnInstance(why error) error {
	return &message.Error{Code: "turn-instance", Topic: message.NotVerified,
		What: "the instance of this turn's token is unknown: " + message.As(why).What,
		Hint: "set ACP_GITLAB_INSTANCE_URL to the URL of your GitLab, or try again when the platform answers"}
}
