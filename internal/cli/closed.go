package cli

import (
	"slices"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/setup"
)

// elsewhere reports whether the settings are for another container.
func (r *setupRun) elsewhere() bool { return r.form == formKubernetes || r.form == formRegistry }

// platformHelper is the value of credential.helper for the platform's script: the one
// that is configured here, if any. A repository's own setting is not trusted.
func (r *setupRun) platformHelper() string {
	if !r.elsewhere() && !r.print {
		for _, e := range slices.Backward(r.d.git().Trusted().Entries) {
			if h := gitconfig.NewHelper(e); e.Section == "credential" && e.Key == "helper" && h.IsPlatformScript() {
				return e.Value()
			}
		}
	}
	return setup.PlatformHelper
}

// dropped names the helpers that git no longer asks once sections are written.
func (r *setupRun) dropped(sections []setup.Section) (names []string) {
	if !r.closed {
		return nil
	}
	for _, h := range setup.Dropped(r.d.git(), sections) {
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

// stillOpen tells of helpers that git asks for every host all the same.
func (r *setupRun) stillOpen(config gitconfig.Config) {
	for _, h := range setup.Unrestricted(config) {
		r.d.say.tell(warnStillOpen(h.Name(), h.Origin), asIs)
	}
}
