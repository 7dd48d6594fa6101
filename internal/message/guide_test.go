package message

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

var update = flag.Bool("update", false, "write the words of the messages into docs/troubleshooting.md")

var guide = filepath.Join("..", "..", "docs", "troubleshooting.md")

// examples are values of the rows in these tests, and what the guide shows in
// their stead: in capitals what people know by that name, … for what differs.
// Others stand in the guide as they are.
var examples = []string{
	here.Where, "SOURCE",
	"the environment variable ACP_TOKEN", "SOURCE",
	here.URL, "https://INSTANCE",
	here.Instance + "/gitlab", "INSTANCE/PATH",
	here.Instance, "INSTANCE",
	"gitlab.com", "OTHER-INSTANCE",
	here.Project, "PROJECT",
	"group/new", "NEW-PATH",
	Quote("/tmp/\x1b[2J\nx"), "PATH",
	"/home/user/.kube/config", "PATH",
	Quote("evil\x1b.example"), "HOST",
	"other.example", "HOST",
	Quote("release\n1"), "BRANCH",
	"https://platform.example.com", "PLATFORM",
	"team/session-1", "SESSION",
	Quote("team/\x1b[2J"), "SESSION",
	"10.0.0.1:443", "SERVER",
	Quote("team//tmp/\x1b[2J\nx"), "NAMESPACE/NAME",
	"AgenticSession a/b", "AgenticSession NAMESPACE/NAME",
	"the pods of the namespace a", "the pods of the namespace NAMESPACE", "pods of the namespace team", "pods of the namespace NAMESPACE", "the Secret a/b", "the Secret NAMESPACE/NAME", "the pod a/b", "the pod NAMESPACE/NAME",
	"the Secret team/mine in the cluster", "the Secret NAMESPACE/NAME in the cluster",
	"the Secret team/my-gitlab", "the Secret NAMESPACE/NAME",
	"system:serviceaccount:a:b", "ACCOUNT",
	"the scope api", "the scope SCOPE",
	"the scope sudo", "the scope SCOPE",
	"sudo and admin_mode", "SCOPE and SCOPE",
	"level 17", "ROLE", "level 31", "ROLE", "Developer (30)", "ROLE",
	"remote.origin.url", "KEY", "http.extraheader", "KEY",
	"store (global)", "HELPER",
	"http.sslcert in /home/dev/.gitconfig", "SETTING in PATH",
	"http.sslverify in " + Quote("/tmp/\x1b[2J\nx"), "SETTING in PATH",
	"http.sslcainfo in " + Quote("/tmp/\x1b[2J\nx"), "SETTING in PATH",
	"http.version in " + Quote("/tmp/\x1b[2J\nx"), "SETTING in PATH",
	"http.extraheader in " + Quote("/tmp/\x1b[2J\nx"), "SETTING in PATH",
	"http.proxy in " + Quote("/tmp/\x1b[2J\nx"), "SETTING in PATH",
	"by GIT_SSL_NO_VERIFY", "by SETTING",
	"which GIT_SSL_CERT names", "which SETTING names",
	"git 2.39.1", "PROGRAM VERSION",
	"v1.2.3 (in gitlab.(*Client).self, client.go:83)", "VERSION (in PLACE)",
	"2026-01-31", "DATE", "2027-01-02", "DATE",
	"2026-06-15 at 00:00 UTC, in less than a day", "DATE at 00:00 UTC, in N days",
	"2026-06-15", "DATE", "2026-07-15", "DATE",
	"12:00:00 UTC", "TIME", "1h0m0s", "TIME", "1m0s", "TIME",
	"5 s ago", "TIME ago", "5 min ago", "TIME ago", "5 h 0 min ago", "TIME ago",
	"in 3 s", "in N s", "in 60 s", "in N s", "64 KiB", "N KiB", "3 of 300", "N of N",
	"within 10s", "within TIME", "2 of git's settings", "N of git's settings", "kubernetes.io/tls", "TYPE",

	// Why something is as it is, which others say.
	"git can't read it: " + Quote("fatal: bad config line 1 in file x"), "…",
	"ACP_GITLAB_TIMEOUT is not a time", "SETTING is …",
	"ACP_GITLAB_SOURCE is not one of auto, mount", "SETTING is …",
	"--color is neither auto, always nor never", "FLAG …",
	"URL does not begin with https://", "URL …",
	"has a port that is none", "…",
	"it is a symlink", "…",
	"ACP_BACKEND_URL has a user name or password in it", "SETTING …",
	"line 2 holds a carriage return", "…",
	"the path holds a control character", "the path …",
	"a deploy token (gldt-)", "…", "a placeholder", "…", "a JSON document", "…",
	"permission denied", "…",
	"no space left on device", "…",
	"there is no certificate in it", "…",
	"it is neither 1 nor an absolute path", "…",
	"it is not written as git's configuration is", "…",
	"it can't be understood", "…",
	"it can't be read", "…",
	"it is of a kind that is not known here", "…",
	"there is no such home directory", "…",
	"its namespace is being deleted", "…",
	"its certificate is for another host", "…",
	"PROJECT_NAME is not set", "…",
	`"fatal: bad config line 2"`, "…",
	"502 Bad Gateway", "…", "500 Internal Server Error", "…", "503 Service Unavailable", "…",
	"200 and no JSON", "…", "302 Found", "…", "the status 418", "…", "some detail", "…", "proxy:3128", "…",
}

// begins is how many words of a message people look for. Those that begin alike
// stand once in an entry.
const begins = 8

// quotations are the lines with which the guide's entries begin, by code.
func quotations(made map[string][]error) map[string][]string {
	var all []error
	for _, reason := range access.Reasons() {
		for _, v := range samples(reason) {
			all = append(all, Explain(v, here))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		all = append(all, made[name]...)
	}
	replace := strings.NewReplacer(examples...).Replace
	lines, seen := map[string][]string{}, map[string]bool{}
	for _, m := range all {
		line := m.Error()
		for _, other := range all {
			// A message that goes on after another one's words.
			if rest, found := strings.CutPrefix(line, other.Error()+";"); found {
				line = "…;" + rest
			}
		}
		line = Printable(replace(line))
		words := strings.Fields(line)
		beginning := As(m).Code + " " + strings.Join(words[:min(len(words), begins)], " ")
		if !seen[beginning] {
			seen[beginning] = true
			lines[As(m).Code] = append(lines[As(m).Code], "`"+line+"`")
		}
	}
	return lines
}

// Each entry of the guide begins with the words of its message, so that these
// lead to it. The lines can be written with
//
//	go test ./internal/message -run TestMessages -update
func inGuide(t *testing.T, made map[string][]error) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	quotations := quotations(made)
	before := strings.Split(string(text), "\n")
	var after []string
	for n := 0; n < len(before); n++ {
		after = append(after, before[n])
		code, entry := strings.CutPrefix(before[n], "### ")
		if !entry {
			continue
		}
		start := n + 1
		for n+1 < len(before) && (before[n+1] == "" || quotes(before[n+1])) {
			n++
		}
		if quotations[code] == nil {
			t.Errorf("in %s, the entry %s is for no message that these tests make", guide, code)
			after = append(after, before[start:n+1]...)
			continue
		}
		want := strings.Join(quotations[code], "\n\n")
		if got := strings.TrimSpace(strings.Join(before[start:n+1], "\n")); got != want {
			if !*update {
				t.Errorf("in %s, the entry %s must begin with (-update writes it):\n%s", guide, code, want)
			}
		}
		after = append(after, want, "")
		delete(quotations, code)
	}
	for code, lines := range quotations {
		t.Errorf("in %s, there is no entry for:\n### %s\n%s", guide, code, strings.Join(lines, "\n\n"))
	}
	if *update {
		if err := os.WriteFile(guide, []byte(strings.Join(after, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// quotes reports whether a line of the guide is a quotation and nothing else.
func quotes(line string) bool {
	inner, found := strings.CutPrefix(line, "`")
	inner, ends := strings.CutSuffix(inner, "`")
	return found && ends && !strings.Contains(inner, "`")
}
