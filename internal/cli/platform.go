package cli

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/platform"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// maxBotToken bounds that file in bytes.
const maxBotToken = 64 << 10

// platform makes a client for the platform at address, which is a flag's value;
// "" means the one of the environment. The limit is for a message.
func (a *app) platform(address string, limit time.Duration) (*platform.Client, error) {
	base, where, problem := a.platformBase(address)
	if problem != nil {
		return nil, problem
	}
	// Whoever starts a session may set its environment, BACKEND_API_URL included.
	if !base.InCluster() && where == a.config.BackendAPIURL.Name {
		return nil, errPlatformOutside(where)
	}
	settings := platform.Config{
		Base:              base,
		AllowHTTPLoopback: a.config.AllowHTTPLoopback,
		Limit:             limit,
		UserAgent:         a.userAgent(),
		OnExchange:        exchange(a.trace),
	}
	if settings.Token, settings.TokenFrom, problem = a.platformToken(base, where); problem != nil {
		return nil, problem
	}
	if strings.HasPrefix(base.URL(), "https:") {
		proxy, by, problem := a.reach().PlainProxy(base.URL())
		if problem != nil {
			return nil, problem
		}
		if proxy != nil {
			settings.Proxy, settings.ProxyBy = http.ProxyURL(proxy), by
		}
	}
	authorities, problem := a.reach().Roots(transport.Trust{})
	if problem != nil {
		return nil, problem
	}
	settings.Roots = authorities.Pool
	return platform.New(settings), nil
}

// platformBase is the address of the platform, and what named it.
func (a *app) platformBase(address string) (platform.Base, string, error) {
	const flag = "--backend"
	for _, place := range []config.Setting{{Name: flag, Value: address}, a.config.BackendURL, a.config.BackendAPIURL} {
		if place.Value == "" {
			continue
		}
		base, err := platform.ParseBase(place.Value, a.config.AllowHTTPLoopback)
		if err != nil {
			return base, "", errPlatformInvalid(place.Name, err)
		}
		return base, place.Name, nil
	}
	return platform.Base{}, "", errPlatformUnset([]string{a.config.BackendURL.Name, a.config.BackendAPIURL.Name})
}

// isSessionTokenFile reports whether a file is the one with the session's own token.
func isSessionTokenFile(path string) bool {
	own, err := os.Stat(config.SessionTokenFile)
	if err != nil {
		return false
	}
	used, err := os.Stat(path)
	return err == nil && os.SameFile(own, used)
}

// platformToken is the token for the platform and the place that it is from. From here
// on it is taken out of every line that is printed. The file comes before BOT_TOKEN,
// which is not renewed. by is what names the address.
func (a *app) platformToken(base platform.Base, by string) (token.Bearer, string, error) {
	at := platform.Endpoint{URL: base.URL(), Where: config.PlatformTokenVariable}
	text, own := a.config.PlatformToken(), false
	if text == "" {
		path := a.config.PlatformTokenFile.Value
		at.Where = "the file " + message.Quote(path)
		data, err := file.Read(path, maxBotToken)
		text, own = string(data), isSessionTokenFile(path)
		switch bot := a.config.BotToken(); {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist) && bot != "":
			text, own, at.Where = bot, true, config.BotTokenVariable
		case errors.Is(err, fs.ErrNotExist):
			return token.Bearer{}, "", errPlatformTokenMissing(at, []string{config.PlatformTokenVariable, at.Where})
		case errors.Is(err, file.ErrTooLarge):
			return token.Bearer{}, "", message.FileTooLarge(message.Quote(path), maxBotToken>>10)
		default:
			return token.Bearer{}, "", message.FileUnreadable(message.Quote(path), file.Cause(err))
		}
	}
	if own && !base.InCluster() {
		return token.Bearer{}, "", errPlatformOutside(by)
	}
	bearer, err := token.ParseBearer(text)
	if err != nil {
		return bearer, "", errPlatformTokenInvalid(at, err)
	}
	a.bearer = bearer
	return bearer, at.Where, nil
}

// backend asks the platform for the GitLab credentials of this session: those of its
// owner, or in a pod of the control plane the credential that is bound to it. The
// message is for a session without any.
func (a *app) backend(ctx context.Context) (source.Answer, error) {
	answer := source.Answer{Where: "the platform"}
	failed := func(why error) (source.Answer, error) {
		answer.Problem = why
		return answer, nil
	}
	ctx, stop, limit, problem := a.limit().Start(ctx)
	if problem != nil {
		return failed(problem)
	}
	defer stop()
	client, problem := a.platform("", limit)
	if problem != nil {
		return failed(problem)
	}
	defer client.Close()
	answer.Where += " at " + client.Platform().URL
	ask := a.sessionCredentials
	if a.config.CredentialIDs.Value != "" {
		ask = a.boundCredential
	}
	found, none, problem := ask(ctx, client)
	if problem != nil {
		return failed(problem)
	}
	answer.Token, answer.InstanceURL = found.Token, found.InstanceURL
	return answer, none
}

// sessionCredentials are those of the session's owner; none is for an owner who has not
// connected GitLab.
func (a *app) sessionCredentials(ctx context.Context, client *platform.Client) (found platform.Credentials, none, problem error) {
	project, problem := a.project(platform.ParseName)
	if problem != nil {
		return found, nil, problem
	}
	session, problem := a.session()
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

// boundCredential is the one that CREDENTIAL_IDS names; none is for a session without.
// Its instance URL is "" if it has none.
func (a *app) boundCredential(ctx context.Context, client *platform.Client) (found platform.Credentials, none, problem error) {
	id, bound, err := platform.CredentialOf(a.config.CredentialIDs.Value)
	switch {
	case err != nil:
		return found, nil, message.SettingInvalid(a.config.CredentialIDs.Name, err)
	case !bound:
		return found, errCredentialUnbound(), nil
	}
	var project platform.Name
	if a.config.Project.Value != "" {
		if project, problem = a.project(platform.ParseID); problem != nil {
			return found, nil, problem
		}
	}
	if found, problem = client.Credential(ctx, project, id); problem != nil {
		return found, nil, problem
	}
	tok, err := token.Parse(found.Token())
	if err != nil {
		return found, nil, nil // source says what is wrong with it
	}
	found.InstanceURL, problem = a.remembered(tok, a.config.InstanceURL.Value != "", func() (string, error) {
		return client.CredentialURL(ctx, project, id)
	})
	return found, nil, problem
}

// project is the session's, from the first of its variables that is set.
func (a *app) project(parse func(string) (platform.Name, error)) (platform.Name, error) {
	variables := []config.Setting{a.config.Project, a.config.SessionNamespace, a.config.Namespace}
	variable := variables[max(0, slices.IndexFunc(variables, func(s config.Setting) bool { return s.Value != "" }))]
	name, err := parse(variable.Value)
	if err != nil {
		return name, errSessionUnknown(variable.Name, err)
	}
	return name, nil
}

// session names the session for the platform. In a pod of the control plane,
// AGENTIC_SESSION_NAME is a display name, whatever it looks like, and only the id counts.
func (a *app) session() (platform.Name, error) {
	if id := a.config.SessionID.Value; platform.IsKSUID(id) {
		return platform.ParseID(id)
	}
	first := a.config.Session
	var wrong error
	for _, variable := range []config.Setting{a.config.Session, a.config.HydratedSession, a.config.SessionID} {
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
