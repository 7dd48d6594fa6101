package setup

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// proxyTaken is the error for a proxy that another instance uses already: serve has one only.
func proxyTaken(old, sections []Section) error {
	for _, s := range sections {
		for _, have := range old {
			proxy, instance := s.proxied()
			if used, other := have.proxied(); proxy != "" && proxy == used && instance != other {
				return errProxyAmbiguous(proxy, other, instance)
			}
		}
	}
	return nil
}

// proxied are the URLs of serve, without a path, and of the instance that is reached through
// it; "" if a section is not such a rule.
func (s Section) proxied() (proxy, instance string) {
	at, err := url.Parse(s.Sub)
	if s.Name != urlSection || err != nil || at.Scheme != "http" || !strings.HasPrefix(s.Lines[0].Value, "https://") {
		return "", ""
	}
	return at.Scheme + "://" + at.Host, strings.TrimSuffix(s.Lines[0].Value, "/")
}

// withSSH adds the ssh addresses of an earlier --rewrite-ssh to sections without any. They lead
// where the instance's own URLs lead now: otherwise they would bypass a new proxy, or lead to
// an old one.
func withSSH(old, sections []Section) []Section {
	all := slices.Clone(sections)
	for n, s := range sections {
		url := s.Sub + "/"
		if s.Name == urlSection {
			url = s.Lines[0].Value
		} else if !s.IsHelper() {
			continue
		}
		own := Line{keyInstead, url}
		var ssh []Line
		for _, have := range old {
			if have.Name == urlSection && (have.Sub == url || slices.Contains(have.Lines, own)) {
				ssh = append(ssh, slices.DeleteFunc(slices.Clone(have.Lines), func(line Line) bool { return line == own })...)
			}
		}
		switch {
		case len(ssh) == 0:
		case s.IsHelper() && !slices.ContainsFunc(sections, func(other Section) bool { return other.Name == urlSection && other.Sub == url }):
			all = append(all, Section{Name: urlSection, Sub: url, Lines: ssh})
		case slices.Equal(s.Lines, []Line{own}):
			all[n].Lines = append(slices.Clone(s.Lines), ssh...)
		}
	}
	return all
}

// merge adds sections to those of our file. A section of the same name is replaced, except
// records, which are added to. A URL below another one comes after it, since
// its helpers have to be the last.
func merge(old, sections []Section) []Section {
	merged := slices.Clone(old)
	for _, s := range sections {
		merged = slices.DeleteFunc(merged, s.replaces)
		at := slices.IndexFunc(merged, func(have Section) bool { return have.String() == s.String() })
		switch {
		case len(s.Lines) == 0:
		case at < 0:
			merged = append(merged, s)
		case s.records():
			merged[at].Lines = append(slices.Clone(merged[at].Lines), s.Lines...)
		default:
			merged[at] = s
		}
	}
	slices.SortStableFunc(merged, func(a, b Section) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Sub, b.Sub))
	})
	return merged
}

// replaces reports whether a section is of an earlier set-up that led some of the same URLs
// elsewhere: to another proxy, or to one where a helper is asked now, or the other way
// round. git would use the first of two such rules.
func (s Section) replaces(have Section) bool {
	switch {
	case s.resets() && s.Sub != "" && have.belongsTo(s.Sub):
		return true
	case have.Name != urlSection || have.String() == s.String():
		return false
	case s.IsHelper():
		return slices.Contains(have.Lines, Line{keyInstead, s.Sub + "/"})
	}
	return s.Name == urlSection && slices.ContainsFunc(s.Lines, func(line Line) bool { return slices.Contains(have.Lines, line) })
}
