package check

import (
	"os"
	"path/filepath"
	"testing"
)

// Lines of /proc/self/mountinfo as they are in pods: the fourth field is where in
// the file system the mount begins, the fifth where it is.
func TestFrozen(t *testing.T) {
	const (
		around  = "1 0 0:1 / / rw,relatime - overlay overlay rw\n2 1 0:2 / /proc rw - proc proc rw\n"
		dir     = "/var/run/secrets/acp/gitlab"
		tmpfs   = " ro,relatime - tmpfs tmpfs rw,size=65536k\n"
		version = "/..2026_11_22_18_23_00.123456789"
	)
	for name, test := range map[string]struct {
		mounts, path string
		frozen       bool
	}{
		"a Secret's directory":            {"9 1 0:50 / " + dir + tmpfs, dir, false},
		"none":                            {"", dir, false},
		"a key by subPath":                {"9 1 0:50 " + version + "/token " + dir + "/token" + tmpfs, dir, true},
		"a key by subPath, another dir":   {"9 1 0:50 " + version + "/token /other/token" + tmpfs, dir, false},
		"a directory by subPath":          {"9 1 0:50 " + version + "/sub " + dir + tmpfs, dir, true},
		"through kubelet's own directory": {"9 1 8:1 /var/lib/kubelet/pods/u/volume-subpaths/gitlab/main/0 " + dir + tmpfs, dir, true},
		"a token file by subPath":         {"9 1 0:50 " + version + "/token " + dir + "/token" + tmpfs, dir + "/token", true},
		"a token file of the host's":      {"9 1 8:1 /home/dev/token " + dir + "/token" + tmpfs, dir + "/token", false},
		"a mount below another name":      {"9 1 0:50 " + version + "/x " + dir + "2" + tmpfs, dir, false},
		"something hidden in it":          {"9 1 0:50 / " + dir + "/.x" + tmpfs, dir, false},
		"space in the path":               {"9 1 0:50 " + version + `/token /my\040secrets/token` + tmpfs, "/my secrets", true},
		"no file":                         {"9 1 0:50 " + version + "/token " + dir + "/token" + tmpfs, "", false},
		"lines that are cut":              {"9 1 0:50 " + version + "/token\n\n9\n", dir, false},
	} {
		if got := frozen(around+test.mounts, test.path); got != test.frozen {
			t.Errorf("%s: %v", name, got)
		}
	}
	// The mount is where a link leads.
	place := t.TempDir()
	real, err := filepath.EvalSymlinks(place)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(place, link); err != nil {
		t.Fatal(err)
	}
	if !frozen("9 1 0:50 "+version+"/sub "+real+tmpfs, link) {
		t.Error("a link hides the mount")
	}
}

func TestShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o644: true, 0o620: true} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got := shared(path); got != want {
			t.Errorf("%o: %v", mode, got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if shared(path) {
		t.Error("a file that is not there is shared")
	}
}
