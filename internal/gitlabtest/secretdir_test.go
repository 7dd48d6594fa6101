package gitlabtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// layout lists a directory: names, with link targets where they are links.
func layout(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		name := e.Name()
		if e.Type() == fs.ModeSymlink {
			to, err := os.Readlink(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			name += " -> " + to
		}
		all = append(all, name)
	}
	return all
}

func TestWriteSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "acp", "gitlab")
	write := func(keys map[string]string) (timestamp string) {
		t.Helper()
		if err := WriteSecret(dir, keys); err != nil {
			t.Fatal(err)
		}
		ts, err := os.Readlink(filepath.Join(dir, "..data"))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"..data -> " + ts, ts}
		for k, v := range keys {
			want = append(want, k+" -> ..data/"+k)
			b, err := os.ReadFile(filepath.Join(dir, k))
			if err != nil || string(b) != v {
				t.Errorf("%s: %q %v", k, b, err)
			}
			if st, err := os.Stat(filepath.Join(dir, k)); err != nil || st.Mode() != 0o644 {
				t.Errorf("%s: mode %v", k, st.Mode())
			}
		}
		slices.Sort(want)
		if got := layout(t, dir); !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if st, err := os.Stat(filepath.Join(dir, ts)); err != nil || st.Mode() != fs.ModeDir|0o755 {
			t.Errorf("mode %v", st.Mode())
		}
		if !strings.HasPrefix(ts, "..2") || strings.Contains(ts, "/") {
			t.Errorf("timestamp directory %q", ts)
		}
		return ts
	}
	first := write(map[string]string{"token": "glpat-CanaryOne", "ca.crt": "x"})
	if again := write(map[string]string{"token": "glpat-CanaryOne", "ca.crt": "x"}); again != first {
		t.Error("wrote what was there")
	}
	if second := write(map[string]string{"token": "glpat-CanaryTwo", "instanceUrl": "https://gitlab.example.com"}); second == first {
		t.Error("changed in place")
	}
	write(map[string]string{})
	for _, key := range []string{"", "..", "..data", "a/b", "."} {
		if WriteSecret(dir, map[string]string{key: "x"}) == nil {
			t.Errorf("took key %q", key)
		}
	}
}

// A reader that resolves ..data once never sees two payloads mixed, and one
// that opens by name never finds nothing.
func TestWriteSecretIsAtomic(t *testing.T) {
	dir := t.TempDir()
	payload := func(v string) map[string]string { return map[string]string{"token": v, "instanceUrl": v} }
	if err := WriteSecret(dir, payload("0")); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if ts, err := os.Readlink(filepath.Join(dir, "..data")); err != nil || ts == "" {
				t.Errorf("no ..data: %v", err)
				return
			}
			d, err := os.OpenRoot(filepath.Join(dir, "..data"))
			if err != nil {
				continue // swapped between resolving and opening, as on a node
			}
			a, errA := d.ReadFile("token")
			b, errB := d.ReadFile("instanceUrl")
			d.Close()
			if errA == nil && errB == nil && string(a) != string(b) {
				t.Errorf("mixed %q and %q", a, b)
				return
			}
		}
	})
	for i := range 200 {
		if err := WriteSecret(dir, payload(strings.Repeat("x", i))); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
}
