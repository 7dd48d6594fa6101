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

// Outcome is the result of a request. With the zero value, no token is sent.
type Outcome int

const (
	// Failed means that the request was malformed or could not be handled.
	Failed Outcome = iota
	// NotOurs means that the request is ignored silently.
	NotOurs
	// Refused means that the request is for our instance, and gets no token.
	Refused
	// Unverified means the same, because GitLab gave no verdict.
	Unverified
	// Answered means that git gets the token.
	Answered
)

// Result is the answer to git and the messages to the user.
type Result struct {
	Outcome Outcome
	// Answer is written to git. If Outcome is Answered, it contains the token and must
	// not be printed elsewhere.
	Answer []byte
	// Messages are shown to the user.
	Messages []error
	// Redact removes the token from a text; never nil.
	Redact func(string) string
}

// Question is what to verify.
type Question struct {
	Found source.Found
	// Project is a full path, "" if unknown.
	Project string
	// URL is git's URL, as far as known.
	URL    string
	Policy access.Policy
	// After excludes older verdicts; zero for none.
	After time.Time
	// Known are facts that need not be requested again.
	Known access.Facts
}

// Target is git's URL, or the instance's.
func (q Question) Target() string { return cmp.Or(q.URL, q.Found.Instance.URL()) }

// Repository is the path of the repository below the instance, "" if the project is unknown.
func (q Question) Repository() string {
	switch {
	case q.Project == "":
		return ""
	case q.Policy.Wiki:
		return q.Project + ".wiki.git"
	}
	return q.Project + ".git"
}

// Rules are the settings for a verdict.
type Rules struct {
	// Minimum is the lowest sufficient access level, Scopes the required scopes.
	Minimum int
	Scopes  []string
	// AllowUnverified sends an unverified token to its own instance.
	AllowUnverified bool
}

// Helper answers git. All fields must be set unless noted.
type Helper struct {
	// Source is where tokens come from.
	Source Source
	// Verifier finds verdicts.
	Verifier Verifier
	// Backup is the Secret in the cluster that Source.Newer reads, by namespace/name; ""
	// for none.
	Backup string
	// Attempts caches failed rescues; the zero value caches nothing.
	Attempts cache.Store
	// Known is the configured instance, if it is known without the token: a request for
	// it that can't be answered is refused with a message. Nil if unknown, perhaps
	// because of KnownProblem.
	Known        *instance.Instance
	KnownProblem error
	// Only makes Known the only instance to answer for: Source is not asked for others,
	// and if Known can't be read, nothing is answered.
	Only bool
	// Rules reads the settings for git's URL. It is called only for requests that are
	// ours, so that an invalid setting affects no others.
	Rules func(url string) (Rules, error)
	// MinAccess is the access level on this helper's command line in the closest match
	// of git's configuration; false for none. It is called only if the user's role is
	// too low: git asks helpers in configuration order, so the one for all projects may
	// come first. Nil for none.
	MinAccess func(Question) (level int, set bool)
	// Remotes are the URLs of the remotes of git's repository. They are untrusted, and
	// used only to find the project if git sends no path.
	Remotes func() []string
}

// Source is where tokens come from.
type Source interface {
	// Find returns the places that may have a token, and the names of all that were
	// searched. It uses the network only if the request may be for an instance whose
	// token is there.
	Find(context.Context, credential.Request) (found []source.Found, looked []string, problem error)
	// Newer reads the Secret in the cluster that may have a newer token than a mount; the
	// error is for an invalid setting.
	Newer(context.Context) (source.Found, error)
	// Connect says how to store a token where Find looks.
	Connect() string
}

// Given is a Source with one place, for all requests.
type Given struct {
	Source
	Place source.Found
}

// Find gives the place.
func (g Given) Find(context.Context, credential.Request) ([]source.Found, []string, error) {
	return []source.Found{g.Place}, nil, nil
}

// Verifier checks a token with GitLab.
type Verifier interface {
	// Verify returns a verdict.
	Verify(context.Context, Question) Finding
	// Forget removes a token from the cache, and reports whether it was there.
	Forget(token.Token) bool
}

// Finding is a verdict and messages about it.
type Finding struct {
	Verdict access.Verdict
	// Facts are GitLab's replies; unset if the verdict is from the cache.
	Facts access.Facts
	Notes []error
	// Problem is why GitLab could not be asked; Verdict is not valid then.
	Problem error
	// Remembered: the verdict is from the cache; Made is when a good one was made.
	Remembered bool
	Made       time.Time
}

func (f Finding) refused() bool { return f.Problem == nil && f.Verdict.Outcome == access.Refused }

// dead reports whether a token is permanently invalid, so that another one may be valid:
// not for its scopes, or its user's role or account.
func dead(v access.Verdict) bool {
	return v.Reason == access.TokenUnknown || v.Reason == access.TokenExpired || v.Reason == access.TokenRevoked
}

// user is the default user name for git. GitLab ignores it.
const user = "oauth2"

// Get answers git's get.
//
// The order matters for security. The request is read strictly before anything else.
// Whether it is ours is decided before any setting is read or GitLab asked, and outside the
// cache, so that no cached verdict applies to another host. A token from the platform or the
// cluster is requested without details of git's request, and matched with it like a file's.
// The token is used only for its own instance. It is revealed only for an answer, which is
// built as a whole.
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

// Find is the place whose instance is exactly the request's, or the result if there is
// none.
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
		// The token's instance is unknown, so the request may or may not be for it.
		// Warn, but let git ask other helpers, which may have a credential for this
		// host.
		return nil, stop(Failed, doubt)
	case known == nil:
		return nil, notOurs
	case wrong != nil:
		return nil, refuse(Refused, wrong)
	case doubt != nil:
		return nil, refuse(Refused, doubt)
	case len(places) > 0 && places[0].Problem != nil:
		// The instance may be only the default; report the unreadable token first.
		return nil, refuse(Refused, places[0].Problem)
	case len(places) > 0:
		p := places[0]
		return nil, refuse(Refused, message.OtherInstance(known.String(), p.Instance.String(), p.Where, p.Belongs))
	}
	return nil, refuse(Refused, message.NotConnected(known.String(), looked, h.Source.Connect()))
}

// choose is the place whose instance is the request's. If instances on one host are nested,
// the longest path wins; without a path from git, the choice is ambiguous. The result is
// NotOurs if no place matches.
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

// maxTurns is how many times a request is repeated because another user's turn began.
const maxTurns = 3

// answer handles a request for the instance of found. The token of the platform's runner is
// used only while it is there: an answer of one user's turn is not given in another's.
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

// verdict verifies the question: with a lower level if git's configuration sets one, and
// with a newer token if there is a valid one. notes are for the user.
func (h Helper) verdict(ctx context.Context, req credential.Request, q Question) (_ Question, _ Finding, notes []error) {
	finding := h.Verifier.Verify(ctx, q)
	if finding.refused() && finding.Verdict.Reason == access.LevelTooLow && h.MinAccess != nil {
		if level, set := h.MinAccess(q); set && level < q.Policy.Minimum {
			q = q.withMinimum(level)
			finding = h.Verifier.Verify(ctx, q)
		}
	}
	if finding.refused() && q.Found.Source != source.Runner && (q.Found.Source != source.API || !finding.Remembered) {
		// The Secret may have been rotated since it was read, so use its current token.
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

// rescue tries the current token of the Secret in the cluster instead of an invalid mounted
// one: kubelet takes a minute or more to update a mount. A failed rescue is not repeated for
// half a minute.
func (h Helper) rescue(ctx context.Context, q Question, refused Finding) (_ Question, _ Finding, notes []error) {
	ctx, cancel := context.WithTimeout(ctx, rescueLimit)
	defer cancel()
	turn, failure, known := h.Attempts.Turn(ctx, q.Found.Token, h.Backup)
	defer turn.End()
	if known {
		return q, refused, told(warnRescue(failure, q, source.Place(h.Backup)))
	}
	newer, problem := h.Source.Newer(ctx)
	if problem != nil {
		return q, refused, told(problem)
	}
	switch old := q.Found; {
	case newer.Problem != nil:
		failure.Problem = message.As(newer.Problem).Code
	case newer.Instance != old.Instance:
		// A token goes to its own instance only.
		failure.Instance = newer.Instance.String()
	case newer.Token.Reveal() == old.Token.Reveal():
		// It was not rotated; the refusal is sufficient.
	default:
		asked := q
		asked.Found = newer
		again := h.Verifier.Verify(ctx, asked)
		if !again.refused() {
			return asked, again, told(warnRescued(old.Where, newer.Where, old.Instance.String()))
		}
		failure.Verdict = again.Verdict
	}
	turn.Failed(ctx, failure)
	return q, refused, told(warnRescue(failure, q, newer))
}

// told is a note as a list, empty for nil.
func told(note error) []error {
	if note == nil {
		return nil
	}
	return []error{note}
}

// Question is what to verify for a request for the instance of found, and the settings for
// it.
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

// withMinimum is the question for a role of at least minimum. For none, the project is not
// checked.
func (q Question) withMinimum(minimum int) Question {
	q.Policy.Minimum, q.Policy.Project = minimum, q.Project != "" && minimum > access.NoRole
	return q
}

// address is git's URL: that of the request, or, without a path, of the project or the
// instance.
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

// projectHere is the one project on the instance among the remotes of git's repository; ""
// for none or several. wiki reports whether all of them are its wiki.
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

// conclude makes a result from a finding.
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

// SubjectOf is a question's subject for messages.
func SubjectOf(q Question) message.Subject {
	return message.Subject{Instance: q.Found.Instance.String(), URL: q.Found.Instance.URL(),
		Project: q.Project, Where: q.Found.Where, Renew: q.Found.Renew, Trust: q.Found.Trust}
}

// Erase handles git's report of a failed login (a 401 over git's protocol). For a token of
// ours, it removes the token from the cache, and explains the failure. Everything else is
// ignored silently, since git reports every failure to every helper.
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
	// A password for our host that was never ours.
	return silent
}

// grant answers with the token. If git's login with a cached answer fails, git asks again in
// the same command with the state of that answer: then GitLab is asked, and the same token
// is not sent again.
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

// statePrefix marks this helper's states; git sends all helpers' states to each.
const statePrefix = "git-credential-acp:"

// stateOf is the state for a cached answer: the verdict's time in Unix milliseconds, and a
// MAC keyed with the token.
func stateOf(tok token.Token, made time.Time) string {
	at := strconv.FormatInt(made.UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte(tok.Reveal()))
	mac.Write([]byte("git-credential-acp state " + at))
	return statePrefix + at + ":" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// failedLogin is this helper's last state in a request, and its verdict's time; "" for none.
// A forged one only causes a request to GitLab.
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

// stop ends a request without an answer to git, as Unverified if GitLab gave no verdict.
func stop(outcome Outcome, why error) Result {
	if message.Unverified(why) {
		outcome = Unverified
	}
	return Result{Outcome: outcome, Messages: []error{why}, Redact: asIs}
}

// refuse ends a request and makes git stop, without another helper or a prompt.
func refuse(outcome Outcome, why error) Result {
	result := stop(outcome, why)
	result.Answer = credential.Quit()
	return result
}

func asIs(text string) string { return text }
