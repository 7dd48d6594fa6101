package gitlabtest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Names of kubelet's AtomicWriter (pkg/volume/util/atomic_writer.go).
const (
	dataDir    = "..data"
	newDataDir = "..data_tmp"
)

// WriteSecret writes keys to dir as kubelet mounts a Secret, or replaces them. The steps are
// those of kubelet's AtomicWriter: write dir/..<timestamp>/<key>; link ..data_tmp to it;
// rename that to ..data, the one step that readers see; add dir/<key> -> ..data/<key> for
// new keys; remove the links of removed keys; remove the old directory. The same keys
// change nothing.
//
// Files are 0644 and directories 0755, whatever the umask, since another user reads them.
// After an error, dir may have left-over files, but ..data is complete.
func WriteSecret(dir string, keys map[string]string) error {
	for k := range keys {
		if k == "" || k == "." || strings.HasPrefix(k, "..") || strings.ContainsAny(k, "/\x00") {
			return fmt.Errorf("gitlabtest: secret key %q", k)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("gitlabtest: %w", err)
	}
	old, _ := os.Readlink(filepath.Join(dir, dataDir)) // none on the first call
	if old != "" && maps.Equal(payload(filepath.Join(dir, old)), keys) {
		return nil
	}
	if err := swap(dir, keys); err != nil {
		return fmt.Errorf("gitlabtest: secret in %s: %w", dir, err)
	}
	for link := range payload(dir) {
		if _, kept := keys[link]; !kept {
			_ = os.Remove(filepath.Join(dir, link))
		}
	}
	if old == "" || filepath.Base(old) != old {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, old))
}

// swap writes the keys to a new directory and makes ..data a link to it.
func swap(dir string, keys map[string]string) error {
	fresh, err := os.MkdirTemp(dir, time.Now().UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return err
	}
	errs := []error{os.Chmod(fresh, 0o755)}
	for k, v := range keys {
		file := filepath.Join(fresh, k)
		errs = append(errs, os.WriteFile(file, []byte(v), 0o644), os.Chmod(file, 0o644))
	}
	link := filepath.Join(dir, newDataDir)
	_ = os.Remove(link) // left over by a kill
	if err := errors.Join(append(errs, os.Symlink(filepath.Base(fresh), link))...); err != nil {
		return err
	}
	if err := os.Rename(link, filepath.Join(dir, dataDir)); err != nil {
		return err
	}
	for k := range keys {
		if err := os.Symlink(filepath.Join(dataDir, k), filepath.Join(dir, k)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// payload returns the keys in a directory; "" for a broken link.
func payload(dir string) map[string]string {
	held := map[string]string{}
	entries, _ := os.ReadDir(dir) // an error means none
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") {
			b, _ := os.ReadFile(filepath.Join(dir, e.Name()))
			held[e.Name()] = string(b)
		}
	}
	return held
}
