package main

import (
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// machine is what surrounds the program in one script.
type machine struct {
	dir, home string
	// gitlab is the stand-in that was started last.
	gitlab *gitlabtest.Server
	// platform is the stand-in for the platform, nil for none; bots are the
	// tokens for it, by session.
	platform *gitlabtest.Platform
	bots     map[string]string
	// proxies are in the order in which they were started; at is the name and port
	// by which the one of a victim leads to the stand-in.
	proxies   []*gitlabtest.Proxy
	at        string
	listeners map[string][]*gitlabtest.Listener
	closers   []func()
	users     []string
	// through lists what the proxy that was started last was asked for, of which
	// went is known.
	through func() []string
	went    int
	// tokens are values by name; secrets are directories that rightly hold one.
	tokens  map[string]string
	secrets map[string]bool
	// before is what files there were, for the command left.
	before map[string]string
}

type machineKey struct{}

func (m *machine) close() {
	for _, c := range m.closers {
		c()
	}
}

// commands are the scripts' own; each says above its function how it is used.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	with := func(f func(*testscript.TestScript, *machine, []string) error) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, negated bool, args []string) {
			if negated {
				ts.Fatalf("can't be negated")
			}
			m, _ := ts.Value(machineKey{}).(*machine)
			if err := f(ts, m, args); err != nil {
				ts.Fatalf("%v", err)
			}
		}
	}
	return map[string]func(*testscript.TestScript, bool, []string){
		"gitlab":       with((*machineScript)(nil).gitlab),
		"user":         with((*machineScript)(nil).user),
		"token":        with((*machineScript)(nil).token),
		"project":      with((*machineScript)(nil).project),
		"fault":        with((*machineScript)(nil).fault),
		"gitrefuses":   with((*machineScript)(nil).gitrefuses),
		"secret":       with((*machineScript)(nil).secret),
		"listener":     with((*machineScript)(nil).listener),
		"proxy":        with((*machineScript)(nil).proxy),
		"through":      with((*machineScript)(nil).throughProxy),
		"requests":     with((*machineScript)(nil).requests),
		"unseen":       with((*machineScript)(nil).unseen),
		"file":         with((*machineScript)(nil).file),
		"platform":     with((*machineScript)(nil).startPlatform),
		"session":      with((*machineScript)(nil).session),
		"connection":   with((*machineScript)(nil).connection),
		"platformuser": with((*machineScript)(nil).platformuser),
		"victim":       with((*machineScript)(nil).victim),
		"intercept":    with((*machineScript)(nil).intercept),
		"exits":        with((*machineScript)(nil).exits),
		"left":         with((*machineScript)(nil).left),
		"ratelimit":    with((*machineScript)(nil).ratelimit),
		"valid":        with((*machineScript)(nil).valid),
	}
}

type machineScript struct{}

// options splits KEY=VALUE arguments and bare words (KEY=true).
func options(args []string) map[string]string {
	out := map[string]string{}
	for _, arg := range args {
		key, value, found := strings.Cut(arg, "=")
		if !found {
			value = "true"
		}
		out[key] = value
	}
	return out
}

// gitlab starts the stand-in:
//
//	gitlab [path=/gitlab] [hosts=a,b] [cert=expired] [http1] [http] [old] [clients] [untrusted]
//
// and sets GITLAB (the URL), GITLAB_HOST (as git names it) and GITLAB_CA. git
// trusts it by http.sslCAInfo in ~/.gitconfig (unless it is untrusted), which the
// program follows; and so it does the Secret's ca.crt. With clients, it wants
// certificates shown, and makes CLIENT_CERT and CLIENT_KEY.
func (*machineScript) gitlab(ts *testscript.TestScript, m *machine, args []string) error {
	o := options(args)
	var hosts []string
	if o["hosts"] != "" {
		hosts = strings.Split(o["hosts"], ",")
	}
	server, err := gitlabtest.Start(gitlabtest.Options{
		Dir: filepath.Join(m.dir, "gitlab"), Path: o["path"], Hosts: hosts, HTTP1Only: o["http1"] != "",
		PlainHTTP: o["http"] != "", Certificate: gitlabtest.CertificateKind(o["cert"]),
		ClientCertificates: o["clients"] != "",
	})
	if err != nil {
		return err
	}
	m.gitlab, m.closers = server, append(m.closers, server.Close)
	m.secrets[filepath.Join(m.dir, "gitlab")] = true
	server.SetOld(o["old"] != "")
	at, err := url.Parse(server.URL())
	if err != nil {
		return err
	}
	ts.Setenv("GITLAB", server.URL())
	ts.Setenv("GITLAB_HOST", at.Host)
	ts.Setenv("GITLAB_PORT", at.Port())
	ts.Setenv("GITLAB_CA", server.CAFile())
	if o["clients"] != "" {
		certificate, key, err := server.IssueClient("dev")
		if err != nil {
			return err
		}
		for name, data := range map[string][]byte{"CLIENT_CERT": certificate, "CLIENT_KEY": key} {
			path := filepath.Join(m.dir, strings.ToLower(name)+".pem")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				return err
			}
			ts.Setenv(name, path)
		}
	}
	if o["untrusted"] != "" {
		return nil
	}
	return m.git("config", "--global", "http.sslCAInfo", server.CAFile())
}

func (m *machine) git(args ...string) error {
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "HOME="+m.home, "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// user adds an account:
//
//	user NAME [admin] [forbidden=TEXT] [name=TEXT] [commit=ADDRESS]
//
// and an e-mail address NAME@example.com.
func (*machineScript) user(_ *testscript.TestScript, m *machine, args []string) error {
	o := options(args[1:])
	id := m.id(args[0])
	m.gitlab.AddUser(gitlabtest.User{ID: id, Username: args[0], Name: cmp.Or(o["name"], args[0]),
		Email: args[0] + "@example.com", CommitEmail: o["commit"], Admin: o["admin"] != "", Forbidden: o["forbidden"]})
	return nil
}

// id is the number of a user, given when the name is first used.
func (m *machine) id(name string) int {
	if !slices.Contains(m.users, name) {
		m.users = append(m.users, name)
	}
	return 70 + slices.Index(m.users, name)
}

// token adds a PAT of a user, with the four scopes and an expiry a year from
// now, and sets TOKEN_name to its value and BASIC_name to its Basic credential:
//
//	token NAME user=USER [name=TEXT] [scopes=a,b] [expires=DATE|never|DAYSd] [revoked] [used] [granular] [kind=oauth] [value=…]
//
// A token that exists is changed.
func (*machineScript) token(ts *testscript.TestScript, m *machine, args []string) error {
	name, o := args[0], options(args[1:])
	t := gitlabtest.Token{
		Value: m.tokens[name], Name: name, UserID: m.id(o["user"]),
		Scopes:    access.DefaultScopes(),
		ExpiresAt: date(o["expires"]), Revoked: o["revoked"] != "", Granular: o["granular"] != "", Kind: o["kind"],
	}
	if o["name"] != "" {
		t.Name = unquote(o["name"])
	}
	if o["used"] != "" {
		t.LastUsedAt = time.Now()
	}
	if o["scopes"] != "" {
		t.Scopes = strings.Split(o["scopes"], ",")
	}
	if t.Value == "" {
		t.Value = o["value"]
	}
	if t.Value == "" {
		// No part of it is a word that may rightly stand somewhere.
		t.Value = fmt.Sprintf("glpat-Canary%08X", crc32.ChecksumIEEE([]byte(name)))
	}
	m.tokens[name] = t.Value
	ts.Setenv("TOKEN_"+name, t.Value)
	ts.Setenv("BASIC_"+name, base64.StdEncoding.EncodeToString([]byte("oauth2:"+t.Value)))
	m.gitlab.AddToken(t)
	return nil
}

func date(text string) string {
	days := 365
	switch {
	case text == "never":
		return ""
	case strings.HasSuffix(text, "d"):
		days, _ = strconv.Atoi(strings.TrimSuffix(text, "d"))
	case text != "":
		return text
	}
	return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly)
}

// project adds a project, or changes one, with levels by user, and sets
// PROJECT_ID:
//
//	project PATH [USER=LEVEL] [group:USER=LEVEL] [invited:USER=LEVEL] [archived] [public] [old=PATH] [deleted=DATE] [protected=BRANCH] [empty] [norepo] [disabled] [group]
func (*machineScript) project(_ *testscript.TestScript, m *machine, args []string) error {
	p := gitlabtest.Project{Path: args[0], Direct: map[int]int{}, Group: map[int]int{}, Invited: map[int]int{}}
	for key, value := range options(args[1:]) {
		level, _ := strconv.Atoi(value)
		switch {
		case key == "archived":
			p.Archived = true
		case key == "public":
			p.Public = true
		case key == "old":
			p.OldPaths = []string{value}
		case key == "deleted":
			p.MarkedForDeletionOn = value
		case key == "protected":
			p.ProtectedBranches = []string{value}
		case key == "empty":
			p.Empty = true
		case key == "norepo":
			p.NoRepository = true
		case key == "group":
			p.GroupOnly = true
		case key == "disabled":
			p.RepositoryAccessLevel = "disabled"
		case strings.HasPrefix(key, "group:"):
			p.Group[m.id(key[len("group:"):])] = level
		case strings.HasPrefix(key, "invited:"):
			p.Invited[m.id(key[len("invited:"):])] = level
		default:
			p.Direct[m.id(key)] = level
		}
	}
	if m.gitlab.RepositoryDir(p.Path) == "" {
		return m.gitlab.AddProject(p)
	}
	return m.gitlab.UpdateProject(p.Path, func(old *gitlabtest.Project) {
		p.ID = old.ID
		*old = p
	})
}

// fault makes the stand-in answer wrong, or right again:
//
//	fault [platform:]MATCH [status=503] [times=2] [retry=SECONDS] [date=+1h] [delay=1s] [html] [hang] [close] [cut] [endless] [drip=GAP] [size=N] [to=URL] [type=…] [BODY]
//	fault clear
//	fault ban LIMIT
//
// With platform:, that is the platform's. BODY is body=JSON, nested=LEVELS, bomb=MiB (packed) or headers=KiB. With
// nothing but times, that many requests are answered right.
func (*machineScript) fault(_ *testscript.TestScript, m *machine, args []string) error {
	switch args[0] {
	case "clear":
		m.gitlab.ClearFaults()
		if m.platform != nil {
			m.platform.ClearFaults()
		}
		return nil
	case "ban":
		limit, err := strconv.Atoi(args[1])
		m.gitlab.SetGitBan(limit)
		return err
	}
	o := options(args[1:])
	number := func(key string) int { n, _ := strconv.Atoi(o[key]); return n }
	f := gitlabtest.Fault{
		Match: args[0], Status: number("status"), Times: number("times"), Body: o["body"], Hang: o["hang"] != "",
		Close: o["close"] != "", Cut: o["cut"] != "", Endless: o["endless"] != "", Size: int64(number("size")),
		HTML: o["html"] != "", RedirectTo: o["to"], Header: map[string][]string{},
		HTTP2: o["http2"] != "", Unless: o["unless"],
	}
	if o["retry"] != "" {
		f.Header.Set("Retry-After", o["retry"])
	}
	switch {
	case o["nested"] != "":
		f.Body = strings.Repeat("[", number("nested")) + strings.Repeat("]", number("nested"))
	case o["bomb"] != "":
		f.Body = bomb(number("bomb"))
		f.Header.Set("Content-Encoding", "gzip")
	case o["headers"] != "":
		for n := range number("headers") {
			f.Header.Set(fmt.Sprintf("X-Flood-%d", n), strings.Repeat("x", 1<<10))
		}
	}
	if f.Body != "" {
		f.Header.Set("Content-Type", cmp.Or(o["type"], "application/json"))
	}
	if gap := o["drip"]; gap != "" {
		var err error
		if f.Drip, err = time.ParseDuration(gap); err != nil {
			return err
		}
	}
	if o["date"] != "" {
		ahead, err := time.ParseDuration(o["date"])
		if err != nil {
			return err
		}
		f.Header.Set("Date", time.Now().UTC().Add(ahead).Format(http.TimeFormat))
	}
	if o["delay"] != "" {
		var err error
		if f.Delay, err = time.ParseDuration(o["delay"]); err != nil {
			return err
		}
	}
	var ofPlatform bool
	if f.Match, ofPlatform = strings.CutPrefix(f.Match, "platform:"); ofPlatform {
		m.platform.AddFault(f)
	} else {
		m.gitlab.AddFault(f)
	}
	return nil
}

// bomb is JSON that is small only as long as it is packed.
func bomb(size int) string {
	var packed strings.Builder
	to := gzip.NewWriter(&packed)
	_, _ = io.WriteString(to, `{"id":1,"name":"`)
	for range size {
		_, _ = io.WriteString(to, strings.Repeat("a", 1<<20))
	}
	_, _ = io.WriteString(to, `"}`)
	_ = to.Close()
	return packed.String()
}

// gitrefuses makes git refuse every login, or no more, whatever the API says:
//
//	gitrefuses [STATUS TEXT]
func (*machineScript) gitrefuses(_ *testscript.TestScript, m *machine, args []string) error {
	if len(args) == 0 {
		m.gitlab.SetGitRefuses("", 0)
		return nil
	}
	status, err := strconv.Atoi(args[0])
	m.gitlab.SetGitRefuses(args[1], status)
	return err
}

// secret mounts a Secret as kubelet does, or swaps another in:
//
//	secret TOKEN [dir=DIR] [form=json] [KEY=VALUE]…
//
// with the stand-in's URL and CA unless other keys are given; a key without a
// value is left out. "-" is no token.
func (*machineScript) secret(_ *testscript.TestScript, m *machine, args []string) error {
	keys := map[string]string{"instanceUrl": m.gitlab.URL() + "\n"}
	ca, err := os.ReadFile(m.gitlab.CAFile())
	if err != nil {
		return err
	}
	keys["ca.crt"] = string(ca)
	if value, known := m.tokens[args[0]]; known {
		keys["token"] = value + "\n"
	} else if args[0] != "-" {
		return fmt.Errorf("no token %q", args[0])
	}
	dir := filepath.Join(m.dir, "secret")
	for _, arg := range args[1:] {
		key, value, given := strings.Cut(arg, "=")
		switch {
		case key == "dir":
			dir = filepath.Join(m.dir, value)
		case key == "form" && value == "json":
			keys["credentials.json"] = fmt.Sprintf(`{"userId":"dev","token":%q,"instanceUrl":%q,"updatedAt":"1790000000"}`,
				strings.TrimSpace(keys["token"]), m.gitlab.URL())
			delete(keys, "token")
			delete(keys, "instanceUrl")
		case !given:
			delete(keys, key)
		default:
			keys[key] = unquote(value)
		}
	}
	if value := strings.TrimSpace(keys["token"]); strings.HasPrefix(value, "glpat-") {
		m.tokens[value] = value
	}
	m.secrets[dir] = true
	return gitlabtest.WriteSecret(dir, keys)
}

// listener starts a foreign host that git trusts, and sets NAME (its URL) and
// NAME_HOST. Several of one name are one to the command unseen:
//
//	listener NAME [to=URL] [http] [any]
//
// With any, it has a certificate for every name.
func (*machineScript) listener(ts *testscript.TestScript, m *machine, args []string) error {
	o := options(args[1:])
	l, err := gitlabtest.StartListener(filepath.Join(m.dir, "gitlab"), gitlabtest.ListenerOptions{
		Redirect: o["to"], PlainHTTP: o["http"] != "", AnyName: o["any"] != ""})
	if err != nil {
		return err
	}
	m.listeners[args[0]], m.closers = append(m.listeners[args[0]], l), append(m.closers, l.Close)
	ts.Setenv(args[0], l.URL())
	ts.Setenv(args[0]+"_HOST", l.Addr())
	return nil
}

// proxy starts a forward proxy that knows the stand-in by other names, and sets
// PROXY to its URL and PROXY_HOST to its host and port; it is spoken to over plain
// HTTP, over TLS (then PROXY_CA is its authority), or by SOCKS:
//
//	proxy [NAME:PORT]… [status=407] [login] [tls] [socks]
func (*machineScript) proxy(ts *testscript.TestScript, m *machine, args []string) error {
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
	m.through = func() []string {
		var asked []string
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

// through asserts how many connections the proxy that was started last was asked
// for since the last time, or that it was asked for some, all for the instance:
//
//	through N
//	through some
func (*machineScript) throughProxy(_ *testscript.TestScript, m *machine, args []string) error {
	asked := m.through()
	if args[0] == "some" {
		for _, name := range asked[m.went:] {
			if name != m.at {
				return fmt.Errorf("the proxy was asked for %s", name)
			}
		}
		if len(asked) == m.went {
			return errors.New("no connection went through the proxy: the test proves nothing")
		}
		m.went = len(asked)
		return nil
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if got := len(asked) - m.went; got != want {
		return fmt.Errorf("%d connections through the proxy, want %d: %v", got, want, asked)
	}
	m.went = len(asked)
	return nil
}

// requests asserts how many requests the stand-in has seen since the last time:
//
//	requests [[platform:]ENDPOINT=N]… [connections=N]
//	requests reset
//
// or waits until it has seen them:
//
//	requests await [ENDPOINT=N]…
func (*machineScript) requests(ts *testscript.TestScript, m *machine, args []string) error {
	if args[0] == "await" {
		return m.await(args[1:])
	}
	for _, arg := range args {
		endpoint, number, _ := strings.Cut(arg, "=")
		want, _ := strconv.Atoi(number)
		var got int
		switch endpoint {
		case "reset":
			continue
		case "connections":
			got = m.gitlab.Connections()
		default:
			if asked, ofPlatform := strings.CutPrefix(endpoint, "platform:"); ofPlatform {
				got = m.platform.Count(asked)
			} else {
				got = m.gitlab.Count(endpoint)
			}
		}
		if got != want {
			for _, r := range m.gitlab.Requests() {
				ts.Logf("%s %s %d", r.Method, r.Path, r.Status)
			}
			return fmt.Errorf("%d requests to %s, want %d", got, endpoint, want)
		}
	}
	m.gitlab.ResetRequests()
	if m.platform != nil {
		m.platform.ResetRequests()
	}
	return nil
}

func (m *machine) await(args []string) error {
	deadline := time.Now().Add(10 * time.Second)
	for _, arg := range args {
		endpoint, number, _ := strings.Cut(arg, "=")
		want, _ := strconv.Atoi(number)
		for m.gitlab.Count(endpoint) < want {
			if time.Now().After(deadline) {
				return fmt.Errorf("%d requests to %s never came", want, endpoint)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// unseen asserts that a foreign host was asked for something, and neither it nor a
// proxy saw a token, or it any other password; with a number, that it was asked that often, and
// for 0 that the proxy was asked for no other name than the instance's:
//
//	unseen NAME [NUMBER]
func (*machineScript) unseen(_ *testscript.TestScript, m *machine, args []string) error {
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
	for token, value := range m.tokens {
		for _, p := range m.proxies {
			if p.SawSecret(value) {
				return fmt.Errorf("a proxy saw the token %s", token)
			}
		}
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

// file writes a file, quoted as in Go, that may hold a token:
//
//	file PATH TEXT [MODE]
//	file PATH size=N
func (*machineScript) file(ts *testscript.TestScript, m *machine, args []string) error {
	path := ts.MkAbs(args[0])
	m.secrets[path] = true
	text := unquote(args[1])
	if size, found := strings.CutPrefix(args[1], "size="); found {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		text = strings.Repeat("x", n)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// startPlatform starts the stand-in for the platform:
//
//	platform [http] [old]
//
// and sets PLATFORM (its address as a session pod has it, with /api) and
// PLATFORM_HOST. Its certificate is signed by the authority of the stand-in
// GitLab, which it tries tokens on.
func (*machineScript) startPlatform(ts *testscript.TestScript, m *machine, args []string) error {
	o := options(args)
	p, err := gitlabtest.StartPlatform(gitlabtest.PlatformOptions{
		Dir: filepath.Join(m.dir, "gitlab"), PlainHTTP: o["http"] != "", GitLab: m.gitlab})
	if err != nil {
		return err
	}
	p.SetOld(o["old"] != "")
	m.platform, m.closers = p, append(m.closers, p.Close)
	ts.Setenv("PLATFORM", p.URL()+"/api")
	ts.Setenv("PLATFORM_HOST", p.Addr())
	return nil
}

// session adds a session in the project team, and sets BOT_name to its token
// for the platform:
//
//	session NAME user=USER
func (*machineScript) session(ts *testscript.TestScript, m *machine, args []string) error {
	name := args[0]
	// No part of it is a word that may rightly stand somewhere.
	bot := fmt.Sprintf("eyJh.CanaryBot%08X.c2ln", crc32.ChecksumIEEE([]byte(name)))
	m.bots[name], m.tokens["bot of "+name] = bot, bot
	ts.Setenv("BOT_"+name, bot)
	m.platform.AddSession("team", name, options(args[1:])["user"], bot)
	return nil
}

// platformuser adds a user of the platform's, and sets USER_name to their token
// for it:
//
//	platformuser NAME
func (*machineScript) platformuser(ts *testscript.TestScript, m *machine, args []string) error {
	name := args[0]
	own := fmt.Sprintf("eyJh.CanaryUser%08X.c2ln", crc32.ChecksumIEEE([]byte(name)))
	m.tokens["platform user "+name] = own
	ts.Setenv("USER_"+name, own)
	m.platform.AddUser(name, own)
	return nil
}

// connection has the platform store a token of a user's, or none:
//
//	connection USER TOKEN [instance=URL]
//	connection USER -
func (*machineScript) connection(_ *testscript.TestScript, m *machine, args []string) error {
	if args[1] == "-" {
		m.platform.SetConnection(args[0], nil)
		return nil
	}
	value, known := m.tokens[args[1]]
	if !known {
		return fmt.Errorf("no token %q", args[1])
	}
	at := m.gitlab.URL()
	if instance, given := options(args[2:])["instance"]; given {
		at = instance
	}
	m.platform.SetConnection(args[0], &gitlabtest.PlatformConnection{Token: value, InstanceURL: at, UpdatedAt: time.Now()})
	return nil
}
