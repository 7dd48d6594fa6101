package check

import (
	"bytes"
	"context"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitlab"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// git asks git itself, with what get would answer. A login that git refuses
// counts for GitLab's ban, so it is made once.
func (a *answers) git() {
	if a.question.Project == "" {
		a.skip(noProject, stepFetch, stepPush)
		return
	}
	username, password, problem := a.credential()
	if problem != nil {
		a.fail(stepFetch, problem)
		a.skip("there is no credential", stepPush)
		return
	}
	for _, ask := range []struct {
		step    string
		service gitlab.Service
		verb    string
	}{{stepFetch, gitlab.Fetch, "fetch"}, {stepPush, gitlab.Push, "push"}} {
		ctx, cancel := a.limited()
		refs := a.client.Refs(ctx, a.question.Project+".git", ask.service, username, password)
		cancel()
		switch {
		case refs.State == access.Given:
			a.good(ask.step, RefsData{Refs: refs.Count}, "git lets a %s begin (%s)", ask.verb, count(refs.Count, "ref"))
		case refs.Reason == access.GitArchived:
			a.warn(ask.step, nil, a.explain(refs.Reply))
		default:
			a.fail(ask.step, a.explain(refs.Reply))
			if ask.service == gitlab.Fetch {
				a.skip("a fetch did not begin", stepPush)
				return
			}
		}
	}
}

// credential is what get answers for the token that was checked.
func (a *answers) credential() (username, password string, problem *message.Message) {
	h := a.Helper
	h.Verify = func(context.Context, helper.Question) helper.Finding { return helper.Finding{Verdict: a.verdict} }
	request := a.place.request
	asked, err := credential.Marshal([]credential.Attribute{
		{Key: "protocol", Value: request.Protocol}, {Key: "host", Value: request.Host}, {Key: "path", Value: request.Path}})
	if err != nil {
		return "", "", message.MalformedRequest(err)
	}
	result := h.Get(a.ctx, bytes.NewReader(asked))
	if result.Outcome != helper.Answered {
		if len(result.Messages) == 0 {
			return "", "", message.NoAnswer()
		}
		return "", "", result.Messages[0]
	}
	attributes, err := credential.Read(bytes.NewReader(result.Answer))
	if err != nil {
		return "", "", message.NoAnswer()
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
