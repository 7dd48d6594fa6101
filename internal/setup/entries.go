package setup

import (
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
)

// sectionsOf are the sections of a configuration.
func sectionsOf(config gitconfig.Config) []Section {
	var sections []Section
	for _, e := range config.Entries {
		s := Section{Name: e.Section}
		s.Sub, _ = e.Subsection()
		at := slices.IndexFunc(sections, func(have Section) bool { return have.String() == s.String() })
		if at < 0 {
			at = len(sections)
			sections = append(sections, s)
		}
		key := e.Key
		for _, usual := range []string{keyPath, keyInstead} { // git prints lower case
			if strings.EqualFold(usual, key) {
				key = usual
			}
		}
		sections[at].Lines = append(sections[at].Lines, Line{key, e.Value()})
	}
	return sections
}
