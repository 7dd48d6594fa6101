package access

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	now  = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	past = time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)
	soon = time.Date(2026, 6, 16, 0, 0, 0, 0, time.UTC)
)

// guide is what the platform's guide asks for, alone the same without a
// project.
var (
	guide = Policy{Minimum: Developer, Scopes: DefaultScopes(), Project: true}
	alone = Policy{Minimum: Developer, Scopes: DefaultScopes()}
)

// Replies as the client gives them.
var (
	given     = Reply{State: Given}
	absent    = Reply{State: Absent}
	revoked   = Reply{State: Rejected, Reason: TokenRevoked}
	unknown   = Reply{State: Rejected, Reason: TokenUnknown}
	blocked   = Reply{State: Forbidden, Reason: AccountBlocked}
	noScope   = Reply{State: Forbidden, Reason: ScopeMissing}
	noGrant   = Reply{State: Forbidden, Reason: GrantMissing}
	forbidden = Reply{State: Forbidden, Reason: AccessForbidden}
	down      = Reply{State: Silent, Reason: ServerError, Detail: "502 Bad Gateway"}
	limited   = Reply{State: Silent, Reason: RateLimited, Wait: time.Minute}
)

// alive is a good token of user 7; changes make another of it.
func alive(changes ...func(*Self)) Self {
	self := Self{Reply: given, ID: 1, UserID: 7, Scopes: []string{"api", "write_repository"}, Active: true, ExpiresAt: soon}
	for _, change := range changes {
		change(&self)
	}
	return self
}

func scopes(held ...string) func(*Self) { return func(s *Self) { s.Scopes = held } }
func expires(at time.Time) func(*Self)  { return func(s *Self) { s.ExpiresAt = at } }
func granular(s *Self)                  { s.Granular, s.Scopes = true, []string{"granular"} }
func inactive(s *Self)                  { s.Active = false }
func revokedToken(s *Self)              { s.Active, s.Revoked = false, true }

// level is a project that shows that access level, member a membership.
func level(n int) Project { return Project{Reply: given, ID: 3, Level: n} }
func member(n int) Member { return Member{Reply: given, Level: n} }

// owner is the token's user, who may be an administrator.
func owner(admin bool) User { return User{Reply: given, ID: 7, Admin: admin} }

func granted(expiresAt time.Time) Verdict { return Verdict{Outcome: Granted, ExpiresAt: expiresAt} }

// unlimited is a verdict on a token that is known never to expire.
func unlimited(v Verdict) Verdict {
	v.Unlimited = true
	return v
}

var wiki = Policy{Minimum: Developer, Scopes: DefaultScopes(), Project: true, Wiki: true}

// notFound is the refusal of a project that is not there, for the usual minimum.
var notFound = Verdict{Outcome: Refused, Reason: ProjectNotFound, Minimum: Developer}

func refused(reason Reason, missing ...string) Verdict {
	return Verdict{Outcome: Refused, Reason: reason, Missing: missing}
}

func unverified(r Reply) Verdict {
	return Verdict{Outcome: Unverified, Reason: r.Reason, Detail: r.Detail, Wait: r.Wait}
}

func expiring(v Verdict, at time.Time) Verdict {
	v.ExpiresAt = at
	return v
}

// judgement is one row: a verdict, or the question that comes before one.
type judgement struct {
	name   string
	policy Policy
	facts  Facts
	want   Verdict
	ask    Question
}

func judge(t *testing.T, tests []judgement) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, need := test.policy.Judge(test.facts, now)
			if need != test.ask {
				t.Fatalf("asks %v (verdict %+v), want %v", need, got, test.ask)
			}
			if need == Nothing && !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// The token alone, as GitLab since 15.5 tells of it.
func TestJudgeToken(t *testing.T) {
	only := func(name string, self Self, want Verdict) judgement {
		return judgement{name: name, policy: alone, facts: Facts{Self: self}, want: want}
	}
	judge(t, []judgement{
		only("good", alive(), granted(soon)),
		only("never expires", alive(expires(time.Time{})), unlimited(granted(time.Time{}))),
		only("all scopes by name", alive(scopes(DefaultScopes()...)), granted(soon)),
		only("more scopes than asked for", alive(scopes("sudo", "write_repository", "api")), granted(soon)),

		// GitLab says that it is valid, so the clock here is ahead; an expiry in the
		// past would make git drop the password.
		only("alive past its expiry", alive(expires(past)), granted(time.Time{})),
		only("alive at its very expiry", alive(expires(now)), granted(time.Time{})),
		only("alive a second before", alive(expires(now.Add(time.Second))), granted(now.Add(time.Second))),

		only("inactive, expired", alive(inactive, expires(past)), expiring(refused(TokenExpired), past)),
		only("inactive, expires now", alive(inactive, expires(now)), expiring(refused(TokenExpired), now)),
		only("inactive before its expiry", alive(inactive), expiring(refused(TokenInactive), soon)),
		only("inactive without expiry", alive(inactive, expires(time.Time{})), unlimited(refused(TokenInactive))),
		only("revoked", alive(revokedToken), expiring(refused(TokenRevoked), soon)),
		only("revoked and expired", alive(revokedToken, expires(past)), expiring(refused(TokenRevoked), past)),
		// The two flags contradict each other: the worse one counts.
		only("revoked and active", alive(func(s *Self) { s.Revoked = true }), expiring(refused(TokenRevoked), soon)),
		// Dead comes before narrow: new scopes would not help.
		only("inactive without scopes", alive(inactive, scopes()), expiring(refused(TokenInactive), soon)),

		only("no scopes", alive(scopes()), expiring(refused(ScopeMissing, "api", "read_api", "read_user", "write_repository"), soon)),
		only("api alone", alive(scopes("api")), expiring(refused(ScopeMissing, "write_repository"), soon)),
		only("write_repository alone", alive(scopes("write_repository")), expiring(refused(ScopeMissing, "api", "read_api", "read_user"), soon)),
		// read_api implies nothing, and no scope is found by its beginning.
		only("read_api", alive(scopes("read_api", "write_repository")), expiring(refused(ScopeMissing, "api", "read_user"), soon)),
		only("names that only look alike", alive(scopes("apis", "API", "write_repository_x")),
			expiring(refused(ScopeMissing, DefaultScopes()...), soon)),

		// A fine-grained token's scopes say nothing about git.
		only("granular", alive(granular), granted(soon)),
		only("granular, inactive", alive(granular, inactive), expiring(refused(TokenInactive), soon)),
		only("granular, revoked", alive(granular, revokedToken), expiring(refused(TokenRevoked), soon)),

		only("unknown", Self{Reply: unknown}, refused(TokenUnknown)),
		only("rejected", Self{Reply: revoked}, refused(TokenRevoked)),
		only("account blocked", Self{Reply: blocked}, refused(AccountBlocked)),
		only("forbidden", Self{Reply: forbidden}, refused(AccessForbidden)),
		only("grant missing", Self{Reply: noGrant}, refused(GrantMissing)),
		only("down", Self{Reply: down}, unverified(down)),
		only("limited", Self{Reply: limited}, unverified(limited)),
		only("nothing asked", Self{}, Verdict{}),
	})
}

// GitLab before 15.5 has no /personal_access_tokens/self: /user has to do, and
// unknown scopes are not missing ones.
func TestJudgeOldGitLab(t *testing.T) {
	old := func(name string, user User, want Verdict, ask Question) judgement {
		return judgement{name, alone, Facts{Self: Self{Reply: absent}, User: user}, want, ask}
	}
	judge(t, []judgement{
		old("not asked yet", User{}, Verdict{}, AskUser),
		old("alive", owner(false), granted(time.Time{}), Nothing),
		old("no API at all", User{Reply: absent}, Verdict{Outcome: Unverified, Reason: NotGitLab}, Nothing),
		old("rejected", User{Reply: revoked}, refused(TokenRevoked), Nothing),
		old("account blocked", User{Reply: blocked}, refused(AccountBlocked), Nothing),
		old("scope too small", User{Reply: noScope}, refused(ScopeMissing, "read_user"), Nothing),
		old("grant missing", User{Reply: noGrant}, refused(GrantMissing), Nothing),
		old("forbidden", User{Reply: forbidden}, refused(AccessForbidden), Nothing),
		old("down", User{Reply: down}, unverified(down), Nothing),

		// The project is not judged before the token is known.
		{"project known, user not asked yet", guide, Facts{Self: Self{Reply: absent}, Project: level(Owner)}, Verdict{}, AskUser},
		{"project too", guide, Facts{Self: Self{Reply: absent}, User: owner(false), Project: level(Developer)}, granted(time.Time{}), Nothing},
		{"project down", guide, Facts{Self: Self{Reply: absent}, User: owner(false), Project: Project{Reply: down}}, unverified(down), Nothing},
		{"level too low", guide, Facts{Self: Self{Reply: absent}, User: owner(false), Project: level(Reporter)}, Verdict{}, AskMember},
		{"administrator", guide, Facts{Self: Self{Reply: absent}, User: owner(true), Project: level(0), Member: Member{Reply: absent}}, granted(time.Time{}), Nothing},
		// Its scopes are unknown: nobody can say that it holds all that was
		// asked for, so that a project which it can't read is not passed over.
		{"project forbidden for the scope", Policy{Minimum: Developer, Scopes: []string{"write_repository"}, Project: true},
			Facts{Self: Self{Reply: absent}, User: owner(false), Project: Project{Reply: noScope}}, refused(ScopeMissing, "read_api"), Nothing},
	})
}

// With the reply of /user alone, the verdict is that for a GitLab before 15.5.
func TestJudgeUser(t *testing.T) {
	for _, user := range []User{
		owner(false), owner(true), {Reply: absent}, {Reply: revoked}, {Reply: unknown}, {Reply: blocked}, {Reply: noScope},
		{Reply: noGrant}, {Reply: forbidden}, {Reply: down}, {Reply: limited},
	} {
		want, _ := alone.Judge(Facts{Self: Self{Reply: absent}, User: user}, time.Now())
		if got := JudgeUser(user); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %+v, want %+v", user, got, want)
		}
	}
	if v := JudgeUser(User{}); v.Outcome == Granted {
		t.Errorf("nobody asked: %+v", v)
	}
}

func TestJudgeProject(t *testing.T) {
	project := func(name string, p Project, want Verdict) judgement {
		return judgement{name: name, policy: guide, facts: Facts{Self: alive(), Project: p}, want: expiring(want, soon)}
	}
	writer := Policy{Minimum: Developer, Scopes: []string{"write_repository"}, Project: true}
	reader := Policy{Minimum: Developer, Scopes: []string{"read_api"}, Project: true}
	judge(t, []judgement{
		project("developer", level(Developer), granted(soon)),
		project("owner", level(Owner), granted(soon)),
		project("not found", Project{Reply: absent}, notFound),
		project("forbidden", Project{Reply: forbidden}, refused(AccessForbidden)),
		project("grant missing", Project{Reply: noGrant}, refused(GrantMissing)),
		project("scope missing although held", Project{Reply: noScope}, refused(ScopeMissing, "read_api")),
		project("down", Project{Reply: down}, unverified(down)),
		project("limited", Project{Reply: limited}, unverified(limited)),
		project("not asked", Project{}, Verdict{}),

		{"just under the minimum", guide, Facts{Self: alive(), Project: level(Developer - 1)}, Verdict{}, AskMember},
		{"a minimum between two roles", Policy{Minimum: 31, Scopes: DefaultScopes(), Project: true},
			Facts{Self: alive(), Project: level(Developer)}, Verdict{}, AskMember},
		{"a group's wiki", wiki, Facts{Self: alive(), Project: Project{Reply: absent}}, granted(soon), Nothing},
		{"a group's wiki, scope missing", wiki, Facts{Self: alive(scopes("api")), Project: Project{Reply: absent}},
			expiring(refused(ScopeMissing, "write_repository"), soon), Nothing},
		{"a project's wiki, level too low", wiki, Facts{Self: alive(), Project: level(Developer - 1)}, Verdict{}, AskMember},
		{"a wiki, unverified", wiki, Facts{Self: alive(), Project: Project{Reply: down}}, expiring(unverified(down), soon), Nothing},
		{"a project that nobody wants checked", alone, Facts{Self: alive(), Project: Project{Reply: absent}}, granted(soon), Nothing},

		// The token comes first: its project can't make it good.
		{"scope missing before project not found", guide, Facts{Self: alive(scopes("api")), Project: Project{Reply: absent}},
			expiring(refused(ScopeMissing, "write_repository"), soon), Nothing},
		{"inactive before level", guide, Facts{Self: alive(inactive), Project: level(Owner)}, expiring(refused(TokenInactive), soon), Nothing},
		{"token unverified, project good", guide, Facts{Self: Self{Reply: down}, Project: level(Owner)}, unverified(down), Nothing},
		{"token unverified, project not found", guide, Facts{Self: Self{Reply: limited}, Project: Project{Reply: absent}}, unverified(limited), Nothing},
		{"never expires, project good", guide, Facts{Self: alive(expires(time.Time{})), Project: level(Owner)}, unlimited(granted(time.Time{})), Nothing},
		{"never expires, project down", guide, Facts{Self: alive(expires(time.Time{})), Project: Project{Reply: down}}, unlimited(unverified(down)), Nothing},
		{"clock ahead, project down", guide, Facts{Self: alive(expires(past)), Project: Project{Reply: down}}, unverified(down), Nothing},

		// Without a required scope that reads projects, the project is not checked; with one,
		// a 403 means that the token lacks it.
		{"no scope asked for reads projects", writer, Facts{Self: alive(scopes("write_repository")), Project: Project{Reply: noScope}}, granted(soon), Nothing},
		{"the same, but granular", writer, Facts{Self: alive(granular), Project: Project{Reply: noScope}}, expiring(refused(ScopeMissing, "read_api"), soon), Nothing},
		{"the same, for another reason", writer, Facts{Self: alive(scopes("write_repository")), Project: Project{Reply: forbidden}},
			expiring(refused(AccessForbidden), soon), Nothing},
		{"the same, not found", writer, Facts{Self: alive(scopes("write_repository")), Project: Project{Reply: absent}},
			expiring(notFound, soon), Nothing},
		{"read_api asked for", reader, Facts{Self: alive(scopes("read_api")), Project: Project{Reply: noScope}},
			expiring(refused(ScopeMissing, "read_api"), soon), Nothing},
		{"api asked for", Policy{Minimum: Developer, Scopes: []string{"api"}, Project: true},
			Facts{Self: alive(scopes("api")), Project: Project{Reply: noScope}}, expiring(refused(ScopeMissing, "read_api"), soon), Nothing},
	})
}

// The level, where the project shows too little of one: memberships by
// invitation and administrators are asked about, in this order.
func TestJudgeLevel(t *testing.T) {
	low := func(name string, p Project, m Member, u User, want Verdict, ask Question) judgement {
		return judgement{name, guide, Facts{Self: alive(), Project: p, Member: m, User: u}, expiring(want, soon), ask}
	}
	tooLow := func(n int) Verdict {
		return Verdict{Outcome: Refused, Reason: LevelTooLow, Level: n, Minimum: Developer}
	}
	nobody := Member{Reply: absent}
	judge(t, []judgement{
		low("nothing asked yet", level(0), Member{}, User{}, Verdict{}, AskMember),
		low("user known, member not", level(0), Member{}, owner(true), Verdict{}, AskMember),
		low("invited", level(0), member(Developer), User{}, granted(soon), Nothing),
		low("raised by invitation", level(Reporter), member(Maintainer), User{}, granted(soon), Nothing),
		low("member down", level(Reporter), Member{Reply: down}, User{}, unverified(down), Nothing),
		low("member down, administrator known", level(Reporter), Member{Reply: down}, owner(true), unverified(down), Nothing),
		low("not a member, user not asked yet", level(0), nobody, User{}, Verdict{}, AskUser),
		low("invited too low, user not asked yet", level(0), member(Reporter), User{}, Verdict{}, AskUser),
		low("administrator, no member", level(0), nobody, owner(true), granted(soon), Nothing),
		low("administrator, member too low", level(10), member(Reporter), owner(true), granted(soon), Nothing),
		low("user down", level(Reporter), nobody, User{Reply: down}, unverified(down), Nothing),
		low("nobody", level(0), nobody, owner(false), tooLow(0), Nothing),
		low("the higher of both: project", level(Reporter), member(10), owner(false), tooLow(Reporter), Nothing),
		low("the higher of both: member", level(10), member(25), owner(false), tooLow(25), Nothing),
		// A level below zero, which GitLab has not, is no level either.
		low("level below zero", level(-1), nobody, owner(false), tooLow(0), Nothing),

		{"who owns it is not known", guide, Facts{Self: alive(func(s *Self) { s.UserID = 0 }), Project: level(0)}, Verdict{}, AskUser},
		{"the user tells who owns it", guide, Facts{Self: alive(func(s *Self) { s.UserID = 0 }), Project: level(0), User: owner(false)}, Verdict{}, AskMember},
		{"nobody tells who owns it", guide, Facts{Self: alive(func(s *Self) { s.UserID = 0 }), Project: level(0), User: User{Reply: down}},
			expiring(unverified(down), soon), Nothing},
	})
	// A user without an ID is not requested again: Check would loop forever.
	for _, user := range []User{{Reply: given}, {Reply: given, Admin: true}, {Reply: absent}, {Reply: noGrant}} {
		facts := Facts{Self: alive(func(s *Self) { s.UserID = 0 }), Project: level(0), User: user}
		if got, need := guide.Judge(facts, now); need != Nothing || got.Outcome != Unverified {
			t.Errorf("%+v: %+v, asks %v", user, got, need)
		}
	}
}

// A refusal of the token or its account decides, in any reply, even if other replies are
// missing.
func TestJudgeRefusalsFirst(t *testing.T) {
	put := []func(*Facts, Reply){
		func(f *Facts, r Reply) { f.Self = Self{Reply: r} },
		func(f *Facts, r Reply) { f.User = User{Reply: r} },
		func(f *Facts, r Reply) { f.Project = Project{Reply: r} },
		func(f *Facts, r Reply) { f.Member = Member{Reply: r} },
	}
	var dead []Reply
	for _, reason := range Reasons() {
		switch {
		case strings.HasPrefix(string(reason), "token-"):
			dead = append(dead, Reply{State: Rejected, Reason: reason})
		case strings.HasPrefix(string(reason), "account-"):
			dead = append(dead, Reply{State: Forbidden, Reason: reason})
		}
	}
	if len(dead) != 11 {
		t.Fatalf("%d reasons are about the token or its account; raise the number here for a new one: %v", len(dead), dead)
	}
	for at, set := range put {
		for _, reply := range dead {
			// Everything else is silent, absent, forbidden for another reason,
			// or as good as can be.
			for _, rest := range []Reply{down, absent, noScope, {}} {
				var facts Facts
				for _, other := range put {
					other(&facts, rest)
				}
				set(&facts, reply)
				got, need := guide.Judge(facts, now)
				if need != Nothing || !reflect.DeepEqual(got, refused(reply.Reason)) {
					t.Errorf("answer %d is %v, the others %v: %+v, asks %v", at, reply, rest, got, need)
				}
			}
			facts := Facts{Self: alive(), User: owner(true), Project: level(Owner), Member: member(Owner)}
			set(&facts, reply)
			if got, need := guide.Judge(facts, now); need != Nothing || got.Outcome != Refused || got.Reason != reply.Reason {
				t.Errorf("answer %d is %v, the others good: %+v, asks %v", at, reply, got, need)
			}
		}
	}
}

// world answers a policy's questions, one after the other.
type world struct {
	policy Policy
	facts  Facts
}

// hold asks as the client does and holds the outcome to what may never happen.
func (w world) hold(t *testing.T) {
	t.Helper()
	known := Facts{Self: w.facts.Self, Project: w.facts.Project}
	asked := map[Question]bool{}
	var verdict Verdict
	for {
		var need Question
		verdict, need = w.policy.Judge(known, now)
		if need == Nothing {
			break
		}
		if asked[need] || len(asked) == 2 {
			t.Fatalf("asks %v after %v\n%+v", need, asked, w)
		}
		asked[need] = true
		switch need {
		case AskUser:
			known.User = w.facts.User
		case AskMember:
			if known.UserID() == 0 {
				t.Fatalf("asks about a member without a number\n%+v", w)
			}
			known.Member = w.facts.Member
		default:
			t.Fatalf("asks %v\n%+v", need, w)
		}
	}
	if verdict.Outcome == Granted {
		if why := mayNot(w.policy, known); why != "" {
			t.Fatalf("granted although %s\n%+v", why, w)
		}
		if verdict.Unlimited && (known.Self.State != Given || !known.Self.ExpiresAt.IsZero()) {
			t.Fatalf("called unlimited: %+v", w)
		}
		if verdict.Reason != "" || !verdict.ExpiresAt.IsZero() && !verdict.ExpiresAt.After(now) {
			t.Fatalf("granted with %+v\n%+v", verdict, w)
		}
	} else if verdict.Reason == "" && known.UserID() != 0 {
		t.Fatalf("no reason: %+v\n%+v", verdict, w)
	}
}

// mayNot says why facts give no ground for a grant, "" when they do. It is
// written the other way round than Judge, from what has to be true in the end.
func mayNot(p Policy, f Facts) string {
	for _, reply := range []Reply{f.Self.Reply, f.User.Reply, f.Project.Reply, f.Member.Reply} {
		if reply.State == Rejected || reply.State == Forbidden && strings.HasPrefix(string(reply.Reason), "account-") {
			return "an answer says that it is dead"
		}
	}
	switch self := f.Self; self.State {
	case Given:
		if !self.Active || self.Revoked {
			return "the token is not alive"
		}
		for _, scope := range p.Scopes {
			implied := (scope == "read_api" || scope == "read_user") && slices.Contains(self.Scopes, "api")
			if !self.Granular && !implied && !slices.Contains(self.Scopes, scope) {
				return scope + " is missing"
			}
		}
	case Absent:
		if f.User.State != Given {
			return "nobody said that the token is alive"
		}
	default:
		return "nothing was learned of the token"
	}
	if !p.Project {
		return ""
	}
	if f.Project.State == Forbidden && f.Project.Reason == ScopeMissing && f.Self.State == Given && !f.Self.Granular &&
		!slices.Contains(p.Scopes, "api") && !slices.Contains(p.Scopes, "read_api") {
		return ""
	}
	if f.Project.State != Given {
		return "nothing was learned of the project"
	}
	enough := f.Project.Level >= p.Minimum || f.Member.State == Given && f.Member.Level >= p.Minimum
	if !enough && (f.User.State != Given || !f.User.Admin) {
		return "the level is too low"
	}
	return ""
}

// Every answer to every question with every other, for four policies.
func TestJudgeNeverGrantsTheUnlearned(t *testing.T) {
	replies := []Reply{absent, revoked, blocked, noScope, noGrant, forbidden, down, limited}
	selves := []Self{
		alive(), alive(expires(past)), alive(scopes("write_repository")), alive(scopes()), alive(granular),
		alive(inactive), alive(inactive, expires(past)), alive(revokedToken), alive(func(s *Self) { s.UserID = 0 }),
	}
	users, projects, members := []User{owner(false), owner(true)}, []Project{level(0), level(Reporter), level(Owner)}, []Member{member(0), member(Owner)}
	for _, reply := range replies {
		selves, users = append(selves, Self{Reply: reply}), append(users, User{Reply: reply})
		projects, members = append(projects, Project{Reply: reply}), append(members, Member{Reply: reply})
	}
	grants := 0
	for _, policy := range []Policy{guide, alone, {Minimum: Owner, Scopes: []string{"write_repository"}, Project: true}, {Minimum: Reporter, Project: true}} {
		for _, self := range selves {
			for _, user := range users {
				for _, project := range projects {
					for _, m := range members {
						facts := Facts{Self: self, User: user, Project: project, Member: m}
						world{policy, facts}.hold(t)
						if got, need := policy.Judge(facts, now); need == Nothing && got.Outcome == Granted {
							grants++
						}
					}
				}
			}
		}
	}
	if grants == 0 {
		t.Error("nothing was granted: the test shows nothing")
	}
}

// FuzzJudge builds arbitrary replies from its input, as the client can return them: fields
// are set only for the state Given.
func FuzzJudge(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{30, 15, 1, 1, 0, 1, 7, 3, 1, 1, 1, 0, 7, 1, 1, 30, 1, 30})
	f.Add([]byte{30, 15, 1, 2, 9, 1, 7, 0, 1, 20, 2})
	f.Add([]byte{30, 8, 1, 1, 0, 1, 7, 2, 4, 11})
	f.Fuzz(func(t *testing.T, data []byte) {
		next := func() int {
			if len(data) == 0 {
				return 0
			}
			n := int(data[0])
			data = data[1:]
			return n
		}
		known := []string{"api", "read_api", "read_user", "write_repository", "sudo"}
		some := func() (list []string) {
			for bits, i := next(), 0; i < len(known); i++ {
				if bits>>i&1 == 1 {
					list = append(list, known[i])
				}
			}
			return list
		}
		reply := func() Reply {
			state := State(1 + next()%int(Silent))
			if state == Given || state == Absent {
				return Reply{State: state}
			}
			return Reply{State: state, Reason: Reasons()[next()%len(Reasons())], Wait: time.Duration(next()) * time.Second}
		}
		w := world{policy: Policy{Minimum: 1 + next()%Owner, Scopes: some(), Project: next()%2 == 1}}
		if w.facts.Self.Reply = reply(); w.facts.Self.State == Given {
			flags := next()
			w.facts.Self = Self{Reply: given, ID: 1, UserID: int64(next() % 2), Scopes: some(), Active: flags&1 == 1,
				Revoked: flags&2 != 0, Granular: flags&4 != 0}
			if flags&8 != 0 {
				w.facts.Self.ExpiresAt = past.AddDate(0, 0, next()%3)
			}
		}
		if w.facts.Project.Reply = reply(); w.facts.Project.State == Given {
			w.facts.Project = level(next() - 1)
		}
		if w.facts.User.Reply = reply(); w.facts.User.State == Given {
			w.facts.User = owner(next()%2 == 1)
		}
		if w.facts.Member.Reply = reply(); w.facts.Member.State == Given {
			w.facts.Member = member(next() - 1)
		}
		w.hold(t)
	})
}

// The warning begins seven days before the expiry; a token without expiry gets one too.
func TestExpiryWorthTelling(t *testing.T) {
	week := now.Add(7 * 24 * time.Hour)
	tests := []struct {
		name    string
		verdict Verdict
		want    bool
	}{
		{"soon", granted(soon), true},
		{"in a week to the second", granted(week), true},
		{"a second later", granted(week.Add(time.Second)), false},
		{"unlimited", unlimited(granted(time.Time{})), true},
		// GitLab before 15.5 does not tell, nor does a clock that is ahead.
		{"not known", granted(time.Time{}), false},
		// Other messages come without a warning of expiry.
		{"refused", expiring(refused(LevelTooLow), soon), false},
		{"refused, unlimited", unlimited(refused(TokenInactive)), false},
		{"unverified", expiring(unverified(down), soon), false},
	}
	for _, test := range tests {
		if got := test.verdict.ExpiryWorthTelling(now); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestRejection(t *testing.T) {
	tests := []struct {
		name  string
		facts Facts
		want  Reply
	}{
		{"nothing", Facts{}, Reply{}},
		{"good", Facts{Self: alive(), User: owner(false), Project: level(Owner)}, Reply{}},
		{"account blocked, project silent", Facts{Self: Self{Reply: blocked}, Project: Project{Reply: down}}, blocked},
		{"self", Facts{Self: Self{Reply: revoked}, Project: Project{Reply: unknown}}, revoked},
		{"user", Facts{Self: Self{Reply: absent}, User: User{Reply: unknown}}, unknown},
		{"project", Facts{Self: Self{Reply: down}, Project: Project{Reply: revoked}}, revoked},
		{"member", Facts{Self: alive(), Project: level(0), Member: Member{Reply: revoked}}, revoked},
	}
	for _, test := range tests {
		if got := test.facts.Rejection(); got != test.want || test.facts.Rejected() != (test.want != Reply{}) {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

func TestRateLow(t *testing.T) {
	for rate, want := range map[Rate]bool{
		{}:                           false, // no answer said
		{Limit: 300, Remaining: 300}: false,
		{Limit: 300, Remaining: 31}:  false,
		{Limit: 300, Remaining: 30}:  true,
		{Limit: 300}:                 true,
		{Limit: 5, Remaining: 1}:     false,
		{Limit: 5}:                   true,
	} {
		if rate.Low() != want {
			t.Errorf("%+v: %v", rate, !want)
		}
	}
}

func TestRatePressed(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		limit, remaining int
		left, want       time.Duration
	}{
		{0, 0, time.Minute, 0},
		{300, 300, time.Minute, 0},
		// An exhausted limit is low for any length of the window.
		{300, 0, 40 * time.Second, 40 * time.Second},
		{300, -1, time.Hour, time.Hour},
		{300, 0, 0, 0},
		{300, 0, -time.Second, 0},
		// Forty in the first second: the rest takes 6.5 s at that rate.
		{300, 260, 59 * time.Second, 59 * time.Second},
		{300, 260, time.Minute, time.Minute},
		{300, 262, 59 * time.Second, 59 * time.Second},
		{300, 263, 59 * time.Second, 0}, // less than an eighth is used
		// A hundred in ten seconds: the rest takes 20 s.
		{300, 200, 50 * time.Second, 0},
		{300, 140, 50 * time.Second, 50 * time.Second}, // 8.75 s
		// The window ends before the rest is gone.
		{300, 30, 3 * time.Second, 0},
		{300, 10, 3 * time.Second, 3 * time.Second},
		// The rate of a longer window is not known.
		{300, 1, 61 * time.Second, 0},
	} {
		if got := (Rate{Limit: test.limit, Remaining: test.remaining, Reset: now.Add(test.left)}).Pressed(now); got != test.want {
			t.Errorf("%d of %d for %v: %v, want %v", test.remaining, test.limit, test.left, got, test.want)
		}
	}
}

func TestParseLevel(t *testing.T) {
	for text, want := range map[string]int{
		"reporter": Reporter, "developer": Developer, "maintainer": Maintainer, "owner": Owner,
		"Developer": Developer, "OWNER": Owner, "1": 1, "15": 15, "30": 30, "50": 50,
		"none": NoRole, "None": NoRole, "0": NoRole, "guest": Guest, "planner": 15, "10": Guest,
	} {
		if got, err := ParseLevel(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "no role", "minimal", "security manager", "Minimal Access", "developers", "dev", "developer ", "Developer (30)", "-1", "+20", "-30", "51", "3o", "30.0",
		"0x1e", "1e1", "٣٠", "99999999999999999999", "deve\u200bloper", "glpat-CanaryInALevel",
	} {
		got, err := ParseLevel(text)
		if err == nil || got != 0 {
			t.Errorf("%q was taken for %d", text, got)
		} else if strings.Contains(err.Error(), "Canary") {
			t.Errorf("the error quotes its value: %v", err)
		}
	}
}

func TestLevelName(t *testing.T) {
	for level, want := range map[int]string{
		0: "no role", 5: "Minimal Access (5)", 10: "Guest (10)", 15: "Planner (15)", Reporter: "Reporter (20)", 25: "Security Manager (25)",
		Developer: "Developer (30)", Maintainer: "Maintainer (40)", Owner: "Owner (50)", 31: "level 31", 60: "level 60", -1: "level -1",
	} {
		if got := LevelName(level); got != want {
			t.Errorf("%d: %q, want %q", level, got, want)
		}
	}
}

func TestLevelWord(t *testing.T) {
	for level := NoRole; level <= Owner; level++ {
		if got, err := ParseLevel(LevelWord(level)); err != nil || got != level {
			t.Errorf("%d: %q is read as %d, %v", level, LevelWord(level), got, err)
		}
	}
}

func TestParseScopes(t *testing.T) {
	for text, want := range map[string][]string{
		"api":                              {"api"},
		"api,read_api,write_repository":    {"api", "read_api", "write_repository"},
		"  api ,, k8s_proxy , ":            {"api", "k8s_proxy"},
		"api read_user":                    {"api", "read_user"},
		strings.Join(DefaultScopes(), ","): DefaultScopes(),
	} {
		if got, err := ParseScopes(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", ",", " , ", "api;sudo", "API", "api\tsudo", "api\nsudo", "read-api", "api,\u200bsudo", "glpat-CanaryInScopes"} {
		got, err := ParseScopes(text)
		if err == nil || got != nil {
			t.Errorf("%q was taken for %q", text, got)
		} else if strings.Contains(err.Error(), "Canary") {
			t.Errorf("the error quotes its value: %v", err)
		}
	}
}

// Each caller has a list of its own: one that changes it changes no other's.
func TestDefaultScopes(t *testing.T) {
	DefaultScopes()[0] = "changed"
	if got := fmt.Sprint(DefaultScopes()); got != "[api read_api read_user write_repository]" {
		t.Error(got)
	}
}

// Reasons is complete, and no two reasons share a name: documents, stored
// verdicts and the tests of the words go by it.
func TestReasons(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "verdict.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []Reason
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok {
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Reason" {
				declared = append(declared, Reason(strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)))
			}
		}
		return true
	})
	listed := Reasons()
	if len(declared) < 30 || !slices.Equal(slices.Sorted(slices.Values(listed)), slices.Sorted(slices.Values(declared))) {
		t.Errorf("declared: %v\nlisted:   %v", declared, listed)
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(listed))); len(unique) != len(listed) {
		t.Errorf("a name stands twice in %v", listed)
	}
}
