package message

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
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
	reading := ask + "; if the project is only fetched from, run git-credential-acp setup --min-access reporter " +
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
		{access.Guest, access.Developer, true, ask + "; if the project is only fetched from, which needs no role there, run git-credential-acp setup " +
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
		if remark := strings.Contains(As(m).Hint, "api alone does not stand for write_repository"); remark != slices.Equal(missing, []string{"write_repository"}) {
			t.Errorf("%q: %q", missing, As(m).Hint)
		}
	}
}

// What the verdict holds stands in the words.
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
		{access.Verdict{Reason: access.Unreachable, Detail: "h:1"}, "no connection to h:1"},
		{access.Verdict{Reason: access.ProxyFailed, Detail: "p:1"}, "the proxy p:1 gives"},
		{access.Verdict{Reason: access.TLSUntrusted, Detail: NotFollowed("http.sslverify in /f")}, "(git config --global); http.sslverify in /f is not followed here"},
		{access.Verdict{Reason: access.TLSWrongName, Detail: NotFollowed("GIT_SSL_NO_VERIFY")}, "; GIT_SSL_NO_VERIFY is not followed here"},
		{access.Verdict{Reason: access.TLSExpired, Detail: NotFollowed("GIT_SSL_NO_VERIFY")}, "; GIT_SSL_NO_VERIFY is not followed here"},
		{access.Verdict{Reason: access.TLSUntrusted, Detail: Hides("GIT_SSL_CAINFO", "http.sslcainfo in /f")}, "; GIT_SSL_CAINFO counts before http.sslcainfo in /f"},
		{access.Verdict{Reason: access.TLSFailed, Detail: Unreadable("/a b", "GIT_SSL_CAPATH")}, `; "/a b", which GIT_SSL_CAPATH names, can't be read`},
		{access.Verdict{Reason: access.TLSClient}, "gitlab.example.com wants a client certificate hint: name the files"},
		{access.Verdict{Reason: access.TLSClient, Detail: "GIT_SSL_CERT"}, "does not accept the client certificate of GIT_SSL_CERT hint"},
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

// Every message that the package can make, in a usual case.
func TestMessages(t *testing.T) {
	fault := func(f pat.Fault, kind string) error {
		return TokenFault(&pat.Error{Fault: f, Kind: kind}, here.Where, here.Renew)
	}
	path := "/tmp/\x1b[2J\nx"
	trouble := access.Verdict{Reason: access.ServerError, Detail: "502 Bad Gateway"}
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	good := access.Verdict{Outcome: access.Granted}
	expiring := func(in time.Duration) error {
		v := good
		v.ExpiresAt = now.Add(in)
		return Expiry(v, now, here)
	}
	unlimited := good
	unlimited.Unlimited = true
	cluster := Cluster{Server: Quote("10.0.0.1:443"), Login: "the context " + Quote(path) + " of the kubeconfig"}
	act := KubeAct{Verb: "get", Resource: "secrets", Namespace: "team", Name: path}
	// By the name of the function that makes them.
	made := map[string][]error{
		"MalformedRequest":  {MalformedRequest(errors.New("line 2 holds a carriage return"))},
		"MalformedPath":     {MalformedPath(errors.New("holds a control character"))},
		"Downgraded":        {Downgraded(here.URL)},
		"SettingInvalid":    {SettingInvalid("ACP_GITLAB_TIMEOUT", errors.New("not a time"))},
		"InstanceInvalid":   {InstanceInvalid(Quote(path), errors.New("has a port that is none")), InstanceInvalid("--instance", errors.New("has a port that is none"))},
		"NotConnected":      {NotConnected(here.Instance, []string{here.Where, "the environment variable GITLAB_TOKEN"}, "put a PAT into GITLAB_TOKEN")},
		"TokenFileMissing":  {TokenFileMissing(path, "put a PAT there")},
		"NoTurn":            {NoTurn("/tmp/.ambient_gitlab_token")},
		"OtherInstance":     {OtherInstance(here.Instance, "gitlab.com", here.Where, "the key instanceUrl of the Secret")},
		"AllowedUnverified": {AllowedUnverified(Explain(trouble, here))},
		"Unanswerable":      {Unanswerable(errors.New("the user name has a colon in it, which a login can't"))},
		"SecretNotDirectory": {
			SecretNotDirectory(path)},
		"FileUnreadable":           {FileUnreadable(Quote(path), "permission denied")},
		"FileTooLarge":             {FileTooLarge(Quote(path), 64)},
		"TokenKeyMissing":          {TokenKeyMissing(here.Where, here.Renew)},
		"TwoForms":                 {TwoForms(here.Where, "token"), TwoForms(here.Where, "instanceUrl")},
		"CredentialsGarbled":       {CredentialsGarbled(Quote(path))},
		"CAUnread":                 {CAUnread([]string{"block 2 of the key ca.crt of the Secret is not used: its serial number is negative"})},
		"CAInvalid":                {CAInvalid("the key ca.crt of the Secret", "there is no certificate in it")},
		"ClientCertificateInvalid": {ClientCertificateInvalid(Quote(path)+", which GIT_SSL_CERT names,", "it can't be read")},
		"ProxyInvalid":             {ProxyInvalid("http.proxy in "+Quote(path), "it is of a kind that is not known here")},
		"PathInvalid":              {PathInvalid("http.sslcainfo in "+Quote(path), "there is no such home directory")},
		"SourceUnknown":            {SourceUnknown([]string{"auto", "mount"})},
		"TokenFault": {fault(pat.Empty, ""), fault(pat.Broken, ""), fault(pat.Garbled, ""), fault(pat.Damaged, ""),
			fault(pat.OtherKind, "a deploy token (gldt-)"), fault(pat.Quoted, "quotes"), fault(pat.Placeholder, "a placeholder"), fault(pat.Variable, ""),
			fault(pat.Wrapped, "a JSON document"), fault(pat.Encoded, "base64"), fault(pat.UTF16, ""), fault(pat.Path, "")},
		"Explain": {Explain(trouble, here)},

		"SetUp":                {SetUp([]string{here.URL}, path)},
		"SetUpBefore":          {SetUpBefore([]string{here.URL}, path)},
		"Rewritten":            {Rewritten([]string{here.URL})},
		"IdentitySet":          {IdentitySet([]string{"user.name", "user.email"}), IdentitySet([]string{"user.email"})},
		"IdentityKept":         {IdentityKept()},
		"Removed":              {Removed([]string{"credential." + here.URL}, path)},
		"NothingToRemove":      {NothingToRemove(path, ""), NothingToRemove(path, here.URL)},
		"EnvironmentContinued": {EnvironmentContinued(2)},
		"HelperNotFound":       {HelperNotFound(""), HelperNotFound(path)},
		"InstanceUnknown":      {InstanceUnknown([]string{here.Where, "the environment variable GITLAB_TOKEN"})},
		"SSHAmbiguous":         {SSHAmbiguous("gitlab.example.com", "gitlab.example.com/gitlab")},
		"IdentityAmbiguous":    {IdentityAmbiguous()},
		"IdentityUnusable":     {IdentityUnusable(here.Instance)},
		"GitMissing":           {GitMissing()},
		"GitBroken":            {GitBroken(path, "permission denied")},
		"GitLate":              {GitLate(10 * time.Second)},
		"GitInterrupted":       {GitInterrupted()},
		"GitFailed":            {GitFailed("fatal: bad config line 2"), GitFailed("")},
		"GitConfigFile":        {GitConfigFile(path, "it is not a regular file")},
		"GitConfigUnwritable":  {GitConfigUnwritable(path, " Read-only file system")},
		"GitConfigLocked":      {GitConfigLocked(path)},
		"NoRepository":         {NoRepository("fatal: not a git repository")},

		"RequestLate":  {RequestLate(time.Minute)},
		"Overtime":     {Overtime()},
		"Ambiguous":    {Ambiguous("gitlab.example.com", "gitlab.example.com/gitlab")},
		"WaitForOther": {WaitForOther(here.Instance)},
		"Wait": {Wait(3*time.Second, access.ServerError, here.Instance), Wait(time.Minute, access.RateLimited, here.Instance),
			Wait(3*time.Second, access.DNSFailed, here.Instance), Wait(3*time.Second, access.Unreachable, here.Instance)},
		"GitRefused":    {GitRefused(here, true, false), GitRefused(here, false, false)},
		"Rotated":       {Rotated(here)},
		"OtherPassword": {OtherPassword(here)},
		"Bridged":       {Bridged(trouble, 5*time.Second, here), Bridged(trouble, 5*time.Minute, here), Bridged(trouble, 5*time.Hour, here)},

		"URLIsSSH":          {URLIsSSH("https://gitlab.example.com/group/project.git")},
		"URLInvalid":        {URLInvalid("does not begin with https://")},
		"URLHasLogin":       {URLHasLogin()},
		"URLIsHTTP":         {URLIsHTTP(here.URL)},
		"URLForeign":        {URLForeign("evil\x1b.example", []string{"gitlab.example.com"}), URLForeign("other.example", []string{"gitlab.example.com", "gitlab.com"})},
		"NoToken":           {NoToken([]string{here.Where}, "put a PAT into GITLAB_TOKEN")},
		"CommandUnknown":    {CommandUnknown([]string{"setup", "status"})},
		"FlagInvalid":       {FlagInvalid("--color", "is neither auto, always nor never")},
		"OutputLost":        {OutputLost("no space left on device")},
		"FilesExhausted":    {FilesExhausted("the limit is 10, and all but 4 are open")},
		"NoAnswer":          {NoAnswer()},
		"SubPath":           {SubPath(here.Where)},
		"MountBehind":       {MountBehind(here.Where, "the Secret team/gitlab")},
		"TokenFileShared":   {TokenFileShared(path)},
		"ClockSkew":         {ClockSkew(time.Hour, here.Instance), ClockSkew(-time.Hour, here.Instance)},
		"ScopesTooBroad":    {ScopesTooBroad([]string{"sudo"}), ScopesTooBroad([]string{"sudo", "admin_mode"})},
		"ProjectMoved":      {ProjectMoved(here, "group/new")},
		"ProjectDeleted":    {ProjectDeleted(here, "2027-01-02")},
		"ProjectArchived":   {ProjectArchived(here)},
		"BranchProtected":   {BranchProtected("release\n1", here)},
		"RateLow":           {RateLow(3, 300, now)},
		"NotAHelper":        {NotAHelper(here.URL, nil), NotAHelper(here.URL, []string{"store (global)", "cache (system)"})},
		"OtherHelperFirst":  {OtherHelperFirst("store (global)")},
		"HelperMissing":     {HelperMissing("acp")},
		"ProgramSilent":     {ProgramSilent("git", "it ends with an error")},
		"CheckInterrupted":  {CheckInterrupted()},
		"StoreKeepsToken":   {StoreKeepsToken(Quote(path))},
		"GitDistrusts":      {GitDistrusts(here.Instance)},
		"VerifyOff":         {VerifyOff("http.sslverify in " + Quote(path)), VerifyOff("GIT_SSL_NO_VERIFY")},
		"CacheUnusable":     {CacheUnusable(path, "it is a symlink", "set ACP_GITLAB_CACHE_DIR to the directory itself, or remove the link")},
		"TokenStored":       {TokenStored("remote.origin.url", Quote(path), "origin"), TokenStored("http.extraheader", Quote(path), "")},
		"ConfigSkipped":     {ConfigSkipped(errors.New("git can't read it: " + Quote("fatal: bad config line 1 in file x")))},
		"ProgramLeaks":      {ProgramLeaks("git", "2.39.1", "2.48.1", "CVE-2024-50349 and CVE-2024-52006")},
		"TraceUnusable":     {TraceUnusable(path, "it is neither 1 nor an absolute path")},
		"TerminationLog":    {TerminationLog(path, "permission denied")},
		"RepositoryRefused": {RepositoryRefused("detected dubious ownership in repository at '/work/repository'"), RepositoryRefused("cannot use bare repository '/srv/r.git' (safe.bareRepository is 'explicit')"), RepositoryRefused("bad config line 1 in file .git/config")},
		"PasswordEmpty":     {PasswordEmpty("origin")},
		"GitLogsIn":         {GitLogsIn("the entry for gitlab.example.com in /home/dev/.netrc", "remove that entry")},
		"GitLogsInInVain":   {GitLogsInInVain("the password in the URL of the remote origin", "git remote set-url origin with the URL alone")},
		"PushElsewhere":     {PushElsewhere("remote.origin.pushurl", Quote(path))},
		"GitFails":          {GitFails(""), GitFails("transport 'https' not allowed")},

		"Expiry":             {Expiry(unlimited, now, here), expiring(time.Hour), expiring(25 * time.Hour), expiring(100 * time.Hour)},
		"Bug":                {Bug("v1.2.3", "gitlab.(*Client).self, client.go:83")},
		"KubeconfigMissing":  {KubeconfigMissing([]string{Quote(path), "/home/user/.kube/config"}), KubeconfigMissing(nil)},
		"KubeconfigInvalid":  {KubeconfigInvalid(Quote(path), "it can't be understood")},
		"KubeContext":        {KubeContext("no current context is set in the kubeconfig"), KubeContext("the current context " + Quote(path) + " of the kubeconfig does not exist")},
		"KubeconfigLate":     {KubeconfigLate()},
		"KubePluginUnusable": {KubePluginUnusable(Quote(path), cluster, "is not there")},
		"KubePluginFailed":   {KubePluginFailed(Quote(path), cluster, false), KubePluginFailed(Quote(path), cluster, true)},
		"KubeLogin":          {KubeLogin(cluster)},
		"KubeForbidden": {KubeForbidden(act), KubeForbidden(KubeAct{Verb: "get", Resource: "agenticsessions", Namespace: "a", Name: "b", Account: "system:serviceaccount:a:b"}),
			KubeForbidden(KubeAct{Verb: "list", Resource: "pods", Namespace: "a"})},
		"KubeMissing":        {KubeMissing(act, false), KubeMissing(act, true)},
		"KubeConflict":       {KubeConflict(act)},
		"KubeFieldConflict":  {KubeFieldConflict(act)},
		"KubeImmutable":      {KubeImmutable(act), KubeImmutable(KubeAct{Verb: "delete", Resource: "secrets", Namespace: "a", Name: "b"})},
		"PodsTooMany":        {PodsTooMany("team", 1000)},
		"KubeRefused":        {KubeRefused(act, "its namespace is being deleted")},
		"KubeSessionMissing": {KubeSessionMissing(KubeAct{Verb: "get", Resource: "agenticsessions", Namespace: "a", Name: "b"})},
		"KubeNoSessions":     {KubeNoSessions(cluster)},
		"KubeTimeout":        {KubeTimeout(cluster)},
		"KubeUnreachable":    {KubeUnreachable(cluster, "there is no connection")},
		"KubeProxyLogin":     {KubeProxyLogin(cluster)},
		"KubeTLS":            {KubeTLS(cluster, access.Verdict{Reason: access.TLSWrongName}), KubeTLS(cluster, access.Verdict{Reason: access.TLSUnusable, Detail: "it is not for servers"})},
		"KubeBusy":           {KubeBusy(cluster, "503 Service Unavailable")},
		"KubeOther":          {KubeOther(cluster, "302 Found")},
		"KubeInterrupted":    {KubeInterrupted(cluster)},
		"SecretType":         {SecretType("the Secret team/mine in the cluster", "kubernetes.io/tls")},
		"HeaderAuthorizes":   {HeaderAuthorizes("http.extraheader in " + Quote(path))},
		"SettingIgnored":     {SettingIgnored("http.version in " + Quote(path))},
		"ProxyReads":         {ProxyReads("HTTPS_PROXY")},
		"KubeUnproven":       {KubeUnproven(cluster)},
		"SetUpAhead":         {SetUpAhead([]string{here.URL}, "/home/u/.gitconfig")},
		"InstanceDefault":    {InstanceDefault("the token file /t")},
		"SetUpInVain":        {SetUpInVain(here.URL, path, "", ""), SetUpInVain(here.URL, path, "credential.helper", path)},
		"Elsewhere":          {Elsewhere(here.URL+"/"+here.Project, "url.git@h:.insteadof", Quote(path))},
		"HomeMissing":        {HomeMissing()},
		"OtherUsername":      {OtherUsername("gitlab-ci-token")},
		"ClockPastExpiry":    {ClockPastExpiry(time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), here.Instance)},
		"URLNoProject":       {URLNoProject()},
		"BranchUnseen":       {BranchUnseen("release\n1")},
		"ClusterSecretUnset": {ClusterSecretUnset()},
		"TokenFileUnset":     {TokenFileUnset()},
		"Rescued":            {Rescued(here.Where, "the Secret team/mine in the cluster", here.Instance)},
		"RescueFailed":       {RescueFailed("the Secret team/mine in the cluster", KubeForbidden(act))},
		"RescueRefused":      {RescueRefused("the Secret team/mine in the cluster", Explain(access.Verdict{Outcome: access.Refused, Reason: access.TokenRevoked}, here))},
		"RescueForeign":      {RescueForeign("the Secret team/mine in the cluster", "gitlab.com", here.Instance)},
	}
	keeper := "the Secret team/my-gitlab"
	dead := Explain(access.Verdict{Outcome: access.Refused, Reason: access.TokenRevoked}, here)
	maps.Copy(made, map[string][]error{
		"KeeperUnset":       {KeeperUnset("rotate")},
		"FlagsClash":        {FlagsClash("--secret", "--platform")},
		"TokenFromArgument": {TokenFromArgument()},
		"PromptEnded":       {PromptEnded()},
		"InputLate":         {InputLate(time.Minute)},
		"RevokeOther":       {RevokeOther(Explain(access.Verdict{Outcome: access.Refused, Reason: access.TokenRevoked}, here), "the platform at https://platform.example.com", here.URL)},
		"NotStored":         {NotStored(keeper, Explain(access.Verdict{Outcome: access.Refused, Reason: access.TokenRevoked}, here)), NotStored(keeper, Explain(trouble, here))},
		"NotKept":           {NotKept(keeper)},
		"NothingKept":       {NothingKept(keeper)},
		"RevokeUnconfirmed": {RevokeUnconfirmed()},
		"RevokeNothing":     {RevokeNothing(keeper)},
		"RevokeFailed":      {RevokeFailed(dead)},
		"Disagree": {Disagree("the platform has a token, the Secret has none"),
			Disagree("the platform is for gitlab.com, the Secret for gitlab.example.com"),
			Disagree("the Secret and the mounted Secret have different tokens")},
		"RotateSame":          {RotateSame(keeper)},
		"RotateOldMissing":    {RotateOldMissing(keeper, here.Instance)},
		"RotateOtherInstance": {RotateOtherInstance(keeper, here.Instance, "gitlab.com")},
		"RotateOldDead":       {RotateOldDead(dead)},
		"RotateOldGitLab":     {RotateOldGitLab(here.Instance)},
		"RotateScope":         {RotateScope(keeper)},
		"RotateScopes":        {RotateScopes([]string{"api"})},
		"RotateExpiry":        {RotateExpiry(now, now.AddDate(0, 1, 0))},
		"RotateOtherUser":     {RotateOtherUser(keeper)},
		"RotateOvertaken":     {RotateOvertaken(keeper)},
		"RotateNoWay":         {RotateNoWay(KubeImmutable(act))},
		"RotateNoPods":        {RotateNoPods(KubeForbidden(KubeAct{Verb: "patch", Resource: "pods", Namespace: "a", Name: "b"}))},
		"GraceInterrupted":    {GraceInterrupted()},
		"RotateTwo":           {RotateTwo(keeper, "/home/dev/x.json")},
		"RotateNotRevoked":    {RotateNotRevoked(Explain(trouble, here), here.URL)},
		"RotateLost":          {RotateLost(keeper)},
		"RotateUncertain":     {RotateUncertain(Explain(trouble, here), path)},
		"RotateUnknown":       {RotateUnknown(keeper)},
		"RotateSaved":         {RotateSaved(Explain(trouble, here), path), RotateSaved(KubeImmutable(act), path)},
		"RotateUnsaved":       {RotateUnsaved(Explain(trouble, here), path)},
		"RotateDead":          {RotateDead(Explain(trouble, here), path)},
		"RotateUnmade":        {RotateUnmade(keeper)},
		"Unfinished":          {Unfinished(path)},
		"NothingToResume":     {NothingToResume(path)},
		"UnderWay":            {UnderWay(keeper)},
		"RotateShielded":      {RotateShielded()},
		"RotateDenied":        {RotateDenied(here.Instance, time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC))},
		"RotateNotMade":       {RotateNotMade(Explain(access.Verdict{Outcome: access.Refused, Reason: access.AccountBlocked}, here))},
		"RecoveryReplaced":    {RecoveryReplaced(path, keeper)},
		"RecoveryOwner":       {RecoveryOwner(path, keeper)},
		"RecoveryElsewhere":   {RecoveryElsewhere(path, keeper)},
		"RecoveryUnwritable":  {RecoveryUnwritable(path, errors.New("permission denied"))},
		"RecoveryUnreadable":  {RecoveryUnreadable(path, errors.New("permission denied"))},
		"RecoveryLeft":        {RecoveryLeft(path, errors.New("permission denied"))},
	})
	platform := Platform{URL: "https://platform.example.com", Where: "the environment variable ACP_TOKEN"}
	maps.Copy(made, map[string][]error{
		"PlatformUnset":        {PlatformUnset([]string{"ACP_BACKEND_URL", "BACKEND_API_URL"})},
		"PlatformInvalid":      {PlatformInvalid("ACP_BACKEND_URL", errors.New("has a user name or password in it")), PlatformInvalid("--backend", errors.New("has a user name or password in it"))},
		"PlatformTokenMissing": {PlatformTokenMissing(platform, []string{"ACP_TOKEN", "the file " + Quote(path)})},
		"PlatformTokenInvalid": {PlatformTokenInvalid(platform, errors.New("is empty"))},
		"SessionUnknown":       {SessionUnknown("PROJECT_NAME", errors.New("is not set"))},
		"PlatformNotConnected": {PlatformNotConnected(platform, "team/session-1")},
		"SessionNotFound":      {SessionNotFound(platform, "team/\x1b[2J")},
		"PlatformUnauthorized": {PlatformUnauthorized(platform)},
		"PlatformForbidden":    {PlatformForbidden(platform)},
		"PlatformInput":        {PlatformInput(platform, "the form of the token"), PlatformInput(platform, "the address of "+here.Instance)},
		"PlatformCheck":        {PlatformCheck(platform, here.Instance)},
		"PlatformAbsent":       {PlatformAbsent(platform)},
		"PlatformRedirect":     {PlatformRedirect(platform, 302, ""), PlatformRedirect(platform, 302, "https://new.example.com")},
		"PlatformPage":         {PlatformPage(platform, "200 and no JSON")},
		"PlatformNoUser":       {PlatformNoUser(platform)},
		"PlatformOutside":      {PlatformOutside("BACKEND_API_URL")},
		"PlatformBusy":         {PlatformBusy(platform, 0)},
		"PlatformError":        {PlatformError(platform, "500 Internal Server Error")},
		"PlatformGarbled":      {PlatformGarbled(platform, "the status 418")},
		"PlatformSilent": {PlatformSilent(access.Verdict{Reason: access.TLSUntrusted}, platform),
			PlatformSilent(access.Verdict{Reason: access.ProxyFailed, Detail: "proxy:3128"}, platform)},
		"InstallDirectory":  {InstallDirectory(path, "is not a directory")},
		"InstallBlocked":    {InstallBlocked(path)},
		"InstallFailed":     {InstallFailed(path, "no space left on device")},
		"PlatformUncertain": {PlatformUncertain(PlatformError(platform, "502 Bad Gateway"))},
	})
	// Those that have nothing to add: who reads them can't do anything, or the
	// line says it all.
	hintless := []string{"rotate-shielded", "malformed-request", "malformed-path", "plain-http", "waiting", "waiting-for-other", "bridged", "request-late",
		"ssh-rewritten", "identity-set", "identity-kept", "set-up-removed", "environment-continued", "rescued", "rescue-failed", "rescue-foreign", "rescue-refused"}
	inGuide(t, made)
	said, codes := map[string]string{}, map[string]string{}
	for name, messages := range made {
		for _, m := range messages {
			plain(t, m)
			if (As(m).Hint == "") != slices.Contains(hintless, As(m).Code) {
				t.Errorf("%s: the hint is %q", As(m).Code, As(m).Hint)
			}
			if other, twice := said[m.Error()]; twice {
				t.Errorf("%s and %s both say %q", As(m).Code, other, m.Error())
			}
			said[m.Error()] = As(m).Code
			// A code leads to one place in the documents, so one thing has it.
			// SourceUnknown is a setting that is invalid.
			if other := codes[As(m).Code]; other != "" && other != name && name != "SourceUnknown" && other != "SourceUnknown" {
				t.Errorf("%s and %s both have the code %s", name, other, As(m).Code)
			}
			codes[As(m).Code] = name
		}
	}
	for _, name := range constructors(t) {
		if made[name] == nil {
			t.Errorf("%s has no row here", name)
		}
		delete(made, name)
	}
	if len(made) > 0 {
		t.Errorf("rows for nothing: %v", made)
	}
}

// constructors are the functions of this package that make messages.
func constructors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	makers := 0
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !makesMessage(f) {
				continue
			}
			makers++
			switch {
			case f.Recv == nil && f.Name.IsExported() && !slices.Contains(changers, f.Name.Name):
				names = append(names, f.Name.Name)
			}
		}
	}
	if makers < 100 {
		t.Errorf("only %d functions that make messages were found", makers)
	}
	return names
}

// changers make an error from another one, with the same code.
var changers = []string{"As", "Signed", "Holding", "BrokenOff", "Besides"}

// makesMessage reports whether a function returns an error.
func makesMessage(f *ast.FuncDecl) bool {
	return f.Type.Results != nil && slices.ContainsFunc(f.Type.Results.List, func(field *ast.Field) bool { return named(field.Type) == "error" })
}

// named is the name of a type, or of what it points to.
func named(kind ast.Expr) string {
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	if name, ok := kind.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

func TestTokenFault(t *testing.T) {
	for fault, want := range map[pat.Fault]string{
		pat.Empty: "is empty", pat.Broken: "white space or a line break", pat.Garbled: "characters that no token has",
		pat.Damaged: "checksum does not match", pat.OtherKind: "is a feed token (glft-), not a Personal Access Token",
		pat.Quoted: "around it", pat.Placeholder: "not a token", pat.Variable: "is a variable", pat.Wrapped: "not a bare token",
		pat.Encoded: "is encoded in", pat.UTF16: "UTF-16", pat.Path: "is the path of a file",
	} {
		m := TokenFault(&pat.Error{Fault: fault, Kind: "a feed token (glft-)"}, "here", "put it there")
		if As(m).Code != string(fault) || As(m).Topic != Configuration || !strings.HasPrefix(As(m).What, "the token from here ") ||
			!strings.Contains(As(m).What, want) || !strings.HasSuffix(As(m).Hint, ", then put it there") {
			t.Errorf("%s: %+v", fault, *As(m))
		}
	}
}

// What is added to a message leaves that one as it is.
func TestAdded(t *testing.T) {
	why := Explain(access.Verdict{Reason: access.Unreachable, Detail: "h:1"}, here)
	before := *As(why)
	for _, test := range []struct {
		added error
		want  string
	}{
		{Signed(why, "a\x1b"), ` (signer: "a\x1b")`},
		{Holding(why, nil), "; it holds none"},
		{Holding(why, []string{"api", "a b", "x"}), `; it holds api, "a b" and x`},
		{BrokenOff(why), " any more: it broke off before an answer"},
		{Besides(why, []error{WaitForOther("h"), &Error{Topic: Warning, What: "one"}, &Error{Topic: Warning, What: "two"}}), "; one; two"},
		{Besides(why, nil), ""},
	} {
		want := before
		want.What += test.want
		if *As(test.added) != want || *As(why) != before {
			t.Errorf("%+v, want %+v", *As(test.added), want)
		}
	}
}

// The message that is made of another one leaves that one as it is.
func TestAllowedUnverified(t *testing.T) {
	why := Explain(access.Verdict{Reason: access.RateLimited, Wait: time.Minute}, here)
	before := *As(why)
	m := AllowedUnverified(why)
	if *As(why) != before {
		t.Errorf("it changed to %+v", *As(why))
	}
	if As(m).Topic != RateLimit || As(m).Code != "allowed-unverified" || !strings.HasPrefix(As(m).What, before.What) || As(m).Hint == before.Hint {
		t.Errorf("%+v", *As(m))
	}
}

// A fault of the connection is told of the platform as of GitLab, but for what
// to do about it.
func TestPlatformSilent(t *testing.T) {
	platform := Platform{URL: "https://platform.example.com", Where: "here"}
	for _, reason := range []access.Reason{access.Timeout, access.Interrupted, access.NameUnknown, access.DNSFailed, access.Unreachable, access.ProxyFailed, access.ProxyLogin,
		access.TLSUntrusted, access.TLSWrongName, access.TLSNoName, access.TLSExpired, access.TLSUnusable, access.TLSVersion,
		access.TLSCiphers, access.TLSPlain, access.TLSFailed} {
		m := PlatformSilent(access.Verdict{Reason: reason, Detail: "some detail"}, platform)
		plain(t, m)
		if As(m).Code != string(reason) || !Unverified(m) || strings.Contains(As(m).Hint, "instance URL") || strings.Contains(As(m).Hint, "Secret") {
			t.Errorf("%s: %+v", reason, *As(m))
		}
	}
	busy := PlatformBusy(platform, 90*time.Second)
	if !Unverified(busy) || !strings.Contains(As(busy).Hint, "90 s") {
		t.Errorf("%+v", *As(busy))
	}
	why := PlatformError(platform, "502 Bad Gateway")
	before := *As(why)
	if m := PlatformUncertain(why); *As(why) != before || As(m).Topic != As(why).Topic || !strings.HasPrefix(As(m).What, As(why).What) || As(m).Hint == As(why).Hint {
		t.Errorf("%+v of %+v", *As(m), *As(why))
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

// Whatever the text, what is shown is printable ASCII, bounded, and the text
// itself or a quotation of it.
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
