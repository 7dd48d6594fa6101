package check

import (
	"bytes"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
)

// reportFetch tests git's login for a fetch with get's answer. A failed login counts toward
// GitLab's ban, so a push is not tried after one.
func reportFetch(a *answers) {
	_, _, problem := credentialOf(a.result)
	switch {
	case a.question.Project == "":
		a.noPush = noProject
		a.skip(noProject, stepFetch)
		return
	case problem != nil:
		a.noPush = "there is no credential"
		a.fail(stepFetch, problem)
		return
	}
	refs := logIn(a, gitlab.Fetch)
	if refs.State != access.Given {
		a.noPush = "the fetch did not start"
		a.fail(stepFetch, a.explain(refs.Reply, access.Reporter))
		return
	}
	a.good(stepFetch, RefsData{Refs: refs.Count}, "GitLab accepts a fetch (%s)", count(refs.Count, "ref"))
}

// reportPush tests git's login for a push, after a successful fetch.
func reportPush(a *answers) {
	if a.noPush != "" {
		a.skip(a.noPush, stepPush)
		return
	}
	refs := logIn(a, gitlab.Push)
	switch {
	case refs.State == access.Given:
		a.good(stepPush, RefsData{Refs: refs.Count}, "GitLab accepts a push (%s)", count(refs.Count, "ref"))
	case refs.Reason == access.GitArchived || refs.Reason == access.GitRole && a.question.Policy.Minimum < access.Developer:
		// A minimum below Developer is for use without pushes.
		a.warn(stepPush, nil, a.explain(refs.Reply, access.Developer))
	default:
		a.fail(stepPush, a.explain(refs.Reply, access.Developer))
	}
}

// logIn starts a fetch or push with the login of get's answer.
func logIn(a *answers, service gitlab.Service) access.Refs {
	username, password, _ := credentialOf(a.result)
	ctx, cancel := a.limited()
	defer cancel()
	return a.client.Refs(ctx, a.question.Repository(), service, username, password)
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
