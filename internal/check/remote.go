package check

import (
	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/secret"
)

// remote makes the steps that ask GitLab, up to git's own answer, and says whether
// GitLab was reached.
func (r *run) remote(p place, q helper.Question) bool {
	i := p.found.Instance
	r.good(stepInstance, InstanceData{URL: i.URL()}, "%s%s", i.URL(), origin(i, p.found.Belongs))
	client, problem := r.Connect(q)
	if problem != nil {
		r.skipThrough(stepTCP, "nobody was asked")
		r.fail(stepTLS, problem)
		r.skipThrough(stepPush, unasked)
		return false
	}
	defer client.Close()
	trip := &journey{}
	ctx, cancel := r.limited()
	defer cancel()
	verdict, facts := client.Check(trip.watch(ctx), q.Project, q.Policy, access.Facts{})
	if verdict.Outcome == access.Granted && facts.User.State == access.Unasked {
		// Whose token it is, people want to know. What else this answer says, it
		// says of the token.
		facts.User = client.User(ctx)
		verdict, _ = q.Policy.Judge(facts, r.Now())
	}
	a := &answers{run: r, client: client, place: p, question: q, verdict: verdict, facts: facts}
	if !r.way(trip, a) {
		return false
	}
	a.judge()
	return true
}

// unasked is why the steps after one that failed can't be made.
const unasked = "GitLab can't be asked"

// origin says what named an instance.
func origin(i instance.Instance, belongs string) string {
	if belongs == "" {
		return ""
	}
	if i.URL() == secret.DefaultInstanceURL {
		return ", since " + belongs + " names no other"
	}
	return ", named by " + belongs
}

// way reports how GitLab was reached, and whether it was.
func (r *run) way(trip *journey, a *answers) bool {
	i, proxy := a.place.found.Instance, a.client.ProxyHost()
	failed := ""
	if a.verdict.Outcome == access.Unverified && a.unanswered() {
		failed = trip.fault(a.verdict.Reason, proxy, i)
	}
	for _, step := range []string{stepProxy, stepDNS, stepTCP, stepTLS, stepAPI} {
		if step == failed {
			r.fail(step, a.onTheWay(step, trip))
			r.skipThrough(stepPush, unasked)
			return false
		}
		trip.tell(r, step, proxy, i)
	}
	ahead, known := a.client.ClockAhead()
	data := ClockData{AheadSeconds: int(ahead.Seconds())}
	switch {
	case !known:
		r.skip("GitLab's answers have no date", stepClock)
	case ahead.Abs() > maxSkew:
		r.warn(stepClock, data, message.ClockSkew(ahead, i.String()))
	default:
		r.good(stepClock, data, "the clock here agrees with GitLab's")
	}
	return true
}

// onTheWay says why a step of the way failed, with what the way itself told.
func (a *answers) onTheWay(step string, trip *journey) *message.Message {
	m := message.Explain(a.verdict, helper.SubjectOf(a.question))
	switch {
	case a.verdict.Reason == access.TLSUntrusted && trip.signer() != "":
		m.What += ": " + message.Quote(trip.signer())
	case step == stepTLS && trip.signer() != "":
		m.What += " (it is signed by " + message.Quote(trip.signer()) + ")"
	case step == stepAPI && a.verdict.Reason == access.Unreachable:
		m.What += " any more: it broke off before an answer"
	}
	return m
}
