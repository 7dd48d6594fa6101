//go:build unix

package source

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Any keys of a Secret: a usable token is the one in it, belongs to the instance beside it,
// and is not in messages.
func FuzzKeys(f *testing.F) {
	f.Add(uint8(3), uint8(0), "\n", "https://gitlab.example.com\n", "")
	f.Add(uint8(1), uint8(3), "gldt-", "", "")
	f.Add(uint8(7), uint8(9), "«two\nlines»", "https://user@h", "{}")
	f.Add(uint8(4), uint8(23), "", "", `{"userId":"u","token":"","instanceUrl":"https://h:8443/gitlab","updatedAt":"1790000000"}`)
	f.Add(uint8(4), uint8(10), "", "", `{"token":"","Token":"x"}`)
	f.Add(uint8(4), uint8(10), "", "", `{"TOKEN":"","instanceURL":"https://evil.example"}`)
	f.Add(uint8(4), uint8(44), "", "", `{"token":"glpat-Canary","instanceUrl":"https://"}`)
	f.Add(uint8(4), uint8(1), "", "", `{"token":7}`)
	f.Fuzz(func(t *testing.T, which, at uint8, token, url, credentials string) {
		// The canary is somewhere in the token's place.
		for _, text := range []*string{&token, &credentials} {
			n := min(int(at), len(*text))
			*text = (*text)[:n] + canary + (*text)[n:]
		}
		keys := map[string]content{}
		for i, key := range []struct{ name, text string }{{KeyToken, token}, {KeyInstance, url}, {KeyCredentials, credentials}} {
			if which>>i&1 == 1 {
				keys[key.name] = content{there: true, text: key.text}
			}
		}
		found := Found{Where: "the Secret"}
		there := found.take(keys, func() (bool, error) { return true, nil }, message.Quote, false)
		quiet(t, found)
		if usable := !found.Token.IsZero() && found.Instance != (instance.Instance{}); usable != (there && found.Problem == nil) {
			t.Fatalf("usable: %v, and yet %v", usable, found.Problem)
		}
		if found.Problem != nil {
			for _, line := range message.As(found.Problem).Lines() {
				if message.Printable(line) != line {
					t.Fatalf("said %q", line)
				}
			}
		}
		if !there || found.Problem != nil {
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
