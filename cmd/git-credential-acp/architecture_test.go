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

	"github.com/ambient-code/git-credential-acp/internal/access"
	pat "github.com/ambient-code/git-credential-acp/internal/token"
)

const (
	module = "github.com/ambient-code/git-credential-acp"
	root   = "../.."
)

// The packages at the centre know neither files nor network, and nothing that
// does.
func TestPurePackages(t *testing.T) {
	pure := []string{"credential", "instance", "token", "access", "object", "message"}
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/internal/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(pure, strings.TrimPrefix(pkg.ImportPath, module+"/internal/")) {
			continue
		}
		seen++
		for _, path := range pkg.Imports {
			inner, own := strings.CutPrefix(path, module+"/internal/")
			switch first, _, _ := strings.Cut(path, "/"); {
			case own && slices.Contains(pure, inner):
			case own || strings.Contains(first, "."):
				t.Errorf("%s imports %s, which is not pure", pkg.ImportPath, path)
			case path == "os" || path == "net" || path == "net/http" || path == "syscall" || strings.HasPrefix(path, "os/"):
				t.Errorf("%s imports %s", pkg.ImportPath, path)
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
		"setup": "git writes its own configuration",
		"cli":   "check asks git and git-lfs for their versions",
		"check": "tells a program that is missing from one that fails",
		"kube":  "looks for a kubeconfig's plugin, which client-go runs",
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

// Every message has an entry in the guide to them, and every entry a message.
func TestTroubleshooting(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	for _, match := range regexp.MustCompile("(?m)^### (.+)$").FindAllStringSubmatch(string(guide), -1) {
		entries = append(entries, match[1])
	}
	codes := map[string]bool{}
	for _, reason := range access.Reasons() {
		codes[string(reason)] = true
	}
	for _, fault := range pat.Faults() {
		codes[string(fault)] = true
	}
	// The others are literals where messages are made.
	for _, file := range sources(t, "message") {
		ast.Inspect(file, func(node ast.Node) bool {
			var value ast.Expr
			switch n := node.(type) {
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Code" {
					value = n.Value
				}
			case *ast.AssignStmt:
				if left, ok := n.Lhs[0].(*ast.SelectorExpr); ok && left.Sel.Name == "Code" {
					value = n.Rhs[0]
				}
			}
			if literal, ok := value.(*ast.BasicLit); ok {
				code, _ := strconv.Unquote(literal.Value)
				codes[code] = true
			}
			return true
		})
	}
	for code := range codes {
		if !slices.Contains(entries, code) {
			t.Errorf("no entry for %q", code)
		}
	}
	for _, entry := range entries {
		if !codes[entry] {
			t.Errorf("an entry for %q, which is no message", entry)
		}
	}
}

// Every package has its line in the table of them, and every line a package.
func TestPackageTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| package |")
	table, _, _ = strings.Cut(table, "\n\n")
	var rows, packages []string
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		for _, match := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(cells[1], -1) {
			rows = append(rows, match[1])
		}
	}
	entries, err := os.ReadDir(filepath.Join(root, "internal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		packages = append(packages, entry.Name())
	}
	slices.Sort(rows)
	if !slices.Equal(rows, packages) {
		t.Errorf("in the table: %v\npackages:     %v", rows, packages)
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
		if len(cells) != 4 || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| who |") {
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
	if rows < 9 {
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
	files, err := filepath.Glob(filepath.Join(root, "internal", pkg, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources of %s: %v", pkg, err)
	}
	var parsed []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	return parsed
}

// Every environment variable that is read has a row in README's table, or in
// that of git's own variables, and every row is read.
func TestEnvironmentTable(t *testing.T) {
	var rows []string
	for _, document := range []string{"README.md", "docs/architecture.md"} {
		text, err := os.ReadFile(filepath.Join(root, document))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile("(?m)^\\| `([A-Z_]+|[a-z]+_proxy)` \\|").FindAllStringSubmatch(string(text), -1) {
			rows = append(rows, match[1])
		}
	}
	names := environmentNames(t)
	slices.Sort(rows)
	slices.Sort(names)
	if len(names) == 0 || !slices.Equal(rows, names) {
		t.Errorf("read:     %v\nin table: %v", names, rows)
	}
}

// environmentNames are the values of cli's constants env… and prefix…, which are all that it
// asks the environment for; a linter sees to it that each is used, and that
// nothing else reads the environment.
func environmentNames(t *testing.T) []string {
	var names []string
	for _, file := range sources(t, "cli") {
		ast.Inspect(file, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.ValueSpec:
				for i, value := range n.Values {
					if literal, ok := value.(*ast.BasicLit); ok && (strings.HasPrefix(n.Names[i].Name, "env") || strings.HasPrefix(n.Names[i].Name, "prefix")) {
						name, _ := strconv.Unquote(literal.Value)
						names = append(names, name)
					}
				}
			case *ast.CallExpr:
				called, ok := n.Fun.(*ast.SelectorExpr)
				if ok && (called.Sel.Name == "Getenv" || called.Sel.Name == "LookupEnv") {
					argument := n.Args[0]
					if sum, ok := argument.(*ast.BinaryExpr); ok {
						argument = sum.X // a numbered variable
					}
					name, ok := argument.(*ast.Ident)
					if !ok || !strings.HasPrefix(name.Name, "env") && !strings.HasPrefix(name.Name, "prefix") && name.Name != "name" {
						t.Errorf("%s: it asks for something that is no constant env…", file.Name)
					}
				}
			}
			return true
		})
	}
	return names
}

// The program is static: it runs in images with another libc, or with none.
func TestStatic(t *testing.T) {
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
