package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/source"
)

// arrows are the packages of our own that each package of the program imports.
// They point inward: what decides knows nothing that reads or asks, and cli alone
// knows everything. A new arrow is a decision; it is made here, and tells the same
// in docs/architecture.md.
var arrows = map[string]string{
	// The centre: values and decisions.
	"access":     "",
	"credential": "",
	"instance":   "",
	"strictjson": "",
	"token":      "",
	"message":    "access instance token",
	"trace":      "token",
	"report":     "message",
	// What reads files, or asks.
	"file":      "",
	"deadline":  "",
	"onecpu":    "",
	"process":   "",
	"install":   "file message",
	"source":    "file instance message strictjson token",
	"gitconfig": "file message process token",
	"config":    "access message",
	"setup":     "access config credential file gitconfig instance message report",
	"cache":     "access file instance message token",
	"transport": "access file message",
	"gitnet":    "config file gitconfig message transport",
	"gitlab":    "access instance strictjson token transport",
	"platform":  "access config file gitnet instance message strictjson token transport",
	"kube":      "access file message transport",
	// What they are for.
	"helper":     "access cache credential deadline instance message source token",
	"lookup":     "cache config credential deadline helper instance kube message platform source token trace",
	"verify":     "access cache deadline gitlab gitnet helper message source token trace transport",
	"check":      "access config credential deadline file gitconfig gitlab gitnet helper instance message process report source token",
	"serve":      "access instance message source strictjson token transport",
	"connection": "access file gitlab helper instance kube lookup message platform source token",
	"cli": "access cache check config connection credential deadline file gitconfig gitlab gitnet helper install instance kube lookup message" +
		" platform report serve setup source token trace transport verify",
}

// leaves are where the modules of others are: one package each, so that the
// next may be another.
var leaves = map[string]string{
	"cli":       "github.com/spf13/cobra github.com/spf13/pflag golang.org/x/term",
	"gitlab":    "github.com/go-git/go-git",
	"transport": "github.com/hashicorp/go-retryablehttp",
	"install":   "golang.org/x/sys",
	"serve":     "golang.org/x/time",
	"process":   "golang.org/x/sys",
	"kube":      "k8s.io/apimachinery k8s.io/client-go k8s.io/klog",
}

// heavy is what must not be linked: package initialisers run at each start,
// whether what they prepare is used or not.
var heavy = []string{
	"k8s.io/client-go/kubernetes", "k8s.io/client-go/dynamic", "k8s.io/client-go/applyconfigurations", "k8s.io/api",
	"github.com/go-git/go-git/v5/storage/filesystem", "github.com/google/gnostic-models", "testing",
	module + "/internal/gitlabtest", module + "/internal/scripttest",
}

// inner is a package of the program.
type inner struct {
	own, others []string
}

// packages are those of the program, by name; linked is all that it is made of.
func packages(t *testing.T) (ours map[string]inner, linked []string) {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports", module+"/cmd/git-credential-acp")
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	ours = map[string]inner{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		linked = append(linked, pkg.ImportPath)
		name, own := strings.CutPrefix(pkg.ImportPath, module+"/internal/")
		if !own {
			continue
		}
		var in inner
		for _, path := range pkg.Imports {
			first, _, _ := strings.Cut(path, "/")
			if other, own := strings.CutPrefix(path, module+"/internal/"); own {
				in.own = append(in.own, other)
			} else if strings.Contains(first, ".") {
				in.others = append(in.others, moduleOf(path))
			}
		}
		slices.Sort(in.others)
		in.others = slices.Compact(in.others)
		ours[name] = in
	}
	return ours, linked
}

// moduleOf shortens the path of a package of others to host and project.
func moduleOf(path string) string {
	parts := strings.Split(path, "/")
	return strings.Join(parts[:min(len(parts), map[bool]int{true: 2, false: 3}[parts[0] == "k8s.io"])], "/")
}

// Packages import what they are meant to, and each only what it says.
func TestArrows(t *testing.T) {
	ours, linked := packages(t)
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		want, known := arrows[name]
		if got := strings.Join(ours[name].own, " "); !known || got != want {
			t.Errorf("%s imports %q; arrows has %q (and docs/architecture.md should agree)", name, got, want)
		}
		if got := strings.Join(ours[name].others, " "); got != leaves[name] {
			t.Errorf("%s imports %q of others; leaves has %q", name, got, leaves[name])
		}
	}
	for name := range arrows {
		if _, there := ours[name]; !there {
			t.Errorf("arrows has %s, which is not in the program", name)
		}
	}
	for _, path := range linked {
		for _, no := range heavy {
			if path == no || strings.HasPrefix(path, no+"/") {
				t.Errorf("%s is linked: go list -deps tells by whom, and GODEBUG=inittrace=1 what it costs at each start", path)
			}
		}
	}
}

// All that is linked runs its initialisers at each start, whether it is used or
// not. So each package is on a list, and a new one is seen in a change of it.
// With -update, the list is written.
func TestLinked(t *testing.T) {
	const list = "testdata/linked.txt"
	_, linked := packages(t)
	linked = slices.DeleteFunc(linked, func(path string) bool {
		first, _, _ := strings.Cut(path, "/")
		inGo := !strings.Contains(first, ".")
		// Go's own inner packages are its own business.
		return strings.HasPrefix(path, module) || inGo && (first == "vendor" || slices.Contains(strings.Split(path, "/"), "internal"))
	})
	slices.Sort(linked)
	if *update {
		if err := os.WriteFile(list, []byte(strings.Join(linked, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	known, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, "linked (GODEBUG=inittrace=1 tells what it costs at each start)", linked,
		"on the list in cmd/git-credential-acp/"+list+" (go test -run TestLinked -update writes it)", strings.Fields(string(known)))
}

// Package onecpu is initialized before what could start threads. An import would delay it.
func TestOneCPUFirst(t *testing.T) {
	run := exec.Command(program(t), "capability")
	run.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace strings.Builder
	run.Stderr = &trace
	if err := run.Run(); err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(trace.String(), "init "+module+"/internal/onecpu ")
	if !found || strings.Contains(before, "init os ") {
		t.Errorf("initialized in this order:\n%s", &trace)
	}
}

// docs/settings.md lists every source, and so does the description of check's JSON,
// which knows the one that was used and so not auto.
func TestSources(t *testing.T) {
	settings, err := os.ReadFile(filepath.Join(root, "docs", "settings.md"))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := os.ReadFile(filepath.Join(root, "docs", "check.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(settings), "| `ACP_GITLAB_SOURCE` |")
	row, _, _ = strings.Cut(row, "\n")
	var used []string
	for _, kind := range source.Sources() {
		if !strings.Contains(row, "`"+string(kind)+"`") {
			t.Errorf("docs/settings.md's row for ACP_GITLAB_SOURCE lacks %s", kind)
		}
		if kind != source.Auto {
			used = append(used, strconv.Quote(string(kind)))
		}
	}
	if enum := `"enum": [` + strings.Join(used, ", ") + "]"; !strings.Contains(string(schema), enum) {
		t.Errorf("docs/check.schema.json lacks %s", enum)
	}
}
