//go:build unix

package secret

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Whatever stands in the keys of a Secret: a token that can be used is the one
// that stands there, and belongs to the instance that stands beside it.
func FuzzKeys(f *testing.F) {
	f.Add(uint8(3), canary+"\n", "https://gitlab.example.com\n", "")
	f.Add(uint8(1), canary, "", "")
	f.Add(uint8(4), "", "", `{"userId":"u","token":"`+canary+`","instanceUrl":"https://h:8443/gitlab","updatedAt":"1790000000"}`)
	f.Add(uint8(4), "", "", `{"token":"`+canary+`","Token":"x"}`)
	f.Add(uint8(4), "", "", `{"TOKEN":"`+canary+`","instanceURL":"https://evil.example"}`)
	f.Add(uint8(7), canary, "https://h", `{"token":"`+canary+`"}`)
	f.Fuzz(func(t *testing.T, which uint8, token, url, credentials string) {
		keys := map[string]content{}
		for i, key := range []struct{ name, text string }{{KeyToken, token}, {KeyInstance, url}, {KeyCredentials, credentials}} {
			if which>>i&1 == 1 {
				keys[key.name] = content{there: true, text: key.text}
			}
		}
		found := Found{Where: "the Secret"}
		there := found.take(keys, func() bool { return true }, message.Quote, false)
		if !there || found.Problem != nil {
			if found.Problem == nil && !found.Token.IsZero() {
				t.Fatalf("a token that is not there: %+v", found)
			}
			return
		}
		if which>>2&1 == 1 {
			// Only one reading of it is possible.
			var fields map[string]any
			if err := json.Unmarshal([]byte(credentials), &fields); err != nil {
				t.Fatalf("%q was taken: %v", credentials, err)
			}
			token, url = "", ""
			for name, value := range fields {
				text, _ := value.(string)
				switch {
				case strings.EqualFold(name, "token") && token == "":
					token = text
				case strings.EqualFold(name, "instanceUrl") && url == "":
					url = text
				case strings.EqualFold(name, "token"), strings.EqualFold(name, "instanceUrl"):
					t.Fatalf("%q was taken", credentials)
				}
			}
		} else if which>>1&1 == 0 {
			url = ""
		}
		if url = strings.TrimSpace(url); url == "" {
			url = DefaultInstanceURL
		}
		i, err := instance.Parse(url, false)
		if err != nil || found.Instance != i || found.Token.Reveal() != strings.TrimSpace(strings.TrimPrefix(token, "\ufeff")) {
			t.Fatalf("%q with %q for %q (%v) was taken for %q with %q", token, url, i, err, found.Token.Reveal(), found.Instance)
		}
	})
}
