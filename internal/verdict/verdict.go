// Package verdict remembers what was learned about tokens, on disk, for all the
// calls of git on a machine: a verdict serves at once and for many, and through
// an outage of GitLab. Whatever is wrong with the directory, the answer is the
// same as without it, only later.
package verdict

import (
	"context"
	"strconv"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// How long what was learned is of use.
const (
	// refusalTTL is short: a loop is kept from GitLab, and a fix is seen soon.
	refusalTTL = 30 * time.Second
	// outageTTL is how long a bridged outage is taken for granted before
	// GitLab is tried again.
	outageTTL = 30 * time.Second
	// grace is how old the last good verdict may be that bridges an outage.
	grace = 12 * time.Hour
	// stretch is how old a good verdict may be that spares the last requests
	// of a rate limit, and how far ahead such a limit is believed.
	stretch = time.Hour
	// skew is how far in the future an entry may be: clocks are corrected. An
	// entry from further on was made before the clock jumped back, and nobody
	// knows its age.
	skew = 2 * time.Second
	// keep is how long a file is of any use: longer than the grace, and than
	// the day for which an expiry is told once.
	keep = 25 * time.Hour
)

// Question is all that a verdict depends on.
type Question struct {
	Token    token.Token
	Instance instance.Instance
	Project  string
	Policy   access.Policy
}

// Answer is a verdict, and how it came about.
type Answer struct {
	Verdict access.Verdict
	// Bridged is the age of a good verdict that stands in for one that could
	// not be had, and Trouble is why; zero when the verdict is of now.
	Bridged time.Duration
	Trouble access.Verdict
	// Tell says that the token's expiry has not been told today.
	Tell bool
}

// Ask asks GitLab; known are facts that need not be asked for again.
type Ask func(ctx context.Context, known access.Facts) (access.Verdict, access.Facts)

// Store remembers verdicts in a directory. The zero value remembers nothing.
type Store struct {
	// Dir is the directory, "" for none.
	Dir string
	// TTL is how long a good verdict is fresh.
	TTL time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (s Store) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// Fresh gives a verdict that needs nobody to be asked. It opens one file.
func (s Store) Fresh(q Question) (Answer, bool) {
	dir, ok := s.open(false)
	if !ok {
		return Answer{}, false
	}
	defer dir.close()
	return s.fresh(dir, namesOf(q))
}

// Verify gives a verdict, from what is remembered or by asking. Callers that
// want the same one at the same time wait for the one that asks, for half of
// the time that ctx leaves; then they ask for themselves.
func (s Store) Verify(ctx context.Context, q Question, ask Ask) Answer {
	dir, ok := s.open(true)
	if !ok {
		verdict, _ := ask(ctx, access.Facts{})
		return Answer{Verdict: verdict}
	}
	defer dir.close()
	n, start := namesOf(q), s.now()
	waiting, cancel := patience(ctx)
	defer cancel()
	defer dir.lock(waiting, lockVerdict, n.verdict)()
	if a, ok := s.fresh(dir, n); ok {
		return a
	}
	if a, ok := s.shared(ctx, dir, n, start); ok {
		return a
	}
	return s.ask(ctx, waiting, dir, n, ask)
}

func (s Store) open(make bool) (*directory, bool) {
	if s.Dir == "" {
		return nil, false
	}
	dir, err := openDir(s.Dir, make)
	return dir, err == nil
}

// patience bounds the wait for others.
func patience(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// fresh gives what is remembered of a question, if it still counts.
func (s Store) fresh(dir *directory, n names) (Answer, bool) {
	e, ok := s.load(dir, n.verdict, n.seal)
	if !ok {
		return Answer{}, false
	}
	now := s.now()
	age := now.Sub(e.made())
	switch {
	case e.Outcome == access.Refused && age < refusalTTL:
		return Answer{Verdict: e.verdict()}, true
	case e.Outcome == access.Granted && age < s.TTL && alive(e.verdict(), now):
		return s.granted(dir, n, e), true
	case now.Sub(time.UnixMilli(e.Tried)) < outageTTL:
		return s.bridge(dir, n, e)
	}
	return Answer{}, false
}

// shared gives what others have learned that spares a request: what one met in
// vain while this caller waited for it since start, and what is known of the
// rate limit. A good verdict is stretched rather than the last requests spent,
// and nobody asks while GitLab wants to be left alone for longer than the caller
// can wait.
func (s Store) shared(ctx context.Context, dir *directory, n names, start time.Time) (Answer, bool) {
	now := s.now()
	e, _ := s.load(dir, n.verdict, n.seal)
	if e.Tried > start.UnixMilli() && e.Tried > e.Made {
		return Answer{Verdict: e.Trouble}, true
	}
	rate, _ := s.load(dir, n.rate, n.seal)
	left := time.UnixMilli(rate.Until).Sub(now)
	if left <= 0 {
		return Answer{}, false
	}
	if e.Outcome == access.Granted && now.Sub(e.made()) <= stretch && alive(e.verdict(), now) {
		return s.granted(dir, n, e), true
	}
	if deadline, bounded := ctx.Deadline(); rate.Trouble.Reason != access.RateLimited || bounded && left < time.Until(deadline) {
		return Answer{}, false
	}
	rate.Trouble.Wait = left
	e.Trouble = rate.Trouble
	if a, ok := s.bridge(dir, n, e); ok {
		return a, true
	}
	return Answer{Verdict: rate.Trouble}, true
}

// alive reports whether the token of a good verdict still works, as far as its
// expiry tells.
func alive(v access.Verdict, now time.Time) bool {
	return v.ExpiresAt.IsZero() || now.Before(v.ExpiresAt)
}

// bridge lets the last good verdict stand in during an outage.
func (s Store) bridge(dir *directory, n names, e entry) (Answer, bool) {
	now := s.now()
	age := now.Sub(e.made())
	if e.Outcome != access.Granted || age > grace || !alive(e.verdict(), now) {
		return Answer{}, false
	}
	a := s.granted(dir, n, e)
	a.Bridged, a.Trouble = max(age, time.Second), e.Trouble
	return a, true
}

// ask asks GitLab, with what is remembered of the token, and remembers what it
// says.
func (s Store) ask(ctx, waiting context.Context, dir *directory, n names, ask Ask) Answer {
	release := dir.lock(waiting, lockToken, n.facts)
	known, of := s.facts(dir, n)
	if !of.IsZero() {
		release()
	} else {
		defer release()
	}
	verdict, learned := ask(ctx, known)
	now := s.now()
	if of.IsZero() || learned.Rejected() && !known.Rejected() {
		s.saveFacts(dir, n, learned, now)
	}
	s.saveRate(dir, n, verdict, learned.Rate, now)
	if verdict.Outcome == access.Unverified {
		return s.unverified(dir, n, verdict, now)
	}
	made := now
	if !of.IsZero() {
		// A verdict is as old as the oldest of what it is made from.
		made = of
	}
	e := entryOf(verdict, made)
	s.save(dir, n.verdict, n.seal, e)
	dir.sweep(now)
	if verdict.Outcome == access.Granted {
		return s.granted(dir, n, e)
	}
	return Answer{Verdict: verdict}
}

// saveRate remembers a rate limit that is used up, or nearly.
func (s Store) saveRate(dir *directory, n names, verdict access.Verdict, rate access.Rate, now time.Time) {
	e := entry{head: head{Made: now.UnixMilli()}}
	switch {
	case verdict.Reason == access.RateLimited:
		e.Until, e.Trouble = now.Add(min(verdict.Wait, stretch)).UnixMilli(), verdict
	case rate.Low():
		e.Until = min(rate.Reset.UnixMilli(), now.Add(stretch).UnixMilli())
	default:
		return
	}
	s.save(dir, n.rate, n.seal, e)
}

// unverified remembers that GitLab was asked in vain, beside the last good
// verdict, which is then the answer.
func (s Store) unverified(dir *directory, n names, trouble access.Verdict, now time.Time) Answer {
	if trouble.Reason == access.Interrupted || trouble.Reason == "" {
		// That is this caller's own trouble, and says nothing of GitLab.
		return Answer{Verdict: trouble}
	}
	e, ok := s.load(dir, n.verdict, n.seal)
	if !ok || e.Outcome != access.Granted {
		e = entry{}
	}
	e.Tried, e.Trouble = now.UnixMilli(), trouble
	s.save(dir, n.verdict, n.seal, e)
	if a, ok := s.bridge(dir, n, e); ok {
		return a
	}
	return Answer{Verdict: trouble}
}

// facts is what is remembered of the token itself and still counts, and when
// that was learned; the zero time when there is nothing.
func (s Store) facts(dir *directory, n names) (access.Facts, time.Time) {
	e, ok := s.load(dir, n.facts, n.seal)
	if !ok {
		return access.Facts{}, time.Time{}
	}
	now := s.now()
	ttl := s.TTL
	if e.Facts.Rejected() {
		ttl = refusalTTL
	}
	if expiry := e.Facts.Self.ExpiresAt; now.Sub(e.made()) >= ttl || !expiry.IsZero() && !now.Before(expiry) {
		return access.Facts{}, time.Time{}
	}
	return e.Facts, e.made()
}

// saveFacts remembers what GitLab said of the token; not what it said of the
// project, nor that it said nothing.
func (s Store) saveFacts(dir *directory, n names, learned access.Facts, now time.Time) {
	facts := access.Facts{Self: learned.Self, User: learned.User}
	if learned.Rejected() && facts.Self.State != access.Rejected {
		// The token has died since it was last asked about.
		facts.Self = access.Self{Reply: learned.Rejection()}
	}
	if facts.Self.State == access.Silent || facts.Self.State == access.Unasked {
		return
	}
	if facts.User.State == access.Silent {
		facts.User = access.User{}
	}
	s.save(dir, n.facts, n.seal, entry{head: head{Made: now.UnixMilli()}, detail: detail{Facts: facts}})
}

// granted is the answer for a good verdict. It says whether the expiry is to be
// told: once a day and token, whichever project it is first asked for.
func (s Store) granted(dir *directory, n names, e entry) Answer {
	a := Answer{Verdict: e.verdict()}
	now := s.now()
	today := now.Unix() / int64((24 * time.Hour).Seconds())
	if !a.Verdict.ExpiryWorthTelling(now) || e.Warned == today {
		return a
	}
	a.Tell = dir.once(n.token + "-w-" + strconv.FormatInt(today, 10))
	e.Warned = today
	s.save(dir, n.verdict, n.seal, e)
	return a
}

// Forget drops all verdicts of a token and counts what was dropped.
func (s Store) Forget(tok token.Token) int {
	dir, ok := s.open(false)
	if !ok {
		return 0
	}
	defer dir.close()
	return dir.drop(namesOf(Question{Token: tok}).token + "-")
}

// load reads an entry; one that can't be read, is not whole, or comes from the
// future is none.
func (s Store) load(dir *directory, name string, seal []byte) (entry, bool) {
	data, err := dir.read(name)
	if err != nil {
		return entry{}, false
	}
	e, ok := unmarshal(data, name, seal)
	ahead := s.now().Add(skew)
	if !ok || e.made().After(ahead) || time.UnixMilli(e.Tried).After(ahead) {
		return entry{}, false
	}
	return e, true
}

// save writes an entry. Failing is no trouble: GitLab is asked again.
func (s Store) save(dir *directory, name string, seal []byte, e entry) {
	if data, err := e.marshal(name, seal); err == nil {
		_ = dir.write(name, data)
	}
}
