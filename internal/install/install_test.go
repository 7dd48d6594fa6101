package install

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// ways are those in which a copy is made: the system's own, and the one for where
// that can't be.
var ways = map[string]func(string, content) error{"put": put, "named": putNamed}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

// A copy is whole, and alone; an older one goes for it.
func TestPut(t *testing.T) {
	for name, put := range ways {
		for _, text := range []string{"", "short", string(bytes.Repeat([]byte("long "), 1<<20))} {
			t.Run(name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "program")
				for range 2 {
					if err := put(path, content{t.Context(), bytes.NewReader([]byte(text)), int64(len(text))}); err != nil {
						t.Fatal(err)
					}
					got, err := os.ReadFile(path)
					if err != nil || string(got) != text || len(names(t, filepath.Dir(path))) != 1 {
						t.Errorf("%d bytes, %v, %v", len(got), err, names(t, filepath.Dir(path)))
					}
					if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o111 != 0o111 && Name() == "git-credential-acp" {
						t.Errorf("%v, %v", info.Mode(), err)
					}
				}
			})
		}
	}
}

// failing gives a part, and then no more.
type failing struct{ err error }

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	if at > 100_000 {
		return 0, f.err
	}
	return len(p), nil
}

// A failure midway changes nothing.
func TestPutFails(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("broken")
	for name, put := range ways {
		for _, old := range []bool{false, true} {
			for _, test := range []struct {
				content content
				want    error
			}{
				{content{t.Context(), failing{broken}, 1 << 20}, broken},
				{content{t.Context(), bytes.NewReader(make([]byte, 1000)), 2000}, errCut},
				{content{ended, bytes.NewReader(make([]byte, 1000)), 1000}, errInterrupted},
			} {
				dir := t.TempDir()
				path := filepath.Join(dir, "program")
				if old {
					if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := put(path, test.content); !errors.Is(err, test.want) {
					t.Errorf("%s: %v, want %v", name, err, test.want)
				}
				if text, err := os.ReadFile(path); old && string(text) != "old" || !old && !errors.Is(err, fs.ErrNotExist) || len(names(t, dir)) != len(text)/3 {
					t.Errorf("%s, %v: %q, %v, %v", name, test.want, text, err, names(t, dir))
				}
			}
		}
		// Nor does an invalid name.
		dir := t.TempDir()
		path := filepath.Join(dir, "program")
		if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := put(path, content{t.Context(), bytes.NewReader(nil), 0}); err == nil || len(names(t, dir)) != 1 {
			t.Errorf("%s: over a directory: %v, %v", name, err, names(t, dir))
		}
		if err := put(filepath.Join(dir, "missing", "program"), content{t.Context(), bytes.NewReader(nil), 0}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: nowhere: %v", name, err)
		}
	}
}
