package connection

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

const canary = "glpat-CanaryRecovered01"

func recovery(t testing.TB) Recovery {
	return Recovery{Path: filepath.Join(t.TempDir(), "state", "rotation.json")}
}

func sample() Record {
	return Record{Keeper: "the Secret a/b", KeptID: "one", Server: "h:1", Owner: "dev", Instance: "https://h", OldID: 1, UserID: 2,
		Token: token.Issued(canary)}
}

func equal(a, b Record) bool {
	same := a.Token.Reveal() == b.Token.Reveal()
	a.Token, b.Token = token.Token{}, token.Token{}
	return same && reflect.DeepEqual(a, b)
}

// Only its owner can read a record, it has the same size with and without a token, and Remove
// leaves no file.
func TestRecovery(t *testing.T) {
	r := recovery(t)
	if _, found, err := r.Read(); found || err != nil {
		t.Fatalf("before: %v, %v", found, err)
	}
	bare := sample()
	bare.Token = token.Token{}
	if err := r.Write(bare); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(r.Path)
	if err != nil || before.Mode().Perm() != 0o600 || before.Size() < minRecord {
		t.Fatalf("%v, %v", before, err)
	}
	if info, err := os.Stat(filepath.Dir(r.Path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	if err := r.Write(sample()); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(r.Path); err != nil || after.Size() != before.Size() || after.Mode().Perm() != 0o600 {
		t.Errorf("with a token: %v, %v", after, err)
	}
	if got, found, err := r.Read(); !found || err != nil || !equal(got, sample()) {
		t.Errorf("read %+v, %v, %v", got, found, err)
	}
	if err := r.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(r.Path)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A file that another user may have written, or that is damaged, is an error and is not
// replaced.
func TestRecoveryUntrusted(t *testing.T) {
	text, err := encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"readable by others": func(path string) error { return write(path, text, 0o640) },
		"writable by others": func(path string) error { return write(path, text, 0o602) },
		"a link": func(path string) error {
			return errors.Join(write(path+".real", text, 0o600), os.Symlink(path+".real", path))
		},
		"a link to nothing": func(path string) error { return os.Symlink(path+".real", path) },
		"a directory":       func(path string) error { return os.Mkdir(path, 0o700) },
		"empty":             func(path string) error { return write(path, nil, 0o600) },
		"cut":               func(path string) error { return write(path, text[:40], 0o600) },
		"of another form":   func(path string) error { return write(path, []byte(`{"version":2,"token":"x"}`), 0o600) },
		"no JSON":           func(path string) error { return write(path, []byte(canary), 0o600) },
		"huge":              func(path string) error { return write(path, append(text, make([]byte, maxRecord)...), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			r := recovery(t)
			if err := os.MkdirAll(filepath.Dir(r.Path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := put(r.Path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(r.Path)
			_, found, err := r.Read()
			if found || err == nil || strings.Contains(err.Error(), "Canary") {
				t.Errorf("read: %v, %v", found, err)
			}
			// No rotation begins with it, and none replaces it.
			rotation := Rotation{Keeper: Platform{}, Recovery: r}
			for name, err := range map[string]error{
				"Replace": Replace(t.Context(), rotation, nil), "Renew": Renew(t.Context(), rotation, time.Time{}), "Resume": Resume(t.Context(), rotation),
			} {
				if !message.Is(err, "recovery-unreadable") {
					t.Errorf("%s: %v", name, err)
				}
			}
			if after, _ := os.Lstat(r.Path); after == nil || !os.SameFile(before, after) {
				t.Error("it was replaced")
			}
		})
	}
}

// A temporary file that a killed process left is the record if it has a token, and ignored
// otherwise.
func TestRecoveryLeftovers(t *testing.T) {
	full, err := encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	bare := sample()
	bare.Token = token.Token{}
	without, err := encode(bare)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		fresh, record []byte
		found, token  bool
	}{
		"cut, no record":            {full[:100], nil, false, false},
		"empty, no record":          {[]byte{}, nil, false, false},
		"without a token":           {without, nil, false, false},
		"cut, beside a record":      {full[:100], without, true, false},
		"with a token":              {full, without, true, true},
		"with a token, no record":   {full, nil, true, true},
		"without one, beside a one": {without, full, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := recovery(t)
			if err := os.MkdirAll(filepath.Dir(r.Path), 0o700); err != nil {
				t.Fatal(err)
			}
			for path, data := range map[string][]byte{r.fresh(): test.fresh, r.Path: test.record} {
				if data != nil {
					if err := write(path, data, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			got, found, err := r.Read()
			if found != test.found || err != nil || got.Token.IsZero() == test.token {
				t.Errorf("found %v with a token %v: %v", found, !got.Token.IsZero(), err)
			}
			if err := r.Remove(); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(filepath.Dir(r.Path)); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// If no second file can be created, the record is overwritten in place.
func TestRecoveryOverwrite(t *testing.T) {
	r := recovery(t)
	bare := sample()
	bare.Token = token.Token{}
	if err := r.Write(bare); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(r.fresh(), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(sample()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.fresh()); err != nil {
		t.Fatal(err)
	}
	if got, found, err := r.Read(); !found || err != nil || !equal(got, sample()) {
		t.Errorf("read %v, %v", found, err)
	}
}

func write(path string, data []byte, mode os.FileMode) error {
	return errors.Join(os.WriteFile(path, data, 0o600), os.Chmod(path, mode))
}

// TestRotateResumeWhileRunning in cmd/git-credential-acp has two processes. A path that can't
// be locked is an error.
func TestRecoveryHold(t *testing.T) {
	r := recovery(t)
	release, err := r.Hold()
	if err != nil {
		t.Fatal(err)
	}
	release()
	if err := os.Symlink("/dev/null", r.Path+"2.lock"); err != nil {
		t.Fatal(err)
	}
	if _, err := (Recovery{Path: r.Path + "2"}).Hold(); !message.Is(err, "recovery-unwritable") {
		t.Errorf("held through a link: %v", err)
	}
}

// A record that is read from any file is read again after it was written, and no error shows a
// token.
func FuzzRecovery(f *testing.F) {
	text, err := encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1,"keeper":"k","instance":"https://h","oldId":1,"userId":2,"scopes":["api"],"token":"a\nb"}`))
	f.Add([]byte(`{"version":1,"version":2}`))
	f.Add([]byte(`{"version":1,"token":"` + canary + `","oldId":"x"}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		r := Recovery{Path: filepath.Join(dir, "r")}
		if err := os.WriteFile(r.Path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		record, found, err := r.Read()
		if err != nil {
			if strings.Contains(err.Error(), "Canary") {
				t.Fatal(err)
			}
			return
		}
		if !found || !json.Valid(data) {
			t.Fatalf("%q is a record", data)
		}
		if err := r.Write(record); err != nil {
			t.Fatal(err)
		}
		if again, found, err := r.Read(); !found || err != nil || !equal(again, record) {
			t.Fatalf("%+v became %+v (%v)", record, again, err)
		}
	})
}
