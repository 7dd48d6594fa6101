package setup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
)

const (
	// lockWait is how long to wait for another program's lock, which is held only while
	// writing a small file.
	lockWait   = time.Second
	lockPoll   = 20 * time.Millisecond
	lockSuffix = ".lock"
)

// lock creates git's lock file, in which the new text is written (git's lockfile.h).
func lock(ctx context.Context, config string) (*os.File, error) {
	path := target(config) + lockSuffix
	for end := time.Now().Add(lockWait); ; time.Sleep(lockPoll) {
		lock, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666) //nolint:gosec // as git does
		switch {
		case err == nil:
			return lock, nil
		case !errors.Is(err, fs.ErrExist):
			return nil, errGitConfigUnwritable(config, file.Cause(err))
		case ctx.Err() != nil || time.Now().After(end):
			return nil, errGitConfigLocked(path)
		}
	}
}

// editFile changes git's file as git itself does. If nothing is left, the file is removed if it was
// created by setup.
func editFile(ctx context.Context, path string, created bool, change func(text string) string) error {
	lock, problem := lock(ctx, path)
	if problem != nil {
		return problem
	}
	abandon := func() { _ = errors.Join(lock.Close(), os.Remove(lock.Name())) }
	text, problem := readFile(path)
	if problem != nil {
		abandon()
		return problem
	}
	changed := change(text)
	switch {
	case changed == "" && created:
		err := os.Remove(target(path))
		abandon()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errGitConfigUnwritable(path, file.Cause(err))
		}
		return nil
	case changed == text:
		abandon()
		return nil
	}
	_, err := lock.WriteString(changed)
	if info, missing := os.Stat(path); missing == nil {
		err = errors.Join(err, lock.Chmod(info.Mode().Perm()))
	}
	if err = errors.Join(err, lock.Close()); err == nil {
		err = os.Rename(lock.Name(), target(path))
	}
	if err != nil {
		abandon()
		return errGitConfigUnwritable(path, file.Cause(err))
	}
	return nil
}

// appended adds a section at the end of a file. One without a final line break keeps that
// form, so that cut restores it.
func appended(text string, s Section) string {
	if text == "" || strings.HasSuffix(text, "\n") {
		return text + s.text()
	}
	return text + "\n" + strings.TrimSuffix(s.text(), "\n")
}

// cut removes sections of one line that appended has added, as long as they are in that form. The
// section's name stays if there is something else in the section now.
func cut(text string, s Section) string {
	block := s.text()
	name, _, _ := strings.Cut(block, "\n")
	if before, last := strings.CutSuffix("\n"+text, "\n"+strings.TrimSuffix(block, "\n")); last {
		text = strings.TrimPrefix(before, "\n")
	}
	for {
		before, after, found := strings.Cut("\n"+text, "\n"+block)
		if !found {
			return text
		}
		if !atSection(after) {
			after = name + "\n" + after
		}
		text = strings.TrimPrefix(before+"\n"+after, "\n")
	}
}

// atSection reports whether nothing but comments comes before the next section.
func atSection(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			return strings.HasPrefix(line, "[")
		}
	}
	return true
}

// target is a path with symlinks resolved, also if there is no file yet.
func target(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	to, err := os.Readlink(path)
	switch {
	case err != nil:
		return path
	case filepath.IsAbs(to):
		return to
	}
	return filepath.Join(filepath.Dir(path), to)
}

// continued reports whether a file ends within a line, to which git would append.
func continued(text string) bool {
	return (len(text)-len(strings.TrimRight(text, `\`)))%2 == 1
}
