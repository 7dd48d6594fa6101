package cli

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
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
	if !base.InCluster() && (where == a.config.BackendAPIURL.Name || a.sessionToken()) {
		return nil, errPlatformOutside(where)
	}
	settings := platform.Config{
		Base:              base,
		AllowHTTPLoopback: a.config.AllowHTTPLoopback,
		Limit:             limit,
		UserAgent:         a.userAgent(),
		OnExchange:        exchange(a.trace),
	}
	if settings.Token, settings.TokenFrom, problem = a.platformToken(base); problem != nil {
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

// sessionToken reports whether the token for the platform is the session's own.
func (a *app) sessionToken() bool {
	if a.config.PlatformToken() != "" {
		return false
	}
	own, err := os.Stat(config.SessionTokenFile)
	if err != nil {
		return false
	}
	used, err := os.Stat(a.config.PlatformTokenFile.Value)
	return err == nil && os.SameFile(own, used)
}

// platformToken is the token for the platform and the place that it is from. From
// here on it is taken out of every line that is printed.
func (a *app) platformToken(base platform.Base) (token.Bearer, string, error) {
	platform := platform.Endpoint{URL: base.URL(), Where: config.PlatformTokenVariable}
	text := a.config.PlatformToken()
	if text == "" {
		path := a.config.PlatformTokenFile.Value
		platform.Where = "the file " + message.Quote(path)
		data, err := file.Read(path, maxBotToken)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return token.Bearer{}, "", errPlatformTokenMissing(platform, []string{config.PlatformTokenVariable, platform.Where})
		case errors.Is(err, file.ErrTooLarge):
			return token.Bearer{}, "", message.FileTooLarge(message.Quote(path), maxBotToken>>10)
		case err != nil:
			return token.Bearer{}, "", message.FileUnreadable(message.Quote(path), file.Cause(err))
		}
		text = string(data)
	}
	bearer, err := token.ParseBearer(text)
	if err != nil {
		return bearer, "", errPlatformTokenInvalid(platform, err)
	}
	a.bearer = bearer
	return bearer, platform.Where, nil
}

// backend asks the platform for the GitLab credentials of this session's user.
// The message is for a user who has none there.
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
	project, problem := sessionName(a.config.Project, a.config.SessionNamespace)
	if problem != nil {
		return failed(problem)
	}
	session, problem := sessionName(a.config.Session)
	if problem != nil {
		return failed(problem)
	}
	found, problem := client.SessionCredentials(ctx, project, session)
	switch {
	case problem != nil:
		return failed(problem)
	case found.Token == nil:
		return answer, errPlatformNotConnected(client.Platform(), project.String()+"/"+session.String())
	}
	answer.Token, answer.InstanceURL = found.Token, found.InstanceURL
	return answer, nil
}

// sessionName is the name in the first of the variables that is set.
func sessionName(variables ...config.Setting) (platform.Name, error) {
	for _, variable := range variables {
		if variable.Value == "" {
			continue
		}
		parsed, err := platform.ParseName(variable.Value)
		if err != nil {
			return parsed, errSessionUnknown(variable.Name, err)
		}
		return parsed, nil
	}
	_, err := platform.ParseName("")
	return platform.Name{}, errSessionUnknown(variables[0].Name, err)
}
