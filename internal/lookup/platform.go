package lookup

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/platform"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// backend asks the platform for the GitLab credentials of this session: those of its
// owner, or in a pod of the control plane the credential that is bound to it. The
// message is for a session without any.
func (l Lookup) backend(ctx context.Context) (source.Answer, error) {
	answer := source.Answer{Where: "the platform"}
	failed := func(why error) (source.Answer, error) {
		answer.Problem = why
		return answer, nil
	}
	ctx, stop, limit, problem := l.Limit.Start(ctx)
	if problem != nil {
		return failed(problem)
	}
	defer stop()
	ctx, ended, limit := shortenWait(ctx, l.Store, "platform "+cmp.Or(l.Config.BackendURL.Value, l.Config.BackendAPIURL.Value), limit)
	defer ended()
	client, problem := l.Platform.Open("", limit)
	if problem != nil {
		return failed(problem)
	}
	defer client.Close()
	answer.Where += " at " + client.Platform().URL
	found, none, problem := l.credentials(ctx, client)
	if problem != nil {
		return failed(problem)
	}
	answer.Token, answer.InstanceURL = found.Token, found.InstanceURL
	return answer, none
}

// credentials are those that CREDENTIAL_IDS names, else those of the session's owner. Like a
// session's token itself, the latter need no entry: a pod may have entries for other
// providers only, while its user has connected GitLab. none is for a session with neither.
func (l Lookup) credentials(ctx context.Context, client *platform.Client) (found platform.Credentials, none, problem error) {
	ids := strings.TrimSpace(l.Config.CredentialIDs.Value)
	if ids == "" {
		return sessionCredentials(ctx, l.Config, client)
	}
	id, bound, err := platform.CredentialOf(ids)
	switch {
	case err != nil:
		return found, nil, message.SettingInvalid(l.Config.CredentialIDs.Name, err)
	case bound:
		found, problem = l.boundCredential(ctx, client, id)
		return found, nil, problem
	}
	found, none, problem = sessionCredentials(ctx, l.Config, client)
	if message.Is(problem, "session-unknown") || message.Is(problem, "session-not-found") || message.Is(problem, "platform-absent") {
		// The control plane alone has no credentials of sessions.
		return found, errCredentialUnbound(), nil
	}
	return found, none, problem
}

// OnPlatform reports whether the environment names the platform's address.
func OnPlatform(c config.Config) bool { return c.BackendURL.Value != "" || c.BackendAPIURL.Value != "" }

// Connected reports whether the platform has a connection for this session; none is for
// a session without any. Both are zero when there is no platform to ask, or it did not
// answer soon: this only adds to what is known without it.
func (l Lookup) Connected(ctx context.Context) (connected bool, none error) {
	if !OnPlatform(l.Config) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, otherTimeout)
	defer cancel()
	answer, none := l.backend(ctx)
	return none == nil && answer.Problem == nil, none
}

// sessionCredentials are those of the session's owner; none is for an owner who has not
// connected GitLab.
func sessionCredentials(ctx context.Context, c config.Config, client *platform.Client) (found platform.Credentials, none, problem error) {
	project, problem := projectName(c, platform.ParseName)
	if problem != nil {
		return found, nil, problem
	}
	session, problem := sessionName(c)
	if problem != nil {
		return found, nil, problem
	}
	found, problem = client.SessionCredentials(ctx, project, session)
	found.InstanceURL = cmp.Or(found.InstanceURL, source.DefaultInstanceURL)
	if problem == nil && found.Token == nil {
		none = errPlatformNotConnected(client.Platform(), project.String()+"/"+session.String())
	}
	return found, none, problem
}

// boundCredential is the credential of that id. Its instance URL is "" if it has none.
func (l Lookup) boundCredential(ctx context.Context, client *platform.Client, id platform.Name) (found platform.Credentials, problem error) {
	var project platform.Name
	if l.Config.Project.Value != "" {
		if project, problem = projectName(l.Config, platform.ParseID); problem != nil {
			return found, problem
		}
	}
	if found, problem = client.Credential(ctx, project, id); problem != nil {
		return found, problem
	}
	tok, err := token.Parse(found.Token())
	if err != nil {
		return found, nil // source says what is wrong with it
	}
	found.InstanceURL, problem = l.remembered(ctx, tok, "credential", func() (string, error) {
		return client.CredentialURL(ctx, project, id)
	})
	return found, problem
}

// projectName is the session's, from the first of its variables that is set.
func projectName(c config.Config, parse func(string) (platform.Name, error)) (platform.Name, error) {
	variables := []config.Setting{c.Project, c.SessionNamespace, c.Namespace}
	variable := variables[max(0, slices.IndexFunc(variables, func(s config.Setting) bool { return s.Value != "" }))]
	name, err := parse(variable.Value)
	if err != nil {
		return name, errSessionUnknown(variable.Name, err)
	}
	return name, nil
}

// sessionName names the session for the platform. In a pod of the control plane,
// AGENTIC_SESSION_NAME is a display name, whatever it looks like, and only the id counts.
func sessionName(c config.Config) (platform.Name, error) {
	if id := c.SessionID.Value; platform.IsKSUID(id) {
		return platform.ParseID(id)
	}
	first := c.Session
	var wrong error
	for _, variable := range []config.Setting{c.Session, c.HydratedSession, c.SessionID} {
		if variable.Value == "" {
			continue
		}
		name, err := platform.ParseName(variable.Value)
		if err == nil {
			return name, nil
		}
		if wrong == nil {
			first, wrong = variable, err
		}
	}
	if wrong == nil {
		_, wrong = platform.ParseName("")
	}
	return platform.Name{}, errSessionUnknown(first.Name, wrong)
}
