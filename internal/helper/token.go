package helper

import (
	"context"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Token finds and verifies the token for a request as Get does, for a caller that
// sends it to the instance itself, with minimum as the lowest access level. failed is
// a token that git on GitLab refused a moment ago, the zero value for none: it is not
// given again. The error is why there is no token; notes are for people.
func (h Helper) Token(ctx context.Context, req credential.Request, minimum int, failed token.Token) (_ source.Found, made time.Time, notes []error, why error) {
	ctx = deadline.Begin(ctx)
	found, result := h.Find(ctx, req)
	if found == nil {
		if len(result.Messages) == 0 {
			return source.Found{}, made, nil, message.NotConnected(req.Host, []string{"nothing that is for it"}, h.Source.Connect())
		}
		return source.Found{}, made, nil, result.Messages[0]
	}
	question, rules, why := h.Question(req, *found)
	if why != nil {
		return source.Found{}, made, nil, why
	}
	question = question.withMinimum(minimum)
	if !failed.IsZero() {
		question.After = time.Now()
	}
	question, finding, notes := h.verdict(ctx, req, question)
	notes = append(notes, finding.Notes...)
	v := finding.Verdict
	allowed := v.Outcome == access.Granted ||
		v.Outcome == access.Unverified && rules.AllowUnverified && v.Reason != access.Interrupted
	switch {
	case finding.Problem != nil:
		return source.Found{}, made, notes, finding.Problem
	case !allowed:
		return source.Found{}, made, notes, message.Explain(v, SubjectOf(question))
	case question.Found.Same != nil && !question.Found.Same():
		return source.Found{}, made, notes, errTurnsChange()
	case question.Found.Token.Reveal() == failed.Reveal():
		return source.Found{}, made, notes, errGitRefused(SubjectOf(question), v.Outcome == access.Granted, true)
	case v.Outcome != access.Granted:
		notes = append(notes, errAllowedUnverified(message.Explain(v, SubjectOf(question))))
	}
	return question.Found, finding.Made, notes, nil
}
