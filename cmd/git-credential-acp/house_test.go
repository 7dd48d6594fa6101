package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
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
	"process":   "",
	"install":   "file message",
	"source":    "file instance message strictjson token",
	"gitconfig": "file message token",
	"setup":     "file gitconfig instance message report",
	"cache":     "access file instance message token",
	"transport": "access file message",
	"gitlab":    "access instance strictjson token transport",
	"platform":  "access instance message strictjson token transport",
	"kube":      "access file message transport",
	// What they are for.
	"helper":     "access credential instance message source token",
	"check":      "access credential file gitconfig gitlab helper instance message report source token",
	"connection": "access file gitlab instance kube message platform source token",
	"cli": "access cache check connection credential file gitconfig gitlab helper install instance kube message" +
		" platform report setup source token trace transport",
}

// leaves are where the modules of others are: one package each, so that the
// next may be another.
var leaves = map[string]string{
	"cli":      "github.com/spf13/cobra github.com/spf13/pflag golang.org/x/term",
	"gitlab":   "github.com/go-git/go-git github.com/hashicorp/go-retryablehttp",
	"platform": "github.com/hashicorp/go-retryablehttp",
	"install":  "golang.org/x/sys",
	"process":  "golang.org/x/sys",
	"kube":     "k8s.io/apimachinery k8s.io/client-go k8s.io/klog",
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
	own, others    []string
	files, network bool
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
			in.files = in.files || path == "os"
			in.network = in.network || path == "net" || path == "net/http"
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

// What docs/architecture.md says that a package may use is what it uses: files
// (os), and the network (net, net/http).
func TestArchitectureUses(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| package |")
	table, _, _ = strings.Cut(table, "\n\n")
	ours, _ := packages(t)
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			continue
		}
		pkg, there := ours[strings.Trim(cells[1], " `")]
		uses := strings.ReplaceAll(cells[3], "no files, no network", "")
		if !there || strings.HasPrefix(uses, " the above ") || strings.HasPrefix(uses, " all ") || strings.HasPrefix(uses, " the system ") {
			continue
		}
		rows++
		if says := strings.Contains(uses, "files"); says != pkg.files {
			t.Errorf("%s: files %t, imports os: %t", strings.TrimSpace(cells[1]), says, pkg.files)
		}
		if says := strings.Contains(uses, "the network"); says != pkg.network {
			t.Errorf("%s: the network %t, imports net: %t", strings.TrimSpace(cells[1]), says, pkg.network)
		}
	}
	if rows < 10 {
		t.Errorf("only %d rows were understood", rows)
	}
}

// Every package says in its first words what it is, and every name that others
// may use, methods and groups of constants too, what it means.
func TestDocstrings(t *testing.T) {
	names := 0
	for _, dir := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return err
			}
			names += documented(t, path)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if names < 300 {
		t.Errorf("only %d names were found", names)
	}
}

// documented fails for what has no docstring in a directory, and counts what it
// looked at.
func documented(t *testing.T, dir string) (names int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	named, code := false, false
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		code = true
		if doc := file.Doc.Text(); strings.HasPrefix(doc, "Package "+file.Name.Name+" ") ||
			file.Name.Name == "main" && strings.HasPrefix(doc, "Command "+filepath.Base(dir)+" ") {
			named = true
		}
		need := func(name *ast.Ident, docs ...*ast.CommentGroup) {
			if !name.IsExported() {
				return
			}
			names++
			for _, doc := range docs {
				if strings.TrimSpace(doc.Text()) != "" {
					return
				}
			}
			t.Errorf("%s: %s has no docstring", fset.Position(name.Pos()), name.Name)
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if receiver(d).IsExported() {
					need(d.Name, d.Doc)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						need(s.Name, s.Doc, d.Doc)
						if face, ok := s.Type.(*ast.InterfaceType); ok && s.Name.IsExported() {
							for _, method := range face.Methods.List {
								for _, name := range method.Names {
									need(name, method.Doc, method.Comment)
								}
							}
						}
					case *ast.ValueSpec:
						for _, name := range s.Names {
							need(name, s.Doc, s.Comment, d.Doc)
						}
					}
				}
			}
		}
	}
	if code && !named {
		t.Errorf("%s: no file begins with what the package is", dir)
	}
	return names
}

// receiver is the type of a method; the function's own name for a function.
func receiver(d *ast.FuncDecl) *ast.Ident {
	if d.Recv == nil {
		return d.Name
	}
	kind := d.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.Ident:
			return k
		default:
			return d.Name
		}
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
