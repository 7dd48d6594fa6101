package message

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ambient-code/git-credential-acp/internal/access"
	pat "github.com/ambient-code/git-credential-acp/internal/token"
)

// here is what messages are about in these tests. Its source has a path that
// was quoted, as paths from outside are.
var here = Subject{
	Instance: "gitlab.example.com", URL: "https://gitlab.example.com", Project: "group/project",
	Where: "the Secret at " + Quote("/tmp/a\nb"), Renew: "reconnect under Settings → Integrations → GitLab",
}

// plain fails when a message is not fit to be read: one line each, no capital
// at the beginning, no full stop at the end, nothing left of a format.
func plain(t *testing.T, m error) {
	t.Helper()
	if As(m).Code == "" || strings.Trim(As(m).Code, "abcdefghijklmnopqrstuvwxyz-") != "" {
		t.Errorf("code %q", As(m).Code)
	}
	if As(m).Topic == "" || As(m).What == "" {
		t.Errorf("%q has no topic or says nothing: %+v", As(m).Code, *As(m))
	}
	for _, text := range []string{As(m).What, As(m).Hint} {
		first, _ := utf8.DecodeRuneInString(text)
		// Proper names, and the names of settings, keep their letters.
		named := strings.HasPrefix(text, "GitLab ") || strings.HasPrefix(text, "ACP_")
		switch {
		case text == "":
		case !unicode.IsLower(first) && first != '"' && first != '/' && !named:
			t.Errorf("%s begins with %q: %s", As(m).Code, first, text)
		case strings.HasSuffix(text, ".") || strings.HasSuffix(text, " ") || strings.HasSuffix(text, ":"):
			t.Errorf("%s ends badly: %s", As(m).Code, text)
		case strings.Contains(text, "%!") || strings.Contains(text, "  ") || strings.Contains(text, "()") || strings.Contains(text, "<nil>"):
			t.Errorf("%s has a slip: %s", As(m).Code, text)
		}
	}
	for _, line := range As(m).Lines() {
		if strings.ContainsFunc(line, func(r rune) bool {
			return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
		}) {
			t.Errorf("%s is not one line of text: %q", As(m).Code, line)
		}
	}
}

// verdicts are what people may be told about, by reason, and the topic that
// each is to have.
var verdicts = map[access.Reason]struct {
	topic    Topic
	verdicts []access.Verdict
}{
	access.TokenUnknown: {Authentication, nil},
	access.TokenExpired: {Authentication, []access.Verdict{
		{Outcome: access.Refused, Reason: access.TokenExpired},
		{Outcome: access.Refused, Reason: access.TokenExpired, ExpiresAt: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)}}},
	access.TokenRevoked:     {Authentication, nil},
	access.TokenInactive:    {Authentication, nil},
	access.TokenNotPersonal: {Authentication, nil},
	access.AccountBlocked:   {Authentication, nil},
	access.AccountPending:   {Authentication, nil},
	access.AccountTerms:     {Authentication, nil},
	access.AccountInactive:  {Authentication, nil},
	access.AccountEmail:     {Authentication, nil},
	access.AccountPassword:  {Authentication, nil},
	access.ScopeMissing: {Permissions, []access.Verdict{
		{Outcome: access.Refused, Reason: access.ScopeMissing, Missing: []string{"api"}},
		{Outcome: access.Refused, Reason: access.ScopeMissing, Missing: []string{"api", "read_user"}},
		{Outcome: access.Refused, Reason: access.ScopeMissing, Missing: access.DefaultScopes()}}},
	access.GrantMissing:    {Permissions, nil},
	access.ProjectNotFound: {Permissions, nil},
	access.LevelTooLow: {Permissions, []access.Verdict{
		{Outcome: access.Refused, Reason: access.LevelTooLow, Minimum: access.Developer},
		{Outcome: access.Refused, Reason: access.LevelTooLow, Minimum: access.Developer, Open: true},
		{Outcome: access.Refused, Reason: access.LevelTooLow, Level: access.Reporter, Minimum: access.Developer},
		{Outcome: access.Refused, Reason: access.LevelTooLow, Level: access.Developer, Minimum: access.Owner},
		{Outcome: access.Refused, Reason: access.LevelTooLow, Level: 17, Minimum: 31}}},
	access.AccessForbidden: {Permissions, nil},
	access.GitLogin:        {Authentication, nil},
	access.GitAbsent:       {Permissions, nil},
	access.GitScope:        {Permissions, nil},
	access.GitRole:         {Permissions, nil},
	access.GitArchived:     {Permissions, nil},
	access.GitHTTPOff:      {Permissions, nil},
	access.GitSSO:          {Permissions, nil},
	access.GitBanned:       {Authentication, nil},
	access.GitForbidden:    {Permissions, nil},
	access.RateLimited: {RateLimit, []access.Verdict{
		{Reason: access.RateLimited}, {Reason: access.RateLimited, Wait: time.Minute}}},
	access.Timeout:     {NotVerified, nil},
	access.Interrupted: {NotVerified, nil},
	access.NameUnknown: {NotVerified, nil},
	access.DNSFailed:   {NotVerified, nil},
	access.Unreachable: {NotVerified, nil},
	access.ProxyFailed: {NotVerified, nil},
	access.ProxyLogin: {NotVerified, []access.Verdict{
		{Reason: access.ProxyLogin, Detail: "proxy:3128 (from HTTPS_PROXY)"}, {Reason: access.ProxyLogin}}},
	access.Redirected:   {NotVerified, nil},
	access.TLSUntrusted: {NotVerified, nil},
	access.TLSWrongName: {NotVerified, nil},
	access.TLSNoName:    {NotVerified, nil},
	access.TLSExpired:   {NotVerified, nil},
	access.TLSUnusable:  {NotVerified, nil},
	access.TLSVersion:   {NotVerified, nil},
	access.TLSCiphers:   {NotVerified, nil},
	access.TLSPlain:     {NotVerified, nil},
	access.TLSFailed:    {NotVerified, nil},
	access.TLSClient: {NotVerified, []access.Verdict{
		{Reason: access.TLSClient}, {Reason: access.TLSClient, Detail: "http.sslcert in /home/dev/.gitconfig"}}},
	access.ServerError: {NotVerified, nil},
	access.InFront:     {NotVerified, nil},
	access.Garbled:     {NotVerified, nil},
	access.NotGitLab:   {NotVerified, nil},
}

// samples are the verdicts of a reason's row, or else a usual one.
func samples(reason access.Reason) []access.Verdict {
	switch row := verdicts[reason]; {
	case row.verdicts != nil:
		return row.verdicts
	case row.topic == NotVerified:
		return []access.Verdict{{Outcome: access.Unverified, Reason: reason, Detail: "some detail"}}
	}
	return []access.Verdict{{Outcome: access.Refused, Reason: reason}}
}

func TestExplain(t *testing.T) {
	said := map[string]access.Reason{}
	for _, reason := range access.Reasons() {
		row, known := verdicts[reason]
		if !known {
			t.Errorf("no row for %s", reason)
			continue
		}
		for _, v := range samples(reason) {
			withoutProject := here
			withoutProject.Project = ""
			for _, subject := range []Subject{here, withoutProject} {
				m := Explain(v, subject)
				plain(t, m)
				if As(m).Code != string(reason) || As(m).Topic != row.topic || As(m).Hint == "" {
					t.Errorf("%s: %+v, want the topic %s and a hint", reason, *As(m), row.topic)
				}
				if Unverified(m) != (v.Outcome == access.Unverified) {
					t.Errorf("%s: Unverified is %v", reason, Unverified(m))
				}
				// Each says which instance, token or host it is about.
				if !strings.Contains(As(m).What, here.Instance) && !strings.Contains(As(m).What, here.Where) &&
					(v.Detail == "" || !strings.Contains(As(m).What, v.Detail)) {
					t.Errorf("%s: about nothing: %+v", reason, *As(m))
				}
			}
		}
		// Two reasons must not look the same to the one who has to act.
		what := Explain(samples(reason)[0], here).Error()
		if other, twice := said[what]; twice {
			t.Errorf("%s and %s both say %q", reason, other, what)
		}
		said[what] = reason
	}
	if len(verdicts) != len(access.Reasons()) {
		t.Errorf("%d rows for %d reasons", len(verdicts), len(access.Reasons()))
	}
}

// The hint of a role that is too low fits the role: a lower minimum is offered only
// where it helps.
func TestLevelHint(t *testing.T) {
	ask := "hint: ask a maintainer of the project for that role"
	reading := ask + "; if you only fetch from the project, run git-credential-acp setup --min-access reporter " +
		"https://gitlab.example.com/group/project, or set ACP_GITLAB_MIN_ACCESS=reporter"
	for _, test := range []struct {
		level, minimum int
		open           bool
		want           string
	}{
		{access.NoRole, access.Developer, false, ask},
		{access.Guest, access.Developer, false, ask},
		{15, access.Developer, false, ask},
		{access.Guest, access.Reporter, false, ask},
		{access.Guest, access.Developer, true, ask + "; if you only fetch from the project, which needs no role, run git-credential-acp setup " +
			"--min-access none https://gitlab.example.com/group/project, or set ACP_GITLAB_MIN_ACCESS=none"},
		{access.Reporter, access.Developer, false, reading},
		{25, access.Developer, false, reading},
		{access.Reporter, access.Developer, true, reading},
		{access.Developer, access.Maintainer, false, ask + "; if your role is enough, run git-credential-acp setup --min-access developer " +
			"https://gitlab.example.com/group/project, or set ACP_GITLAB_MIN_ACCESS=developer"},
		{access.Guest, access.Owner, false, "hint: ask an owner of the project for that role"},
	} {
		m := Explain(access.Verdict{Outcome: access.Refused, Reason: access.LevelTooLow, Level: test.level, Minimum: test.minimum, Open: test.open}, here)
		if got := As(m).Lines()[1]; got != test.want {
			t.Errorf("%+v\n got %q\nwant %q", test, got, test.want)
		}
	}
	for minimum, want := range map[int]string{access.NoRole: "Developer", access.Reporter: "Reporter", access.Maintainer: "Maintainer", 31: "level 31"} {
		for _, reason := range []access.Reason{access.ProjectNotFound, access.GitRole} {
			m := Explain(access.Verdict{Outcome: access.Refused, Reason: reason, Minimum: minimum}, here)
			if !strings.Contains(As(m).Hint, "for the "+want+" role") {
				t.Errorf("%s, %d: %q", reason, minimum, As(m).Hint)
			}
		}
	}
	for _, missing := range [][]string{{"api"}, {"write_repository"}, {"api", "read_user"}, access.DefaultScopes()} {
		m := Explain(access.Verdict{Outcome: access.Refused, Reason: access.ScopeMissing, Missing: missing}, here)
		if remark := strings.Contains(As(m).Hint, "api does not include write_repository"); remark != slices.Equal(missing, []string{"write_repository"}) {
			t.Errorf("%q: %q", missing, As(m).Hint)
		}
	}
}

// The verdict's values are in the text.
func TestExplainDetails(t *testing.T) {
	tests := []struct {
		verdict access.Verdict
		want    string
	}{
		{access.Verdict{Outcome: access.Refused, Reason: access.TokenExpired, ExpiresAt: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)}, "expired on 2026-01-31"},
		{access.Verdict{Outcome: access.Refused, Reason: access.TokenExpired}, "has expired"},
		{access.Verdict{Outcome: access.Refused, Reason: access.ScopeMissing, Missing: []string{"api"}}, "lacks the scope api on"},
		{access.Verdict{Outcome: access.Refused, Reason: access.ScopeMissing, Missing: []string{"api", "read_user"}}, "lacks the scopes api and read_user on"},
		{access.Verdict{Outcome: access.Refused, Reason: access.ScopeMissing, Missing: []string{"a", "b", "c"}}, "lacks the scopes a, b and c on"},
		{access.Verdict{Outcome: access.Refused, Reason: access.LevelTooLow, Level: 20, Minimum: 40}, "you have Reporter (20) on the project group/project on gitlab.example.com; you need at least Maintainer (40) access level"},
		{access.Verdict{Outcome: access.Refused, Reason: access.LevelTooLow, Minimum: 31}, "you have no role on the project group/project on gitlab.example.com; you need at least level 31 access level"},
		{access.Verdict{Reason: access.RateLimited, Wait: 90 * time.Second}, "wait 90 s,"},
		{access.Verdict{Reason: access.RateLimited}, "wait a minute,"},
		{access.Verdict{Reason: access.Timeout, Detail: "2s"}, "within the time limit (2s)"},
		{access.Verdict{Reason: access.NameUnknown, Detail: "gitlab.invalid"}, "the host name gitlab.invalid can't be resolved"},
		{access.Verdict{Reason: access.Unreachable, Detail: "h:1"}, "can't connect to h:1"},
		{access.Verdict{Reason: access.ProxyFailed, Detail: "p:1"}, "the proxy p:1 can't connect"},
		{access.Verdict{Reason: access.TLSUntrusted, Detail: "http.sslverify in /f is ignored"}, "(git config --global) to a file with it; http.sslverify in /f is ignored"},
		{access.Verdict{Reason: access.TLSWrongName, Detail: "GIT_SSL_NO_VERIFY is ignored"}, "; GIT_SSL_NO_VERIFY is ignored"},
		{access.Verdict{Reason: access.TLSExpired, Detail: "GIT_SSL_NO_VERIFY is ignored"}, "; GIT_SSL_NO_VERIFY is ignored"},
		{access.Verdict{Reason: access.TLSClient}, "gitlab.example.com requires a client certificate hint: set git's"},
		{access.Verdict{Reason: access.TLSClient, Detail: "GIT_SSL_CERT"}, "rejects the client certificate of GIT_SSL_CERT hint"},
		{access.Verdict{Reason: access.ServerError, Detail: "502 Bad Gateway"}, "answers 502 Bad Gateway"},
		{access.Verdict{Reason: access.InFront, Detail: "200 and no JSON"}, "(200 and no JSON)"},
		{access.Verdict{Reason: access.Garbled, Detail: "broken JSON"}, "(broken JSON)"},
	}
	for _, test := range tests {
		if m := Explain(test.verdict, here); !strings.Contains(strings.Join(As(m).Lines(), " "), test.want) {
			t.Errorf("%q is not in %q", test.want, As(m).Lines())
		}
	}
	// A project's name comes from a request: it is shown harmless.
	hostile := here
	hostile.Project = "group/\x1b[2J\u2028" + strings.Repeat("x", 1000)
	for _, reason := range []access.Reason{access.ProjectNotFound, access.LevelTooLow, access.GrantMissing, access.AccessForbidden} {
		m := Explain(access.Verdict{Outcome: access.Refused, Reason: reason, Minimum: access.Developer}, hostile)
		plain(t, m)
		if len(As(m).What) > 1200 {
			t.Errorf("%s is %d bytes long", reason, len(As(m).What))
		}
	}
}

func TestTokenFault(t *testing.T) {
	for fault, want := range map[pat.Fault]string{
		pat.Empty: "is empty", pat.Broken: "white space or a line break", pat.Garbled: "characters that are invalid",
		pat.Damaged: "checksum does not match", pat.OtherKind: "is a feed token (glft-), not a Personal Access Token",
		pat.Quoted: "around it", pat.Placeholder: "not a token", pat.Variable: "unexpanded variable", pat.Wrapped: "not a bare token",
		pat.Encoded: "is encoded in", pat.UTF16: "UTF-16", pat.Path: "is the path of a file",
	} {
		m := TokenFault(&pat.Error{Fault: fault, Kind: "a feed token (glft-)"}, "here", "put it there")
		if As(m).Code != string(fault) || As(m).Topic != Configuration || !strings.HasPrefix(As(m).What, "the token from here ") ||
			!strings.Contains(As(m).What, want) || !strings.HasSuffix(As(m).Hint, ", then put it there") {
			t.Errorf("%s: %+v", fault, *As(m))
		}
	}
}

func TestLines(t *testing.T) {
	m := &Error{Code: "c", Topic: Configuration, What: "what"}
	if got := m.Lines(); !slices.Equal(got, []string{"configuration: what"}) || m.Error() != "configuration: what" {
		t.Errorf("%q, %q", got, m.Error())
	}
	m.Hint = "do it"
	if got := m.Lines(); !slices.Equal(got, []string{"configuration: what", "hint: do it"}) || m.Error() != "configuration: what" {
		t.Errorf("%q, %q", got, m.Error())
	}
	for topic, want := range map[Topic]bool{Authentication: false, Permissions: false, Configuration: false, Malformed: false, RateLimit: true, NotVerified: true} {
		if got := Unverified(&Error{Topic: topic}); got != want {
			t.Errorf("%s: %v", topic, got)
		}
	}
}

func TestQuote(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", `""`},
		{"plain-text_1.x:8443/~a@b", "plain-text_1.x:8443/~a@b"},
		{"'$(rm)`;|", "'$(rm)`;|"},
		{"two words", `"two words"`},
		{`a"b`, `"a\"b"`},
		{`a\b`, `"a\\b"`},
		{"line\nfeed\r\n", `"line\nfeed\r\n"`},
		{"\x00\x07\x1b[2J\x7f", `"\x00\a\x1b[2J\x7f"`},
		{"a\tb", `"a\tb"`},
		{"c1\u0085\u009b", `"c1\u0085\u009b"`},
		{"\u2028\u2029", `"\u2028\u2029"`},
		{"right\u202eleft", `"right\u202eleft"`},
		{"\ufeffbom\u200b", `"\ufeffbom\u200b"`},
		{"gruppe/übung", `"gruppe/\u00fcbung"`},
		{"😀", `"\U0001f600"`},
		{"\xff\xc3", `"\xff\xc3"`},
		{strings.Repeat("x", 200), strings.Repeat("x", 200)},
		{strings.Repeat("x", 201), strings.Repeat("x", 200) + "..."},
		{strings.Repeat("\n", 1000), `"` + strings.Repeat(`\n`, 200) + `..."`},
		// A character is not cut into bytes, and one that is left out needs no
		// quotes.
		{strings.Repeat("x", 199) + "é", strings.Repeat("x", 199) + "..."},
	}
	for _, test := range tests {
		if got := Quote(test.text); got != test.want {
			t.Errorf("%q: %s, want %s", test.text, got, test.want)
		}
	}
}

// Any text is shown as bounded printable ASCII: itself or quoted.
func FuzzQuote(f *testing.F) {
	for _, text := range []string{"", "plain", "\x1b[2J", "\u2028", "\xff\xfe", `"\`, strings.Repeat("é", 101), strings.Repeat("\x00", 300)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Quote(text)
		if got == "" || len(got) > 4*maxQuoted+10 {
			t.Fatalf("%q became %d bytes", text, len(got))
		}
		for i := range len(got) {
			if got[i] < 0x20 || got[i] > 0x7e {
				t.Fatalf("%q became %q", text, got)
			}
		}
		if len(text) > maxQuoted || got == text {
			return
		}
		if back, err := strconv.Unquote(got); err != nil || back != text {
			t.Fatalf("%q became %s, which is %q", text, got, back)
		}
	})
}
