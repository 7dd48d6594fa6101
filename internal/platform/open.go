package platform

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/config"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitnet"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

// maxBotToken bounds that file in bytes.
const maxBotToken = 64 << 10

// Environment is what the environment says of the platform, and how to reach it.
type Environment struct {
	Config config.Config
	// Net has the same variables for proxies and authorities as for GitLab; git's own
	// configuration is about git's servers, and does not count.
	Net gitnet.Settings
	// UserAgent is as in Config, and OnExchange as in transport.Network.
	UserAgent  string
	OnExchange func(req *http.Request, status int, began time.Time)
	// Hide is called with the token for the platform, to redact it in output.
	Hide func(token.Bearer)
}

// Open makes a client for the platform at address, which is the value of the flag
// --backend; "" means the one of the environment. The limit is for a message.
func (e Environment) Open(address string, limit time.Duration) (*Client, error) {
	base, where, problem := e.base(address)
	if problem != nil {
		return nil, problem
	}
	// Whoever starts a session may set its environment, BACKEND_API_URL included.
	if !base.InCluster() && where == e.Config.BackendAPIURL.Name {
		return nil, errOutside(where)
	}
	settings := Config{
		Base:              base,
		AllowHTTPLoopback: e.Config.AllowHTTPLoopback,
		Limit:             limit,
		UserAgent:         e.UserAgent,
		Network:           transport.Network{OnExchange: e.OnExchange},
	}
	if settings.Token, settings.TokenFrom, problem = e.token(base, where); problem != nil {
		return nil, problem
	}
	if strings.HasPrefix(base.URL(), "https:") {
		proxy, by, problem := e.Net.PlainProxy(base.URL())
		if problem != nil {
			return nil, problem
		}
		if proxy != nil {
			settings.Network.Proxy, settings.Network.ProxyBy = http.ProxyURL(proxy), by
		}
	}
	authorities, problem := e.Net.Roots(transport.Trust{})
	if problem != nil {
		return nil, problem
	}
	settings.Network.Roots = authorities.Pool
	return New(settings), nil
}

// base is the address of the platform, and what named it.
func (e Environment) base(address string) (Base, string, error) {
	const flag = "--backend"
	for _, place := range []config.Setting{{Name: flag, Value: address}, e.Config.BackendURL, e.Config.BackendAPIURL} {
		if place.Value == "" {
			continue
		}
		base, err := ParseBase(place.Value, e.Config.AllowHTTPLoopback)
		if err != nil {
			return base, "", errAddress(place.Name, err)
		}
		return base, place.Name, nil
	}
	return Base{}, "", errUnset([]string{e.Config.BackendURL.Name, e.Config.BackendAPIURL.Name})
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

// token is the token for the platform, after passing it to Hide, and its source. The file
// comes before BOT_TOKEN, which is not renewed. by is the setting that names the address.
func (e Environment) token(base Base, by string) (token.Bearer, string, error) {
	at := Endpoint{URL: base.URL(), Where: config.PlatformTokenVariable}
	text, own := e.Config.PlatformToken(), false
	if text == "" {
		path := e.Config.PlatformTokenFile.Value
		at.Where = "the file " + message.Quote(path)
		data, err := file.Read(path, maxBotToken)
		text, own = string(data), isSessionTokenFile(path)
		switch bot := e.Config.BotToken(); {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist) && bot != "":
			text, own, at.Where = bot, true, config.BotTokenVariable
		case errors.Is(err, fs.ErrNotExist):
			return token.Bearer{}, "", errTokenMissing(at, []string{config.PlatformTokenVariable, at.Where, config.BotTokenVariable})
		case errors.Is(err, file.ErrTooLarge):
			return token.Bearer{}, "", message.FileTooLarge(message.Quote(path), maxBotToken>>10)
		default:
			return token.Bearer{}, "", message.FileUnreadable(message.Quote(path), file.Cause(err))
		}
	}
	if own && !base.InCluster() {
		return token.Bearer{}, "", errOutside(by)
	}
	bearer, err := token.ParseBearer(text)
	if err != nil {
		return bearer, "", errTokenInvalid(at, err)
	}
	e.Hide(bearer)
	return bearer, at.Where, nil
}
