package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

var update = flag.Bool("update", false, "write what check prints into README.md")

// The commands in these guides work with a clone of the repository, a token and a GitLab.
func TestGuides(t *testing.T) {
	t.Parallel()
	for guide, test := range map[string]struct {
		prepare func(*laptop)
		// typed is a part of the guide's commands, then is run after them, and prints is a
		// line of the output.
		typed, then, prints string
		needs               string
	}{
		"local.md":           {prepare: (*laptop).fetch, typed: "git-credential-acp check", prints: "all is well|.* warnings? .*"},
		"token.md":           {prepare: func(l *laptop) { l.install("token", "new-token") }, typed: "git-credential-acp check", prints: "all is well|.* warnings? .*"},
		"check.md":           {prepare: func(l *laptop) { l.install() }, typed: "git-credential-acp check --json", prints: "token-file-missing", needs: "jq"},
		"troubleshooting.md": {typed: "sslCAInfo", then: "git config --get-urlmatch http.sslCAInfo https://gitlab.example.com/group/project.git\n", prints: "/path/to/authority.pem"},
	} {
		t.Run(guide, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(test.needs); test.needs != "" && err != nil {
				t.Skip("no " + test.needs + " (.ci/run installs it)")
			}
			text, err := os.ReadFile(filepath.Join(root, "docs", guide))
			if err != nil {
				t.Fatal(err)
			}
			script := "set -x\n"
			for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
				script += block[1]
			}
			if !strings.Contains(script, test.typed) {
				t.Fatalf("commands are missing:\n%s", script)
			}
			l := newLaptop(t)
			if test.prepare != nil {
				test.prepare(l)
			}
			out, err := l.shell(script + test.then)
			if err != nil || !regexp.MustCompile("(?m)^("+test.prints+")$").MatchString(out) {
				t.Errorf("%v, after:\n%s", err, out)
			}
			if strings.Contains(out, "Canary") {
				t.Errorf("a token was printed:\n%s", out)
			}
		})
	}
}

// YAML in the documents is valid, and docs/pods.md has what setup prints.
func TestManifests(t *testing.T) {
	environment, err := exec.Command(program(t), "setup", "--env=kubernetes", "--instance", "https://gitlab.example.com").Output()
	if err != nil {
		t.Fatal(err)
	}
	for document, want := range map[string]string{"docs/pods.md": string(environment), "README.md": "volumes:", "docs/check.md": "initContainers:", "docs/platform.md": "secretName: SESSION-gitlab"} {
		text, err := os.ReadFile(filepath.Join(root, document))
		if err != nil {
			t.Fatal(err)
		}
		var blocks []string
		for _, match := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
			blocks = append(blocks, match[1])
			var parsed any
			if err := yaml.UnmarshalStrict([]byte(match[1]), &parsed); err != nil {
				t.Errorf("%s: %v in:\n%s", document, err, match[1])
			}
		}
		if !strings.Contains(strings.Join(blocks, "\n"), want) {
			t.Errorf("%s does not show:\n%s", document, want)
		}
	}
}

// Files in the guides are what setup prints, and what a script tests.
func TestGuideFiles(t *testing.T) {
	printed, err := exec.Command(program(t), "setup", "--print", "--instance", "https://gitlab.example.com").Output()
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join(root, "testdata", "scripts", "go-modules.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	_, goauth, found := strings.Cut(string(script), "-- goauth --\n")
	if !found {
		t.Fatal("the script has no file goauth")
	}
	for guide, want := range map[string]string{"pods.md": "```ini\n" + string(printed) + "```\n", "local.md": "```bash\n" + goauth + "```\n"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", guide))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s does not show:\n%s", guide, want)
		}
	}
}

// README shows what check prints, except for what differs from run to run. -update writes
// it.
func TestReadmeCheck(t *testing.T) {
	readme := filepath.Join(root, "README.md")
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```console\n\\$ (git-credential-acp check [^\n]*)\n(.*?)^```$").FindSubmatchIndex(text)
	if block == nil {
		t.Fatal("README shows no check")
	}
	command, shown := string(text[block[2]:block[3]]), string(text[block[4]:block[5]])
	l := newLaptop(t)
	l.install("token")
	if out, err := l.shell("git-credential-acp setup"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := l.shell(command)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if example := l.example(out); steady(example) != steady(shown) {
		if !*update {
			t.Errorf("README shows\n%sbut it is (-update writes it)\n%s", shown, example)
			return
		}
		text = append(text[:block[4]:block[4]], append([]byte(example), text[block[5]:]...)...)
		if err := os.WriteFile(readme, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// example replaces this machine's addresses and paths.
func (l *laptop) example(out string) string {
	out = strings.ReplaceAll(out, l.home, "/home/you")
	out = regexp.MustCompile(`\S+/git-credential-acp-\d+`).ReplaceAllString(out, "/tmp/git-credential-acp-1000")
	out = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(out, "10.0.0.3:3128")
	return regexp.MustCompile(`127\.0\.0\.1, port \d+`).ReplaceAllString(out, "10.0.0.3, port 3128")
}

// steady removes what differs from run to run: dates, times, versions of git.
func steady(lines string) string {
	for _, variable := range []string{
		`\d{4}-\d\d-\d\d`, `\d\d:\d\d(:\d\d)? UTC`, `in \d+ ms`, `in \d+ days`, `\d+ of`,
		`(?m)^\S git-(lfs-)?version .*\n(  .*\n)?`, `(?m)^\d+ warnings?.*\n`,
	} {
		lines = regexp.MustCompile(variable).ReplaceAllString(lines, "…")
	}
	return lines
}

// laptop is a machine with a clone of this repository, and a GitLab at gitlab.example.com
// with the project group/project.
type laptop struct {
	t                *testing.T
	dir, home, clone string
	env              []string
}

const laptopToken = "glpat-CanaryA1B2C3D4"

func newLaptop(t *testing.T) *laptop {
	t.Helper()
	dir := t.TempDir()
	l := &laptop{t: t, dir: dir, home: filepath.Join(dir, "home"), clone: filepath.Join(dir, "clone")}
	gitlab, err := gitlabtest.Start(gitlabtest.Options{Dir: filepath.Join(dir, "gitlab"), Hosts: []string{"gitlab.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gitlab.Close)
	gitlab.AddUser(gitlabtest.User{ID: 7, Username: "you", Name: "You", Email: "you@example.com"})
	gitlab.AddToken(gitlabtest.Token{Value: laptopToken, UserID: 7, Name: "laptop", Scopes: access.DefaultScopes(),
		ExpiresAt: time.Now().UTC().AddDate(0, 0, 6).Format(time.DateOnly)})
	gitlab.SetRateLimit(2000, time.Minute)
	if err := gitlab.AddProject(gitlabtest.Project{Path: "group/project", Group: map[int]int{7: 30}}); err != nil {
		t.Fatal(err)
	}
	proxy, err := gitlabtest.StartProxy(gitlabtest.ProxyOptions{Routes: map[string]string{"gitlab.example.com:443": gitlab.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	for _, made := range []string{l.home, filepath.Join(dir, "tmp"), l.clone} {
		if err := os.Mkdir(made, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l.env = []string{
		"HOME=" + l.home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + filepath.Join(dir, "tmp"),
		"HTTPS_PROXY=" + proxy.URL(),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C", "GOPROXY=off",
	}
	authority, err := os.ReadFile(gitlab.CAFile())
	if err == nil {
		err = os.WriteFile(filepath.Join(l.home, "company-ca.pem"), authority, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Use the machine's build and module caches.
	cached, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	places := strings.Split(string(cached), "\n")
	l.env = append(l.env, "GOCACHE="+places[0], "GOMODCACHE="+places[1])
	return l
}

// fetch copies the program's sources into the clone.
func (l *laptop) fetch() {
	l.t.Helper()
	for _, name := range []string{"Makefile", "go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(l.clone, name), data, 0o600)
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
	for _, name := range []string{"cmd", "internal"} {
		if err := os.CopyFS(filepath.Join(l.clone, name), os.DirFS(filepath.Join(root, name))); err != nil {
			l.t.Fatal(err)
		}
	}
}

// install adds the program to the PATH and writes the token to files.
func (l *laptop) install(files ...string) {
	l.t.Helper()
	dir := filepath.Join(l.home, ".config", "gitlab")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(laptopToken+"\n"), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	l.env = append(l.env, "PATH="+filepath.Dir(program(l.t))+string(os.PathListSeparator)+os.Getenv("PATH"),
		"ACP_GITLAB_TOKEN_FILE="+filepath.Join(dir, "token"), "ACP_GITLAB_INSTANCE_URL=https://gitlab.example.com",
		"GIT_SSL_CAINFO="+filepath.Join(l.home, "company-ca.pem"))
}

// shell runs a script in the clone, with the token on standard input, until a command fails.
// It returns all output.
func (l *laptop) shell(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", script)
	cmd.Env, cmd.Dir, cmd.Stdin = l.env, l.clone, strings.NewReader(laptopToken+"\n")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}
