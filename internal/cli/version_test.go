package cli

import (
	"runtime/debug"
	"testing"
)

func TestBuild(t *testing.T) {
	checkout := &debug.BuildInfo{
		Main: debug.Module{Version: "v0.0.0-20261122173409-a48d080fdc12"},
		Settings: []debug.BuildSetting{
			{Key: "-trimpath", Value: "true"},
			{Key: "vcs.revision", Value: "a48d080fdc12"},
			{Key: "vcs.time", Value: "2026-11-22T17:34:09Z"},
			{Key: "vcs.modified", Value: "false"},
		},
	}
	for _, c := range []struct {
		name  string
		build Build
		want  string
	}{
		{"a release", Build{Version: "v1.2.3", Commit: "0123abcd", Date: "2026-01-02T03:04:05Z"}.known(),
			"v1.2.3 (0123abcd, 2026-01-02T03:04:05Z)"},
		{"an archive of the sources, with a version by hand", Build{Version: "v1.2.3"}.known(), "v1.2.3"},
		{"go build in a checkout", recorded(checkout),
			"v0.0.0-20261122173409-a48d080fdc12 (a48d080fdc12, 2026-11-22T17:34:09Z)"},
		{"go install of a version", recorded(&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}), "v1.2.3"},
		{"nothing known", recorded(new(debug.BuildInfo)), "(devel)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.build.String(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	if got := (Build{}).known(); got.Version == "" {
		t.Errorf("without a version: %q", got)
	}
}
