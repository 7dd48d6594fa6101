package gitlabtest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names that kubelet's AtomicWriter uses (pkg/volume/util/atomic_writer.go).
const (
	dataDir    = "..data"
	newDataDir = "..data_tmp"
)

// WriteSecret lays out keys in dir as a kubelet mounts a Secret, or swaps them
// in for what is there. The steps are those of kubelet's AtomicWriter, in its
// order: write dir/..<timestamp>/<key>; link ..data_tmp to it; rename that onto
// ..data, the one step that readers see; add dir/<key> -> ..data/<key> for new
// keys; remove the links of keys that are gone; remove the old directory. A
// payload that is there already changes nothing, as with kubelet.
//
// Files are 0644 and directories 0755, whatever the umask, since a Secret's
// reader runs as another user than its writer. An error means that dir may
// hold leavings, but ..data always names a whole payload.
func WriteSecret(dir string, keys map[string]string) error {
	for k := range keys {
		if k == "" || k == "." || strings.HasPrefix(k, "..") || strings.ContainsAny(k, "/\x00") {
			return fmt.Errorf("gitlabtest: secret key %q", k)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("gitlabtest: %w", err)
	}
	old, _ := os.Readlink(filepath.Join(dir, dataDir)) // none yet on the first call
	if old != "" && same(filepath.Join(dir, old), keys) {
		return nil
	}
	if err := swap(dir, old, keys); err != nil {
		return fmt.Errorf("gitlabtest: secret in %s: %w", dir, err)
	}
	return nil
}

func swap(dir, old string, keys map[string]string) error {
	ts, err := os.MkdirTemp(dir, time.Now().UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return err
	}
	if err := os.Chmod(ts, 0o755); err != nil {
		return err
	}
	for k, v := range keys {
		file := filepath.Join(ts, k)
		if err := os.WriteFile(file, []byte(v), 0o644); err != nil {
			return err
		}
		if err := os.Chmod(file, 0o644); err != nil {
			return err
		}
	}
	tmp := filepath.Join(dir, newDataDir)
	if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Symlink(filepath.Base(ts), tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, dataDir)); err != nil {
		return err
	}
	for k := range keys {
		link := filepath.Join(dir, k)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join(dataDir, k), link); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, kept := keys[e.Name()]; kept || strings.HasPrefix(e.Name(), "..") || e.Type() != fs.ModeSymlink {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if old != "" && filepath.Base(old) == old {
		return os.RemoveAll(filepath.Join(dir, old))
	}
	return nil
}

// same says whether a timestamp directory holds exactly these keys.
func same(dir string, keys map[string]string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, slices.Sorted(maps.Keys(keys))) {
		return false
	}
	for k, v := range keys {
		b, err := os.ReadFile(filepath.Join(dir, k))
		if err != nil || string(b) != v {
			return false
		}
	}
	return true
}
