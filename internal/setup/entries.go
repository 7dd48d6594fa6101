package setup

import (
	"slices"
	"strings"
)

// parse reads the output of git config -z for our file: keys, with section and variable in
// lower case, and values.
func parse(items []string) []Section {
	var sections []Section
	for _, item := range items {
		name, value, _ := strings.Cut(item, "\n")
		first, last := strings.Index(name, "."), strings.LastIndex(name, ".")
		if first < 0 {
			continue
		}
		s := Section{Name: name[:first]}
		if first < last {
			s.Sub = name[first+1 : last]
		}
		at := slices.IndexFunc(sections, func(have Section) bool { return have.String() == s.String() })
		if at < 0 {
			at = len(sections)
			sections = append(sections, s)
		}
		sections[at].Lines = append(sections[at].Lines, Line{spelled(name[last+1:]), value})
	}
	return sections
}

// spelled is a variable in its usual spelling; git prints lower case.
func spelled(variable string) string {
	for _, key := range []string{keyPath, keyInstead} {
		if strings.EqualFold(key, variable) {
			return key
		}
	}
	return variable
}
