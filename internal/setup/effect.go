package setup

import (
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Effect is what git does with sections that were written.
type Effect struct {
	// Asked are the URLs for which git asks this helper first, and Rewritten those that
	// it uses for ssh addresses.
	Asked, Rewritten []string
	// Warnings say why others are in neither.
	Warnings []error
}

// EffectOf compares sections that were written to path with the whole of git's
// configuration.
func EffectOf(config gitconfig.Config, sections []Section, path string) (e Effect) {
	for _, s := range sections {
		switch {
		case s.Refuses() || s.resets() || s.Name == httpSection:
		case !s.IsHelper():
			if !e.rewrittenElse(config, s) {
				e.bypassed(config, s)
				e.Rewritten = append(e.Rewritten, strings.TrimSuffix(s.Sub, "/"))
			}
		case !e.overruled(config, s, path) && !e.diverted(config, s.Sub):
			e.Asked = append(e.Asked, s.Sub)
		}
	}
	return e
}

// overruled tells where something else in git's configuration keeps git from asking
// the helper that was written to path.
func (e *Effect) overruled(config gitconfig.Config, s Section, path string) bool {
	first, overruled := Overruled(config, s)
	if !overruled {
		return false
	}
	name, origin := "", ""
	if first != nil {
		name, origin = first.Name(), first.Origin
	}
	e.Warnings = append(e.Warnings, warnSetUpIneffective(s.Sub, path, name, origin))
	return true
}

// diverted warns of a setting that makes git use another address than the instance, and
// reports whether it applies to fetches too.
func (e *Effect) diverted(config gitconfig.Config, url string) bool {
	for _, push := range []bool{false, true} {
		if by, diverted := config.Diverted(url+"/", push); diverted {
			e.Warnings = append(e.Warnings, message.Elsewhere(url, by.Name(), message.Quote(by.Origin)))
			return !push
		}
	}
	return false
}

// bypassed warns of a setting that makes git use an instance's own URL for its ssh addresses,
// although a section makes it use a proxy for that URL.
func (e *Effect) bypassed(config gitconfig.Config, s Section) {
	i, err := instance.Parse(s.Lines[0].Value, true)
	if err != nil {
		return // ssh addresses
	}
	for _, form := range sshForms(i, 0) {
		if to, by, found := config.Rewritten(form, false); found && strings.HasPrefix(to, i.URL()+"/") {
			e.Warnings = append(e.Warnings, warnProxyBypassed(form, i.URL(), by.Name(), by.Origin))
			return
		}
	}
}

// rewrittenElse warns of another setting that applies to a section's ssh addresses, and
// reports whether it overrides the section for fetches too.
func (e *Effect) rewrittenElse(config gitconfig.Config, s Section) bool {
	for _, line := range s.Lines {
		for _, push := range []bool{false, true} {
			to, by, found := config.Rewritten(line.Value, push)
			if to == s.Sub {
				continue
			}
			if found {
				e.Warnings = append(e.Warnings, message.Elsewhere(line.Value, by.Name(), message.Quote(by.Origin)))
			}
			return !push
		}
	}
	return false
}
