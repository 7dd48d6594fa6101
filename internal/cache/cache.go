// Package cache stores verdicts on disk, so that one request to GitLab serves
// concurrent and later calls, and outages. There is one file for each token. If the
// directory can't be used, the answer is the same as without a cache.
package cache

import (
	"bytes"
	"context"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// How long entries count.
const (
	// refusalTTL is short: it keeps a loop from GitLab, and a fix is noticed soon.
	refusalTTL = 30 * time.Second
	// outageTTL is how long GitLab is not asked after it gave no definite answer.
	outageTTL = 30 * time.Second
	// maxStale is how old a good verdict may be that is used in an outage.
	maxStale = 12 * time.Hour
	// maxStretch is how old a good verdict may be that saves the last requests of
	// a rate limit, and how far ahead the end of a limit is believed.
	maxStretch = time.Hour
	// maxSkew is how far in the future an entry may be, since clocks are
	// corrected. Otherwise the clock was set back, and its age is unknown.
	maxSkew = 2 * time.Second
)

// Question is all that a verdict depends on.
type Question struct {
	Token    token.Token
	Instance instance.Instance
	Project  string
	Policy   access.Policy
	// After rules out what was learned until then, unless it is zero.
	After time.Time
}

// Answer is a verdict, and where it comes from.
type Answer struct {
	Verdict access.Verdict
	// Made is the time of a good verdict from the cache; zero for others.
	Made time.Time
	// Bridged is the age of a good verdict that is used although it is stale, and
	// Trouble is why GitLab gave none; both are zero otherwise.
	Bridged time.Duration
	Trouble access.Verdict
	// Tell: warn about the token's expiry, for the first time today.
	Tell bool
}

// Ask asks GitLab; known are facts that need not be asked for again.
type Ask func(ctx context.Context, known access.Facts) (access.Verdict, access.Facts)

// Store caches verdicts in a directory. The zero value caches nothing.
type Store struct {
	// Dirs are absolute paths. The first usable one is used.
	Dirs []string
	// TTL is how long a good verdict is fresh, 12 hours at most.
	TTL time.Duration
	// OnLock, unless nil, is called if a call waits long for another.
	OnLock func()
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// now is in whole milliseconds, as times come back from git.
func (s Store) now() time.Time {
	if s.Now == nil {
		s.Now = time.Now
	}
	return s.Now().Truncate(time.Millisecond)
}

// open opens the first directory that can be used. Without one, it returns why the
// first can't, as a warning; nil for a store without directories.
func (s Store) open(create bool) (dir *directory, problem error) {
	for _, path := range s.Dirs {
		dir, err := openDir(path, create)
		if err == nil {
			return dir, nil
		}
		if problem == nil {
			problem = warnCacheUnusable(path, err)
		}
	}
	return nil, problem
}

// Usable is the directory of the cache, or a warning why there is none, so that every
// call asks GitLab. Both are zero for a store without directories.
func (s Store) Usable() (path string, problem error) {
	dir, problem := s.open(true)
	if dir == nil {
		return "", problem
	}
	defer dir.close()
	if err := dir.writable(); err != nil {
		return "", warnCacheUnusable(dir.path, err)
	}
	return dir.path, nil
}

// Fresh gives a verdict that is still fresh. It opens one file.
func (s Store) Fresh(q Question) (Answer, bool) {
	dir, _ := s.open(false)
	if dir == nil {
		return Answer{}, false
	}
	defer dir.close()
	c := s.question(dir, q)
	r := c.read()
	a, ok := c.fresh(r)
	return c.tell(a, r), ok
}

// Verify gives a verdict, from the cache or by asking. Callers with the same
// question wait for the one that asks, for half of the time that ctx leaves; then
// they ask too. While the rate limit is known to be used up, no call asks GitLab: the
// verdict is RateLimited, with the time until the limit resets.
func (s Store) Verify(ctx context.Context, q Question, ask Ask) Answer {
	dir, _ := s.open(true)
	if dir == nil {
		verdict, _ := ask(ctx, access.Facts{})
		return Answer{Verdict: verdict}
	}
	defer dir.close()
	c := s.question(dir, q)
	half, cancel := halfOf(ctx)
	defer cancel()
	waited, release := dir.lock(half, c.file+" "+c.verdict, s.OnLock)
	defer func() { release() }()
	r := c.read()
	a, ok := c.fresh(r)
	if !ok {
		a, ok = c.shared(r)
	}
	if !ok {
		if waited && c.entry(r, c.verdict).Tried.After(c.start) || dir.writable() != nil {
			// The holder failed for a reason of its own, or nothing can be
			// stored: waiting in line would not help.
			release()
		}
		a, r = c.ask(ctx, half, ask)
	}
	return c.tell(a, r)
}

// Forget drops all verdicts of a token, and keeps calls under way from storing
// theirs. It reports whether there were any.
func (s Store) Forget(tok token.Token) (known bool) {
	dir, _ := s.open(false)
	if dir == nil {
		return false
	}
	defer dir.close()
	c := s.call(dir, tokenFile(tok))
	c.update(func(r *record) {
		if known = r.drop(); known {
			r.set(kindErased, entry{Made: c.now()})
		}
	})
	return known
}

// halfOf ends after half of the time that ctx leaves.
func halfOf(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// call is a use of one file in an open directory, since start.
type call struct {
	Store
	names
	dir   *directory
	start time.Time
	after time.Time // the question's
}

func (s Store) call(dir *directory, n names) call {
	s.TTL = min(s.TTL, maxStale)
	return call{Store: s, names: n, dir: dir, start: s.now()}
}

func (s Store) question(dir *directory, q Question) call {
	c := s.call(dir, namesOf(q))
	if c.after = q.After; c.after.After(c.start) {
		c.after = c.start
	}
	return c
}

// read reads the file. One that is missing, or can't be used, is empty.
func (c call) read() record {
	data, err := c.dir.read(c.file)
	if err != nil {
		return record{}
	}
	return parse(data, c.file, c.key)
}

// maxUpdate is how long a caller waits for others to update the file, which takes
// each a few milliseconds.
const maxUpdate = time.Second

// update changes the file, unless nothing is different, and reports whether it has
// the change now. If the file can't be written, verdicts that were dropped go with
// it. Without the lock, it would undo what others store, so only a drop is written.
func (c call) update(change func(*record)) bool {
	ctx, cancel := context.WithTimeout(context.Background(), maxUpdate)
	defer cancel()
	_, release := c.dir.lock(ctx, c.file, nil)
	defer release()
	r := c.read()
	before := r.marshal(c.file, c.key)
	change(&r)
	after := r.marshal(c.file, c.key)
	if bytes.Equal(before, after) {
		return true
	}
	if ctx.Err() != nil && !r.dropped {
		return false
	}
	err := c.dir.write(c.file, after)
	if err != nil && r.dropped {
		_ = c.dir.root.Remove(c.file)
	}
	return err == nil
}

// entry is what r has under a key and still counts: nothing from the future, or from
// before the time that the question rules out.
func (c call) entry(r record, key string) entry {
	e := r.get(key)
	latest := c.now().Add(maxSkew)
	ruledOut := (key == c.verdict || key == c.token) && !c.after.IsZero() && !e.Made.After(c.after)
	if e.Made.After(latest) || ruledOut {
		return entry{}
	}
	if e.Tried.After(latest) { // what was good before still is
		e.Tried, e.Trouble = time.Time{}, access.Verdict{}
	}
	return e
}

// granted reports whether e is a good verdict, of at most that age, on a token that
// has not expired since.
func (c call) granted(e entry, age time.Duration) bool {
	v, now := e.Verdict, c.now()
	return v.Outcome == access.Granted && now.Sub(e.Made) <= age && (v.ExpiresAt.IsZero() || now.Before(v.ExpiresAt))
}

// remembered is the answer for a good verdict.
func remembered(e entry) Answer { return Answer{Verdict: e.Verdict, Made: e.Made} }

// fresh is the answer that needs no request.
func (c call) fresh(r record) (Answer, bool) {
	e := c.entry(r, c.verdict)
	age := c.now().Sub(e.Made)
	switch {
	case e.Verdict.Outcome == access.Refused && age < refusalTTL:
		return Answer{Verdict: e.Verdict}, true
	case age < c.TTL && c.granted(e, maxStale):
		return remembered(e), true
	case c.now().Sub(e.Tried) < outageTTL:
		return c.stale(e)
	}
	return Answer{}, false
}

// stale is the answer while GitLab gives none: the last good verdict, and why.
func (c call) stale(e entry) (Answer, bool) {
	if !c.granted(e, maxStale) {
		return Answer{}, false
	}
	a := remembered(e)
	a.Bridged, a.Trouble = max(c.now().Sub(e.Made), time.Second), e.Trouble
	return a, true
}

// shared is an answer that other callers have learned since this one started, and
// that saves a request.
func (c call) shared(r record) (Answer, bool) {
	e := c.entry(r, c.verdict)
	if e.Made.After(c.start) {
		return Answer{Verdict: e.Verdict}, true
	}
	if a, ok := c.limited(r); ok {
		return a, true
	}
	return Answer{Verdict: e.Trouble}, e.Tried.After(c.start) && sharedFault(e.Trouble)
}

// limited is the answer while the rate limit is nearly used up: a good verdict, if
// there is one, rather than one of the last requests. Once it is used up, a stale
// verdict, or that it is.
func (c call) limited(r record) (Answer, bool) {
	rate, e := c.entry(r, c.rate), c.entry(r, c.verdict)
	left := rate.Until.Sub(c.now())
	switch {
	case left <= 0:
		return Answer{}, false
	case c.granted(e, maxStretch):
		return remembered(e), true
	case rate.Trouble.Reason != access.RateLimited:
		return Answer{}, false
	}
	e.Trouble = rate.Trouble
	e.Trouble.Wait = left
	if a, ok := c.stale(e); ok {
		return a, true
	}
	return Answer{Verdict: e.Trouble}, true
}

// sharedFault reports whether all callers would have met the trouble that one had:
// GitLab answered. A timeout, a proxy or a CA may be that caller's own.
func sharedFault(trouble access.Verdict) bool {
	switch trouble.Reason {
	case access.RateLimited, access.ServerError, access.InFront, access.Redirected, access.Garbled, access.NotGitLab:
		return true
	}
	return false
}

// tell marks an answer for an expiry warning, once a day per token. If that can't be stored,
// there is no warning.
func (c call) tell(a Answer, r record) Answer {
	const day = 24 * time.Hour
	today := c.now().Truncate(day) // UTC
	if a.Verdict.ExpiryWorthTelling(c.now()) && c.entry(r, kindTold).Made.Before(today) {
		stored := c.update(func(r *record) {
			a.Tell = c.entry(*r, kindTold).Made.Before(today)
			if a.Tell {
				r.set(kindTold, entry{Made: today})
			}
		})
		a.Tell = a.Tell && stored
	}
	return a
}

// ask asks GitLab, with what is known about the token, and stores the reply. Callers
// with different questions wait for the one that asks about the token.
func (c call) ask(ctx, half context.Context, ask Ask) (a Answer, r record) {
	_, release := c.dir.lock(half, c.file+" "+c.token, c.OnLock)
	defer func() { release() }()
	r = c.read()
	known := c.entry(r, c.token)
	if known.Tried.After(c.start) && sharedFault(known.Trouble) {
		// Another caller has just asked about the token without success.
		c.update(func(now *record) { a, r = c.unverified(now, known.Trouble), *now })
		return a, r
	}
	if !c.valid(known) {
		known = entry{}
	}
	if !known.Facts.Rejected() {
		if a, ok := c.limited(r); ok {
			return a, r // the holder of the lock has just met the limit
		}
	}
	if !known.Made.IsZero() {
		release()
	}
	verdict, learned := ask(ctx, known.Facts)
	c.update(func(now *record) {
		a = Answer{Verdict: verdict}
		if c.entry(*now, kindErased).Made.Before(c.start) {
			a = c.learn(now, known, verdict, learned)
		}
		r = *now
	})
	c.dir.sweep(c.now())
	return a, r
}

// valid reports whether what GitLab said about the token itself still counts.
func (c call) valid(known entry) bool {
	ttl, now, expiry := c.TTL, c.now(), known.Facts.Self.ExpiresAt
	if known.Facts.Rejected() {
		ttl = refusalTTL
	}
	return known.Facts.Self.State != access.Unasked && now.Sub(known.Made) < ttl && (expiry.IsZero() || now.Before(expiry))
}

// learn stores what GitLab said, in addition to what was known about the token, and
// gives the answer.
func (c call) learn(r *record, known entry, verdict access.Verdict, learned access.Facts) Answer {
	now := c.now()
	if learned.Rejected() && !known.Facts.Rejected() {
		// No verdict on this token counts any more.
		r.drop()
		known = entry{}
	}
	if known.Made.IsZero() {
		r.set(c.token, factsOf(verdict, learned, now))
	}
	if until, trouble := limitOf(verdict, learned.Rate, now); !until.IsZero() {
		r.set(c.rate, entry{Made: now, Until: until, Trouble: trouble})
	}
	if verdict.Outcome == access.Unverified {
		return c.unverified(r, verdict)
	}
	made := now
	if !known.Made.IsZero() && (verdict.Outcome == access.Granted || known.Facts.Rejected()) {
		made = known.Made // the oldest of what the verdict is made from
	}
	r.set(c.verdict, entry{Made: made, Verdict: verdict})
	return Answer{Verdict: verdict}
}

// unverified stores that GitLab gave no definite answer, and answers with the last
// good verdict, or with what another caller has learned meanwhile.
func (c call) unverified(r *record, trouble access.Verdict) Answer {
	if trouble.Reason == access.Interrupted || trouble.Reason == "" {
		return Answer{Verdict: trouble} // this says nothing about GitLab
	}
	if a, ok := c.fresh(*r); ok {
		return a // from another caller, in the meantime
	}
	e := c.entry(*r, c.verdict)
	if trouble.Detail == access.Held {
		if c.granted(e, maxStretch) {
			return remembered(e)
		}
		return Answer{Verdict: trouble}
	}
	if e.Verdict.Outcome != access.Granted {
		e = entry{}
	}
	e.Tried, e.Trouble = c.now(), trouble
	r.set(c.verdict, e)
	if a, ok := c.stale(e); ok {
		return a
	}
	return Answer{Verdict: trouble}
}

// factsOf is what GitLab said about the token, or that it said nothing; without what
// it said about the project.
func factsOf(verdict access.Verdict, learned access.Facts, now time.Time) entry {
	facts := access.Facts{Self: learned.Self, User: learned.User}
	if learned.Rejected() {
		facts = access.Facts{Self: access.Self{Reply: learned.Rejection()}}
	}
	if facts.User.State == access.Silent {
		facts.User = access.User{}
	}
	if facts.Self.State == access.Silent || facts.Self.State == access.Unasked {
		return entry{Tried: now, Trouble: verdict}
	}
	return entry{Made: now, Facts: facts}
}

// limitOf is until when a rate limit is used up, with the verdict that says so, or
// nearly, without one. The time is zero when there is room.
func limitOf(verdict access.Verdict, rate access.Rate, now time.Time) (until time.Time, used access.Verdict) {
	switch {
	case verdict.Reason == access.RateLimited && verdict.Detail != access.Held:
		// Without a time, for a moment.
		until, used = now.Add(max(verdict.Wait, time.Second)), verdict
	case rate.Limit > 0 && rate.Remaining <= 0:
		// Headers have whole seconds; the limit may reset within the next one.
		until, used = rate.Reset.Add(time.Second), access.Verdict{Reason: access.RateLimited}
	case rate.Low():
		until = rate.Reset
	}
	if latest := now.Add(maxStretch); until.After(latest) {
		until = latest
	}
	return until, used
}
