package serve

import (
	"bytes"
	"fmt"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/ambient-code/git-credential-acp/internal/instance"
)

// Any request: a forwarded one names a repository of an allowed project, however the path is
// parsed, and nothing else of the instance.
func FuzzParse(f *testing.F) {
	for _, target := range []string{fetchRefs, fetchPack, pushPack, batch, "/gitlab" + fetchRefs, "/group/sub/project.wiki.git/git-upload-pack",
		"/group/project/info/refs?service=git-receive-pack", "/group/project.git/info/lfs/locks?limit=1&path=a%2Fb", "/group/project.git/info/lfs/locks/1/unlock",
		"/group/project.git/gitlab-lfs/objects/" + strings.Repeat("a", 64) + "/1", "/group/../other.git/git-upload-pack", "/group/a.git/b.git/git-upload-pack",
		"/group/snippets/1.git/git-upload-pack", "/group/a/info/lfs/b.git/git-upload-pack", "/group/-/x.git/git-upload-pack", "/group/a.GIT/b.git/git-upload-pack",
		"/group/.git/git-upload-pack", "/group/%2e%2e/x.git/git-upload-pack", "//group/a.git/git-upload-pack", "/group.wiki.git/git-upload-pack"} {
		f.Add("GET", target)
		f.Add("POST", target)
		f.Add("PUT", target)
	}
	policy := Policy{Projects: []string{"group/*", "gitlab/group"}}
	f.Fuzz(func(t *testing.T, method, target string) {
		for _, own := range []string{"", "/gitlab"} {
			i, err := instance.Parse("https://gitlab.example.com"+own, false)
			if err != nil {
				t.Fatal(err)
			}
			r, ok := Parse(i, method, target)
			if !ok || !policy.project(r.Project) {
				continue
			}
			at, err := url.Parse(i.Origin() + r.Target)
			if err != nil || at.Host != "gitlab.example.com" || at.Fragment != "" || at.User != nil {
				t.Fatalf("%q is forwarded to %q", target, r.Target)
			}
			if at.Path != path.Clean(at.Path) || at.RawPath != "" || strings.ContainsAny(at.Path, "%\\;") {
				t.Fatalf("%q is forwarded to a path that can be read in two ways: %q", target, r.Target)
			}
			below, found := strings.CutPrefix(at.Path, own+"/")
			repository, tail, _ := strings.Cut(below, ".git/")
			name := strings.ToLower(strings.TrimSuffix(repository, ".wiki"))
			if !found || name != strings.ToLower(r.Project) || !strings.HasPrefix(name, "group/") && name != "gitlab/group" {
				t.Fatalf("%q is forwarded to %q, which is not of an allowed project", target, r.Target)
			}
			if strings.Contains(tail, ".git") || r.Operation != Fetch && r.Operation != Push || strings.Contains(r.Target, "receive") && r.Operation != Push {
				t.Fatalf("%q is forwarded to %q as %s", target, r.Target, r.Operation)
			}
		}
	})
}

// Any push: the bytes before the pack update only allowed refs, as read by go-git and by git.
func FuzzReadUpdates(f *testing.F) {
	line := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	one, two, none := strings.Repeat("1", 40), strings.Repeat("2", 40), strings.Repeat("0", 40)
	for _, seed := range []string{
		line(one+" "+two+" refs/heads/session/x\x00 report-status atomic") + "0000PACK",
		line(none+" "+two+" refs/heads/session/x\x00") + line(one+" "+none+" refs/heads/session/y\n") + "0000",
		line("shallow "+one) + line(one+" "+two+" refs/heads/session/x\x00push-options") + "0000" + line("ci.skip") + "0000PACK",
		line(one+" "+two+" refs/heads/session/x\nrefs/heads/main\x00") + "0000", "0000", "0000PACK", "0004", "fff1",
		line(one+" "+two+" refs/heads/session/../main\x00") + "0000", line("push-cert\x00") + "0000",
	} {
		f.Add([]byte(seed))
	}
	policy := Policy{Refs: []string{"refs/heads/session/*"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		in := bytes.NewReader(body)
		u, err := ReadUpdates(in)
		if err != nil {
			return
		}
		rest := body[len(body)-in.Len():]
		if !bytes.Equal(append(append([]byte{}, u.Raw...), rest...), body) {
			t.Fatal("what is forwarded is not what was sent")
		}
		for _, update := range u.List {
			if _, why := policy.update(update); why != nil {
				return
			}
		}
		refs := refsAsGit(t, u.Raw)
		if len(refs) != len(u.List) {
			t.Fatalf("git reads %q, not %v", refs, u.List)
		}
		for n, ref := range refs {
			if ref != u.List[n].Ref || !strings.HasPrefix(ref, "refs/heads/session/") || strings.Contains(ref, "..") {
				t.Fatalf("%q is forwarded", ref)
			}
		}
		other := packp.NewReferenceUpdateRequest()
		if len(u.List) == 0 || other.Decode(bytes.NewReader(u.Raw)) != nil {
			return // go-git knows one shallow line, and SHA-1 only
		}
		for n, command := range other.Commands {
			if string(command.Name) != u.List[n].Ref || command.New.String() != u.List[n].New || command.Old.String() != u.List[n].Old {
				t.Fatalf("go-git reads %v, not %v", command, u.List[n])
			}
		}
	})
}

// refsAsGit reads the refs as git's receive-pack does (read_head_info, queue_command):
// a line ends at its first NUL, without a line feed at the end of the whole.
func refsAsGit(t *testing.T, raw []byte) (refs []string) {
	t.Helper()
	for len(raw) >= 4 {
		var length int
		if _, err := fmt.Sscanf(string(raw[:4]), "%04x", &length); err != nil {
			t.Fatal(err)
		}
		if length == 0 {
			return refs
		}
		text := strings.TrimSuffix(string(raw[4:length]), "\n")
		raw = raw[length:]
		if strings.HasPrefix(text, "shallow ") {
			continue
		}
		text, _, _ = strings.Cut(text, "\x00")
		refs = append(refs, strings.SplitN(text, " ", 3)[2])
	}
	t.Fatal("no flush packet")
	return nil
}
