// Package cache stores verdicts on disk, for all calls of git on a machine: one
// request serves concurrent and later calls, and outages of GitLab. It fails soft:
// if the directory can't be used, the answer is the same as without a cache.
package cache

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
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
	// After rules out what was learned until then; zero for nothing.
	After time.Time
}

// Answer is a verdict, and how it came about.
type Answer struct {
	Verdict access.Verdict
	// Made is when a good verdict was that is from memory; zero for others.
	Made time.Time
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
	// Dirs are absolute paths; the first that can be used is.
	Dirs []string
	// TTL is how long a good verdict is fresh, 12 hours at most.
	TTL time.Duration
	// OnLock is told when another caller is waited for; nil tells nobody.
	OnLock func()
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (s Store) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

func (s Store) open(make bool) (*directory, bool) {
	for _, path := range s.Dirs {
		if !filepath.IsAbs(path) {
			continue // it would lie in whatever repository git is working in
		}
		if dir, err := openDir(path, make); err == nil {
			return dir, true
		}
	}
	return nil, false
}

// Usable is the directory that verdicts are remembered in, or a warning that says
// why there is none: every call asks GitLab then. Both are zero for a store without
// directories.
func (s Store) Usable() (path string, problem error) {
	for _, path := range s.Dirs {
		err := errRelative
		if filepath.IsAbs(path) {
			var dir *directory
			if dir, err = openDir(path, true); err == nil {
				// It is the one that open takes, whether files can be written or not.
				defer dir.close()
				if err = dir.writable(s.call(dir, Question{}).token); err != nil {
					return "", unusable(path, err)
				}
				return path, nil
			}
		}
		if problem == nil {
			problem = unusable(path, err)
		}
	}
	return "", problem
}

// unusable gives the words for why a directory is not used.
func unusable(path string, err error) error {
	hint := "set ACP_GITLAB_CACHE_DIR to a directory that this user can write to, for example one below an emptyDir volume, or to off"
	switch {
	case errors.Is(err, errRelative):
		hint = "set ACP_GITLAB_CACHE_DIR to an absolute path"
	case errors.Is(err, errLink):
		hint = "set ACP_GITLAB_CACHE_DIR to the directory itself, or remove the link"
	case errors.Is(err, errNotDirectory), errors.Is(err, syscall.ENOTDIR):
		hint = "set ACP_GITLAB_CACHE_DIR to a directory, or remove the file in its place"
	case errors.Is(err, errShared):
		hint = "set ACP_GITLAB_CACHE_DIR to a directory within it, for example " + message.Quote(filepath.Join(path, "git-credential-acp")) +
			", which is created; or, if it is yours, remove write permission for others (chmod go-w)"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = "free some space there, or set ACP_GITLAB_CACHE_DIR to a directory on another volume"
	}
	return warnCacheUnusable(path, file.Cause(err), hint)
}

// Fresh gives a verdict that needs nobody to be asked. It opens one file.
func (s Store) Fresh(q Question) (Answer, bool) {
	dir, ok := s.open(false)
	if !ok {
		return Answer{}, false
	}
	defer dir.close()
	c := s.call(dir, q)
	return c.fresh()
}

// Verify gives a verdict, from what is remembered or by asking. Callers that
// want the same one at the same time wait for the one that asks, for half of
// the time that ctx leaves; then they ask for themselves. While GitLab's rate
// limit is known to be used up, nobody asks: the verdict is RateLimited with the
// time until the limit is reset, and a caller that can wait so long asks again
// then.
func (s Store) Verify(ctx context.Context, q Question, ask Ask) Answer {
	dir, ok := s.open(true)
	if !ok {
		verdict, _ := ask(ctx, access.Facts{})
		return Answer{Verdict: verdict}
	}
	defer dir.close()
	c := s.call(dir, q)
	patience, cancel := patience(ctx)
	defer cancel()
	waited, release := dir.lock(patience, lockVerdict, c.verdict, s.OnLock)
	defer func() { release() }()
	if a, ok := c.fresh(); ok {
		return a
	}
	if a, ok := c.shared(); ok {
		return a
	}
	if waited && c.triedMeanwhile() || dir.writable(c.token) != nil {
		// What the other one met says nothing of what this one will, or nothing
		// can be remembered: one after the other would be slow and no help.
		release()
	}
	return c.ask(ctx, patience, ask)
}

// Forget drops all verdicts of a token, and keeps calls that are under way from
// bringing them back. It reports whether there were any.
func (s Store) Forget(tok token.Token) bool {
	dir, ok := s.open(true)
	if !ok {
		return false
	}
	defer dir.close()
	c := s.call(dir, Question{Token: tok})
	known := dir.drop(c.token+"-v-") + dir.drop(c.token+"-f-")
	dir.drop(c.token + "-i-")
	if known > 0 {
		c.save(c.mark, entry{head: head{Saved: c.start.UnixMilli()}})
	}
	return known > 0
}

// patience bounds the wait for others.
func patience(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// call is one question, asked of an open directory since start.
type call struct {
	Store
	names
	dir   *directory
	start time.Time
	// after is the question's, in unix milliseconds.
	after int64
}

func (s Store) call(dir *directory, q Question) call {
	s.TTL = min(s.TTL, grace)
	c := call{Store: s, names: namesOf(q), dir: dir, start: s.now()}
	if !q.After.IsZero() {
		c.after = min(q.After.UnixMilli(), c.start.UnixMilli())
	}
	return c
}

// fresh gives what is remembered of the question, if it still counts.
func (c call) fresh() (Answer, bool) {
	e, ok := c.load(c.verdict)
	if !ok {
		return Answer{}, false
	}
	now := c.now()
	age := now.Sub(e.made())
	switch {
	case e.Outcome == access.Refused && age < refusalTTL:
		return Answer{Verdict: e.verdict()}, true
	case e.Outcome == access.Granted && age < c.TTL && alive(e, now):
		return c.granted(e), true
	case now.Sub(time.UnixMilli(e.Tried)) < outageTTL:
		return c.bridge(e)
	}
	return Answer{}, false
}

// shared gives what others have learned that spares a request: what one was
// answered while this caller waited for it, and what is known of the rate limit.
func (c call) shared() (Answer, bool) {
	e, _ := c.load(c.verdict)
	if e.Saved > c.start.UnixMilli() && e.Outcome != access.Unverified {
		return Answer{Verdict: e.verdict()}, true
	}
	if a, ok := c.limited(e); ok {
		return a, true
	}
	if e.Tried > c.start.UnixMilli() && sharedFault(e.Trouble) {
		return Answer{Verdict: e.Trouble}, true
	}
	return Answer{}, false
}

// limited is the answer while the rate limit is nearly used up: a good verdict,
// where there is one, rather than one of its last requests. When it is used up,
// an older good verdict stands in, or the answer is that it is.
func (c call) limited(e entry) (Answer, bool) {
	now := c.now()
	rate, _ := c.load(c.rate)
	left := time.UnixMilli(rate.Until).Sub(now)
	switch {
	case left <= 0:
		return Answer{}, false
	case e.Outcome == access.Granted && now.Sub(e.made()) <= stretch && alive(e, now):
		return c.granted(e), true
	case rate.Trouble.Reason != access.RateLimited:
		return Answer{}, false
	}
	rate.Trouble.Wait = left
	e.Trouble = rate.Trouble
	if a, ok := c.bridge(e); ok {
		return a, true
	}
	return Answer{Verdict: rate.Trouble}, true
}

// sharedFault reports whether trouble that one caller had is everybody's: GitLab
// answered, and so it would have answered the others. A time limit, a proxy or
// an authority may be that caller's own.
func sharedFault(trouble access.Verdict) bool {
	switch trouble.Reason {
	case access.RateLimited, access.ServerError, access.InFront, access.Redirected, access.Garbled, access.NotGitLab:
		return true
	}
	return false
}

// triedMeanwhile reports whether another caller asked in vain while this one
// waited for it.
func (c call) triedMeanwhile() bool {
	e, ok := c.load(c.verdict)
	return ok && e.Tried > c.start.UnixMilli()
}

// alive reports whether the token of a good verdict still works, as far as its
// expiry tells.
func alive(e entry, now time.Time) bool { return e.Expires == 0 || now.UnixMilli() < e.Expires }

// bridge lets the last good verdict stand in during an outage.
func (c call) bridge(e entry) (Answer, bool) {
	now := c.now()
	age := now.Sub(e.made())
	if e.Outcome != access.Granted || age > grace || !alive(e, now) {
		return Answer{}, false
	}
	a := c.granted(e)
	a.Bridged, a.Trouble = max(age, time.Second), e.Trouble
	return a, true
}

// granted is the answer for a good verdict. It says whether the expiry is to be
// told: once a day and token, whichever project it is first asked for.
func (c call) granted(e entry) Answer {
	a, now := Answer{Verdict: e.verdict(), Made: e.made()}, c.now()
	if a.Verdict.ExpiryWorthTelling(now) {
		a.Tell = c.dir.once(c.token + "-w-" + strconv.FormatInt(now.Unix()/int64((24*time.Hour).Seconds()), 10))
	}
	return a
}

// ask asks GitLab, with what is remembered of the token, and remembers what it
// says.
func (c call) ask(ctx, patience context.Context, ask Ask) Answer {
	_, release := c.dir.lock(patience, lockToken, c.names.facts, c.OnLock)
	defer func() { release() }()
	known, of, trouble := c.facts()
	if sharedFault(trouble) {
		// Another caller has just asked about the token in vain.
		return c.unverified(trouble)
	}
	if e, _ := c.load(c.verdict); !known.Rejected() {
		if a, ok := c.limited(e); ok {
			return a // the caller that had the lock has just met the limit
		}
	}
	if !of.IsZero() {
		release()
	}
	verdict, learned := ask(ctx, known)
	if !c.erased() {
		c.remember(known, of, verdict, learned)
	}
	if verdict.Outcome == access.Unverified {
		return c.unverified(verdict)
	}
	c.dir.sweep(c.now())
	if verdict.Outcome == access.Granted {
		a := c.granted(entryOf(verdict, c.now()))
		a.Made = time.Time{}
		return a
	}
	return Answer{Verdict: verdict}
}

// remember writes down what GitLab said.
func (c call) remember(known access.Facts, of time.Time, verdict access.Verdict, learned access.Facts) {
	now := c.now()
	if learned.Rejected() && !known.Rejected() {
		// Whatever was granted to this token before counts no more.
		c.dir.drop(c.token + "-v-")
		c.dir.drop(c.token + "-i-") // it may be the wrong instance
		of = time.Time{}
	}
	if of.IsZero() {
		c.saveFacts(verdict, learned)
	}
	c.saveRate(verdict, learned.Rate)
	if verdict.Outcome == access.Unverified {
		return
	}
	made := now
	if !of.IsZero() && (verdict.Outcome == access.Granted || known.Rejected()) {
		// It is as old as the oldest of what it is made from.
		made = of
	}
	e := entryOf(verdict, made)
	e.Saved = now.UnixMilli()
	c.save(c.verdict, e)
}

// erased reports whether the token's verdicts were dropped since the call began.
func (c call) erased() bool {
	mark, ok := c.load(c.mark)
	return ok && mark.Saved >= c.start.UnixMilli()
}

// unverified remembers that GitLab was asked in vain, beside the last good
// verdict, which is then the answer. What another caller has learned in the
// meantime is better than either.
func (c call) unverified(trouble access.Verdict) Answer {
	if trouble.Reason == access.Interrupted || trouble.Reason == "" {
		// That is this caller's own trouble, and says nothing of GitLab.
		return Answer{Verdict: trouble}
	}
	e, _ := c.load(c.verdict)
	if e.Saved > c.start.UnixMilli() && e.Outcome != access.Unverified {
		if a, ok := c.fresh(); ok {
			return a
		}
	}
	switch {
	case trouble.Detail != access.Held:
	case e.Outcome == access.Granted && c.now().Sub(e.made()) <= stretch && alive(e, c.now()):
		return c.granted(e)
	default:
		return Answer{Verdict: trouble}
	}
	if e.Outcome != access.Granted {
		e = entry{}
	}
	e.Tried, e.Trouble = c.now().UnixMilli(), trouble
	c.save(c.verdict, e)
	if a, ok := c.bridge(e); ok {
		return a
	}
	return Answer{Verdict: trouble}
}

// facts is what is remembered of the token itself and still counts, and when
// that was learned; the zero time when there is nothing. trouble is what another
// caller met that asked about it in vain since this call began.
func (c call) facts() (facts access.Facts, of time.Time, trouble access.Verdict) {
	e, ok := c.load(c.names.facts)
	if !ok {
		return access.Facts{}, time.Time{}, access.Verdict{}
	}
	if e.Tried > c.start.UnixMilli() {
		trouble = e.Trouble
	}
	now, ttl := c.now(), c.TTL
	if e.Facts.Rejected() {
		ttl = refusalTTL
	}
	expiry := e.Facts.Self.ExpiresAt
	if e.Facts.Self.State == access.Unasked || now.Sub(e.made()) >= ttl || !expiry.IsZero() && !now.Before(expiry) {
		return access.Facts{}, time.Time{}, trouble
	}
	return e.Facts, e.made(), trouble
}

// saveFacts remembers what GitLab said of the token, or that it said nothing;
// not what it said of the project.
func (c call) saveFacts(verdict access.Verdict, learned access.Facts) {
	now := c.now()
	facts := access.Facts{Self: learned.Self, User: learned.User}
	if learned.Rejected() {
		facts = access.Facts{Self: access.Self{Reply: learned.Rejection()}}
	}
	if facts.User.State == access.Silent {
		facts.User = access.User{}
	}
	e := entry{head: head{Made: now.UnixMilli()}, detail: detail{Facts: facts}}
	if facts.Self.State == access.Silent || facts.Self.State == access.Unasked {
		e = entry{head: head{Tried: now.UnixMilli()}, detail: detail{Trouble: verdict}}
	}
	c.save(c.names.facts, e)
}

// saveRate remembers a rate limit that is used up, or nearly.
func (c call) saveRate(verdict access.Verdict, rate access.Rate) {
	now := c.now()
	e := entry{head: head{Made: now.UnixMilli()}}
	switch {
	case verdict.Reason == access.RateLimited && verdict.Detail != access.Held:
		// Without a word on how long, it is left alone for a moment.
		e.Until, e.Trouble = now.Add(min(max(verdict.Wait, time.Second), stretch)).UnixMilli(), verdict
	case rate.Limit > 0 && rate.Remaining <= 0:
		// Headers tell whole seconds; the limit may reset within the next one.
		e.Until, e.Trouble = min(rate.Reset.Add(time.Second).UnixMilli(), now.Add(stretch).UnixMilli()), access.Verdict{Reason: access.RateLimited}
	case rate.Low():
		e.Until = min(rate.Reset.UnixMilli(), now.Add(stretch).UnixMilli())
	default:
		return
	}
	c.save(c.rate, e)
}

// load reads an entry; one that can't be read, is not whole, or comes from the
// future is none. An attempt from the future is forgotten alone: what was good
// before it still is.
func (c call) load(name string) (entry, bool) {
	data, err := c.dir.read(name)
	if err != nil {
		return entry{}, false
	}
	e, ok := unmarshal(data, name, c.seal)
	ahead := c.now().Add(skew).UnixMilli()
	old := c.after > 0 && e.Made <= c.after && (name == c.verdict || name == c.names.facts)
	if !ok || e.Made > ahead || old {
		return entry{}, false
	}
	if e.Tried > ahead {
		e.Tried, e.Trouble = 0, access.Verdict{}
	}
	if e.Saved > ahead {
		e.Saved = 0
	}
	return e, true
}

// save writes an entry. Failing is no trouble: GitLab is asked again.
func (c call) save(name string, e entry) {
	if data, err := e.marshal(name, c.seal); err == nil {
		_ = c.dir.write(name, c.token+"-t-", data)
	}
}
