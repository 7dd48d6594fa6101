package gitconfig

import (
	"path"
	"path/filepath"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/file"
)

// PlatformScript is the file to which the platform's runner writes a helper for GitHub
// and GitLab. It has git ask it for every host.
const PlatformScript = "/tmp/git-credential-ambient"

// maxScript is the limit for reading a helper's file, in bytes.
const maxScript = 64 << 10

// Text is what a helper runs, if that can be read: the shell command, or the script with an
// absolute path; "" for others.
func (h Helper) Text() string {
	if h.Program == "!" {
		return strings.TrimPrefix(h.Value(), "!")
	}
	if !filepath.IsAbs(h.Program) {
		return ""
	}
	text, err := file.Read(h.Program, maxScript)
	if err != nil || !strings.HasPrefix(string(text), "#!") {
		return ""
	}
	return string(text)
}

// IsPlatformScript reports whether a helper is the platform's script: by the file's
// name, or since it is a script that knows passwords for both GitHub and GitLab.
func (h Helper) IsPlatformScript() bool {
	if path.Base(h.Program) == path.Base(PlatformScript) {
		return true
	}
	text := strings.ToLower(h.Text())
	return strings.HasPrefix(text, "#!") && strings.Contains(text, "password") && strings.Contains(text, "gitlab") && strings.Contains(text, "github")
}
