//go:build unix

// kubelet mounts Secrets on Unix only, with the symlinks and modes that these
// tests make.

package source

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

const canary = "glpat-CanaryQ7x9Zk2WvB4n"

// layouts are the two ways in which a Secret's keys get into a directory.
var layouts = map[string]func(t testing.TB, dir string, keys map[string]string){
	"kubelet": mounted,
	"plain": func(t testing.TB, dir string, keys map[string]string) {
		t.Helper()
		for name, value := range keys {
			write(t, filepath.Join(dir, name), value)
		}
	},
}

func mounted(t testing.TB, dir string, keys map[string]string) {
	t.Helper()
	if err := gitlabtest.WriteSecret(dir, keys); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// code names a problem, "" for none.
func code(m error) string {
	if m == nil {
		return ""
	}
	return message.As(m).Code
}

// only looks at one directory and wants one place there.
func only(t testing.TB, c Config, dir string) Found {
	t.Helper()
	c.Source, c.Dirs = Mount, []string{dir}
	found, looked := c.Find()
	if len(found) != 1 || !slices.Equal(looked, []string{"the Secret at " + dir}) {
		t.Fatalf("found %v, looked at %q", found, looked)
	}
	return found[0]
}

// want is what a place should give: the problem's code or else the canary, and
// the instance, "" for none known.
func (f Found) want(t *testing.T, wantCode, wantInstance string) {
	t.Helper()
	wantToken := canary
	if wantCode != "" {
		wantToken = ""
	}
	if code(f.Problem) != wantCode || f.Instance.String() != wantInstance {
		t.Errorf("%v, instance %q; want %q, instance %q", f.Problem, f.Instance, wantCode, wantInstance)
	}
	// A place that can't tell its instance may have read the token; it matches
	// no request.
	if got := f.Token.Reveal(); got != wantToken && wantInstance != "" {
		t.Errorf("token %q, want %q", got, wantToken)
	}
	quiet(t, f)
}

// quiet fails if a place shows eight characters of the canary in a row. Its instance may: an
// address is no secret.
func quiet(t testing.TB, f Found) {
	t.Helper()
	f.Instance = instance.Instance{}
	shown := fmt.Sprintf("%+v %#v", f, f)
	if f.Problem != nil {
		shown += strings.Join(message.As(f.Problem).Lines(), " ") + f.Problem.Error()
	}
	for i := 0; i+8 <= len(canary); i++ {
		if strings.Contains(shown, canary[i:i+8]) {
			t.Fatalf("%q shows in: %s", canary[i:i+8], shown)
		}
	}
}

func TestFindMounted(t *testing.T) {
	type keys = map[string]string
	routable := "glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.01.0y12958uu"
	tests := []struct {
		name           string
		keys           keys
		code, instance string
	}{
		{"token alone", keys{"token": canary}, "", "gitlab.com"},
		{"empty URL", keys{"token": canary, "instanceUrl": ""}, "", "gitlab.com"},
		{"white URL", keys{"token": canary, "instanceUrl": " \n\t"}, "", "gitlab.com"},
		{"URL", keys{"token": canary, "instanceUrl": "https://GitLab.Example.com/"}, "", "gitlab.example.com"},
		{"URL with port and path", keys{"token": canary, "instanceUrl": "https://h:8443/gitlab"}, "", "h:8443/gitlab"},
		{"space around both", keys{"token": "\ufeff\r\n " + canary + " \r\n", "instanceUrl": "\t https://h \r\n"}, "", "h"},
		{"other keys", keys{"token": canary, "username": "x", "ca.crt": "nonsense"}, "", "gitlab.com"},

		{"empty token", keys{"token": "", "instanceUrl": "https://h"}, "token-empty", "h"},
		{"white token", keys{"token": " \r\n"}, "token-empty", "gitlab.com"},
		{"token on two lines", keys{"token": canary + "\n" + canary}, "token-broken", "gitlab.com"},
		{"quoted token", keys{"token": "«" + canary + "»"}, "token-quoted", "gitlab.com"},
		{"binary token", keys{"token": canary + "\x00\xff\x1b[2J"}, "token-garbled", "gitlab.com"},
		{"token of another kind", keys{"token": "gldt-" + canary}, "token-other-kind", "gitlab.com"},
		{"damaged token", keys{"token": routable}, "token-damaged", "gitlab.com"},
		{"token at the limit of a file", keys{"token": strings.Repeat(canary, 3000)[:maxValue]}, "token-garbled", "gitlab.com"},
		{"token over it", keys{"token": canary + strings.Repeat(" ", maxValue), "instanceUrl": "https://h"}, "file-too-large", "h"},

		{"no address", keys{"token": canary, "instanceUrl": "gitlab.example.com"}, "instance-invalid", ""},
		{"token in the URL", keys{"token": canary, "instanceUrl": "https://oauth2:" + canary + "@h"}, "instance-invalid", ""},
		{"token for a URL", keys{"token": "https://h", "instanceUrl": canary}, "instance-invalid", ""},
		{"plain http", keys{"token": canary, "instanceUrl": "http://h"}, "instance-invalid", "h"},
		{"plain http on loopback", keys{"token": canary, "instanceUrl": "http://127.0.0.1:8080"}, "instance-invalid", "127.0.0.1:8080"},
		{"two URLs", keys{"token": canary, "instanceUrl": "https://a\nhttps://b"}, "instance-invalid", ""},
		{"URL too long", keys{"token": canary, "instanceUrl": "https://h" + strings.Repeat(" ", maxValue)}, "file-too-large", ""},
		// An unknown instance is reported before an invalid token.
		{"nothing right", keys{"token": "", "instanceUrl": "h"}, "instance-invalid", ""},

		{"URL alone", keys{"instanceUrl": "https://h"}, "token-key-missing", "h"},
		{"another key alone", keys{"password": canary}, "token-key-missing", "gitlab.com"},
		{"a key with other letter case", keys{"Token": canary}, "token-key-missing", "gitlab.com"},

		// Two forms may name two instances.
		{"both forms", keys{"token": canary, "credentials.json": `{"token":"` + canary + `"}`}, "two-forms", ""},
		{"both forms and a URL", keys{"token": canary, "instanceUrl": "https://h", "credentials.json": "{}"}, "two-forms", ""},
		{"entry and URL", keys{"instanceUrl": "https://h", "credentials.json": `{"token":"` + canary + `"}`}, "two-forms", ""},
	}
	for layout, lay := range layouts {
		for _, test := range tests {
			t.Run(layout+"/"+test.name, func(t *testing.T) {
				dir := t.TempDir()
				lay(t, dir, test.keys)
				f := only(t, Config{}, dir)
				f.want(t, test.code, test.instance)
				if f.Source != Mount || f.Where != "the Secret at "+dir || f.Renew == "" || f.Belongs == "" || f.CA == nil {
					t.Errorf("%+v", f)
				}
			})
		}
	}
	for _, test := range tests {
		t.Run("cluster/"+test.name, func(t *testing.T) {
			f := Read("team/mine", inCluster(test.keys), false)
			f.want(t, test.code, test.instance)
			if f.Source != API || f.Where != "the Secret team/mine in the cluster" || f.Renew == "" || f.Belongs == "" || f.CA == nil {
				t.Errorf("%+v", f)
			}
			if f.Problem != nil && !strings.Contains(message.As(f.Problem).What, "team/mine") {
				t.Errorf("the Secret is not named: %v", f.Problem)
			}
		})
	}
}

// inCluster is a Secret as the API gives it.
func inCluster(keys map[string]string) Object {
	return Object{Type: "Opaque", Key: func(name string) ([]byte, bool) {
		value, there := keys[name]
		return []byte(value), there
	}}
}

// Forms that only a Secret of the cluster can have.
func TestRead(t *testing.T) {
	Read("team/mine", inCluster(nil), false).want(t, "token-key-missing", "gitlab.com")
	http := map[string]string{"token": canary, "instanceUrl": "http://127.0.0.1:1"}
	Read("team/mine", inCluster(http), true).want(t, "", "127.0.0.1:1")
	// A ServiceAccount's own Secret has keys of the same names.
	for _, kind := range []string{"kubernetes.io/service-account-token", "kubernetes.io/tls", "example.com/own", "opaque", ""} {
		o := inCluster(map[string]string{"token": canary, "ca.crt": "x"})
		o.Type = kind
		Read("team/mine", o, false).want(t, "secret-type", "")
	}
	for _, test := range []struct{ ca, code string }{{"", ""}, {"certificates", ""}, {strings.Repeat("x", maxCA+1), "file-too-large"}} {
		keys := map[string]string{"token": canary, "ca.crt": test.ca}
		if test.ca == "" {
			delete(keys, "ca.crt")
		}
		ca, problem := Read("team/mine", inCluster(keys), false).CA()
		if code(problem) != test.code || test.code == "" && string(ca) != test.ca {
			t.Errorf("%q, %v", ca, problem)
		}
	}
}

// The platform's own entry: {"userId","token","instanceUrl","updatedAt"}.
func TestFindCredentials(t *testing.T) {
	entry := func(token, rest string) string { return `{"token":` + token + rest + `}` }
	good := `"` + canary + `"`
	tests := []struct{ name, json, code, instance string }{
		{"as the platform writes it", `{"userId":"u","token":"` + canary + `","instanceUrl":"https://h","updatedAt":"2026-01-01T00:00:00Z"}`, "", "h"},
		{"without URL", entry(good, ""), "", "gitlab.com"},
		{"empty URL", entry(good, `,"instanceUrl":""`), "", "gitlab.com"},
		{"URL null", entry(good, `,"instanceUrl":null`), "", "gitlab.com"},
		{"space around all", "\n " + entry(`" `+canary+`\r\n"`, `,"instanceUrl":" https://h/ \n"`) + " \n", "", "h"},
		{"escapes", entry(`"\u0067`+canary[1:]+`"`, `,"instanceUrl":"https:\/\/h"`), "", "h"},
		{"byte order mark", "\ufeff" + entry(good, ""), "", "gitlab.com"},
		{"fields that are not ours, of any type", entry(good, `,"userId":7,"updatedAt":[{}],"extra":{"token":"x","instanceUrl":"https://evil"}`), "", "gitlab.com"},
		// With two, it is unknown which one the platform meant.
		{"token twice", entry(`"glpat-Older"`, `,"token":`+good), "credentials-garbled", ""},
		{"token in two cases", entry(`"glpat-Older"`, `,"Token":`+good), "credentials-garbled", ""},
		{"URL twice", entry(good, `,"instanceUrl":"https://a","instanceUrl":"https://b"`), "credentials-garbled", ""},

		{"token missing", `{"instanceUrl":"https://h"}`, "token-empty", "h"},
		{"token null", entry("null", ""), "token-empty", "gitlab.com"},
		{"token empty", entry(`""`, ""), "token-empty", "gitlab.com"},
		{"token on two lines", entry(`"`+canary+`\n`+canary+`"`, ""), "token-broken", "gitlab.com"},
		{"token with a NUL", entry(`"`+canary+`\u0000"`, ""), "token-garbled", "gitlab.com"},
		{"URL that is none", entry(good, `,"instanceUrl":"h"`), "instance-invalid", ""},
		{"URL with the token", entry(good, `,"instanceUrl":"https://`+canary+`@h"`), "instance-invalid", ""},
		{"nothing right", entry(`""`, `,"instanceUrl":"h"`), "instance-invalid", ""},

		{"token a number", entry("12345678", ""), "credentials-garbled", ""},
		{"token a list", entry("["+good+"]", ""), "credentials-garbled", ""},
		{"token an object", entry(`{"token":`+good+`}`, ""), "credentials-garbled", ""},
		{"URL a number", entry(good, `,"instanceUrl":1`), "credentials-garbled", ""},
		{"URL true", entry(good, `,"instanceUrl":true`), "credentials-garbled", ""},
		{"empty", "", "credentials-garbled", ""},
		{"cut", `{"token":"` + canary, "credentials-garbled", ""},
		{"a bare token", canary, "credentials-garbled", ""},
		{"a text", good, "credentials-garbled", ""},
		{"a list", "[" + entry(good, "") + "]", "credentials-garbled", ""},
		{"a number", "7", "credentials-garbled", ""},
		{"two values", entry(good, "") + entry(good, ""), "credentials-garbled", ""},
		{"single quotes", `{'token':'` + canary + `'}`, "credentials-garbled", ""},
		{"nested too deep", entry(good, `,"x":`+strings.Repeat("[", 30000)+strings.Repeat("]", 30000)), "credentials-garbled", ""},
		{"huge", entry(good, `,"x":"`+strings.Repeat("x", maxValue)+`"`), "file-too-large", ""},
	}
	for layout, lay := range layouts {
		for _, test := range tests {
			t.Run(layout+"/"+test.name, func(t *testing.T) {
				dir := t.TempDir()
				lay(t, dir, map[string]string{"credentials.json": test.json})
				only(t, Config{}, dir).want(t, test.code, test.instance)
			})
		}
	}
	for _, test := range tests {
		t.Run("cluster/"+test.name, func(t *testing.T) {
			Read("team/mine", inCluster(map[string]string{"credentials.json": test.json}), false).want(t, test.code, test.instance)
		})
	}
}

// Directories that hold no Secret, or not as it should be.
func TestFindOddDirectory(t *testing.T) {
	tests := []struct {
		name string
		// make makes the directory, or something else in its place.
		make func(t *testing.T, dir string)
		// code is that of the problem, "none" when nothing is to be found.
		code string
	}{
		{"missing", func(*testing.T, string) {}, "none"},
		{"empty", func(t *testing.T, dir string) { mounted(t, dir, nil) }, "none"},
		{"empty but for hidden files", func(t *testing.T, dir string) { write(t, filepath.Join(dir, ".gitkeep"), "") }, "none"},
		{"emptied by kubelet", func(t *testing.T, dir string) {
			mounted(t, dir, map[string]string{"token": canary})
			mounted(t, dir, nil)
		}, "none"},
		{"a link to nothing", func(t *testing.T, dir string) { link(t, "nowhere", dir) }, "none"},
		{"a link to a Secret", func(t *testing.T, dir string) {
			mounted(t, dir+".real", map[string]string{"token": canary})
			link(t, dir+".real", dir)
		}, ""},
		{"a file", func(t *testing.T, dir string) { write(t, dir, canary) }, "secret-not-directory"},
		{"below a file", func(t *testing.T, dir string) { write(t, filepath.Dir(dir), canary) }, "file-unreadable"},
		{"token a directory", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "token", "x"), canary) }, "file-unreadable"},
		{"URL a directory", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "token"), canary)
			write(t, filepath.Join(dir, "instanceUrl", "x"), "")
		}, "file-unreadable"},
		{"entry a directory", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "credentials.json", "x"), "") }, "file-unreadable"},
		{"token a FIFO that nobody writes to", func(t *testing.T, dir string) {
			if err := errors.Join(os.Mkdir(dir, 0o755), syscall.Mkfifo(filepath.Join(dir, "token"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}, "file-unreadable"},
		{"token a link to a file beside it", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "real"), canary)
			link(t, "real", filepath.Join(dir, "token"))
		}, ""},
		{"token a link to nothing", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "other"), canary)
			link(t, "nowhere", filepath.Join(dir, "token"))
		}, "token-key-missing"},
		{"token a link to itself", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "other"), canary)
			link(t, "token", filepath.Join(dir, "token"))
		}, "file-unreadable"},
		// A Secret's content can't make the helper read other files of the pod.
		{"token a link out of it", func(t *testing.T, dir string) {
			write(t, dir+".other", canary)
			write(t, filepath.Join(dir, "other"), canary)
			link(t, "../"+filepath.Base(dir)+".other", filepath.Join(dir, "token"))
		}, "file-unreadable"},
		{"..data a link out of it", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir+".other", "token"), canary)
			write(t, filepath.Join(dir, "other"), canary)
			link(t, "../"+filepath.Base(dir)+".other", filepath.Join(dir, "..data"))
			link(t, "..data/token", filepath.Join(dir, "token"))
		}, "file-unreadable"},
		{"..data an absolute link", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir+".other", "token"), canary)
			write(t, filepath.Join(dir, "other"), canary)
			link(t, dir+".other", filepath.Join(dir, "..data"))
			link(t, "..data/token", filepath.Join(dir, "token"))
		}, "file-unreadable"},
		{"..data a directory", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "..data", "token"), canary)
			link(t, "..data/token", filepath.Join(dir, "token"))
		}, ""},
		{"..data a link to nothing", func(t *testing.T, dir string) {
			mounted(t, dir, map[string]string{"token": canary})
			if err := os.Remove(filepath.Join(dir, "..data")); err != nil {
				t.Fatal(err)
			}
			link(t, "..gone", filepath.Join(dir, "..data"))
		}, "token-key-missing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "parent", "secret")
			if test.name != "below a file" {
				if err := os.Mkdir(filepath.Dir(dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			test.make(t, dir)
			if test.code == "none" {
				if found, looked := (Config{Dirs: []string{dir}}).Find(); found != nil || len(looked) == 0 {
					t.Errorf("found %v, looked at %q", found, looked)
				}
				return
			}
			f := only(t, Config{}, dir)
			if usable := f.Instance.String() == "gitlab.com" && f.Token.Reveal() == canary; code(f.Problem) != test.code || usable != (test.code == "") {
				t.Errorf("%v, token %q of %q", f.Problem, f.Token.Reveal(), f.Instance)
			}
			quiet(t, f)
			if f.Problem != nil && !strings.Contains(message.As(f.Problem).What, dir) {
				t.Errorf("the place is not named: %v", f.Problem)
			}
		})
	}
}

// A path may hold what a terminal obeys; it is shown harmless.
func TestFindHostilePath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a\x1b[2J\nb")
	write(t, filepath.Join(dir, "token"), "")
	found, looked := Config{Dirs: []string{dir}}.Find()
	if len(found) != 1 || code(found[0].Problem) != "token-empty" {
		t.Fatalf("%v", found)
	}
	for _, text := range append(looked, found[0].Where, found[0].Problem.Error(), message.As(found[0].Problem).Hint) {
		if strings.ContainsAny(text, "\x1b\n") {
			t.Errorf("%q", text)
		}
	}
}

func TestFindSeveralDirectories(t *testing.T) {
	parent := t.TempDir()
	dirs := []string{filepath.Join(parent, "missing")}
	for i, keys := range []map[string]string{
		{"token": "glpat-CanaryFirst", "instanceUrl": "https://a"},
		nil,
		{"token": "", "instanceUrl": "https://b"},
		{"token": "glpat-CanaryThird", "instanceUrl": "nonsense"},
		{"credentials.json": `{"token":"glpat-CanaryFourth","instanceUrl":"https://d"}`},
	} {
		dirs = append(dirs, filepath.Join(parent, fmt.Sprint(i)))
		mounted(t, dirs[len(dirs)-1], keys)
	}
	found, looked := Config{Dirs: dirs, TokenEnv: func() string { return canary }}.Find()
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%s %q %q", f.Instance, f.Token.Reveal(), code(f.Problem)))
	}
	want := []string{`a "glpat-CanaryFirst" ""`, `b "" "token-empty"`, ` "" "instance-invalid"`, `d "glpat-CanaryFourth" ""`}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(looked) != len(dirs) {
		t.Errorf("looked at %q", looked)
	}
}

func TestFindSource(t *testing.T) {
	parent := t.TempDir()
	secret, empty := filepath.Join(parent, "secret"), filepath.Join(parent, "empty")
	file, bad := filepath.Join(parent, "file"), filepath.Join(parent, "bad")
	mounted(t, secret, map[string]string{"token": "glpat-CanaryMount"})
	mounted(t, empty, nil)
	write(t, file, "glpat-CanaryFile\n")
	write(t, bad, "")
	env := func() string { return "glpat-CanaryEnv" }
	none := func() string { return "" }
	cluster := func() (Found, bool) {
		return Read("team/mine", inCluster(map[string]string{"token": canary}), false), true
	}
	nowhere := func() (Found, bool) { return Found{}, false }
	const (
		lookedMount = "the Secret at "
		lookedAPI   = "the Secret team/mine in the cluster"
		lookedFile  = "the token file "
		lookedEnv   = "the environment variable GITLAB_TOKEN"
	)
	tests := []struct {
		name   string
		config Config
		// token is the revealed one, or the code of the problem.
		source Source
		token  string
		looked []string
	}{
		{"zero", Config{}, "", "", []string{lookedEnv}},
		{"all there", Config{Dirs: []string{secret}, TokenFile: file, TokenEnv: env}, Mount, "glpat-CanaryMount", []string{lookedMount + secret}},
		{"auto by name", Config{Source: Auto, Dirs: []string{secret}, TokenFile: file, TokenEnv: env}, Mount, "glpat-CanaryMount", []string{lookedMount + secret}},
		{"Secret empty", Config{Dirs: []string{empty}, TokenFile: file, TokenEnv: env}, File, "glpat-CanaryFile", []string{lookedMount + empty, lookedFile + file}},
		{"file missing", Config{Dirs: []string{empty}, TokenFile: file + "x", TokenEnv: env}, Env, "glpat-CanaryEnv",
			[]string{lookedMount + empty, lookedFile + file + "x", lookedEnv}},
		{"nothing there", Config{Dirs: []string{empty}, TokenEnv: none}, "", "", []string{lookedMount + empty, lookedEnv}},
		{"environment white", Config{TokenEnv: func() string { return " " }}, Env, "token-empty", []string{lookedEnv}},

		// A broken source is reported, not skipped.
		{"Secret broken", Config{Dirs: []string{bad}, TokenFile: file, TokenEnv: env}, Mount, "secret-not-directory", []string{lookedMount + bad}},
		{"file broken", Config{TokenFile: bad, TokenEnv: env}, File, "token-empty", []string{lookedFile + bad}},
		{"file a directory", Config{TokenFile: secret, TokenEnv: env}, File, "file-unreadable", []string{lookedFile + secret}},
		{"file below a file", Config{TokenFile: file + "/x", TokenEnv: env}, File, "file-unreadable", []string{lookedFile + file + "/x"}},

		{"cluster", Config{Dirs: []string{empty}, API: cluster, APIWhere: lookedAPI, TokenFile: file}, API, canary, []string{lookedMount + empty, lookedAPI}},
		{"cluster after a mount", Config{Dirs: []string{secret}, API: cluster, APIWhere: lookedAPI}, Mount, "glpat-CanaryMount", []string{lookedMount + secret}},
		{"no Secret in the cluster", Config{API: nowhere, APIWhere: lookedAPI, TokenFile: file}, File, "glpat-CanaryFile", []string{lookedAPI, lookedFile + file}},
		{"cluster only", Config{Source: API, Dirs: []string{secret}, API: cluster, APIWhere: lookedAPI, TokenFile: file}, API, canary, []string{lookedAPI}},
		{"cluster only, nothing there", Config{Source: API, Dirs: []string{secret}, API: nowhere, APIWhere: lookedAPI, TokenFile: file}, "", "", []string{lookedAPI}},
		{"mount only, cluster named", Config{Source: Mount, Dirs: []string{empty}, API: cluster, APIWhere: lookedAPI}, "", "", []string{lookedMount + empty}},
		{"mount only", Config{Source: Mount, Dirs: []string{empty}, TokenFile: file, TokenEnv: env}, "", "", []string{lookedMount + empty}},
		{"file only", Config{Source: File, Dirs: []string{secret}, TokenFile: file, TokenEnv: env}, File, "glpat-CanaryFile", []string{lookedFile + file}},
		{"file only, none named", Config{Source: File, Dirs: []string{secret}, TokenEnv: env}, "", "", nil},
		{"environment only", Config{Source: Env, Dirs: []string{secret}, TokenFile: file, TokenEnv: env}, Env, "glpat-CanaryEnv", []string{lookedEnv}},
		{"environment only, unset", Config{Source: Env, Dirs: []string{secret}, TokenFile: file, TokenEnv: none}, "", "", []string{lookedEnv}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found, looked := test.config.Find()
			if !slices.Equal(looked, test.looked) {
				t.Errorf("looked at %q, want %q", looked, test.looked)
			}
			if test.source == "" {
				if found != nil {
					t.Errorf("found %v", found)
				}
				return
			}
			if len(found) != 1 {
				t.Fatalf("found %v", found)
			}
			f := found[0]
			if got := f.Token.Reveal() + code(f.Problem); f.Source != test.source || got != test.token {
				t.Errorf("%s %q, want %s %q", f.Source, got, test.source, test.token)
			}
			if f.Where != test.looked[len(test.looked)-1] || f.Renew == "" || f.Belongs == "" || (f.CA == nil) == (f.Source == Mount || f.Source == API) {
				t.Errorf("%+v", f)
			}
		})
	}
}

// A Secret without a token counts only when nothing else has one, and one with a
// broken token gives way only to a good one in the cluster.
func TestFindWithoutToken(t *testing.T) {
	type keys = map[string]string
	url := "https://gitlab.example.com"
	vacant := []keys{{"instanceUrl": url}, {"token": "", "instanceUrl": url}, {"token": " \n", "instanceUrl": url},
		{"credentials.json": `{"instanceUrl":"` + url + `"}`}, {"instanceUrl": url, "ca.crt": "x"}}
	blank := keys{"credentials.json": " \n"}
	broken := keys{"token": "«" + canary + "»", "instanceUrl": url}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "glpat-CanaryFile")
	cluster := func(keys keys) func() (Found, bool) {
		return func() (Found, bool) { return Read("team/mine", inCluster(keys), false), true }
	}
	down := func() (Found, bool) {
		f := Place("team/mine")
		f.Problem = message.FileUnreadable("the cluster", "no answer")
		return f, true
	}
	here := keys{"token": canary, "instanceUrl": url}
	tests := []struct {
		name   string
		mount  keys
		config Config
		want   []string
	}{
		{"nothing else", nil, Config{}, []string{"mount gitlab.example.com -"}},
		{"mount only", nil, Config{Source: Mount, TokenFile: file, InstanceURL: url, API: cluster(here)}, []string{"mount gitlab.example.com -"}},
		{"a file", nil, Config{TokenFile: file, InstanceURL: url, TokenEnv: func() string { return "glpat-CanaryEnv" }}, []string{"file gitlab.example.com glpat-CanaryFile"}},
		{"the environment", nil, Config{TokenEnv: func() string { return canary }, InstanceURL: url}, []string{"env gitlab.example.com " + canary}},
		{"a file for another instance", nil, Config{TokenFile: file}, []string{"file gitlab.com glpat-CanaryFile", "mount gitlab.example.com -"}},
		{"a file that is missing", nil, Config{TokenFile: file + "x", InstanceURL: url}, []string{"mount gitlab.example.com -", "file gitlab.example.com token-file-missing"}},
		{"the cluster", nil, Config{API: cluster(here), TokenFile: file, InstanceURL: url}, []string{"api gitlab.example.com " + canary}},
		{"the cluster, without one too", nil, Config{API: cluster(vacant[0])}, []string{"mount gitlab.example.com -", "api gitlab.example.com -"}},
		{"the cluster, without one too, and a file", nil, Config{API: cluster(vacant[1]), TokenFile: file, InstanceURL: url}, []string{"file gitlab.example.com glpat-CanaryFile"}},
		{"the cluster, broken", nil, Config{API: cluster(broken), TokenFile: file, InstanceURL: url}, []string{"api gitlab.example.com token-quoted"}},
		{"the cluster, down", nil, Config{API: down, TokenFile: file, InstanceURL: url}, []string{"api  file-unreadable", "mount gitlab.example.com -"}},

		{"an empty entry", blank, Config{}, []string{"mount  credentials-garbled"}},
		{"an empty entry, a file", blank, Config{TokenFile: file}, []string{"file gitlab.com glpat-CanaryFile"}},
		{"an empty entry, the cluster", blank, Config{API: cluster(here)}, []string{"api gitlab.example.com " + canary}},

		{"broken, nothing else", broken, Config{}, []string{"mount gitlab.example.com token-quoted"}},
		{"broken, a file", broken, Config{TokenFile: file, InstanceURL: url}, []string{"mount gitlab.example.com token-quoted"}},
		{"broken, the cluster", broken, Config{API: cluster(here)}, []string{"api gitlab.example.com " + canary}},
		{"broken, the cluster broken", broken, Config{API: cluster(broken)}, []string{"mount gitlab.example.com token-quoted"}},
		{"broken, the cluster down", broken, Config{API: down}, []string{"mount gitlab.example.com token-quoted"}},
		{"whose is not known", keys{"token": "", "instanceUrl": "x"}, Config{TokenFile: file, InstanceURL: url}, []string{"mount  instance-invalid"}},
		{"unreadable", keys{"token": strings.Repeat("x", maxValue+1), "instanceUrl": url}, Config{TokenFile: file, InstanceURL: url}, []string{"mount gitlab.example.com file-too-large"}},
		{"good", here, Config{API: func() (Found, bool) { panic("asked") }, TokenFile: file}, []string{"mount gitlab.example.com " + canary}},
	}
	for _, test := range tests {
		mounts := vacant
		if test.mount != nil {
			mounts = []keys{test.mount}
		}
		for _, keys := range mounts {
			dir := t.TempDir()
			mounted(t, dir, keys)
			test.config.Dirs = []string{dir}
			found, _ := test.config.Find()
			var got []string
			for _, f := range found {
				what := f.Token.Reveal() + code(f.Problem)
				if what == "token-empty" || what == "token-key-missing" {
					what = "-"
				}
				got = append(got, fmt.Sprintf("%s %s %s", f.Source, f.Instance, what))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%s, %v: got %q, want %q", test.name, keys, got, test.want)
			}
		}
	}
}

// A bare token belongs to InstanceURL; a Secret never does.
func TestFindInstanceURL(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	mounted(t, dir, map[string]string{"token": canary, "instanceUrl": "http://127.0.0.1:8080"})
	write(t, file, canary)
	env := func() string { return canary }
	tests := []struct {
		name           string
		config         Config
		code, instance string
	}{
		{"file", Config{Source: File, TokenFile: file, InstanceURL: " https://H/ "}, "", "h"},
		{"environment", Config{Source: Env, TokenEnv: env, InstanceURL: "https://h:8443/x"}, "", "h:8443/x"},
		{"file, white", Config{Source: File, TokenFile: file, InstanceURL: " "}, "", "gitlab.com"},
		{"file, invalid", Config{Source: File, TokenFile: file, InstanceURL: "h"}, "instance-invalid", ""},
		{"environment, invalid", Config{Source: Env, TokenEnv: env, InstanceURL: "https://" + canary + "@h"}, "instance-invalid", ""},
		{"environment, plain http", Config{Source: Env, TokenEnv: env, InstanceURL: "http://127.0.0.1"}, "instance-invalid", "127.0.0.1"},
		{"environment, plain http on loopback", Config{Source: Env, TokenEnv: env, InstanceURL: "http://127.0.0.1", AllowHTTPLoopback: true}, "", "127.0.0.1"},
		{"environment, plain http elsewhere", Config{Source: Env, TokenEnv: env, InstanceURL: "http://h", AllowHTTPLoopback: true}, "instance-invalid", "h"},
		{"Secret", Config{Dirs: []string{dir}, InstanceURL: "https://h"}, "instance-invalid", "127.0.0.1:8080"},
		{"Secret on loopback", Config{Dirs: []string{dir}, InstanceURL: "https://h", AllowHTTPLoopback: true}, "", "127.0.0.1:8080"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found, _ := test.config.Find()
			if len(found) != 1 {
				t.Fatalf("found %v", found)
			}
			found[0].want(t, test.code, test.instance)
			if shown := fmt.Sprintf("%+v %#v", test.config, test.config); strings.Contains(shown, canary) && test.config.InstanceURL == "" {
				t.Errorf("printing a Config shows the token: %s", shown)
			}
		})
	}
	// A URL over plain http is only ever good on loopback, in an entry too.
	mounted(t, dir, map[string]string{"credentials.json": `{"token":"` + canary + `","instanceUrl":"http://127.0.0.1:1"}`})
	only(t, Config{}, dir).want(t, "instance-invalid", "127.0.0.1:1")
	only(t, Config{AllowHTTPLoopback: true}, dir).want(t, "", "127.0.0.1:1")
}

// The platform is asked only if it is named, and its answer is held to the same rules as any
// token.
func TestFindBackend(t *testing.T) {
	asked := 0
	config := func(answer Answer) Config {
		answer.Where = "the platform at https://p"
		return Config{Source: Backend, TokenEnv: func() string { return canary }, Backend: func() Answer { asked++; return answer }}
	}
	token := func(text string) func() string { return func() string { return text } }
	down := error(&message.Error{Code: "platform-error", Topic: message.NotVerified, What: "the platform answers 500"})
	for name, test := range map[string]struct {
		answer         Answer
		code, instance string
	}{
		"good":             {Answer{Token: token(canary + "\n"), InstanceURL: "https://h/gitlab"}, "", "h/gitlab"},
		"without instance": {Answer{Token: token(canary)}, "", "gitlab.com"},
		"cut":              {Answer{Token: token("glpat-Canary CanaryQ7x9"), InstanceURL: "https://h"}, "token-broken", "h"},
		"empty":            {Answer{Token: token(""), InstanceURL: "https://h"}, "token-empty", "h"},
		"plain http":       {Answer{Token: token(canary), InstanceURL: "http://h"}, "instance-invalid", "h"},
		"not known":        {Answer{Problem: down}, "platform-error", ""},
	} {
		t.Run(name, func(t *testing.T) {
			found, looked := config(test.answer).Find()
			if len(found) != 1 || !slices.Equal(looked, []string{"the platform at https://p"}) {
				t.Fatalf("found %v, looked at %q", found, looked)
			}
			f := found[0]
			f.want(t, test.code, test.instance)
			if f.Source != Backend || f.Where != looked[0] || f.Renew == "" || f.Belongs == "" || f.CA != nil || !f.Changed().IsZero() {
				t.Errorf("%+v", f)
			}
			if shown := fmt.Sprintf("%+v %+v", config(test.answer), f); strings.Contains(shown, "Canary") {
				t.Errorf("a token shows: %s", shown)
			}
		})
	}
	if found, looked := config(Answer{}).Find(); len(found) > 0 || len(looked) != 1 {
		t.Errorf("without a token: %v, %q", found, looked)
	}
	asked = 0
	for _, source := range []Source{"", Auto, Mount, File, Env} {
		c := config(Answer{Token: token(canary)})
		c.Source, c.TokenEnv = source, nil
		if found, _ := c.Find(); len(found) > 0 || asked > 0 {
			t.Errorf("%q: found %v, asked %d times", source, found, asked)
		}
	}
	if found, looked := (Config{Source: Backend}).Find(); len(found)+len(looked) > 0 {
		t.Errorf("nobody to ask: %v, %q", found, looked)
	}
}

func TestParseSource(t *testing.T) {
	for text, want := range map[string]Source{"": Auto, "auto": Auto, "mount": Mount, "api": API, "file": File, "env": Env, "backend": Backend} {
		if got, problem := ParseSource(text); got != want || problem != nil {
			t.Errorf("%q: %q, %v", text, got, problem)
		}
	}
	for _, text := range []string{"Mount", " mount", "vault", canary} {
		if _, problem := ParseSource(text); code(problem) != "setting-invalid" || strings.Contains(problem.Error(), "Canary") {
			t.Errorf("%q: %v", text, problem)
		}
	}
}

// The authorities are read when a connection is made, and are those of the token even if the
// Secret has been swapped since.
func TestCA(t *testing.T) {
	dir := t.TempDir()
	keys := map[string]string{"token": canary}
	read := func(f Found, wantCode, want string, none bool) {
		t.Helper()
		for range 2 {
			pem, problem := f.CA()
			if code(problem) != wantCode || string(pem) != want || (pem == nil) != none {
				t.Errorf("%d bytes, %v; want %d, %q", len(pem), problem, len(want), wantCode)
			}
			if problem != nil && !strings.Contains(message.As(problem).What, dir) {
				t.Errorf("the place is not named: %v", problem)
			}
		}
	}
	mounted(t, dir, keys)
	before, want, none := only(t, Config{}, dir), "", true
	for _, pem := range []string{"first\n", "second", strings.Repeat("x", maxCA), ""} {
		keys["ca.crt"] = pem
		mounted(t, dir, keys)
		// Values that were read before belong to the authorities of that time.
		read(before, "", want, none)
		before, want, none = only(t, Config{}, dir), pem, false
	}
	read(before, "", want, none)
	keys["ca.crt"] = strings.Repeat("x", maxCA+1)
	mounted(t, dir, keys)
	read(only(t, Config{}, dir), "file-too-large", "", true)
	delete(keys, "ca.crt")
	mounted(t, dir, keys)
	before = only(t, Config{}, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	read(before, "", "", true)

	write(t, filepath.Join(dir, "token"), canary)
	write(t, filepath.Join(dir, "ca.crt", "x"), "")
	read(only(t, Config{}, dir), "file-unreadable", "", true)

	mounted(t, dir+"2", map[string]string{"credentials.json": "{}", "ca.crt": "beside an entry"})
	read(only(t, Config{}, dir+"2"), "", "beside an entry", false)
}

// kubelet swaps a Secret under a running pod. Whatever moment a reader comes
// at, it gets a token with the instance that this token belongs to: half of
// one version and half of another would take a token to a stranger.
func TestFindWhileSwapped(t *testing.T) {
	versions := []struct {
		token, instance string
		keys            map[string]string
	}{
		{"glpat-CanaryOfA", "a.example", map[string]string{"token": "glpat-CanaryOfA", "instanceUrl": "https://a.example"}},
		{"glpat-CanaryOfB", "b.example", map[string]string{"token": "glpat-CanaryOfB", "instanceUrl": "https://b.example"}},
		// Without a URL, and in the other form: keys come and go.
		{"glpat-CanaryOfC", "gitlab.com", map[string]string{"token": "glpat-CanaryOfC"}},
		{"glpat-CanaryOfD", "d.example", map[string]string{"credentials.json": `{"token":"glpat-CanaryOfD","instanceUrl":"https://d.example"}`}},
	}
	pairs := map[string]string{}
	for _, v := range versions {
		pairs[v.token] = v.instance
	}
	dir := t.TempDir()
	mounted(t, dir, versions[0].keys)

	const readers, swaps = 2, 240
	var done atomic.Bool
	turn := make(chan struct{}, readers) // a reader has read
	ended := make(chan error, readers)
	for range readers {
		go func() {
			ended <- func() error {
				for !done.Load() {
					found, _ := Config{Dirs: []string{dir}}.Find()
					if len(found) != 1 || found[0].Problem != nil {
						return fmt.Errorf("found %v", found)
					}
					if token, i := found[0].Token.Reveal(), found[0].Instance.String(); pairs[token] != i || i == "" {
						return fmt.Errorf("the token %q of %q went with %q", token, pairs[token], i)
					}
					select {
					case turn <- struct{}{}:
					default:
					}
				}
				return nil
			}()
		}()
	}
	var failed error
	left := readers
	for i := 1; i <= swaps && failed == nil; i++ {
		mounted(t, dir, versions[i%len(versions)].keys)
		if i%8 == 0 {
			// However the scheduler likes its readers: they do read in between.
			select {
			case <-turn:
			case failed = <-ended:
				left--
			}
		}
	}
	done.Store(true)
	for range left {
		failed = errors.Join(failed, <-ended)
	}
	if failed != nil {
		t.Fatal(failed)
	}
	only(t, Config{}, dir)
}

// unreadable holds what the modes of files forbid; it must not run as root,
// whom they forbid nothing.
func unreadable(t *testing.T, parent string) {
	tests := []struct {
		name string
		keys map[string]string
		// deny takes rights away.
		deny map[string]os.FileMode
		code string
		// shown is what must be named.
		shown string
	}{
		{"token", map[string]string{"token": canary, "instanceUrl": "https://h"}, map[string]os.FileMode{"token": 0}, "file-unreadable", "token can't be read: permission denied"},
		{"URL", map[string]string{"token": canary, "instanceUrl": "https://h"}, map[string]os.FileMode{"instanceUrl": 0o200}, "file-unreadable", "instanceUrl can't be read: permission denied"},
		{"entry", map[string]string{"credentials.json": "{}"}, map[string]os.FileMode{"credentials.json": 0}, "file-unreadable", "credentials.json can't be read: permission denied"},
		{"directory", map[string]string{"token": canary}, map[string]os.FileMode{".": 0}, "file-unreadable", "can't be read: permission denied"},
		{"entered-directory", map[string]string{"token": canary}, map[string]os.FileMode{".": 0o111}, "file-unreadable", "can't be read: permission denied"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(parent, test.name)
			layouts["plain"](t, dir, test.keys)
			for name, mode := range test.deny {
				path := filepath.Join(dir, name)
				if err := os.Chmod(path, mode); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
			}
			f := only(t, Config{}, dir)
			if code(f.Problem) != test.code || !strings.Contains(message.As(f.Problem).What, test.shown) || !strings.Contains(message.As(f.Problem).What, dir) {
				t.Errorf("%v, want %s with %q", f.Problem, test.code, test.shown)
			}
			if !f.Token.IsZero() && f.Instance != (instance.Instance{}) {
				t.Error("the token came through, with an instance")
			}
		})
	}
	t.Run("authorities", func(t *testing.T) {
		dir := filepath.Join(parent, "authorities")
		layouts["plain"](t, dir, map[string]string{"token": canary, "ca.crt": "x"})
		if err := os.Chmod(filepath.Join(dir, "ca.crt"), 0); err != nil {
			t.Fatal(err)
		}
		if pem, problem := only(t, Config{}, dir).CA(); code(problem) != "file-unreadable" || pem != nil {
			t.Errorf("%q, %v", pem, problem)
		}
	})
	t.Run("file", func(t *testing.T) {
		file := filepath.Join(parent, "file")
		write(t, file, canary)
		if err := os.Chmod(file, 0); err != nil {
			t.Fatal(err)
		}
		found, _ := Config{TokenFile: file, TokenEnv: func() string { return canary }}.Find()
		if len(found) != 1 || found[0].Source != File || code(found[0].Problem) != "file-unreadable" || !found[0].Token.IsZero() {
			t.Errorf("%v", found)
		}
	})
}

// unreadableDir tells this test, run again as another user, where it may write.
const unreadableDir = "SECRET_TEST_UNREADABLE_DIR"

func TestFindUnreadable(t *testing.T) {
	if dir := os.Getenv(unreadableDir); dir != "" {
		if os.Geteuid() == 0 {
			t.Fatal("still root")
		}
		unreadable(t, dir)
		return
	}
	if os.Geteuid() != 0 {
		unreadable(t, t.TempDir())
		return
	}
	// As root, nothing is unreadable: a copy of this program does it as nobody,
	// in a directory that it can reach.
	const nobody = 65534
	dir, err := os.MkdirTemp("", "unreadable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path, work := filepath.Join(dir, "secret.test"), filepath.Join(dir, "work")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, program, 0o755), os.Mkdir(work, 0o755), os.Chown(work, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-test.run=^TestFindUnreadable$", "-test.v")
	cmd.Dir = work
	cmd.Env = []string{unreadableDir + "=" + work, "TMPDIR=" + work, "HOME=" + work}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFindUnreadable/token")) {
		t.Errorf("as user %d: %v\n%s", nobody, err, out)
	}
}

// An input that never ends is not read to its end.
func TestReadBounded(t *testing.T) {
	text, there, problem := readPath("/dev/zero")
	if text != "" || code(problem) != "file-unreadable" || !there {
		t.Errorf("%d bytes, %v, %v", len(text), problem, there)
	}
	dir := t.TempDir()
	// A file with a hole: 64 GiB to read, and nothing on the disk.
	file, err := os.Create(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(64 << 30); err != nil {
		t.Fatal(err)
	}
	only(t, Config{}, dir).want(t, "file-too-large", "gitlab.com")
}

// JSON that says nothing is no entry of the platform's.
func TestCredentialsNull(t *testing.T) {
	dir := t.TempDir()
	mounted(t, dir, map[string]string{"credentials.json": "null"})
	only(t, Config{}, dir).want(t, "credentials-garbled", "")
}
