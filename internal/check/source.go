package check

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/source"
)

// reportSource reports the token's source, with warnings about it.
func reportSource(s *steps, f source.Found) {
	data := SourceData{Source: string(f.Source), Path: f.Path}
	text := f.Where
	if f.Source == source.Runner {
		text = "the token of the user whose turn it is, from " + text
	}
	if at := f.Changed(); !at.IsZero() {
		data.ChangedAt = at.UTC().Format(time.RFC3339)
		text += ", changed on " + at.UTC().Format("2006-01-02 at 15:04 UTC")
	}
	switch {
	case frozen(mounts(), f.Path):
		s.warn(stepSource, data, warnSubPath(f.Where))
	case f.Source == source.File && shared(f.Path):
		s.warn(stepSource, data, warnTokenFileShared(f.Path))
	default:
		s.good(stepSource, data, "%s", text)
	}
}

// shared reports whether other users can read a file. A Secret's files are readable by
// default, but a container has no other users.
func shared(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o077 != 0
}

// frozen reports whether a Secret's directory, or a file with a token, is mounted by subPath,
// so that kubelet never updates it (Kubernetes' documentation of Secrets). The root of such a
// mount is in a version's directory, whose name begins with two dots, or in kubelet's
// directory for subPath; or the mount is a single file. See proc(5) for the fields of
// mountinfo.
func frozen(mounts, path string) bool {
	if path == "" {
		return false
	}
	if whole, err := filepath.EvalSymlinks(path); err == nil {
		path = whole
	}
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		origin, point := unescape(fields[3]), unescape(fields[4])
		switch {
		case point == path && (strings.Contains(origin, "/..") || strings.Contains(origin, "/volume-subpaths/")):
			return true
		case filepath.Dir(point) == path && !strings.HasPrefix(filepath.Base(point), "."):
			return true
		}
	}
	return false
}

// unescape reverses mountinfo's escapes of space, tab, line feed and backslash.
func unescape(field string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(field)
}
