package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ambient-code/git-credential-acp/internal/check"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// checkSchema is what check --json is documented to print, and allSchema what check
// --all --json is.
var (
	checkSchema = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("check.schema.json") })
	allSchema   = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile("check-all.schema.json") })
)

func compile(name string) (*jsonschema.Schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	return compiler.Compile(filepath.Join(root, "docs", name))
}

// parseWith parses a document and validates it against a schema.
func parseWith(read func() (*jsonschema.Schema, error), document []byte) (result checkResult, err error) {
	schema, err := read()
	if err != nil {
		return result, err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return result, err
	}
	if err := schema.Validate(instance); err != nil {
		return result, err
	}
	return result, json.Unmarshal(document, &result)
}

// checkResult is the part of such a document that these tests look at.
type checkResult struct {
	Outcome  string `json:"outcome"`
	ExitCode int    `json:"exitCode"`
	Reason   struct{ Code, Text, Hint string }
	Failures int `json:"failures"`
	Warnings int `json:"warnings"`
	Steps    []struct{ Name, Status, Code, Instance string }
}

// parseCheck parses the output of check --json and validates it against its schema; all
// steps must be there, in order, and the counts must be right.
func parseCheck(document []byte) (result checkResult, err error) {
	if result, err = parseWith(checkSchema, document); err != nil || result.Outcome == string(check.Usage) {
		return result, err
	}
	names, at, failures, warnings := check.Steps(), -1, 0, 0
	for _, step := range result.Steps {
		n := slices.Index(names, step.Name)
		for missed := at + 1; missed < n; missed++ {
			if names[missed] != "branch" {
				return result, fmt.Errorf("%s was not made before %s", names[missed], step.Name)
			}
		}
		if n < at && n != 0 {
			return result, fmt.Errorf("%s comes after %s", step.Name, names[at])
		}
		at = n
		switch step.Status {
		case "failed":
			failures++
		case "warning":
			warnings++
		}
	}
	if at != len(names)-1 || failures != result.Failures || warnings != result.Warnings {
		return result, fmt.Errorf("it ends with step %d, after %d failures and %d warnings", at, failures, warnings)
	}
	return result, nil
}

// invisible is a name with control and invisible characters.
const invisible = "\x1b[2J\u202e\u2028\u2029\u0085\u200b\u3164\ufe0f\u00a0\U000e0041\x7fname"

// run runs the built program in the pod, and returns standard output and the exit code.
func (p *pod) run(args ...string) (stdout string, code int) {
	p.t.Helper()
	cmd := exec.Command(program(p.t), args...)
	cmd.Env, cmd.Dir = p.env, p.dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if strings.Contains(string(out), "Canary") || exit != nil && strings.Contains(string(exit.Stderr), "Canary") {
		p.t.Error("a token was printed")
	}
	if strings.ContainsFunc(string(out), func(r rune) bool { return r != '\n' && !message.Visible(r) }) {
		p.t.Errorf("an invisible character was printed: %q", out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// The output of check --json matches its schema with every outcome, and each step is good
// in at least one case.
func TestCheckSchema(t *testing.T) {
	t.Parallel()
	good := map[string]bool{}
	for _, test := range []struct {
		name    string
		prepare func(*pod)
		args    []string
		outcome check.Outcome
		code    string
	}{
		{"good", func(*pod) {}, []string{"--branch", "main"}, check.AllGood, ""},
		{"warnings", func(p *pod) {
			p.change(func(tok *gitlabtest.Token) {
				tok.ExpiresAt = ""
				tok.Name = invisible
				tok.Scopes = append(tok.Scopes, "sudo")
			})
			p.project(func(project *gitlabtest.Project) { project.Archived = true })
			p.git("config", "--global", "--add", "credential.helper", "store")
			p.git("config", "--global", "remote.x.url", "https://user:Canary-password@example.com/a/b")
			p.git("config", "--global", "http.sslVerify", "false")
		}, nil, check.AllGood, ""},
		{"refused by the level", func(p *pod) {
			p.project(func(project *gitlabtest.Project) { project.Direct = map[int]int{7: 20} })
		}, nil, check.Refused, "level-too-low"},
		{"refused by git", func(p *pod) { p.gitlab.SetGitRefuses("Cannot find valid SSO session.", 403) }, nil, check.Refused, "git-sso"},
		{"a protected branch", func(p *pod) {
			p.project(func(project *gitlabtest.Project) { project.ProtectedBranches = []string{"main"} })
		}, []string{"--branch", "main"}, check.Refused, "branch-protected"},
		{"no token", func(p *pod) { p.env = append(p.env, "ACP_GITLAB_SECRET_DIR="+p.path("none")) }, nil, check.Refused, "not-connected"},
		{"an outage", func(p *pod) { p.gitlab.AddFault(gitlabtest.Fault{Match: "api", Status: 500}) }, nil, check.Unverified, "server-error"},
		{"usage", func(*pod) {}, []string{"another"}, check.Usage, "url-invalid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPod(t, "group/project")
			p.gitlab.SetRateLimit(1000, time.Hour)
			test.prepare(p)
			out, code := p.run(append([]string{"check", "--json", p.gitlab.URL() + "/group/project.git"}, test.args...)...)
			result, err := parseCheck([]byte(out))
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if result.Outcome != string(test.outcome) || result.ExitCode != code || result.Reason.Code != test.code {
				t.Errorf("%s, exit code %d, over %q; want %s, %d, %q\n%s",
					result.Outcome, code, result.Reason.Code, test.outcome, result.ExitCode, test.code, out)
			}
			for _, step := range result.Steps {
				good[step.Name] = good[step.Name] || step.Status == "good"
			}
		})
	}
	for _, name := range check.Steps() {
		// Here the host is an IP address, and git-lfs may be missing.
		if !good[name] && name != "dns" && name != "git-lfs-version" {
			t.Errorf("%s was never good", name)
		}
	}
}

// The schema rejects documents that are slightly wrong.
func TestCheckSchemaRefuses(t *testing.T) {
	p := newPod(t, "group/project")
	out, _ := p.run("check", "--json", p.gitlab.URL()+"/group/project.git")
	for _, change := range [][2]string{
		{`"schemaVersion": 1`, `"schemaVersion": 2`},
		{`"outcome": "good"`, `"outcome": "refused"`},
		{`"exitCode": 0`, `"exitCode": 1`},
		{`"name": "proxy"`, `"name": "prox"`},
		{`"failures": 0`, `"failures": 0, "more": 1`},
		{`"name": "tls",`, `"name": "tls", "more": 1,`},
		{`"milliseconds"`, `"seconds"`},
		{`"text": "none is used",`, ``},
		{`"name": "settings",
      "status": "good"`, `"name": "settings",
      "status": "warning"`},
		{`"name": "access",
      "status": "good"`, `"name": "access",
      "status": "failed"`},
		{`"source": "mount"`, `"source": "air"`},
	} {
		changed := strings.Replace(out, change[0], change[1], 1)
		if changed == out {
			t.Errorf("%q is not in the document:\n%s", change[0], out)
		}
		if _, err := parseCheck([]byte(changed)); err == nil {
			t.Errorf("%q is taken for %q", change[1], change[0])
		}
	}
}

// change changes the pod's token on GitLab, and project its project there.
func (p *pod) change(f func(*gitlabtest.Token)) {
	p.t.Helper()
	if err := p.gitlab.UpdateToken(podToken, f); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pod) project(f func(*gitlabtest.Project)) {
	p.t.Helper()
	if err := p.gitlab.UpdateProject("group/project", f); err != nil {
		p.t.Fatal(err)
	}
}

// With the same GitLab, Secret and settings, check and get have the same exit code.
func TestCheckAgreesWithGet(t *testing.T) {
	t.Parallel()
	fault := func(f gitlabtest.Fault) func(*pod) { return func(p *pod) { p.gitlab.AddFault(f) } }
	forbidden := func(text string) func(*pod) {
		return func(p *pod) { p.gitlab.AddUser(gitlabtest.User{ID: 7, Username: "dev", Forbidden: text}) }
	}
	token := func(f func(*gitlabtest.Token)) func(*pod) { return func(p *pod) { p.change(f) } }
	level := func(direct, group, invited int) func(*pod) {
		return func(p *pod) {
			p.project(func(project *gitlabtest.Project) {
				project.Direct, project.Group, project.Invited = map[int]int{7: direct}, map[int]int{7: group}, map[int]int{7: invited}
			})
		}
	}
	env := func(variable string) func(*pod) { return func(p *pod) { p.env = append(p.env, variable) } }
	secret := func(keys map[string]string) func(*pod) {
		return func(p *pod) {
			all := map[string]string{"token": podToken, "instanceUrl": p.gitlab.URL()}
			for key, value := range keys {
				if all[key] = value; value == "" {
					delete(all, key)
				}
			}
			if err := gitlabtest.WriteSecret(p.path("secret"), all); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	for name, test := range map[string]struct {
		prepare func(*pod)
		code    int
	}{
		"good":                   {func(*pod) {}, 0},
		"unknown":                {func(p *pod) { p.mount("glpat-Canary00000000") }, 1},
		"expired":                {token(func(t *gitlabtest.Token) { t.ExpiresAt = day(0) }), 1},
		"expires tomorrow":       {token(func(t *gitlabtest.Token) { t.ExpiresAt = day(1) }), 0},
		"never expires":          {token(func(t *gitlabtest.Token) { t.ExpiresAt = "" }), 0},
		"revoked":                {token(func(t *gitlabtest.Token) { t.Revoked = true }), 1},
		"of OAuth":               {token(func(t *gitlabtest.Token) { t.Kind = "oauth" }), 1},
		"blocked":                {forbidden("Your account has been blocked."), 1},
		"pending":                {forbidden("Your account is pending approval from your administrator and hence blocked."), 1},
		"terms":                  {forbidden("You (@dev) must accept the Terms of Service in order to perform this action."), 1},
		"forbidden for a reason": {forbidden("Something new."), 1},
		"scopes missing":         {token(func(t *gitlabtest.Token) { t.Scopes = []string{"read_api", "read_user"} }), 1},
		"scopes implied":         {token(func(t *gitlabtest.Token) { t.Scopes = []string{"api", "write_repository"} }), 0},
		"scopes too broad":       {token(func(t *gitlabtest.Token) { t.Scopes = append(t.Scopes, "sudo") }), 0},
		"fine-grained":           {token(func(t *gitlabtest.Token) { t.Granular = true }), 0},
		"fine-grained, no grant": {token(func(t *gitlabtest.Token) { t.Granular, t.Scopes = true, nil }), 1},
		"level in the group":     {level(0, 30, 0), 0},
		"level by invitation":    {level(0, 0, 40), 0},
		"level too low":          {level(20, 10, 20), 1},
		"no level":               {level(0, 0, 0), 1},
		"an administrator": {func(p *pod) {
			level(0, 0, 0)(p)
			p.gitlab.AddUser(gitlabtest.User{ID: 7, Username: "dev", Admin: true})
		}, 0},
		"another minimum": {env("ACP_GITLAB_MIN_ACCESS=40"), 1},
		"other scopes":    {env("ACP_GITLAB_REQUIRED_SCOPES=k8s_proxy"), 1},
		"archived":        {func(p *pod) { p.project(func(p *gitlabtest.Project) { p.Archived = true }) }, 0},
		"moved": {func(p *pod) {
			p.project(func(p *gitlabtest.Project) { p.Path, p.OldPaths = "group/new", []string{"group/project"} })
		}, 0},
		"old GitLab":                {func(p *pod) { p.gitlab.SetOld(true) }, 0},
		"old GitLab, dead token":    {func(p *pod) { p.gitlab.SetOld(true); p.mount("glpat-Canary00000000") }, 1},
		"429":                       {fault(gitlabtest.Fault{Match: "api", Status: 429, Header: map[string][]string{"Retry-After": {"600"}}}), 3},
		"500":                       {fault(gitlabtest.Fault{Match: "api", Status: 500}), 3},
		"503 about the project":     {fault(gitlabtest.Fault{Match: "project", Status: 503}), 3},
		"a sign-in page":            {fault(gitlabtest.Fault{Match: "api", HTML: true}), 3},
		"a redirect":                {fault(gitlabtest.Fault{Match: "api", RedirectTo: "https://example.com/"}), 3},
		"broken JSON":               {fault(gitlabtest.Fault{Match: "self", Status: 200, Body: "{"}), 3},
		"no answer":                 {fault(gitlabtest.Fault{Match: "api", Hang: true}), 3},
		"no connection":             {fault(gitlabtest.Fault{Match: "api", Close: true}), 3},
		"no GitLab":                 {fault(gitlabtest.Fault{Match: "api", Status: 404, Body: `{"hello":"world"}`}), 3},
		"nobody there":              {secret(map[string]string{"instanceUrl": "https://127.0.0.1:1"}), 3},
		"no such name":              {secret(map[string]string{"instanceUrl": "https://gitlab.invalid"}), 3},
		"an authority too few":      {env("GIT_SSL_CAINFO="), 3},
		"a file of no authorities":  {func(p *pod) { p.env = append(p.env, "GIT_SSL_CAINFO="+p.path("none")) }, 1},
		"a proxy that is not there": {env("HTTPS_PROXY=http://127.0.0.1:1"), 3},
		"no token":                  {secret(map[string]string{"token": ""}), 1},
		"a token of another kind":   {secret(map[string]string{"token": "gldt-Canary00000000"}), 1},
		"a token that is cut":       {secret(map[string]string{"token": "glpat-bzoxCnU6MnNhYWFhYWFhYWFhYWFhYWFhEA.0y04texdx"}), 1},
		"two forms":                 {secret(map[string]string{"credentials.json": "{}"}), 1},
		"an authority that is none": {secret(map[string]string{"ca.crt": "x"}), 1},
		"the time limit":            {env("ACP_GITLAB_TIMEOUT=soon"), 1},
		"the scopes":                {env("ACP_GITLAB_REQUIRED_SCOPES=;"), 1},
		"the level":                 {env("ACP_GITLAB_MIN_ACCESS=boss"), 1},
		"what is not verified":      {env("ACP_GITLAB_ON_UNVERIFIED=maybe"), 1},
		"how long it counts":        {env("ACP_GITLAB_CACHE_TTL=x"), 1},
		"the source":                {env("ACP_GITLAB_SOURCE=vault"), 1},
		"the environment's instance is not needed": {env("ACP_GITLAB_INSTANCE_URL=nonsense"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPod(t, "group/project")
			p.env = append(p.env, "ACP_GITLAB_TIMEOUT=4s", "ACP_GITLAB_CACHE_DIR=off")
			test.prepare(p)
			instance, err := os.ReadFile(p.path("secret/instanceUrl"))
			if err != nil {
				t.Fatal(err)
			}
			get := exec.Command(program(t), "get")
			get.Env = p.env
			get.Stdin = strings.NewReader("protocol=https\nhost=" + strings.TrimPrefix(string(instance), "https://") + "\npath=group/project.git\n")
			said, err := get.CombinedOutput()
			if get.ProcessState == nil {
				t.Fatal(err)
			}
			out, code := p.run("check", string(instance)+"/group/project.git", "--json")
			if _, err := parseCheck([]byte(out)); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if by := get.ProcessState.ExitCode(); by != test.code || code != test.code {
				t.Errorf("get ends with %d, check with %d, want %d\n%s\n%s", by, code, test.code, said, out)
			}
		})
	}
}
