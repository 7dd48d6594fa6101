package gitconfig

import (
	"path/filepath"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/file"
)

// maxScript bounds what is read of a helper that is a file, in bytes.
const maxScript = 64 << 10

// Text is what a helper runs, as far as it can be read without running it: the line of
// shell, or the script that is named by its whole path; "" for any other.
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
