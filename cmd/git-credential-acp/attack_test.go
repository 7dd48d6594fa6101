package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// attacks is where the attack suite is: a file for each input or behaviour of a
// server.
var attacks = filepath.Join(scripts, "attacks")

// The attacks are on the program as it is built for release.
func TestAttacks(t *testing.T) { runScripts(t, attacks, program(t)) }

// Each file of the suite says where the attack comes from and what has to
// happen, and asserts all of it: of each call the exit code, standard output and
// standard error; and in the end the requests that each server has seen, and the
// files that are left.
func TestAttacksAssertAll(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(attacks, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no attacks: %v", err)
	}
	guide, err := os.ReadFile(filepath.Join(attacks, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	header := regexp.MustCompile(`\A# origin: \S[^\n]*\n(#   \S[^\n]*\n)*# expected: \S[^\n]*\n(#   \S[^\n]*\n)*\n`)
	call := regexp.MustCompile(`^(exec ask|exits \d+)( |$)`)
	saysOut, saysErr := regexp.MustCompile(`^(! )?stdout |^cmp(env)? stdout `), regexp.MustCompile(`^(! )?stderr |^cmp(env)? stderr `)
	atEnd := []*regexp.Regexp{
		regexp.MustCompile(`^requests (.* )?all=\d+$`), regexp.MustCompile(`^unseen EVIL \d+$`), regexp.MustCompile(`^left( |$)`),
	}
	servers := map[*regexp.Regexp]string{
		regexp.MustCompile(`^listener (\w+)`):  `^unseen NAME( \d+)?$`,
		regexp.MustCompile(`^(platform)( |$)`): `^requests (.* )?NAME:\w+=\d+`,
		regexp.MustCompile(`^(proxy)( |$)`):    `^through `,
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bad := func(what string) { t.Errorf("%s %s", filepath.Base(name), what) }
		if kind, _, _ := strings.Cut(filepath.Base(name), "-"); !strings.Contains(string(guide), "`"+kind+"-`") {
			bad("is of a kind that README.md does not name")
		}
		if !header.Match(text) {
			bad("does not begin with its origin and what is expected")
		}
		script, _, _ := strings.Cut(string(text), "\n-- ")
		calls, out, err2 := 0, 0, 0
		atEnd := slices.Clone(atEnd)
		ends := make([]bool, len(atEnd), len(atEnd)+4)
		for line := range strings.Lines(script) {
			line = strings.TrimSuffix(line, "\n")
			// What each further server has seen has to be asserted, too.
			for kind, asserted := range servers {
				if match := kind.FindStringSubmatch(line); match != nil {
					atEnd = append(atEnd, regexp.MustCompile(strings.ReplaceAll(asserted, "NAME", match[1])))
					ends = append(ends, false)
				}
			}
			switch {
			case call.MatchString(line):
				if out < calls || err2 < calls {
					bad("asserts too little before: " + line)
				}
				calls++
				clear(ends)
			case saysOut.MatchString(line):
				out = calls
			case saysErr.MatchString(line):
				err2 = calls
			}
			for i, pattern := range atEnd {
				ends[i] = ends[i] || pattern.MatchString(line)
			}
		}
		if calls == 0 || out < calls || err2 < calls {
			bad("asserts too little of its last call")
		}
		for i, done := range ends {
			if !done {
				bad("does not end with " + atEnd[i].String())
			}
		}
	}
}

// victim makes a machine to attack: gitlab.example.com (GITLAB), a user with a
// good token for it (dev) and the project group/project, the token in a mounted
// Secret, and a proxy through which every other name and port (EVIL is one)
// leads to the attacker, who has a good certificate for each:
//
//	victim [host=NAME[:PORT]] [OPTIONS OF gitlab]
//
// Verdicts are remembered in $WORK/cache.
func (s *machineScript) victim(ts *testscript.TestScript, m *machine, args []string) error {
	host, options := "gitlab.example.com", args
	if len(args) > 0 && strings.HasPrefix(args[0], "host=") {
		host, options = args[0][len("host="):], args[1:]
	}
	at := host
	if !strings.Contains(host, ":") {
		at += ":443"
	}
	path := ""
	for _, option := range options {
		if value, found := strings.CutPrefix(option, "path="); found {
			path = value
		}
	}
	if err := s.gitlab(ts, m, append(options, "hosts="+at[:strings.LastIndexByte(at, ':')])); err != nil {
		return err
	}
	ts.Setenv("GITLAB", "https://"+host+path)
	ts.Setenv("GITLAB_HOST", host)
	for _, step := range []struct {
		do   func(*testscript.TestScript, *machine, []string) error
		args []string
	}{
		{s.user, []string{"dev"}},
		{s.token, []string{"dev", "user=dev", "expires=2099-12-31"}},
		{s.project, []string{"group/project", "dev=30"}},
		{s.secret, []string{"dev", "instanceUrl=https://" + host + path}},
		{s.listener, []string{"EVIL", "any"}},
		{s.listener, []string{"EVIL", "http"}},
		{s.proxy, []string{at}},
	} {
		if err := step.do(ts, m, step.args); err != nil {
			return err
		}
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
	return s.left(ts, m, []string{"reset"})
}

// intercept puts somebody else in the place of gitlab.example.com: the attacker,
// whose certificate is signed by another authority, or who speaks no TLS:
//
//	intercept [plain]
func (*machineScript) intercept(_ *testscript.TestScript, m *machine, args []string) error {
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

// exits runs a program, which has to end with that exit code:
//
//	exits CODE PROGRAM [ARGUMENT]…
func (*machineScript) exits(ts *testscript.TestScript, _ *machine, args []string) error {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code, err = exit.ExitCode(), nil
	}
	if err == nil && code != want {
		err = fmt.Errorf("exit code %d, want %d", code, want)
	}
	return err
}

// left asserts that no files were made or changed since the script began, but
// those that are named and what lies below them:
//
//	left [PATH]…
//	left reset
func (*machineScript) left(_ *testscript.TestScript, m *machine, args []string) error {
	now := m.files()
	if len(args) == 1 && args[0] == "reset" {
		m.before = now
		return nil
	}
	for name, is := range now {
		expected := is == m.before[name]
		for _, path := range args {
			expected = expected || name == path || strings.HasPrefix(name, path+"/")
		}
		if !expected {
			return fmt.Errorf("%s was left or changed", name)
		}
	}
	for name := range m.before {
		if _, there := now[name]; !there {
			return fmt.Errorf("%s is gone", name)
		}
	}
	for _, path := range args {
		if _, there := now[path]; !there {
			return fmt.Errorf("%s is not there", path)
		}
	}
	return nil
}

// files are all files of the machine, but those of the stand-in and of Secrets,
// with what is in them.
func (m *machine) files() map[string]string {
	found := map[string]string{}
	_ = filepath.WalkDir(m.dir, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(m.dir, path)
		switch {
		case err != nil:
			return nil
		case (m.secrets[path] || name == "record") && entry.IsDir():
			return filepath.SkipDir
		case m.secrets[path]:
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		is := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			is = fmt.Sprintf("%s %x %v", is, sha256.Sum256(data), err)
		case info.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			is += " " + to
		}
		found[name] = is
		return nil
	})
	return found
}
