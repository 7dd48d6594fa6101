package scripttest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

func (m *machine) startListener(ts *testscript.TestScript, args []string) error {
	o := parseOptions(args[1:])
	l, err := gitlabtest.StartListener(filepath.Join(m.dir, "gitlab"), gitlabtest.ListenerOptions{
		Redirect: o["to"], PlainHTTP: o.is("http"), AnyName: o.is("any")})
	if err != nil {
		return err
	}
	m.listeners[args[0]], m.closers = append(m.listeners[args[0]], l), append(m.closers, l.Close)
	ts.Setenv(args[0], l.URL())
	ts.Setenv(args[0]+"_HOST", l.Addr())
	if o.is("at") {
		for _, p := range m.proxies {
			p.Route(o["at"], l.Addr())
		}
	}
	return nil
}

func (m *machine) wantSeen(_ *testscript.TestScript, args []string) error {
	for _, l := range m.listeners[args[0]] {
		if l.SawSecret(args[1]) {
			return nil
		}
	}
	return fmt.Errorf("%s never got %q", args[0], args[1])
}

func (m *machine) startProxy(ts *testscript.TestScript, args []string) error {
	m.went = 0
	o := gitlabtest.ProxyOptions{Routes: map[string]string{}}
	socks := false
	for _, arg := range args {
		switch key, value, _ := strings.Cut(arg, "="); key {
		case "status":
			code, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			o.Answer = &code
		case "login":
			o.RequireAuth = true
		case "tls":
			o.Dir = filepath.Join(m.dir, "proxy")
			if err := os.MkdirAll(o.Dir, 0o755); err != nil {
				return err
			}
		case "socks":
			socks = true
		default:
			o.Routes[arg] = m.gitlab.Addr()
		}
	}
	if socks {
		p, err := gitlabtest.StartSOCKS(o.Routes)
		if err != nil {
			return err
		}
		m.through, m.closers = p.Asked, append(m.closers, p.Close)
		ts.Setenv("PROXY", "socks5h://"+p.Addr())
		ts.Setenv("PROXY_HOST", p.Addr())
		return nil
	}
	p, err := gitlabtest.StartProxy(o)
	if err != nil {
		return err
	}
	m.through = func() (asked []string) {
		for _, r := range p.Requests() {
			asked = append(asked, r.Path)
		}
		return asked
	}
	_, address, _ := strings.Cut(p.URL(), "://")
	m.proxies, m.closers = append(m.proxies, p), append(m.closers, p.Close)
	ts.Setenv("PROXY", p.URL())
	ts.Setenv("PROXY_HOST", address)
	if o.Dir != "" {
		ts.Setenv("PROXY_CA", p.CAFile())
	}
	return nil
}

func (m *machine) wantThrough(_ *testscript.TestScript, args []string) error {
	asked := m.through()[m.went:]
	m.went += len(asked)
	if args[0] == "some" {
		for _, name := range asked {
			if name != m.at {
				return fmt.Errorf("the proxy was asked for %s", name)
			}
		}
		if len(asked) == 0 {
			return errors.New("no connection went through the proxy: the test proves nothing")
		}
		return nil
	}
	want, err := strconv.Atoi(args[0])
	if err == nil && len(asked) != want {
		err = fmt.Errorf("%d connections through the proxy, want %d: %v", len(asked), want, asked)
	}
	return err
}

func (m *machine) wantUnseen(_ *testscript.TestScript, args []string) error {
	name := args[0]
	var asked []gitlabtest.Request
	for _, l := range m.listeners[name] {
		asked = append(asked, l.Requests()...)
		for token, value := range m.tokens {
			if l.SawSecret(value) {
				return fmt.Errorf("%s saw the token %s", name, token)
			}
		}
	}
	if err := m.checkProxies(); err != nil {
		return err
	}
	for _, r := range asked {
		if r.Authorized && !r.Blank {
			return fmt.Errorf("%s got credentials for %s", name, r.Path)
		}
	}
	switch {
	case len(args) == 1 && len(asked) == 0:
		return fmt.Errorf("%s was never asked for anything: the test proves nothing", name)
	case len(args) == 1:
		return nil
	case args[1] != strconv.Itoa(len(asked)):
		return fmt.Errorf("%s was asked %d times: %v", name, len(asked), asked)
	case args[1] != "0":
		return nil
	}
	for _, p := range m.proxies {
		for _, r := range p.Requests() {
			if r.Path != m.at {
				return fmt.Errorf("the proxy was asked for %s", r.Path)
			}
		}
	}
	return nil
}

func (m *machine) makeVictim(ts *testscript.TestScript, args []string) error {
	host := "gitlab.example.com"
	if len(args) > 0 && strings.HasPrefix(args[0], "host=") {
		host, args = args[0][len("host="):], args[1:]
	}
	at := host
	if !strings.Contains(host, ":") {
		at += ":443"
	}
	base := "https://" + host + parseOptions(args)["path"]
	if err := m.startGitLab(ts, append(args, "hosts="+at[:strings.LastIndexByte(at, ':')])); err != nil {
		return err
	}
	ts.Setenv("GITLAB", base)
	ts.Setenv("GITLAB_HOST", host)
	if err := errors.Join(
		m.addUser(ts, []string{"dev"}),
		m.addToken(ts, []string{"dev", "user=dev", "expires=2099-12-31"}),
		m.addProject(ts, []string{"group/project", "dev=30"}),
		m.mountSecret(ts, []string{"dev", "instanceUrl=" + base}),
		m.startListener(ts, []string{"EVIL", "any"}),
		m.startListener(ts, []string{"EVIL", "http"}),
		m.startProxy(ts, []string{at}),
	); err != nil {
		return err
	}
	p := m.proxies[len(m.proxies)-1]
	p.Route("*", m.listeners["EVIL"][0].Addr())
	p.Route("*:80", m.listeners["EVIL"][1].Addr())
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		ts.Setenv(name, p.URL())
	}
	m.at = at
	ts.Setenv("EVIL", "https://evil.example")
	ts.Setenv("ACP_GITLAB_CACHE_DIR", filepath.Join(m.dir, "cache"))
	ts.Setenv("UID", strconv.Itoa(os.Getuid()))
	m.gitlab.ResetRequests()
	return m.wantLeft(ts, []string{"reset"})
}

func (m *machine) intercept(_ *testscript.TestScript, args []string) error {
	to := m.listeners["EVIL"][1]
	if len(args) == 0 {
		var err error
		if to, err = gitlabtest.StartListener(filepath.Join(m.dir, "gitlab", "other"), gitlabtest.ListenerOptions{AnyName: true}); err != nil {
			return err
		}
		m.listeners["EVIL"], m.closers = append(m.listeners["EVIL"], to), append(m.closers, to.Close)
	}
	m.proxies[0].Route(m.at, to.Addr())
	return nil
}
