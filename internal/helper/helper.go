// Package helper answers git: it has the steps from a request to a credential or a
// refusal, in order.
package helper

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/cache"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/deadline"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/source"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Outcome is how a request ends. The zero value never lets a token out.
type Outcome int

const (
	// Failed means the request could not be understood or worked on.
	Failed Outcome = iota
	// NotOurs means the request is none of our business; nothing is said.
	NotOurs
	// Refused means the request is for our instance, and gets no token.
	Refused
	// Unverified means the same, because nothing could be learned.
	Unverified
	// Answered means git gets the token.
	Answered
)

// Result is what git and people get.
type Result struct {
	Outcome Outcome
	// Answer goes to git's side, whole; it holds the token when Outcome is
	// Answered, and must not be printed elsewhere.
	Answer []byte
	// Messages go to people.
	Messages []error
	// Redact takes what is known of the token out of a text for people; never
	// nil.
	Redact func(string) string
}

// Question is what a verdict is wanted for.
type Question struct {
	Found source.Found
	// Project is a full path, "" when no project is known.
	Project string
	// URL is what git is working on, as far as it tells.
	URL    string
	Policy access.Policy
	// After rules out what was learned until then; zero for nothing.
	After time.Time
	// Known are facts that need not be asked for again.
	Known access.Facts
}

// Target is the URL to go to as git does: the one that it is working on, else the
// instance's.
func (q Question) Target() string { return cmp.Or(q.URL, q.Found.Instance.URL()) }

// Repository is the path of the repository below the instance, "" when no project
// is known.
func (q Question) Repository() string {
	switch {
	case q.Project == "":
		return ""
	case q.Policy.Wiki:
		return q.Project + ".wiki.git"
	}
	return q.Project + ".git"
}

// Rules are the settings that a verdict depends on.
type Rules struct {
	// Minimum is the lowest access level that will do, Scopes what the token
	// must hold.
	Minimum int
	Scopes  []string
	// AllowUnverified hands the token to its own instance although nothing
	// could be learned.
	AllowUnverified bool
}

// Helper has what it takes to answer. All fields must be set unless noted.
type Helper struct {
	// Source is where tokens come from.
	Source Source
	// Verifier finds verdicts.
	Verifier Verifier
	// Backup is the Secret in the cluster that Source.Newer reads, by namespace/name;
	// "" when there is none.
	Backup string
	// Attempts remembers when the backup was tried in vain; the zero value remembers
	// nothing.
	Attempts cache.Store
	// Known is the instance that this helper is set up for, if that is known
	// from elsewhere than the token: a request for it that can't be answered
	// is refused in words. Nil when it isn't known, perhaps for KnownProblem.
	Known        *instance.Instance
	KnownProblem error
	// Only makes Known the one instance that is served at all, so that Source
	// is not asked for a request for another; one that can't be read then serves
	// nobody.
	Only bool
	// Rules reads the settings. It is called only for requests that are ours,
	// so that a wrong setting disturbs nobody else.
	// url is what git is working on.
	Rules func(url string) (Rules, error)
	// MinAccess is the access level that git's configuration sets closest to what
	// is asked for, on the command line of this helper; false when it sets none. It
	// is called only when the user's role is too low: git asks helpers in the order
	// in which they are configured, so the one for all projects may come first. Nil
	// leaves it out.
	MinAccess func(Question) (level int, set bool)
	// Remotes are the URLs of the remotes of the repository that git is working
	// in. They are asked for when git sends no path, to find out which project
	// to ask about, and for nothing else: anybody may have written them.
	Remotes func() []string
}

// Source is where tokens come from.
type Source interface {
	// Find finds the places that may hold a token, and names where it looked. It asks
	// over the network only if the request may be for an instance that has its token
	// there.
	Find(context.Context, credential.Request) (found []source.Found, looked []string, problem error)
	// Newer reads the Secret in the cluster that may have a newer token than a mount;
	// the error is a setting's.
	Newer(context.Context) (source.Found, error)
	// Connect says how to bring a token to where Find looks, for people.
	Connect() string
}

// Given is a Source that finds one place only, whatever is asked for.
type Given struct {
	Source
	Place source.Found
}

// Find gives the place.
func (g Given) Find(context.Context, credential.Request) ([]source.Found, []string, error) {
	return []source.Found{g.Place}, nil, nil
}

// Verifier finds out what GitLab says of a token.
type Verifier interface {
	// Verify finds a verdict.
	Verify(context.Context, Question) Finding
	// Forget drops what is remembered of a token, and says whether there was
	// anything.
	Forget(token.Token) bool
}

// Finding is a verdict and what people should know of how it came about.
type Finding struct {
	Verdict access.Verdict
	// Facts are what GitLab said; unset when the verdict is from memory.
	Facts access.Facts
	Notes []error
	// Problem says why nobody could be asked; Verdict does not count then.
	Problem error
	// Remembered says that nobody was asked, since it was known, and Made when a
	// good verdict was that comes from memory.
	Remembered bool
	Made       time.Time
}

func (f Finding) refused() bool { return f.Problem == nil && f.Verdict.Outcome == access.Refused }

// dead reports that GitLab refused a token for good, so that another one may do:
// not for its scopes, its user's role or account.
func dead(v access.Verdict) bool {
	return v.Reason == access.TokenUnknown || v.Reason == access.TokenExpired || v.Reason == access.TokenRevoked
}

// user is the name that git gets when it names none. GitLab ignores it.
const user = "oauth2"

// Get answers git's get.
//
// The order is the security argument. The request is read strictly before
// anything else happens. Whether it is ours is decided before any setting is
// read or GitLab asked, and outside whatever remembers verdicts, so that none
// can serve a host that would be refused. Where a token comes from somebody who
// has to be asked, he is told nothing of the request, and what he answers is
// matched with it like a file's content. The token is looked at only for its
// own instance. It is revealed only for an answer, which is built whole.
func (h Helper) Get(ctx context.Context, in io.Reader) Result {
	req, err := credential.ReadRequest(in)
	if err != nil {
		return stop(Failed, message.MalformedRequest(err))
	}
	if instance.OtherCredential(req.Username) || req.Protocol != "https" && req.Protocol != "http" {
		return Result{Outcome: NotOurs, Redact: asIs}
	}
	ctx = deadline.Begin(ctx)
	found, result := h.Find(ctx, req)
	if found == nil {
		return result
	}
	result = h.answer(ctx, req, *found)
	redact := result.Redact
	result.Redact = func(text string) string { return found.Token.Redact(redact(text)) }
	return result
}

// Find gives the place whose instance is exactly the request's, or the result
// when there is none.
func (h Helper) Find(ctx context.Context, req credential.Request) (*source.Found, Result) {
	notOurs := Result{Outcome: NotOurs, Redact: asIs}
	known, problem := h.Known, h.KnownProblem
	match := instance.Ours
	if known != nil {
		match = known.Match(req.Protocol, req.Host, req.Path)
	}
	switch {
	case h.Only && known == nil:
		return nil, stop(Failed, problem)
	case h.Only && match == instance.Foreign:
		return nil, notOurs
	case h.Only && match == instance.Downgraded:
		return nil, stop(Failed, errDowngraded(known.URL()))
	}
	places, looked, wrong := h.Source.Find(ctx, req)
	found, result := choose(places, req)
	switch {
	case found != nil && wrong != nil:
		return nil, refuse(Refused, wrong)
	case found != nil || result.Outcome != NotOurs:
		return found, result
	case known != nil && match == instance.Foreign:
		return nil, notOurs
	case known != nil && match == instance.Downgraded:
		return nil, stop(Failed, errDowngraded(known.URL()))
	}
	doubt := problem
	for _, place := range places {
		if place.Instance == (instance.Instance{}) && doubt == nil {
			doubt = place.Problem
		}
	}
	switch {
	case known == nil && doubt != nil:
		// Whose the token is can't be told, so this may be its instance or not.
		// People are told; but git is not made to stop, since another helper
		// may well have a credential for this host.
		return nil, stop(Failed, doubt)
	case known == nil:
		return nil, notOurs
	case wrong != nil:
		return nil, refuse(Refused, wrong)
	case doubt != nil:
		return nil, refuse(Refused, doubt)
	case len(places) > 0 && places[0].Problem != nil:
		// Whom it belongs to may be no more than the default; that nothing can be
		// read there comes first.
		return nil, refuse(Refused, places[0].Problem)
	case len(places) > 0:
		p := places[0]
		return nil, refuse(Refused, message.OtherInstance(known.String(), p.Instance.String(), p.Where, p.Belongs))
	}
	return nil, refuse(Refused, message.NotConnected(known.String(), looked, h.Source.Connect()))
}

// choose gives the place whose instance is the request's. Instances on one host
// lie below one another: the one with the longest path counts, and without a
// path from git nobody can say which is meant. The result is NotOurs when no
// place is the request's.
func choose(places []source.Found, req credential.Request) (*source.Found, Result) {
	var chosen *source.Found
	result := Result{Outcome: NotOurs, Redact: asIs}
	for n, place := range places {
		switch place.Instance.Match(req.Protocol, req.Host, req.Path) {
		case instance.Downgraded:
			why := errDowngraded(place.Instance.URL())
			if message.BadInstance(place.Problem) {
				why = place.Problem // it is the instance's own URL that is http
			}
			result = stop(Failed, why)
		case instance.Ours:
			switch {
			case chosen == nil || len(place.Instance.URL()) > len(chosen.Instance.URL()) && req.Path != "":
				chosen = &places[n]
			case req.Path == "" && place.Instance != chosen.Instance:
				return nil, refuse(Refused, errAmbiguous(chosen.Instance.String(), place.Instance.String()))
			}
		}
	}
	return chosen, result
}

// maxTurns bounds how often a request begins again because another user's turn began.
const maxTurns = 3

// answer decides over a request for the instance of found. The token of the platform's
// runner counts only while it is there: an answer that was decided in one user's turn is
// not given in another's.
func (h Helper) answer(ctx context.Context, req credential.Request, found source.Found) Result {
	for turn := 1; ; turn++ {
		result := h.decide(ctx, req, found)
		if found.Same == nil || found.Problem != nil || found.Same() {
			return result
		}
		if turn == maxTurns {
			return refuse(Unverified, errTurnsChange())
		}
		now, other := h.Find(ctx, req)
		if now == nil {
			return other
		}
		found = *now
	}
}

// decide is answer for the token that was found.
func (h Helper) decide(ctx context.Context, req credential.Request, found source.Found) Result {
	question, rules, problem := h.Question(req, found)
	switch {
	case problem != nil && message.As(problem).Topic == message.Malformed:
		return stop(Failed, problem)
	case problem != nil:
		return refuse(Refused, problem)
	}
	_, question.After = failedLogin(req.States)
	question, finding, notes := h.verdict(ctx, req, question)
	result := conclude(req, question, rules, finding)
	result.Messages = slices.Concat(notes, finding.Notes, result.Messages)
	result.Redact = question.Found.Token.Redact
	return result
}

// verdict finds one: with a lower level if git's configuration sets one, and with
// a newer token if there is one that helps. notes are for people.
func (h Helper) verdict(ctx context.Context, req credential.Request, q Question) (_ Question, _ Finding, notes []error) {
	finding := h.Verifier.Verify(ctx, q)
	if finding.refused() && finding.Verdict.Reason == access.LevelTooLow && h.MinAccess != nil {
		if level, set := h.MinAccess(q); set && level < q.Policy.Minimum {
			q = q.withMinimum(level)
			finding = h.Verifier.Verify(ctx, q)
		}
	}
	if finding.refused() && q.Found.Source != source.Runner && (q.Found.Source != source.API || !finding.Remembered) {
		// The Secret may have been rotated since it was read: the token that is
		// there now counts. The cluster is asked again only if that took time.
		if now, _ := h.Find(ctx, req); now != nil && now.Problem == nil && now.Token.Reveal() != q.Found.Token.Reveal() {
			q.Found = *now
			finding = h.Verifier.Verify(ctx, q)
		}
	}
	if finding.refused() && dead(finding.Verdict) && q.Found.Source == source.Mount && h.Backup != "" {
		return h.rescue(ctx, q, finding)
	}
	return q, finding, nil
}

// rescueLimit is how long a refusal waits for a newer token.
const rescueLimit = 5 * time.Second

// rescue tries the token that the Secret in the cluster has now instead of a mounted
// one that is dead: kubelet takes a minute or more to bring a rotated Secret into a
// pod. What was tried in vain half a minute ago is not tried again.
func (h Helper) rescue(ctx context.Context, q Question, refused Finding) (_ Question, _ Finding, notes []error) {
	ctx, cancel := context.WithTimeout(ctx, rescueLimit)
	defer cancel()
	turn, vain, known := h.Attempts.Turn(ctx, q.Found.Token, h.Backup)
	defer turn.End()
	if known {
		return q, refused, told(warnVain(vain, q, source.Place(h.Backup)))
	}
	newer, problem := h.Source.Newer(ctx)
	if problem != nil {
		return q, refused, told(problem)
	}
	switch old := q.Found; {
	case newer.Problem != nil:
		vain.Problem = message.As(newer.Problem).Code
	case newer.Instance != old.Instance:
		// A token goes to its own instance only, wherever it was found.
		vain.Instance = newer.Instance.String()
	case newer.Token.Reveal() == old.Token.Reveal():
		// It was not rotated, and the refusal says all.
	default:
		asked := q
		asked.Found = newer
		again := h.Verifier.Verify(ctx, asked)
		if !again.refused() {
			return asked, again, told(warnRescued(old.Where, newer.Where, old.Instance.String()))
		}
		vain.Verdict = again.Verdict
	}
	turn.InVain(ctx, vain)
	return q, refused, told(warnVain(vain, q, newer))
}

// told is a note as a list, without one for nil.
func told(note error) []error {
	if note == nil {
		return nil
	}
	return []error{note}
}

// Question is what has to be found out before a request for the instance of found
// is answered, and the settings that it depends on.
func (h Helper) Question(req credential.Request, found source.Found) (Question, Rules, error) {
	project, err := found.Instance.Project(req.Path)
	if err != nil {
		return Question{}, Rules{}, errMalformedPath(err)
	}
	if found.Problem != nil {
		return Question{}, Rules{}, found.Problem
	}
	wiki := found.Instance.Wiki(req.Path)
	if req.Path == "" {
		project, wiki = h.projectHere(found.Instance)
	}
	question := Question{Found: found, Project: project, Policy: access.Policy{Wiki: wiki}}
	question.URL = address(req, question)
	rules, problem := h.Rules(question.URL)
	if problem != nil {
		return Question{}, Rules{}, problem
	}
	question.Policy.Scopes = rules.Scopes
	return question.withMinimum(rules.Minimum), rules, nil
}

// withMinimum is the question for a role that is at least minimum. Without one, the
// project is not asked about.
func (q Question) withMinimum(minimum int) Question {
	q.Policy.Minimum, q.Policy.Project = minimum, q.Project != "" && minimum > access.NoRole
	return q
}

// address is the URL that git is working on: what it asks about, or, when it sends
// no path, that of the project, or else of the instance.
func address(req credential.Request, q Question) string {
	at := url.URL{Scheme: req.Protocol, Host: req.Host, Path: "/" + req.Path}
	if req.Username != "" {
		at.User = url.User(req.Username)
	}
	if req.Path == "" {
		i := q.Found.Instance
		at.Path = strings.TrimPrefix(i.URL(), i.Origin()) + "/" + q.Repository()
	}
	return at.String()
}

// projectHere is the one project on the instance among the remotes of the
// repository that git is working in; "" when there is none, or are several. wiki
// says that all of them are its wiki.
func (h Helper) projectHere(i instance.Instance) (only string, wiki bool) {
	for _, remote := range h.Remotes() {
		switch project, isWiki := i.ProjectOf(remote); {
		case project == "":
		case strings.EqualFold(project, only): // GitLab's names differ by more than case
			wiki = wiki && isWiki
		case only != "":
			return "", false
		default:
			only, wiki = project, isWiki
		}
	}
	return only, wiki
}

// conclude makes a result of what was found.
func conclude(req credential.Request, q Question, rules Rules, finding Finding) Result {
	if finding.Problem != nil {
		return refuse(Refused, finding.Problem)
	}
	if finding.Verdict.Outcome == access.Granted {
		return grant(req, q, finding)
	}
	why := message.Explain(finding.Verdict, SubjectOf(q))
	switch {
	case finding.Verdict.Outcome == access.Refused:
		return refuse(Refused, why)
	case rules.AllowUnverified && finding.Verdict.Reason != access.Interrupted:
		result := grant(req, q, finding)
		if result.Outcome == Answered {
			result.Messages = append(result.Messages, errAllowedUnverified(why))
		}
		return result
	}
	return refuse(Unverified, why)
}

// SubjectOf is what messages call the parts of a question.
func SubjectOf(q Question) message.Subject {
	return message.Subject{Instance: q.Found.Instance.String(), URL: q.Found.Instance.URL(),
		Project: q.Project, Where: q.Found.Where, Renew: q.Found.Renew, Trust: q.Found.Trust}
}

// Erase hears from git that a login failed (a 401 over git's own protocol). If
// it was with a token of ours, what is remembered of it is dropped, and people
// learn which of two things happened. Everything else is silent: git tells every
// helper of every failure.
func (h Helper) Erase(ctx context.Context, in io.Reader) Result {
	silent := Result{Outcome: NotOurs, Redact: asIs}
	req, err := credential.ReadRequest(in)
	if err != nil || req.Password == nil || instance.OtherCredential(req.Username) {
		return silent
	}
	found, _ := h.Find(deadline.Begin(ctx), req)
	if found == nil || found.Problem != nil && found.Source != source.Runner {
		return silent
	}
	failed, err := token.Parse(req.Password())
	if err != nil {
		return silent
	}
	known := h.Verifier.Forget(failed)
	if found.Problem != nil {
		return silent // the turn is over
	}
	subject := SubjectOf(Question{Found: *found})
	redact := func(text string) string { return found.Token.Redact(failed.Redact(text)) }
	switch {
	case failed.Reveal() == found.Token.Reveal():
		return Result{Outcome: Refused, Messages: []error{errGitRefused(subject, known, false)}, Redact: redact}
	case known:
		return Result{Outcome: Refused, Messages: []error{errRotated(subject)}, Redact: redact}
	case req.Username == user:
		return Result{Outcome: Refused, Messages: []error{errOtherPassword(subject)}, Redact: redact}
	}
	// A password that was never ours, for our host.
	return silent
}

// grant answers with the token. When git's login with an answer from memory fails,
// git asks again in the same command, and hands back the state that it got with
// that answer: then GitLab is asked, and the same token is not handed out again.
func grant(req credential.Request, q Question, finding Finding) Result {
	login := credential.Login{Username: req.Username, Password: q.Found.Token.Reveal, Expiry: finding.Verdict.ExpiresAt}
	if login.Username == "" {
		login.Username = user
	}
	switch failed, made := failedLogin(req.States); {
	case failed == "" && !finding.Made.IsZero():
		login.State = stateOf(q.Found.Token, finding.Made)
	case failed != "" && hmac.Equal([]byte(failed), []byte(stateOf(q.Found.Token, made))):
		return refuse(Refused, errGitRefused(SubjectOf(q), finding.Verdict.Outcome == access.Granted, true))
	}
	answer, err := req.Answer(login)
	if err != nil {
		return refuse(Refused, errUnanswerable(err))
	}
	return Result{Outcome: Answered, Answer: answer, Redact: asIs}
}

// statePrefix begins the states of this helper; git hands those of all helpers to
// each.
const statePrefix = "git-credential-acp:"

// stateOf is the state for an answer from memory: when its verdict was made, in
// unix milliseconds, and which token it was for, as a MAC that only who has the
// token can make or compare.
func stateOf(tok token.Token, made time.Time) string {
	at := strconv.FormatInt(made.UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte(tok.Reveal()))
	mac.Write([]byte("git-credential-acp state " + at))
	return statePrefix + at + ":" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// failedLogin is the last of this helper's states in a request, and when its
// verdict was made; "" for none. Anybody can make one up: what that does is that
// GitLab is asked.
func failedLogin(states []string) (state string, made time.Time) {
	for _, s := range states {
		rest, ours := strings.CutPrefix(s, statePrefix)
		at, _, _ := strings.Cut(rest, ":")
		if ms, err := strconv.ParseInt(at, 10, 64); ours && err == nil {
			state, made = s, time.UnixMilli(ms)
		}
	}
	return state, made
}

// stop ends a request without a word to git. It ends as Unverified when nothing
// was learned.
func stop(outcome Outcome, why error) Result {
	if message.Unverified(why) {
		outcome = Unverified
	}
	return Result{Outcome: outcome, Messages: []error{why}, Redact: asIs}
}

// refuse ends a request and makes git stop: no other helper, and no prompt at a
// terminal that isn't there.
func refuse(outcome Outcome, why error) Result {
	result := stop(outcome, why)
	result.Answer = credential.Quit()
	return result
}

func asIs(text string) string { return text }
