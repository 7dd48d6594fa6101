package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// rows are the rows of the table in a chapter of docs/dependencies.md, by the
// modules that their first cell names.
func rows(t *testing.T, chapter string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+chapter+"\n")
	if !found {
		t.Fatalf("no chapter %s", chapter)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	table := map[string][]string{}
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[0], -1) {
			if table[name[1]] != nil {
				t.Errorf("%s has two rows", name[1])
			}
			table[name[1]] = cells[1:]
		}
	}
	return table
}

// same complains about what is in one set and not in the other.
func same(t *testing.T, inTable, wanted []string) {
	t.Helper()
	for _, name := range wanted {
		if !slices.Contains(inTable, name) {
			t.Errorf("docs/dependencies.md has no row for %s", name)
		}
	}
	for _, name := range inTable {
		if !slices.Contains(wanted, name) {
			t.Errorf("docs/dependencies.md has a row too many, for %s", name)
		}
	}
}

// Every module that is linked, on any system, has a row, and every row a module.
func TestLinkedModules(t *testing.T) {
	table := rows(t, "Linked into the program")
	modules, err := linkedAnywhere()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range modules {
		if m.path == standard {
			continue
		}
		names = append(names, m.path)
		row := table[m.path]
		if row == nil {
			continue // same says so
		}
		if len(row) != 4 || row[0] == "" {
			t.Errorf("%s: %d cells, or no reason", m.path, len(row)+1)
			continue
		}
		files, err := m.licences()
		if err != nil {
			t.Error(err)
		}
		for _, id := range strings.Split(row[1], ", ") {
			if !isLicence(t, files, id) {
				t.Errorf("%s: its files %v are not %s", m.path, files, id)
			}
		}
	}
	same(t, slices.Collect(maps.Keys(table)), names)
}

// telling are words that only this licence has, by its SPDX identifier. The two
// forms of BSD differ by a clause.
var telling = map[string]*regexp.Regexp{
	"Apache-2.0":   regexp.MustCompile(`Apache License\s+Version 2\.0`),
	"MPL-2.0":      regexp.MustCompile(`Mozilla Public License,?\s+[Vv]ersion 2\.0`),
	"ISC":          regexp.MustCompile(`Permission to use, copy, modify, and(/or)? distribute this software for any`),
	"MIT":          regexp.MustCompile(`Permission is hereby granted, free of charge`),
	"BSD-3-Clause": regexp.MustCompile(`(?s)Redistributions in binary form.*(Neither the name|names? of) .*\s+(may be|nor) `),
	"BSD-2-Clause": regexp.MustCompile(`Redistributions in binary form`),
}

func isLicence(t *testing.T, files []string, id string) bool {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if words := telling[id]; words != nil && words.Match(text) && (id != "BSD-2-Clause" || !telling["BSD-3-Clause"].Match(text)) {
			return true
		}
	}
	return false
}

// What the program says of itself is what was asked about it.
func TestLinkedIsWhatIsBuilt(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", program, command)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	said, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	var built []string
	for _, dep := range regexp.MustCompile(`(?m)^\tdep\t(\S+)`).FindAllStringSubmatch(string(said), -1) {
		built = append(built, dep[1])
	}
	modules, err := linked("linux")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range modules[:len(modules)-1] {
		names = append(names, m.path)
	}
	if slices.Sort(built); len(built) == 0 || !slices.Equal(built, names) {
		t.Errorf("built of %v\nlisted  %v", built, names)
	}
}

// Every other module that is asked for by name has a row, too: in this module's
// go.mod and in those within, or with a version in the Makefile or a tool.
func TestTools(t *testing.T) {
	linkedRows := rows(t, "Linked into the program")
	var wanted []string
	want := func(path string) {
		if path != own && linkedRows[path] == nil && !slices.Contains(wanted, path) {
			wanted = append(wanted, path)
		}
	}
	mods, err := filepath.Glob(filepath.Join(root, "internal", "*", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, mod := range append(mods, filepath.Join(root, "go.mod")) {
		out, err := exec.Command("go", "mod", "edit", "-json", mod).Output()
		if err != nil {
			t.Fatal(err)
		}
		var content struct {
			Require []struct {
				Path     string
				Indirect bool
			}
			Tool []struct{ Path string }
		}
		if err := json.Unmarshal(out, &content); err != nil {
			t.Fatal(err)
		}
		for _, required := range content.Require {
			tool := slices.ContainsFunc(content.Tool, func(tool struct{ Path string }) bool {
				return strings.HasPrefix(tool.Path+"/", required.Path+"/")
			})
			if tool || !required.Indirect {
				want(required.Path)
			}
		}
	}
	for _, file := range []string{"Makefile", "internal/sbom/main.go"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		// A package with a version, or the constant of one; its module is shorter.
		for _, match := range regexp.MustCompile(`(github\.com/[\w./-]+?)(/cmd/[\w-]+)?(@v|")`).FindAllStringSubmatch(string(text), -1) {
			want(match[1])
		}
	}
	if !slices.Contains(wanted, "github.com/rogpeppe/go-internal") || !slices.Contains(wanted, "github.com/golangci/golangci-lint/v2") {
		t.Errorf("not all were found: %v", wanted)
	}
	same(t, slices.Collect(maps.Keys(rows(t, "Tools and tests"))), wanted)
}

func TestPackageOf(t *testing.T) {
	for symbol, want := range map[string]string{
		"main.main":      "main",
		"net/http.Get":   "net/http",
		"runtime.mheap_": "runtime",
		"github.com/go-git/go-git/v5/plumbing.(*Hash).String":          "github.com/go-git/go-git/v5/plumbing",
		"gopkg.in/warnings%2ev0.List.Error":                            "gopkg.in/warnings.v0",
		"type:.eq.github.com/spf13/cobra.Group":                        "github.com/spf13/cobra",
		"go:itab.*github.com/spf13/pflag.boolValue,github.com/x/y.Z":   "github.com/spf13/pflag",
		"slices.SortFunc[go.shape.[]github.com/a/b.C,go.shape.string]": "slices",
		"_cgo_init": "",
	} {
		if got := packageOf(symbol); got != want {
			t.Errorf("%s: %q, want %q", symbol, got, want)
		}
	}
}

// The licences of all that is linked go with the program.
func TestWriteLicences(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new", "licences")
	if err := writeLicences(name); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	modules, err := linkedAnywhere()
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, m := range modules {
		heading := "\n" + strings.TrimSpace(m.path+" "+m.version) + " ("
		next := strings.Index(string(text)[at:], heading)
		if next < 0 {
			t.Fatalf("%s has no licence, or not in order", m.path)
		}
		at += next
	}
	if strings.Contains(string(text), moduleCache(t)) {
		t.Error("it tells where the modules are on this machine")
	}
}

func moduleCache(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// What others have put below a module's root, under terms of their own, is told
// as well.
func TestLicencesBelow(t *testing.T) {
	name := filepath.Join(t.TempDir(), "licences")
	if err := writeLicences(name); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"(LICENSE)", "(third_party/forked/golang/LICENSE)", "(internal/third_party/forked/golang/LICENSE)"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s", want)
		}
	}
}
