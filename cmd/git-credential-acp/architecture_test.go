package main

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/source"
)

const (
	module = "github.com/ambient-code/git-credential-acp"
	root   = "../.."
)

// agree fails for each name that only one of two lists has.
func agree(t *testing.T, one string, ones []string, other string, others []string) {
	t.Helper()
	for _, name := range ones {
		if !slices.Contains(others, name) {
			t.Errorf("%s is %s, but not %s", name, one, other)
		}
	}
	for n, name := range others {
		if !slices.Contains(ones, name) {
			t.Errorf("%s is %s, but not %s", name, other, one)
		}
		if slices.Contains(others[:n], name) {
			t.Errorf("%s is twice %s", name, other)
		}
	}
}

// Every defense in SECURITY.md names a test, and all tests that it names exist.
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
		if len(named) == 0 {
			t.Errorf("no test: %s", line)
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

// Links in documents to files of the repository and to their headings work.
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

// anchors returns the anchors of a document's headings, as GitHub and GitLab make them.
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

// The program is static: it runs in images with another libc or none.
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
		t.Errorf("the program needs %v (%v)", libraries, err)
	}
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			t.Error("the program needs an interpreter")
		}
	}
}

// The initializers of every linked package run at each start, so the list of packages is
// kept in a file, where a change shows. -update writes it.
func TestLinked(t *testing.T) {
	const list = "testdata/linked.txt"
	command := exec.Command("go", "list", "-deps", module+"/cmd/git-credential-acp")
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := slices.DeleteFunc(strings.Fields(string(out)), func(path string) bool {
		first, _, _ := strings.Cut(path, "/")
		inGo := !strings.Contains(first, ".")
		// Go's internal packages change with Go.
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

// docs/settings.md lists every source, and the schema of check's JSON all but auto.
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
