package scripttest

import (
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

func (m *machine) startGitLab(ts *testscript.TestScript, args []string) error {
	o := parseOptions(args)
	var hosts []string
	if o.is("hosts") {
		hosts = strings.Split(o["hosts"], ",")
	}
	server, err := gitlabtest.Start(gitlabtest.Options{
		Dir: filepath.Join(m.dir, "gitlab"), Path: o["path"], Hosts: hosts, HTTP1Only: o.is("http1"),
		PlainHTTP: o.is("http"), Certificate: gitlabtest.CertificateKind(o["cert"]),
		ClientCertificates: o.is("clients"),
	})
	if err != nil {
		return err
	}
	m.gitlab, m.closers = server, append(m.closers, server.Close)
	m.secrets[filepath.Join(m.dir, "gitlab")] = true
	server.SetOld(o.is("old"))
	at, err := url.Parse(server.URL())
	if err != nil {
		return err
	}
	ts.Setenv("GITLAB", server.URL())
	ts.Setenv("GITLAB_HOST", at.Host)
	ts.Setenv("GITLAB_PORT", at.Port())
	ts.Setenv("GITLAB_CA", server.CAFile())
	if o.is("clients") {
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
	if o.is("untrusted") {
		return nil
	}
	return m.git("config", "--global", "http.sslCAInfo", server.CAFile())
}

func (m *machine) addUser(_ *testscript.TestScript, args []string) error {
	o := parseOptions(args[1:])
	m.gitlab.AddUser(gitlabtest.User{ID: m.userID(args[0]), Username: args[0], Name: cmp.Or(o["name"], args[0]),
		Email: args[0] + "@example.com", CommitEmail: o["commit"], Admin: o.is("admin"), Forbidden: o["forbidden"]})
	return nil
}

// userID is the ID of a user, assigned when the name is first used.
func (m *machine) userID(name string) int {
	if !slices.Contains(m.users, name) {
		m.users = append(m.users, name)
	}
	return 70 + slices.Index(m.users, name)
}

func (m *machine) addToken(ts *testscript.TestScript, args []string) error {
	name, o := args[0], parseOptions(args[1:])
	t := gitlabtest.Token{
		// No part of the default may appear by chance.
		Value: cmp.Or(m.tokens[name], o["value"], fmt.Sprintf("glpat-Canary%08X", crc32.ChecksumIEEE([]byte(name)))),
		Name:  cmp.Or(unquote(o["name"]), name), UserID: m.userID(o["user"]),
		Scopes:    access.DefaultScopes(),
		ExpiresAt: expiry(o["expires"]), Revoked: o.is("revoked"), Granular: o.is("granular"), Kind: o["kind"],
	}
	if o.is("used") {
		t.LastUsedAt = time.Now()
	}
	if o.is("scopes") {
		t.Scopes = strings.Split(o["scopes"], ",")
	}
	m.tokens[name] = t.Value
	ts.Setenv("TOKEN_"+name, t.Value)
	ts.Setenv("BASIC_"+name, base64.StdEncoding.EncodeToString([]byte("oauth2:"+t.Value)))
	m.gitlab.AddToken(t)
	return nil
}

// expiry parses a date, a number of days (30d), or never.
func expiry(text string) string {
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

func (m *machine) addProject(_ *testscript.TestScript, args []string) error {
	p := gitlabtest.Project{Path: args[0], Direct: map[int]int{}, Group: map[int]int{}, Invited: map[int]int{}}
	for key, value := range parseOptions(args[1:]) {
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
			p.Group[m.userID(key[len("group:"):])] = level
		case strings.HasPrefix(key, "invited:"):
			p.Invited[m.userID(key[len("invited:"):])] = level
		default:
			p.Direct[m.userID(key)] = level
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

func (m *machine) addFault(_ *testscript.TestScript, args []string) error {
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
	f, err := parseFault(parseOptions(args[1:]))
	if err != nil {
		return err
	}
	if match, ofPlatform := strings.CutPrefix(args[0], "platform:"); ofPlatform {
		f.Match = match
		m.platform.AddFault(f)
		return nil
	}
	f.Match = args[0]
	m.gitlab.AddFault(f)
	return nil
}

func parseFault(o options) (gitlabtest.Fault, error) {
	f := gitlabtest.Fault{
		Status: o.number("status"), Times: o.number("times"), Body: o["body"], Hang: o.is("hang"),
		Close: o.is("close"), Cut: o.is("cut"), Endless: o.is("endless"), Size: int64(o.number("size")),
		HTML: o.is("html"), RedirectTo: o["to"], Header: http.Header{},
		HTTP2: o.is("http2"), Unless: o["unless"],
	}
	if o.is("retry") {
		f.Header.Set("Retry-After", o["retry"])
	}
	switch {
	case o.is("nested"):
		f.Body = strings.Repeat("[", o.number("nested")) + strings.Repeat("]", o.number("nested"))
	case o.is("bomb"):
		f.Body = bomb(o.number("bomb"))
		f.Header.Set("Content-Encoding", "gzip")
	case o.is("headers"):
		for n := range o.number("headers") {
			f.Header.Set(fmt.Sprintf("X-Flood-%d", n), strings.Repeat("x", 1<<10))
		}
	}
	if f.Body != "" {
		f.Header.Set("Content-Type", "application/json")
	}
	var ahead time.Duration
	for key, to := range map[string]*time.Duration{"drip": &f.Drip, "delay": &f.Delay, "date": &ahead} {
		if !o.is(key) {
			continue
		}
		var err error
		if *to, err = time.ParseDuration(o[key]); err != nil {
			return f, err
		}
	}
	if o.is("date") {
		f.Header.Set("Date", time.Now().UTC().Add(ahead).Format(http.TimeFormat))
	}
	return f, nil
}

// bomb is JSON of so many MiB, compressed.
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

func (m *machine) gitRefuses(_ *testscript.TestScript, args []string) error {
	if len(args) == 0 {
		m.gitlab.SetGitRefuses("", 0)
		return nil
	}
	status, err := strconv.Atoi(args[0])
	m.gitlab.SetGitRefuses(args[1], status)
	return err
}

func (m *machine) rateLimit(_ *testscript.TestScript, args []string) error {
	limit, err := strconv.Atoi(args[0])
	m.gitlab.SetRateLimit(limit, time.Hour)
	return err
}

func (m *machine) mountSecret(_ *testscript.TestScript, args []string) error {
	ca, err := os.ReadFile(m.gitlab.CAFile())
	if err != nil {
		return err
	}
	keys := map[string]string{"instanceUrl": m.gitlab.URL() + "\n", "ca.crt": string(ca)}
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

func (m *machine) wantRequests(ts *testscript.TestScript, args []string) error {
	if args[0] == "await" {
		return m.await(args[1:])
	}
	for _, arg := range args {
		endpoint, number, _ := strings.Cut(arg, "=")
		want, _ := strconv.Atoi(number)
		var got int
		asked, ofPlatform := strings.CutPrefix(endpoint, "platform:")
		switch {
		case endpoint == "reset":
			continue
		case endpoint == "connections":
			got = m.gitlab.Connections()
		case ofPlatform:
			got = m.platform.Count(asked)
		default:
			got = m.gitlab.Count(endpoint)
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
