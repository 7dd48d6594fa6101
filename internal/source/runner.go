package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// RunnerDir is where the platform's runner has its files.
const RunnerDir = "/tmp"

// What the platform's runner has there: the token of the user whose turn it is, which
// it removes after the turn, and its own credential helper, which stays.
const (
	runnerFile   = ".ambient_gitlab_token"
	runnerScript = "git-credential-ambient"
)

// The runner truncates its file before it writes it, so a read may come in between.
const (
	halfWritten = 20 * time.Millisecond
	maxRereads  = 10
)

// RunnerTraces reports whether the platform's runner has left its files in a directory.
// Those of other users than root and this one don't count.
func RunnerTraces(dir string) bool {
	for _, name := range []string{runnerFile, runnerScript} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err == nil && info.Mode().IsRegular() && file.Trusted(info) {
			return true
		}
	}
	return false
}

// runner reads the token of the user whose turn it is. There is always a result: without the
// file, no turn is running, and no other source may be used.
func (c Config) runner() Found {
	path := filepath.Join(c.RunnerDir, runnerFile)
	f := Found{Source: Runner, Path: path, Where: runnerWhere(path), Renew: reconnect + ", then start a new turn",
		Belongs: belongsVariable, Changed: func() time.Time { return changed(os.Lstat(path)) }}
	c.readTurn(&f)
	f.Same = func() bool {
		now := Found{Path: path, Where: f.Where, Renew: f.Renew}
		c.readTurn(&now)
		return now.Problem == nil && now.Token.Reveal() == f.Token.Reveal()
	}
	url := c.InstanceURL
	if f.Problem == nil {
		owner := c.RunnerInstance(f.Token)
		if owner.Problem != nil {
			f.Problem, f.Token = owner.Problem, token.Token{}
			return f
		}
		url, f.Belongs = owner.InstanceURL, owner.Where
	}
	f.ByDefault = strings.TrimSpace(url) == ""
	f.setInstance(url, f.Belongs, c.AllowHTTPLoopback)
	return f
}

// Unused are places for the instances of mounted Secrets that are not looked at because of
// the runner's file, each with the reason why there is no token for its instance: without
// them, a request for such an instance would be ignored in silence.
func (c Config) Unused(runner Found) (places []Found) {
	for _, dir := range c.Dirs {
		f, there := c.mount(dir)
		if !there || f.Instance == (instance.Instance{}) || f.Instance.URL() == DefaultInstanceURL || f.Instance == runner.Instance {
			continue
		}
		place := runner
		place.Instance, place.Token = f.Instance, token.Token{}
		if place.Problem == nil {
			place.Problem = message.OtherInstance(f.Instance.String(), runner.Instance.String(), runner.Where, runner.Belongs)
		}
		places = append(places, place)
	}
	return places
}

func runnerWhere(path string) string { return "the runner's token file " + message.Quote(path) }

// readTurn reads the token at f.Path. A text that is no token may be half of one.
func (c Config) readTurn(f *Found) {
	for reads := 0; ; reads++ {
		f.Problem, f.Fault = nil, ""
		text := contentOf(file.ReadTrusted(f.Path, maxValue))
		switch {
		case !text.there:
			f.Problem, f.Fault = errNoTurn(f.Path), token.Empty
			return
		case errors.Is(text.err, file.ErrForeign):
			f.Problem = errTurnForeign(f.Where)
			return
		case text.err != nil:
			f.Problem = errTurnUnreadable(text.problem(f.Where, maxValue))
			return
		}
		f.setToken(text.text)
		if f.Problem == nil || reads == maxRereads {
			return
		}
		time.Sleep(halfWritten)
	}
}
