package gitconfig

import (
	"slices"
	"strings"
)

// RemoteURLs are the URLs of the repository's remotes, for fetch and for push,
// as git uses them: with url.<base>.insteadOf and pushInsteadOf applied. None
// when there is no repository, or none that can be read.
func (c Config) RemoteURLs() []string {
	if !slices.ContainsFunc(c.Entries, func(e Entry) bool { return e.Scope == Local }) {
		return nil
	}
	c.Entries = slices.DeleteFunc(slices.Clone(c.Entries), Entry.Implicit)
	return c.remoteURLs()
}

// Limits of what is made of remotes: a URL of more bytes is left out, and so are further
// ones. With more rules, no remote is known. Rules could otherwise multiply what is in a file.
const (
	maxURL   = 8 << 10
	maxURLs  = 1000
	maxRules = 10000
)

// remote is a remote as it is configured, before anything is rewritten.
type remote struct{ urls, pushURLs []string }

func (c Config) remoteURLs() []string {
	var names []string
	remotes := map[string]*remote{}
	for _, e := range c.Entries {
		name, found := e.Subsection()
		if !found || e.Section != "remote" {
			continue
		}
		if remotes[name] == nil {
			remotes[name] = &remote{}
			names = append(names, name)
		}
		switch r := remotes[name]; e.Key {
		case "url":
			r.urls = appendURL(r.urls, e.Value())
		case "pushurl":
			r.pushURLs = appendURL(r.pushURLs, e.Value())
		}
	}
	fetch, push := c.rules(keyInsteadOf), c.rules(keyPushInsteadOf)
	if len(fetch)+len(push) > maxRules {
		return nil
	}
	var urls []string
	for _, name := range names {
		r := remotes[name]
		for _, url := range slices.Concat(r.urls, r.pushURLs) {
			to, _, _ := rewrite(fetch, url)
			urls = append(urls, to)
		}
		for _, url := range r.urls {
			if pushed, _, found := rewrite(push, url); found && len(r.pushURLs) == 0 {
				urls = append(urls, pushed)
			}
		}
		if len(urls) > maxURLs {
			break
		}
	}
	return urls
}

// appendURL adds a remote's URL to those before it; an empty one drops them.
func appendURL(urls []string, url string) []string {
	switch {
	case url == "":
		return nil
	case len(url) > maxURL || len(urls) >= maxURLs:
		return urls
	}
	return append(urls, url)
}

// Keys of url.<base>.*.
const (
	keyInsteadOf     = "insteadof"
	keyPushInsteadOf = "pushinsteadof"
)

// rules are the entries url.<base>.insteadOf, or pushInsteadOf, in the order in which git
// compares them: those of one base together (git's remote.c, add_rewrite).
func (c Config) rules(key string) []Entry {
	var rules []Entry
	order := map[string]int{}
	for _, e := range c.Entries {
		base, found := e.Subsection()
		if !found || e.Section != "url" || e.Key != key || e.Implicit() || len(base) > maxURL || len(e.Value()) > maxURL {
			continue
		}
		if _, known := order[base]; !known {
			order[base] = len(order)
		}
		rules = append(rules, e)
	}
	slices.SortStableFunc(rules, func(a, b Entry) int { return order[a.text.subsection] - order[b.text.subsection] })
	return rules
}

// rewrite applies the rule with the longest match, the first of several (git-config(1)); false
// if there is none.
func rewrite(rules []Entry, url string) (to string, by Entry, found bool) {
	for _, e := range rules {
		if strings.HasPrefix(url, e.Value()) && (!found || len(e.Value()) > len(by.Value())) {
			by, found = e, true
		}
	}
	if !found {
		return url, by, false
	}
	base, _ := by.Subsection()
	return base + strings.TrimPrefix(url, by.Value()), by, true
}

// Rewritten is the address that git uses for a URL, by url.<base>.insteadOf or, for
// a push, pushInsteadOf, and the rule; false when it is the URL itself.
func (c Config) Rewritten(url string, push bool) (to string, by Entry, found bool) {
	if push {
		if to, by, found = rewrite(c.rules(keyPushInsteadOf), url); found {
			return to, by, found
		}
	}
	return rewrite(c.rules(keyInsteadOf), url)
}

// Diverted is the rule by which git goes to another server than a URL's, or to the
// same by other means, and so asks for no credential of that one; false when there
// is none.
func (c Config) Diverted(url string, push bool) (Entry, bool) {
	to, by, found := c.Rewritten(url, push)
	if !found {
		return Entry{}, false
	}
	asked, ok := normalize(url, false)
	used, same := normalize(to, false)
	same = same && ok && used.scheme == asked.scheme && used.host == asked.host && used.port == asked.port
	return by, !same
}
