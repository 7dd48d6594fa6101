package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// The output of status --json matches its schema with every outcome, and has no token or
// control character even if GitLab sends them.
func TestStatusSchema(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(filepath.Join(root, "docs", "status.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name          string
		prepare       func(*rotation)
		args          []string
		outcome, code string
		exit          int
		differences   int
	}{
		{name: "good", outcome: "good"},
		{name: "echoed", prepare: func(r *rotation) {
			r.change(func(tok *gitlabtest.Token) { tok.Name = invisible + podToken; tok.ExpiresAt = "" })
		}, outcome: "good"},
		{name: "different", prepare: func(r *rotation) {
			r.platform.SetConnection("dev", nil)
		}, outcome: "good", differences: 1},
		{name: "nothing", prepare: func(r *rotation) {
			r.platform.SetConnection("dev", nil)
			r.env = append(r.env, "ACP_GITLAB_TOKEN_FILE=")
		}, outcome: "refused", code: "nothing-kept", exit: 1},
		{name: "revoked", prepare: func(r *rotation) {
			r.change(func(tok *gitlabtest.Token) { tok.Revoked = true })
		}, outcome: "refused", code: "token-revoked", exit: 1},
		{name: "an outage", prepare: func(r *rotation) {
			r.platform.AddFault(gitlabtest.Fault{Match: "status", Status: 500})
		}, outcome: "unverified", code: "platform-error", exit: 3},
		{name: "a setting", prepare: func(r *rotation) {
			r.env = append(r.env, "ACP_GITLAB_TIMEOUT=soon")
		}, outcome: "refused", code: "setting-invalid", exit: 1},
		{name: "a variable", prepare: func(r *rotation) {
			r.env = append(r.env, "ACP_GITLAB_SECRET=one")
		}, outcome: "refused", code: "setting-invalid", exit: 1},
		{name: "usage", args: []string{"--secret", "one"}, outcome: "usage", code: "flag-invalid", exit: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRotation(t)
			if test.prepare != nil {
				test.prepare(r)
			}
			out, exit := r.pod.run(append([]string{"status", "--json"}, test.args...)...)
			instance, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
			if err == nil {
				err = schema.Validate(instance)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var got struct {
				Outcome     string
				ExitCode    int
				Reason      struct{ Code string }
				Differences []string
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			if got.Outcome != test.outcome || got.Reason.Code != test.code || exit != test.exit || got.ExitCode != exit || len(got.Differences) != test.differences {
				t.Errorf("%+v, exit code %d\n%s", got, exit, out)
			}
			r.pod.run(append([]string{"status"}, test.args...)...)
		})
	}
}
