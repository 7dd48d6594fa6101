package setup

import (
	"slices"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
)

// entries are what a file of configuration says, in its order: keys, with
// section and variable in lower case, and values.
type entries [][2]string

// parse reads what git config -z prints.
func parse(out string) entries {
	var all entries
	for item := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		// A variable without a value has no line feed.
		key, value, _ := strings.Cut(item, "\n")
		all = append(all, [2]string{key, value})
	}
	return all
}

// values are those of a section's variable.
func (e entries) values(s Section, key string) []string {
	var values []string
	for _, entry := range e {
		if entry[0] == s.String()+"."+strings.ToLower(key) {
			values = append(values, entry[1])
		}
	}
	return values
}

// has reports whether a line stands in a section.
func (e entries) has(s Section, line Line) bool {
	return slices.Contains(e.values(s, line.Key), line.Value)
}

// missing are the sections that are still to be written, as far as they are: what
// config, the same file with what it includes, does not make git do.
func (e entries) missing(sections []Section, config gitconfig.Config) []Section {
	var missing []Section
	for _, s := range sections {
		holds := false
		switch s.Name {
		case credentialSection:
			holds = asks(config, s)
		case urlSection:
			holds = !slices.ContainsFunc(s.Lines, func(line Line) bool { return !e.has(s, line) })
		case userSection:
			// An identity that is set is nobody's to change.
			s.Lines = slices.DeleteFunc(slices.Clone(s.Lines), func(line Line) bool { return len(e.values(s, line.Key)) > 0 })
			holds = len(s.Lines) == 0
		}
		if !holds {
			missing = append(missing, s)
		}
	}
	return missing
}

// after are the sections of ours for instances below those of others, which are
// about to be written: they have to come behind these once more, or git would ask
// for the wrong one.
func (e entries) after(others []Section) []Section {
	var again []Section
	for _, s := range e.own() {
		named := func(other Section) bool { return other.String() == s.String() }
		above := func(other Section) bool { return other.IsHelper() && other.above(s.Sub) }
		if s.IsHelper() && slices.ContainsFunc(others, above) && !slices.ContainsFunc(others, named) {
			again = append(again, helperFor(s.Sub, s.Lines[1].Value))
		}
	}
	slices.SortFunc(again, func(a, b Section) int { return strings.Compare(a.Sub, b.Sub) })
	return again
}

func last(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1]
}

// What Remove has to know and could not find out stands in a section of its
// own, which is only made when there is such a thing. Its keys are in lower
// case, as git lists them.
const (
	memoCreated = "created" // "true": there was no file
	memoEnd     = "end"     // the size in bytes of a file that did not end with a line feed
	memoRewrote = "rewrote" // a rule that was written: the section's URL, a space, and the value
	// keyName and keyEmail: the identity that was written.
)

var memo = Section{Name: "acp", Sub: "setup"}

// draftPrefix begins the names of sections that are being written.
const draftPrefix = "setup-"

// own are the sections that Write wrote and that are still there. A helper is
// known by its value, so that one that was copied by hand from File counts too;
// a rule or an identity might be anybody's, and has to be in the memo.
func (e entries) own() []Section {
	var sections []Section
	add := func(s Section, line Line) {
		n := slices.IndexFunc(sections, func(have Section) bool { return have.String() == s.String() })
		if n < 0 {
			n = len(sections)
			sections = append(sections, s)
		}
		if e.has(s, line) && !slices.Contains(sections[n].Lines, line) {
			sections[n].Lines = append(sections[n].Lines, line)
		}
	}
	for _, entry := range e {
		inner, found := strings.CutPrefix(entry[0], credentialSection+".")
		sub, isHelper := strings.CutSuffix(inner, "."+keyHelper)
		if s := helperFor(sub, entry[1]); found && isHelper && own(entry[1], sub) {
			add(s, s.Lines[1])
		}
	}
	for _, rule := range e.values(memo, memoRewrote) {
		base, from, _ := strings.Cut(rule, " ")
		add(Section{Name: urlSection, Sub: base}, Line{keyInstead, from})
	}
	for _, key := range []string{keyName, keyEmail} {
		for _, value := range e.values(memo, key) {
			add(Section{Name: userSection}, Line{key, value})
		}
	}
	return slices.DeleteFunc(sections, func(s Section) bool { return len(s.Lines) == 0 })
}

// mistakable reports whether the reset before our helper can't be told from
// another one although it matters which of them goes: other helpers stand
// before ours.
func (e entries) mistakable(s Section) bool {
	if s.Name != credentialSection {
		return false
	}
	helpers := e.values(s, keyHelper)
	resets, others := 0, false
	for n, value := range helpers {
		switch {
		case value == "":
			resets++
		case n < slices.Index(helpers, s.Lines[1].Value):
			others = true
		}
	}
	return resets > 1 && others
}

// left are the sections that Write was kept from finishing, and that mean
// nothing to git.
func (e entries) left() []Section {
	var sections []Section
	for _, entry := range e {
		rest, found := strings.CutPrefix(entry[0], memo.Name+"."+draftPrefix)
		draft, _, _ := strings.Cut(rest, ".")
		s := Section{Name: memo.Name, Sub: draftPrefix + draft}
		if found && !slices.ContainsFunc(sections, func(have Section) bool { return have.Sub == s.Sub }) {
			sections = append(sections, s)
		}
	}
	return sections
}
