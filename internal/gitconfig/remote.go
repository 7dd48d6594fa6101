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

// Limits of what is made of remotes: a URL of more bytes is left out, and so are
// further ones. Rules could otherwise blow up what is in a file.
const (
	maxURL  = 8 << 10
	maxURLs = 1000
)

// remote is a remote as it is configured, before anything is rewritten.
type remote struct{ urls, pushURLs []string }

func (c Config) remoteURLs() []string {
	var names []string
	remotes := map[string]*remote{}
	fetch, push := newRewrites(), newRewrites()
	for _, e := range c.Entries {
		name, found := e.Subsection()
		switch {
		case !found:
		case e.Section == "url" && e.Key == "insteadof":
			fetch.add(e.Value(), name)
		case e.Section == "url" && e.Key == "pushinsteadof":
			push.add(e.Value(), name)
		case e.Section == "remote":
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
	}
	var urls []string
	for _, name := range names {
		r := remotes[name]
		for _, url := range r.urls {
			urls = append(urls, fetch.rewrite(url))
			if pushed, found := push.apply(url); found && len(r.pushURLs) == 0 {
				urls = append(urls, pushed)
			}
		}
		for _, url := range r.pushURLs {
			urls = append(urls, fetch.rewrite(url))
		}
		if len(urls) > maxURLs {
			break
		}
	}
	return urls
}

// Rewritten is the address that git uses for a URL, by url.<base>.insteadOf or, for
// a push, pushInsteadOf, and the rule; false when it is the URL itself.
func (c Config) Rewritten(url string, push bool) (string, Entry, bool) {
	var by Entry
	longest := -1
	for _, e := range c.Entries {
		if e.Section != "url" || e.Implicit() || e.Key != "insteadof" && (e.Key != "pushinsteadof" || !push) {
			continue
		}
		// pushInsteadOf counts before insteadOf, then the longest text, then the
		// first (git-config(1)).
		weight := len(e.Value())
		if e.Key == "pushinsteadof" {
			weight += maxURL
		}
		if len(e.Value()) <= maxURL && strings.HasPrefix(url, e.Value()) && weight > longest {
			by, longest = e, weight
		}
	}
	base, _ := by.Subsection()
	if longest < 0 {
		return url, Entry{}, false
	}
	return base + strings.TrimPrefix(url, by.Value()), by, true
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

// rewrites are the rules of url.<base>.insteadOf: what begins with one text
// begins with its base instead.
type rewrites struct {
	bases map[string]string
	// order is when a base was first seen: of two for one text, the earlier
	// counts.
	order map[string]int
	// lengths are those of the texts, the longest first: it counts
	// (git-config(1)). There are few, since each takes up its length in a file.
	lengths []int
	sorted  bool
}

func newRewrites() *rewrites {
	return &rewrites{bases: map[string]string{}, order: map[string]int{}}
}

func (r *rewrites) add(from, base string) {
	if len(base) > maxURL {
		return
	}
	if _, known := r.order[base]; !known {
		r.order[base] = len(r.order)
	}
	if other, known := r.bases[from]; !known {
		r.lengths = append(r.lengths, len(from))
	} else if r.order[other] < r.order[base] {
		return
	}
	r.bases[from] = base
	r.sorted = false
}

// apply applies the rule with the longest match; false when there is none.
func (r *rewrites) apply(url string) (string, bool) {
	if !r.sorted {
		slices.SortFunc(r.lengths, func(a, b int) int { return b - a })
		r.lengths = slices.Compact(r.lengths)
		r.sorted = true
	}
	for _, length := range r.lengths {
		if length > len(url) {
			continue
		}
		if base, found := r.bases[url[:length]]; found {
			return base + strings.TrimPrefix(url, url[:length]), true
		}
	}
	return "", false
}

func (r *rewrites) rewrite(url string) string {
	if rewritten, found := r.apply(url); found {
		return rewritten
	}
	return url
}
