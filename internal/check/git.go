package check

import (
	"bytes"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
)

// git tests a login over git's protocol with get's answer. A failed login counts toward
// GitLab's ban, so it is tried only once.
func (a *answers) git() {
	if a.question.Project == "" {
		a.skip(noProject, stepFetch, stepPush)
		return
	}
	username, password, problem := credentialOf(a.result)
	if problem != nil {
		a.fail(stepFetch, problem)
		a.skip("there is no credential", stepPush)
		return
	}
	for _, ask := range []struct {
		step    string
		service gitlab.Service
		verb    string
		minimum int
	}{{stepFetch, gitlab.Fetch, "fetch", access.Reporter}, {stepPush, gitlab.Push, "push", access.Developer}} {
		ctx, cancel := a.limited()
		refs := a.client.Refs(ctx, a.question.Repository(), ask.service, username, password)
		cancel()
		switch {
		case refs.State == access.Given:
			a.good(ask.step, RefsData{Refs: refs.Count}, "GitLab accepts a %s (%s)", ask.verb, count(refs.Count, "ref"))
		case ask.service == gitlab.Push && (refs.Reason == access.GitArchived ||
			refs.Reason == access.GitRole && a.question.Policy.Minimum < access.Developer):
			// Less than Developer is asked for where nobody pushes.
			a.warn(ask.step, nil, a.explain(refs.Reply, ask.minimum))
		default:
			a.fail(ask.step, a.explain(refs.Reply, ask.minimum))
			if ask.service == gitlab.Fetch {
				a.skip("the fetch did not start", stepPush)
				return
			}
		}
	}
}

// credentialOf is the login in get's answer.
func credentialOf(result helper.Result) (username, password string, problem error) {
	attributes, err := credential.Read(bytes.NewReader(result.Answer))
	if err != nil || result.Outcome != helper.Answered {
		return "", "", errNoAnswer()
	}
	for _, attribute := range attributes {
		switch attribute.Key {
		case "username":
			username = attribute.Value
		case "password":
			password = attribute.Value
		}
	}
	return username, password, nil
}
