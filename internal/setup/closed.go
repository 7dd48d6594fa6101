package setup

import (
	"slices"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
)

// PlatformHelper runs the platform's script where no setting here names it. The file
// is in a world-writable directory, so it has to be the user's own.
const PlatformHelper = "!test -O " + gitconfig.PlatformScript + " && " + gitconfig.PlatformScript

const (
	// gitHub is the only host for which the script is asked after Closed.
	gitHub = "https://github.com"
	// anyHost represents every host without its own setting.
	anyHost = "https://gitlab.invalid"
)

// ScriptIn is the value of credential.helper for the platform's script that is
// configured, "" for none. A repository's own setting is not trusted.
func ScriptIn(config gitconfig.Config) string {
	for _, e := range slices.Backward(config.Trusted().Entries) {
		if h := gitconfig.NewHelper(e); e.Section == "credential" && e.Key == "helper" && h.IsPlatformScript() {
			return e.Value()
		}
	}
	return ""
}

// Closed makes git forget all helpers for all hosts, and then ask the platform's
// script, a helper's value, for github.com. The sections for instances have to come
// after it.
func Closed(script string) []Section {
	return []Section{
		{Name: credentialSection, Lines: []Line{{keyHelper, ""}}},
		{Name: credentialSection, Sub: gitHub, Lines: []Line{{keyHelper, script}}},
	}
}

// Closes reports whether a section is one that Closed made.
func (s Section) Closes() bool {
	return s.Name == credentialSection && (s.Sub == "" || s.Sub == gitHub) && !s.IsHelper()
}

// resets reports whether a section is for a URL for which git is not to ask this helper.
func (s Section) resets() bool { return s.Name == credentialSection && !s.IsHelper() }

// probe is a URL for which a section that Closed made says which helpers git asks, and
// helpers are their values.
func (s Section) probe() string {
	if s.Sub == "" {
		return anyHost
	}
	return s.Sub
}

func (s Section) helpers() []string {
	var values []string
	for _, line := range s.Lines {
		if line.Key == keyHelper && line.Value != "" {
			values = append(values, line.Value)
		}
	}
	return values
}

// Unrestricted are the helpers that git asks for hosts that nothing is said of.
func Unrestricted(config gitconfig.Config) []gitconfig.Helper {
	return config.Credential(anyHost).Helpers
}

// Dropped are the helpers in a configuration that git no longer asks for anything once
// sections are written, those of Closed among them.
func Dropped(config gitconfig.Config, sections []Section) []gitconfig.Helper {
	var dropped []gitconfig.Helper
	for _, e := range config.Entries {
		sub, _ := e.Subsection()
		kept := slices.ContainsFunc(sections, func(s Section) bool {
			return slices.Contains(s.helpers(), e.Value()) || s.Sub == sub && own(e.Value(), sub)
		})
		if e.Section == credentialSection && e.Key == keyHelper && e.Value() != "" && !kept {
			dropped = append(dropped, gitconfig.NewHelper(e))
		}
	}
	return dropped
}
