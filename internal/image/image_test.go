package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	date    = "2030-01-02T03:04:05Z"
	licence = "../../LICENSE"
)

// dist is a directory as goreleaser leaves it.
var dist string

func TestMain(m *testing.M) {
	// The stage of a trial is this program again: here, that is the test.
	if len(os.Args) > 1 && os.Args[1] == stageCommand {
		main()
		return
	}
	os.Exit(withRelease(m.Run))
}

func withRelease(run func() int) int {
	dir, err := os.MkdirTemp("", "image-test-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	dist = filepath.Join(dir, "dist")
	var artifacts []map[string]any
	for _, arch := range architectures {
		program := filepath.Join("linux_"+arch, "git-credential-acp")
		build := exec.Command("go", "build", "-C", "../..", "-o", filepath.Join(dist, program), "-buildvcs=false",
			"-ldflags", "-s -w -X main.version=v1.2.3 -X main.commit=abcdef -X main.committed="+date, "./cmd/git-credential-acp")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := build.CombinedOutput(); err != nil {
			panic(string(out))
		}
		artifacts = append(artifacts,
			map[string]any{"path": filepath.Join("dist", program), "goos": "linux", "goarch": arch, "type": "Binary"},
			map[string]any{"path": "dist/" + arch + ".tar.gz", "goos": "linux", "goarch": arch, "type": "Archive"},
			map[string]any{"path": "dist/nowhere", "goos": "darwin", "goarch": arch, "type": "Binary"})
	}
	for name, value := range map[string]any{
		"artifacts.json": artifacts,
		"metadata.json":  map[string]string{"version": "1.2.3", "commit": "abcdef"},
	} {
		content, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		if err := os.WriteFile(filepath.Join(dist, name), content, 0o600); err != nil {
			panic(err)
		}
	}
	return run()
}

// content is what a directory holds, by paths.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range paths(t, dir) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		found[name] = string(text)
	}
	return found
}

func paths(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			relative, _ := filepath.Rel(dir, name)
			names = append(names, relative)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: nothing there (%v)", dir, err)
	}
	return names
}

// What is made is the same each time, reads back, and runs.
func TestImage(t *testing.T) {
	first, second := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "somewhere", "else")
	for _, dir := range []string{first, second, second} {
		if err := run([]string{"make", dist, date, dir, licence}); err != nil {
			t.Fatal(err)
		}
	}
	was, is := content(t, first), content(t, second)
	if len(was) != len(is) {
		t.Errorf("%d files, then %d", len(was), len(is))
	}
	for name := range was {
		if was[name] != is[name] {
			t.Errorf("%s differs", name)
		}
	}
	if err := run([]string{"check", first}); err != nil {
		t.Error(err)
	}
	r, err := read(first)
	if err != nil {
		t.Fatal(err)
	}
	if want := "git-credential-acp v1.2.3 (abcdef, " + date + ")\n"; r.says() != want {
		t.Errorf("it is %s, want %s", r.says(), want)
	}
	want := []string{rootsPath, programPath, "licenses/LICENSE"}
	for arch, tree := range r.trees {
		if got := slices.DeleteFunc(tree.names(), func(name string) bool { return tree[name] == nil }); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", arch, got, want)
		}
	}
	// A program that does something else is noticed.
	r.version = "v1.2.4"
	if err := r.try(r.trees[runtime.GOARCH]); err == nil || !strings.Contains(err.Error(), "v1.2.3") {
		t.Errorf("another version: %v", err)
	}
	// As is a layout that was changed after it was made.
	for _, name := range paths(t, first) {
		was := content(t, first)[name]
		target := filepath.Join(first, name)
		changed := []byte(was)
		changed[len(changed)/2] ^= 1
		if err := os.WriteFile(target, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := read(first); err == nil && name != "oci-layout" {
			t.Errorf("%s was changed, and nobody noticed", name)
		}
		if err := os.WriteFile(target, []byte(was), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := read(first); err != nil {
		t.Errorf("the layout as it was: %v", err)
	}
}

// A layout that is right in itself, but is not what is wanted, is refused.
func TestReadRefuses(t *testing.T) {
	this, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(this)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*release)
		want   string
	}{
		"the other machine's program": {func(r *release) {
			r.trees["amd64"], r.trees["arm64"] = r.trees["arm64"], r.trees["amd64"]
		}, "the program is for"},
		"another program":       {func(r *release) { r.trees["amd64"][programPath] = other }, "the program is"},
		"a script":              {func(r *release) { r.trees["amd64"][programPath] = bytes.Repeat([]byte("#!/bin/sh\n"), 10) }, "linux/amd64: bad magic number"},
		"no roots":              {func(r *release) { delete(r.trees["arm64"], rootsPath) }, "linux/arm64: only 0 authorities"},
		"one root":              {func(r *release) { r.trees["arm64"][rootsPath] = r.trees["arm64"][rootsPath][:2000] }, "linux/arm64: only "},
		"no licence":            {func(r *release) { delete(r.trees["arm64"], "licenses/LICENSE") }, "linux/arm64: no licence"},
		"no version":            {func(r *release) { r.version = "" }, "the index says"},
		"no commit":             {func(r *release) { r.commit = "" }, "the index says"},
		"nothing to complain":   {func(*release) {}, ""},
		"a further, plain file": {func(r *release) { r.trees["amd64"]["etc/motd"] = []byte("hello") }, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := readRelease(dist, date, []string{licence})
			if err != nil {
				t.Fatal(err)
			}
			c.change(r)
			dir := filepath.Join(t.TempDir(), "layout")
			if err := r.write(dir); err != nil {
				t.Fatal(err)
			}
			_, err = read(dir)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// The configuration decides who the program runs as and with what.
func TestReadRefusesConfigurations(t *testing.T) {
	r, err := readRelease(dist, date, []string{licence})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*v1.ConfigFile){
		"root":            func(c *v1.ConfigFile) { c.Config.User = "" },
		"a named user":    func(c *v1.ConfigFile) { c.Config.User = "nobody" },
		"a shell":         func(c *v1.ConfigFile) { c.Config.Entrypoint = []string{"/bin/sh", "-c"} },
		"a volume":        func(c *v1.ConfigFile) { c.Config.Volumes = map[string]struct{}{"/tmp": {}} },
		"a variable":      func(c *v1.ConfigFile) { c.Config.Env = append(c.Config.Env, "ACP_GITLAB_ON_UNVERIFIED=allow") },
		"another machine": func(c *v1.ConfigFile) { c.Architecture = "s390x" },
		"another time":    func(c *v1.ConfigFile) { c.Created = v1.Time{Time: r.made.Add(time.Hour)} },
		"no labels":       func(c *v1.ConfigFile) { c.Config.Labels = nil },
	} {
		t.Run(name, func(t *testing.T) {
			good, err := r.image("amd64")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.readImage(good, "amd64"); err != nil {
				t.Fatal(err)
			}
			config, err := good.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			config = config.DeepCopy()
			change(config)
			changed, err := mutate.ConfigFile(good, config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.readImage(changed, "amd64"); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestReadRefusesLayouts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	if _, err := read(dir); err == nil {
		t.Error("a layout that is not there was read")
	}
	r := &release{version: "v1.2.3", commit: "abcdef", made: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	nothing := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	something := mutate.AppendManifests(nothing, mutate.IndexAddendum{Add: empty.Image})
	for _, c := range []struct {
		indexes []v1.ImageIndex
		want    string
	}{
		{nil, "not one index"},
		{[]v1.ImageIndex{nothing}, "images for [], not for"},
		{[]v1.ImageIndex{something}, "does not say what sha256:"},
		{[]v1.ImageIndex{nothing, nothing}, "not one index"},
	} {
		dir := filepath.Join(t.TempDir(), "layout")
		path, err := layout.Write(dir, empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, index := range c.indexes {
			annotated, ok := mutate.Annotations(index, r.labels()).(v1.ImageIndex)
			if !ok {
				t.Fatal("no index")
			}
			if err := path.AppendIndex(annotated, layout.WithAnnotations(map[string]string{refName: r.version})); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := read(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d indexes: %v, want %s", len(c.indexes), err, c.want)
		}
	}
}

// A layer with anything that does not belong there is refused.
func TestReadArchive(t *testing.T) {
	made := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	good := tree{programPath: []byte("program"), rootsPath: []byte("roots")}
	headers := func() []*tar.Header { return good.headers(made) }
	last := len(headers()) - 1
	for name, c := range map[string]struct {
		change func([]*tar.Header) []*tar.Header
		want   string
	}{
		"as it is":       {func(h []*tar.Header) []*tar.Header { return h }, ""},
		"set-user-id":    {func(h []*tar.Header) []*tar.Header { h[last].Mode |= 0o4000; return h }, "unexpected"},
		"not executable": {func(h []*tar.Header) []*tar.Header { h[last].Mode = 0o644; return h }, "unexpected"},
		"open directory": {func(h []*tar.Header) []*tar.Header { h[0].Mode = 0o777; return h }, "unexpected"},
		"owned":          {func(h []*tar.Header) []*tar.Header { h[last].Uid = 65532; return h }, "unexpected"},
		"of a group":     {func(h []*tar.Header) []*tar.Header { h[0].Gid = 1; return h }, "unexpected"},
		"newer":          {func(h []*tar.Header) []*tar.Header { h[0].ModTime = made.Add(time.Second); return h }, "unexpected"},
		"in disorder":    {func(h []*tar.Header) []*tar.Header { h[0], h[1] = h[1], h[0]; return h }, "unexpected"},
		"no directory":   {func(h []*tar.Header) []*tar.Header { return h[1:] }, "unexpected"},
		"a link": {func(h []*tar.Header) []*tar.Header {
			return append(h, &tar.Header{Name: "sh", Typeflag: tar.TypeSymlink, Linkname: "git-credential-acp", Mode: 0o777, ModTime: made})
		}, "unexpected"},
		"a device": {func(h []*tar.Header) []*tar.Header {
			return append(h, &tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Mode: 0o666, ModTime: made})
		}, "unexpected"},
		"a path that climbs": {func(h []*tar.Header) []*tar.Header {
			return append(h, &tar.Header{Name: "../etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644, ModTime: made})
		}, "un"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			writer := tar.NewWriter(&out)
			for _, header := range c.change(headers()) {
				if err := writer.WriteHeader(header); err != nil {
					t.Fatal(err)
				}
				if _, err := writer.Write(good[header.Name]); err != nil {
					t.Fatal(err)
				}
			}
			if err := writer.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := readArchive(&out, made)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestRoots(t *testing.T) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots()) {
		t.Fatal("no roots")
	}
	if err := checkRoots(roots()); err != nil {
		t.Error(err)
	}
	if first, again := roots(), roots(); !bytes.Equal(first, again) {
		t.Error("the roots differ from call to call")
	}
}

// The Dockerfile makes the same image as far as an engine can.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	config := (&release{}).config("amd64").Config
	_, final, found := strings.Cut(string(text), "\nFROM scratch\n")
	if !found {
		t.Fatal("its image is not from scratch")
	}
	for _, want := range []string{
		"USER " + config.User,
		`ENTRYPOINT ["` + strings.Join(config.Entrypoint, `", "`) + `"]`,
		"ENV " + strings.Join(config.Env, " "),
		"WORKDIR " + config.WorkingDir,
	} {
		if !strings.Contains(final, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	if commands := regexp.MustCompile(`(?m)^(RUN|ADD|VOLUME|EXPOSE|SHELL|CMD) `).FindAllString(final, -1); commands != nil {
		t.Errorf("it does more: %v", commands)
	}
}

func TestRootCommand(t *testing.T) {
	program := filepath.Join(t.TempDir(), "any-name")
	if err := os.WriteFile(program, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "root")
	if err := run([]string{"root", dir, program, licence}); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{
		".": os.ModeDir | 0o755, "etc/ssl/certs": os.ModeDir | 0o755, programPath: 0o755, rootsPath: 0o644, "licenses/LICENSE": 0o644,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, want %v (%v)", name, info.Mode(), mode, err)
		}
	}
	if err := run([]string{"root", dir, program, licence}); err == nil {
		t.Error("it was written over what was there")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"make"}, {"check"}, {"check", "a", "b"}, {"root", "a", "b"}, {"make", "dist", date, "layout"}, {"other"}} {
		if err := run(args); err == nil || err.Error() != usage {
			t.Errorf("%v: %v", args, err)
		}
	}
	if err := run([]string{"make", t.TempDir(), date, t.TempDir(), licence}); err == nil || !strings.Contains(err.Error(), "metadata.json") {
		t.Errorf("nothing was released: %v", err)
	}
}
