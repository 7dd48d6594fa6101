package source

import (
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/strictjson"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// The keys of a Secret. In a mount, each is a file of the directory.
const (
	KeyToken       = "token"
	KeyInstance    = "instanceUrl"
	KeyCA          = "ca.crt"
	KeyCredentials = "credentials.json"
)

const belongsKey = "the key " + KeyInstance + " of the Secret"

// deciding are the keys with the token and its instance.
var deciding = []string{KeyToken, KeyCredentials, KeyInstance}

// take reads a Secret's deciding keys; place names a key in messages. It is false if none
// of them exists and empty says that the Secret has no other keys either.
func (f *Found) take(keys map[string]content, empty func() (bool, error), place func(key string) string, allowHTTPLoopback bool) (there bool) {
	text, credentials, url := keys[KeyToken], keys[KeyCredentials], keys[KeyInstance]
	// If a key can't be read, the form is unknown.
	for _, key := range deciding {
		if keys[key].broken() && (credentials.there || key == KeyInstance) {
			f.Problem = keys[key].problem(place(key), maxValue)
			return true
		}
	}
	switch {
	case credentials.there && (text.there || url.there):
		// Two forms may name two instances.
		f.Problem = TwoForms(f.Where, text.there)
		return true
	case credentials.there:
		f.readCredentials(credentials, place(KeyCredentials), allowHTTPLoopback)
		return true
	case text.there:
		if f.Problem = text.problem(place(KeyToken), maxValue); f.Problem == nil {
			f.setToken(text.text)
		}
	default:
		none, err := empty()
		switch {
		case err != nil:
			f.Problem = message.FileUnreadable(f.Where, file.Cause(err))
			return true
		case none && !url.there:
			return false
		}
		f.Problem, f.Fault = errTokenKeyMissing(f.Where, f.Renew), token.Empty
	}
	f.setInstance(url.text, place(KeyInstance), allowHTTPLoopback)
	return true
}

// readCredentials reads the platform's own entry. Its other fields (userId, updatedAt)
// are ignored.
func (f *Found) readCredentials(key content, place string, allowHTTPLoopback bool) {
	var entry *struct {
		Token       string `json:"token"`
		InstanceURL string `json:"instanceUrl"`
	}
	// The decoder's error is not shown: it can quote the token.
	text := strings.TrimPrefix(key.text, "\ufeff")
	if strictjson.Decode([]byte(text), &entry) != nil || entry == nil {
		f.Problem = message.CredentialsGarbled(place)
		if strings.TrimSpace(text) == "" {
			f.Fault = token.Empty
		}
		return
	}
	f.setToken(entry.Token)
	f.setInstance(entry.InstanceURL, place, allowHTTPLoopback)
}

// authorities are the certificates in the key ca.crt; nil if there is none.
func (c content) authorities(place string) ([]byte, error) {
	if problem := c.problem(place, maxCA); problem != nil || !c.there {
		return nil, problem
	}
	return []byte(c.text), nil
}
