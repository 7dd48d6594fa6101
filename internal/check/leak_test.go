package check

import (
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/instance"
)

// Each way to name a helper that includes other hosts is one for which git asks it at
// one of the addresses, and the others are none.
func TestElsewhere(t *testing.T) {
	i, err := instance.Parse("https://gitlab.example.com/gitlab", false)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{
		"credential.helper": true, "credential.https://.helper": true, "credential.http://gitlab.example.com.helper": true,
		"credential.gitlab.example.com.helper": true, "credential.https://*.example.com.helper": true,
		"credential.https://gitlab.example.com.helper": false, "credential.https://github.com.helper": false,
		"credential.https://gitlab.example.com/gitlab.helper": false, "credential.https://*.example.org.helper": false,
	} {
		config := gitconfig.Config{Entries: gitconfig.FromEnvironment([][2]string{{key, gitconfig.PlatformScript}}, "")}
		asked := false
		for _, url := range elsewhere(i) {
			asked = asked || len(config.Credential(url).Helpers) > 0
		}
		if asked != want {
			t.Errorf("%s: %v", key, asked)
		}
	}
}
