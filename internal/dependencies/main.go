// Command dependencies tells what the modules that are linked into the program
// bring with them: their licences, which have to go wherever the program goes,
// and what they cost at each start and in size, for docs/dependencies.md. Its
// test holds that page to what is linked.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	own     = "github.com/ambient-code/git-credential-acp"
	command = own + "/cmd/git-credential-acp"
	// standard stands for the Go project's own packages, which are no module.
	standard = "Go's standard library"
)

// systems are those that there are releases for; what is linked differs.
var systems = []string{"linux", "darwin", "windows"}

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "licences":
		err = writeLicences(os.Args[2])
	case len(os.Args) == 2 && os.Args[1] == "cost":
		err = printCost(os.Stdout)
	default:
		err = errors.New("usage: dependencies licences FILE, or dependencies cost")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dependencies:", err)
		os.Exit(1)
	}
}

// module is a module of which packages are linked into the program.
type module struct {
	path, version, dir string
	packages, dirs     []string
}

// linked are the modules that are linked into the program on a system, the
// standard library last.
func linked(system string) ([]*module, error) {
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Dir,Module", command)
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH=amd64")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &stderr)
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	last := &module{path: standard, dir: strings.TrimSpace(string(goroot))}
	found := map[string]*module{standard: last}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var pkg struct {
			ImportPath string
			Standard   bool
			Dir        string
			Module     *struct{ Path, Version, Dir string }
		}
		if err := decoder.Decode(&pkg); err != nil {
			return nil, err
		}
		switch m := pkg.Module; {
		case pkg.Standard:
			last.packages = append(last.packages, pkg.ImportPath)
		case m.Path != own:
			if found[m.Path] == nil {
				found[m.Path] = &module{path: m.Path, version: m.Version, dir: m.Dir}
			}
			found[m.Path].packages = append(found[m.Path].packages, pkg.ImportPath)
			found[m.Path].dirs = append(found[m.Path].dirs, pkg.Dir)
		}
	}
	return slices.SortedFunc(maps.Values(found), compare), nil
}

// linkedAnywhere are the modules that are linked into the program on any of the
// systems, the standard library last.
func linkedAnywhere() ([]*module, error) {
	var union []*module
	for _, system := range systems {
		modules, err := linked(system)
		if err != nil {
			return nil, err
		}
		for _, m := range modules {
			if n := slices.IndexFunc(union, func(other *module) bool { return other.path == m.path }); n >= 0 {
				union[n].dirs = append(union[n].dirs, m.dirs...)
				continue
			}
			union = append(union, m)
		}
	}
	slices.SortStableFunc(union, compare)
	return union, nil
}

// compare orders modules by path, the standard library last.
func compare(a, b *module) int {
	if last := cmp.Compare(strings.Count(a.path, standard), strings.Count(b.path, standard)); last != 0 {
		return last
	}
	return strings.Compare(a.path, b.path)
}

// writeLicences writes the licences of all that is linked into one file. Most of
// them ask for being passed on with the program.
func writeLicences(name string) error {
	modules, err := linkedAnywhere()
	if err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString("What is linked into git-credential-acp beside its own code, and on what terms.\n")
	for _, m := range modules {
		licences, err := m.licences()
		if err != nil {
			return err
		}
		for _, licence := range licences {
			content, err := os.ReadFile(licence)
			if err != nil {
				return err
			}
			inner, err := filepath.Rel(m.dir, licence)
			if err != nil {
				return err
			}
			fmt.Fprintf(&text, "\n%s\n%s (%s)\n\n%s\n", strings.Repeat("=", 78), strings.TrimSpace(m.path+" "+m.version),
				filepath.ToSlash(inner), strings.TrimRight(strings.ReplaceAll(string(content), "\r\n", "\n"), "\n"))
		}
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text.String()), 0o644)
}

// licences are the files of a module that say on what terms it comes: at its root,
// and above each package that is linked, which may be another's work.
func (m *module) licences() ([]string, error) {
	dirs := []string{m.dir}
	for _, dir := range m.dirs {
		for ; len(dir) > len(m.dir); dir = filepath.Dir(dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	var found []string
	for _, dir := range slices.Compact(dirs) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			upper := strings.ToUpper(entry.Name())
			for _, prefix := range []string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"} {
				if strings.HasPrefix(upper, prefix) && entry.Type().IsRegular() {
					found = append(found, filepath.Join(dir, entry.Name()))
				}
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no licence in %s", m.path, m.dir)
	}
	return found, nil
}
