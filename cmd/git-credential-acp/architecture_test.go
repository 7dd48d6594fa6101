package main

import (
	"debug/elf"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/ambient-code/git-credential-acp"
	root   = "../.."
)

// The packages at the centre know neither files nor network, and nothing that
// does.
func TestPurePackages(t *testing.T) {
	pure := []string{"credential", "instance", "token", "access", "strictjson", "message", "trace"}
	// What they may have of Go's library: nothing that could open, ask or print.
	harmless := strings.Fields("bufio bytes cmp context crypto/rand encoding/base64 encoding/json errors fmt hash/crc32 io log/slog maps math net/netip net/url" +
		" slices strconv strings sync time unicode unicode/utf16 unicode/utf8")
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"/internal/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var pkg struct {
			ImportPath    string
			Imports, Deps []string
		}
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(pure, strings.TrimPrefix(pkg.ImportPath, module+"/internal/")) {
			continue
		}
		seen++
		if slices.Contains(pkg.Deps, "net") {
			t.Errorf("%s can reach the network by what it imports", pkg.ImportPath)
		}
		for _, path := range pkg.Imports {
			inner, own := strings.CutPrefix(path, module+"/internal/")
			switch first, _, _ := strings.Cut(path, "/"); {
			case own && slices.Contains(pure, inner):
			case own || strings.Contains(first, "."):
				t.Errorf("%s imports %s, which is not pure", pkg.ImportPath, path)
			case !own && !slices.Contains(harmless, path):
				t.Errorf("%s imports %s, which is not on the list of what is harmless", pkg.ImportPath, path)
			}
		}
	}
	if seen != len(pure) {
		t.Errorf("%d pure packages found of %d", seen, len(pure))
	}
}

// No package starts other programs but those that have to: they could be seen
// with a token in their arguments or environment, or be another than was meant.
func TestChildren(t *testing.T) {
	why := map[string]string{
		"process":   "ends all that a program has started with it",
		"gitconfig": "git reads and writes its own configuration",
		"check":     "asks git and git-lfs for their versions",
		"kube":      "looks for a kubeconfig's plugin, which client-go runs",
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{.Imports}}", module+"/cmd/git-credential-acp").Output()
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, module) {
			continue
		}
		own++
		path, imports, _ := strings.Cut(line, " ")
		name := strings.TrimPrefix(path, module+"/internal/")
		if runs := strings.Contains(imports, "os/exec"); runs != (why[name] != "") {
			t.Errorf("%s imports os/exec: %v", path, runs)
		}
	}
	if own < 10 {
		t.Errorf("only %d packages of the program were found", own)
	}
}

// agree fails for each name that one list has and the other has not.
func agree(t *testing.T, one string, ones []string, other string, others []string) {
	t.Helper()
	for _, name := range ones {
		if !slices.Contains(others, name) {
			t.Errorf("%s is %s, and not %s", name, one, other)
		}
	}
	for n, name := range others {
		if !slices.Contains(ones, name) {
			t.Errorf("%s is %s, and not %s", name, other, one)
		}
		if slices.Contains(others[:n], name) {
			t.Errorf("%s stands twice %s", name, other)
		}
	}
}

// Every line of defence in SECURITY.md is shown by tests that there are.
func TestSecurityNamesTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasSuffix(path, ".txtar"):
			there[entry.Name()] = true
		case strings.HasSuffix(path, "_test.go"):
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, match := range regexp.MustCompile(`(?m)^func ((Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(source), -1) {
				there[match[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "|\n "), "|")
		if len(cells) != 4 || strings.HasPrefix(line, "|---") || strings.HasSuffix(line, "| defense | tests |\n") {
			continue
		}
		rows++
		named := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1)
		if len(named) < 2 {
			t.Errorf("nothing shows: %s", line)
		}
		for _, name := range named {
			if !there[name[1]] {
				t.Errorf("there is no test %s", name[1])
			}
		}
	}
	if rows < 20 {
		t.Errorf("only %d rows", rows)
	}
}

// Every link from a document to a file of the repository, or to a heading of
// one, leads there.
func TestLinks(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"docs", "testdata"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if filepath.Ext(path) == ".md" {
				documents = append(documents, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	links := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			links++
			target := document
			if match[1] != "" {
				target = filepath.Join(filepath.Dir(document), match[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", document, err)
			} else if match[2] != "" && !slices.Contains(anchors(t, target), match[2]) {
				t.Errorf("%s: %s has no heading for %s", document, target, match[2])
			}
		}
	}
	if links == 0 {
		t.Error("no links were found")
	}
}

// anchors are what leads to the headings of a document, as GitHub and GitLab
// make them.
func anchors(t *testing.T, document string) []string {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, match := range regexp.MustCompile("(?m)^#+ (.+)$").FindAllStringSubmatch(string(text), -1) {
		bare := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(match[1]), "")
		all = append(all, "#"+strings.ReplaceAll(bare, " ", "-"))
	}
	return all
}

// sources parses the files of an inner package, without its tests.
func sources(t *testing.T, pkg string) []*ast.File {
	t.Helper()
	return parsed(t, filepath.Join(root, "internal", pkg))
}

// parsed parses the files of a directory, without tests.
func parsed(t *testing.T, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no sources in %s: %v", dir, err)
	}
	var all []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(places, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file)
	}
	return all
}

// The environment is main's: whatever is below it gets what config.Read has read, and
// no function of Go's that looks there itself.
func TestEnvironment(t *testing.T) {
	readers := []string{"os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "os.TempDir", "os.UserHomeDir", "os.UserCacheDir",
		"os.UserConfigDir", "syscall.Getenv", "syscall.Environ", "http.ProxyFromEnvironment"}
	functions(t, func(pkg string, f *ast.FuncDecl) {
		ast.Inspect(f, func(node ast.Node) bool {
			name, _ := node.(*ast.SelectorExpr)
			switch {
			case name == nil || pkg == "main":
			case slices.Contains(readers, spelled(name)):
				t.Errorf("%s: %s reads the environment, which is main's", at(name), spelled(name))
			case name.Sel.Name == "LookupEnv" && (pkg != "cli" || f.Name.Name != "Run"):
				t.Errorf("%s: only cli.Run reads the environment, through config.Read", at(name))
			}
			return true
		})
	})
}

// functions shows every function of the program to visit, with its package.
func functions(t *testing.T, visit func(pkg string, f *ast.FuncDecl)) {
	t.Helper()
	ours, _ := packages(t)
	files := map[string][]*ast.File{"main": parsed(t, filepath.Join(root, "cmd", "git-credential-acp"))}
	for pkg := range ours {
		files[pkg] = sources(t, pkg)
	}
	for pkg, all := range files {
		for _, file := range all {
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok {
					visit(pkg, f)
				}
			}
		}
	}
}

// places are the positions of all that was parsed.
var places = token.NewFileSet()

// at is where a node stands.
func at(node ast.Node) string {
	where := places.Position(node.Pos())
	return filepath.Base(where.Filename) + ":" + strconv.Itoa(where.Line)
}

// spelled is a name with what it belongs to, as it is written.
func spelled(e ast.Expr) string {
	switch n := e.(type) {
	case *ast.Ident:
		return n.Name
	case *ast.SelectorExpr:
		return spelled(n.X) + "." + n.Sel.Name
	}
	return ""
}

// The program is static: it runs in images with another libc, or with none.
func TestStatic(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", program, module+"/cmd/git-credential-acp")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	libraries, err := file.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("it needs %v (%v)", libraries, err)
	}
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			t.Error("it needs an interpreter")
		}
	}
}
