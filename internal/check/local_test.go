package check

import (
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// An instance's own URL may be written in other ways than the instance writes it.
func TestAtInstance(t *testing.T) {
	for _, test := range []struct {
		instance, host, path string
		want                 bool
	}{
		{"https://gitlab.example.com", "gitlab.example.com", "", true},
		{"https://gitlab.example.com", "GitLab.example.com:443", "", true},
		{"https://gitlab.example.com", "gitlab.example.com:8443", "", false},
		{"https://gitlab.example.com", "gitlab.example.com", "group", false},
		{"https://gitlab.example.com/lab", "gitlab.example.com", "lab", true},
		{"https://gitlab.example.com/lab", "gitlab.example.com", "", false},
		{"https://gitlab.example.com/lab", "gitlab.example.com", "lab/group", false},
	} {
		p := place{request: credential.Request{Protocol: "https", Host: test.host, Path: test.path}, found: source.Found{Instance: parsed(t, test.instance)}}
		if got := p.atInstance(); got != test.want {
			t.Errorf("%s/%s at %s: %v", test.host, test.path, test.instance, got)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, test := range []struct {
		program, line, version, fixed string
	}{
		{"git", "git version 2.39.5", "2.39.5", "2.48.1"},
		{"git", "git version 2.39.5 (Apple Git-154)", "2.39.5", "2.48.1"},
		{"git", "git version 2.38.9", "2.38.9", "2.48.1"},
		{"git", "git version 1.8.3.1", "1.8.3", "2.48.1"},
		{"git", "git version 2.40.3", "2.40.3", "2.40.4"},
		{"git", "git version 2.40.4", "2.40.4", ""},
		{"git", "git version 2.43.5", "2.43.5", "2.43.6"},
		{"git", "git version 2.47.1.windows.2", "2.47.1", "2.47.2"},
		{"git", "git version 2.47.2.windows.1", "2.47.2", ""},
		{"git", "git version 2.48.0", "2.48.0", "2.48.1"},
		{"git", "git version 2.48.0-rc1", "2.48.0", "2.48.1"},
		{"git", "git version 2.48.1", "2.48.1", ""},
		{"git", "git version 2.49.0.rc2.15.gdeadbeef", "2.49.0", ""},
		{"git", "git version 2.55", "2.55.0", ""},
		{"git", "git version 3.0.0", "3.0.0", ""},
		{"git-lfs", "git-lfs/3.3.0 (Debian 3.3.0; linux amd64; go 1.19.8)", "3.3.0", "3.6.1"},
		{"git-lfs", "git-lfs/3.6.0 (GitHub; linux amd64; go 1.23.1)", "3.6.0", "3.6.1"},
		{"git-lfs", "git-lfs/3.6.1 (GitHub; linux amd64; go 1.23.3)", "3.6.1", ""},
		{"git-lfs", "git-lfs/3.7.0-pre", "3.7.0", ""},
		{"git-lfs", "git-lfs/4.0.0", "4.0.0", ""},
	} {
		before, leaks := "git version ", gitLeaks
		if test.program == "git-lfs" {
			before, leaks = "git-lfs/", lfsLeaks
		}
		version, known := parseVersion(strings.TrimPrefix(test.line, before))
		fixed, bad := leaks.affects(version)
		if !known || version.String() != test.version || bad != (test.fixed != "") || bad && fixed.String() != test.fixed {
			t.Errorf("%s: %s, %v; affected: %v, fixed in %s", test.line, version, known, bad, fixed)
		}
	}
	for _, line := range []string{"", "git", "2", "2.", ".2", "x.1.2", "-1.2.3", "99999999999999999999.1.2", "usage: git [-v | --version]"} {
		if version, known := parseVersion(line); known {
			t.Errorf("%q is %s", line, version)
		}
	}
}

// The lines of git's fixes follow one another: a gap would leave one out.
func TestFixedLines(t *testing.T) {
	for n := 1; n < len(gitLeaks.fixed); n++ {
		if before, m := gitLeaks.fixed[n-1], gitLeaks.fixed[n]; m[0] != before[0] || m[1] != before[1]+1 {
			t.Errorf("%s comes after %s", m, before)
		}
	}
}
