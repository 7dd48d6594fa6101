package setup

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Plan is what git's configuration is to say.
type Plan struct {
	// Instances are sorted by their URLs: one below another has to reset the other's
	// helper, so it comes later.
	Instances []instance.Instance
	// Program is as for Helper.
	Program string
	// Level is the value of --min-access, "" for none. It is for what At means.
	Level string
	// At is the URL of an instance, or of a group or project on one; without a host, all
	// of the instances are meant.
	At credential.Request
	// SSHPort is the port of ssh addresses that lead to https, 0 for none.
	SSHPort int
	// Closed makes git use no other helper for any host, but Script for github.com.
	Closed bool
	Script string
	// Proxy is the URL of serve, without a path, through which git reaches the instances;
	// "" for none.
	Proxy string
}

// ParseProxy is the URL of serve as --proxy takes it: http on a loopback address, since
// there is no login. The error finishes a sentence that begins with "--proxy".
func ParseProxy(text string) (string, error) {
	at, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || at.Scheme != "http" || at.Path != "" || at.Port() == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return "", errors.New("takes a URL such as http://127.0.0.1:8466")
	}
	if ip := net.ParseIP(at.Hostname()); at.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", errors.New("takes a URL on a loopback address: serve has no login")
	}
	return at.String(), nil
}

// through are the sections by which git reaches an instance through serve: it rewrites
// the instance's URLs, asks no helper for either URL, and uses no other proxy.
func (p Plan) through(i instance.Instance) []Section {
	to := Section{Name: urlSection, Sub: p.Proxy + strings.TrimPrefix(i.URL(), i.Origin()) + "/", Lines: []Line{{keyInstead, i.URL() + "/"}}}
	if p.SSHPort != 0 {
		to.Lines = append(to.Lines, Rewrite(i, p.SSHPort).Lines...)
	}
	reset := []Line{{keyHelper, ""}}
	return []Section{
		{Name: credentialSection, Sub: i.URL(), Lines: reset}, {Name: credentialSection, Sub: p.Proxy, Lines: reset},
		{Name: httpSection, Sub: p.Proxy, Lines: []Line{{keyProxy, ""}}}, to,
	}
}

// Sections are the sections of a plan.
func (p Plan) Sections() ([]Section, error) {
	instances, level, below := p.Instances, p.Level, ""
	if p.At.Host != "" {
		only, url, problem := p.part()
		if problem != nil {
			return nil, problem
		}
		instances = []instance.Instance{only}
		if below = url; below != "" {
			level = ""
		}
	}
	var sections []Section
	if p.Closed {
		sections = Closed(p.Script)
	}
	switch {
	case p.Proxy != "" && len(instances) > 1:
		return nil, errProxyAmbiguous(p.Proxy, instances[0].String(), instances[1].String())
	case p.Proxy != "":
		return merge(sections, p.through(instances[0])), nil
	}
	for _, i := range instances {
		sections = append(sections, HelperAt(i, i.URL(), p.Program, level))
		if refusing, wanted := PlainHTTP(i, p.Program); wanted {
			sections = append(sections, refusing)
		}
		if below != "" {
			sections = append(sections, HelpersBelow(i, below, p.Program, p.Level)...)
		}
	}
	if p.SSHPort == 0 {
		return sections, nil
	}
	hosts := map[string]instance.Instance{}
	for _, i := range instances {
		if other, twice := hosts[i.Hostname()]; twice {
			return nil, errSSHAmbiguous(other.String(), i.String())
		}
		hosts[i.Hostname()] = i
		sections = append(sections, Rewrite(i, p.SSHPort))
	}
	return sections, nil
}

// part is the instance that At is on and, unless At is the instance itself, the URL of
// the group or project.
func (p Plan) part() (i instance.Instance, url string, problem error) {
	request := p.At
	var names []string
	for _, other := range p.Instances {
		switch match := other.Match(request.Protocol, request.Host, request.Path); {
		case match == instance.Downgraded:
			return i, "", message.URLIsHTTP(other.URL())
		case match == instance.Ours && len(other.URL()) > len(i.URL()):
			i = other
		}
		names = append(names, other.String())
	}
	if i == (instance.Instance{}) {
		return i, "", message.URLForeign(request.Host, names)
	}
	path, err := i.Project(request.Path)
	if err != nil {
		return i, "", message.URLInvalid("has a path that " + err.Error())
	}
	if path == "" { // a group at the top, or none
		own := strings.TrimPrefix(i.URL(), i.Origin())
		path = strings.TrimSuffix(strings.Trim(strings.TrimPrefix("/"+request.Path, own), "/"), repositoryEnd)
	}
	if path == "" {
		return i, "", nil
	}
	return i, i.URL() + "/" + path, nil
}
