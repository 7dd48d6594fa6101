package cli

import (
	"slices"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/setup"
)

// elsewhere reports whether the settings are for another container.
func (r *setupRun) elsewhere() bool { return r.form == formKubernetes || r.form == formRegistry }

// droppedNames names the helpers that git no longer asks once sections are written.
func droppedNames(config gitconfig.Config, sections []setup.Section) (names []string) {
	for _, h := range setup.Dropped(config, sections) {
		name := message.Quote(h.Program)
		if h.Program == "!" {
			name = "a line of shell"
		}
		if name += " (" + h.Name() + " in " + message.Quote(h.Origin) + ")"; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
