package check

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/gitnet"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// programLimit is the time limit for a program to print its version.
const programLimit = 5 * time.Second

// gitHere makes the steps about git on this machine, for one token.
type gitHere struct {
	*run
	place place
}

// configured reports git's configuration for git's URL.
func (g *gitHere) configured(reached bool) {
	url := g.place.url()
	if url == "" {
		g.skip("the instance is unknown", stepHelpers, stepVerify, stepRun)
		return
	}
	if !onPath("git") {
		g.skip(noGit, stepHelpers, stepVerify, stepRun)
		return
	}
	if w, proxied := g.through(url); proxied {
		g.configuredThrough(w)
		return
	}
	reportHelpers(&g.steps, g.config, url)
	g.leaks()
	if by := gitnet.Authorizes(g.config.Trusted(), url); by != "" {
		before := g.warned[stepHelpers]
		g.warn(stepHelpers, nil, message.HeaderAuthorizes(by))
		g.warned[stepHelpers] = before // git can be run with it
	}
	if !reached {
		g.ignored = append(g.ignored, g.Net.To(url).Ignored()...)
	}
	if by := g.Net.To(url).VerifyOff(); by != "" {
		g.warn(stepVerify, nil, warnVerifyOff(by))
	} else if reached && !g.trustsInstance() {
		g.warn(stepVerify, nil, warnGitDistrusts(g.instance))
	} else {
		g.good(stepVerify, nil, "git verifies certificates")
	}
	g.listRefs(reached && g.sound)
}

// noGit is why a step about git on this machine is skipped. An init container often has none.
const noGit = "git is not on the PATH"

// trustsInstance reports whether git trusts the instance's certificate, without the authorities
// of the token's source.
func (g *gitHere) trustsInstance() bool {
	found := g.place.found
	if found.CA == nil {
		return true
	}
	if pem, problem := found.CA(); problem != nil || len(pem) == 0 {
		return true
	}
	found.CA = nil
	client, problem := g.Connect(helper.Question{Found: found})
	if problem != nil {
		return true
	}
	defer client.Close()
	ctx, cancel := g.limited()
	defer cancel()
	return client.User(ctx).Reason != access.TLSUntrusted
}

// url is git's URL, "" if unknown.
func (p place) url() string {
	switch {
	case p.request.Host == "":
		return ""
	case p.request.Path == "" && p.found.Instance.String() != "":
		return p.found.Instance.URL()
	}
	return strings.TrimSuffix(p.request.Protocol+"://"+p.request.Host+"/"+p.request.Path, "/")
}

// atInstance reports whether the URL is the instance's own.
func (p place) atInstance() bool {
	i, err := instance.Parse(p.request.Protocol+"://"+p.request.Host+"/"+p.request.Path, true)
	return err == nil && i == p.found.Instance
}

// own is this helper's name in git's configuration, and prefix the prefix of helpers'
// programs.
const (
	own    = "acp"
	prefix = "git-credential-"
)

// reportHelpers reports the helpers that git asks, in order.
func reportHelpers(s *steps, config gitconfig.Config, url string) {
	found := config.Credential(url)
	data := HelpersData{Helpers: []HelperData{}, UseHTTPPath: found.UseHTTPPath}
	var names []string
	first, keeps := -1, ""
	for n, h := range found.Helpers {
		data.Helpers = append(data.Helpers, HelperData{Program: h.Program, Scope: h.Scope.String(), Origin: h.Origin})
		names = append(names, fmt.Sprintf("%s (%s)", helperName(h), h.Scope))
		switch helperOf(h) {
		case own:
			if first < 0 {
				first = n
			}
		case "store":
			keeps = message.Quote(h.Origin)
		}
	}
	switch {
	case first < 0 && config.Problem != nil:
		s.skip("not all of git's configuration was read", stepHelpers)
	case first < 0:
		s.warn(stepHelpers, data, warnNotAHelper(url, names))
	case first > 0:
		s.warn(stepHelpers, data, warnOtherHelperFirst(names[0]))
	case !installed(found.Helpers[first].Program):
		s.warn(stepHelpers, data, warnHelperMissing(helperName(found.Helpers[first])))
	default:
		text := "git asks " + strings.Join(names, ", then ")
		if !found.UseHTTPPath {
			text += "; without credential.useHttpPath, git does not send the project"
		}
		s.good(stepHelpers, data, "%s", text)
	}
	if keeps != "" {
		s.warn(stepHelpers, nil, warnStoreKeepsToken(keeps))
	}
	for _, push := range []bool{false, true} {
		if by, diverted := config.Diverted(url+"/", push); diverted {
			s.warn(stepHelpers, nil, message.Elsewhere(url, by.Name(), message.Quote(by.Origin)))
			return
		}
	}
}

// helperOf is a helper's name, without directory, prefix and ending.
func helperOf(h gitconfig.Helper) string {
	return strings.TrimPrefix(strings.TrimSuffix(h.Program[strings.LastIndexAny(h.Program, `/\`)+1:], ".exe"), prefix)
}

// helperName is a helper's name in output.
func helperName(h gitconfig.Helper) string {
	if h.Program == "!" {
		return "a line of shell"
	}
	return message.Quote(h.Program)
}

// installed reports whether git finds a helper, without shell expansion of its name.
func installed(helper string) bool {
	switch {
	case filepath.IsAbs(helper):
		return onPath(helper)
	case strings.ContainsAny(helper, `/\~$`):
		return true
	}
	return onPath(prefix + helper)
}

func onPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// reportCache reports where verdicts are cached.
func reportCache(r *run) {
	switch path, problem := r.Cache(); {
	case problem != nil && !message.Is(problem, "cache-unusable"):
		r.skip("the settings are invalid", stepCache)
	case problem != nil:
		r.warn(stepCache, nil, problem)
	case path == "":
		r.good(stepCache, nil, "ACP_GITLAB_CACHE_DIR is off: every git command asks GitLab")
	default:
		r.good(stepCache, nil, "verdicts are cached in %s", message.Quote(path))
	}
}

// reportOrigins reports what git's configuration was read from, and what was skipped.
func reportOrigins(r *run) {
	if !onPath("git") {
		r.skip(noGit+"; only settings in the environment are used", stepConfig)
		return
	}
	data := ConfigData{Origins: []string{}}
	for _, e := range r.config.Entries {
		if !slices.Contains(data.Origins, e.Origin) {
			data.Origins = append(data.Origins, e.Origin)
		}
	}
	for _, by := range r.ignored {
		r.warn(stepConfig, data, message.SettingIgnored(by))
	}
	switch problem := r.config.Problem; {
	case problem == nil && len(r.ignored) > 0:
	case problem != nil:
		r.warn(stepConfig, data, warnConfigSkipped(problem))
	case len(data.Origins) == 0:
		r.good(stepConfig, data, "there is none")
	default:
		r.good(stepConfig, data, "read from %s", list(quoted(data.Origins)))
	}
}

// reportStored reports the settings in git's configuration with a token or password, without their
// values.
func reportStored(r *run) {
	if !onPath("git") {
		r.skip(noGit, stepStored)
		return
	}
	exposed := r.config.Exposed(r.result.Redact)
	for _, entry := range exposed {
		remote := ""
		if name, found := entry.Subsection(); found && entry.Section == "remote" {
			remote = message.Quote(name)
		}
		data := StoredData{Setting: entry.Name(), Origin: entry.Origin}
		r.warn(stepStored, data, warnTokenStored(entry.Name(), message.Quote(entry.Origin), remote))
	}
	switch {
	case len(exposed) > 0:
	case r.config.Problem != nil:
		r.skip("not all of git's configuration was read", stepStored)
	default:
		r.good(stepStored, nil, "git's configuration contains no token or password")
	}
}

// release is a version of a program.
type release [3]int

func (v release) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// vulnerability is a credential leak in a program, and the first upstream release
// of each minor version that fixes it. Later minor versions have the fix, earlier
// ones do not.
type vulnerability struct {
	cve   string
	fixed []release
}

var (
	gitLeaks = vulnerability{"CVE-2024-50349 and CVE-2024-52006",
		[]release{{2, 40, 4}, {2, 41, 3}, {2, 42, 4}, {2, 43, 6}, {2, 44, 3}, {2, 45, 3}, {2, 46, 3}, {2, 47, 2}, {2, 48, 1}}}
	lfsLeaks = vulnerability{"CVE-2024-53263", []release{{3, 6, 1}}}
)

// affects reports whether a version is older than the fixed one, and returns that.
func (v vulnerability) affects(version release) (fixed release, yes bool) {
	for _, fixed := range v.fixed {
		if version[0] == fixed[0] && version[1] == fixed[1] {
			return fixed, version[2] < fixed[2]
		}
	}
	last := v.fixed[len(v.fixed)-1]
	return last, slices.Compare(version[:], last[:]) < 0
}

// systemDirs are where only a system's own packages install programs. They keep
// the upstream version when they backport a fix, and programs do not print the
// package's revision.
var systemDirs = []string{"/usr/bin", "/bin"}

// reportVersion checks the version of a program.
func reportVersion(r *run, step, name, before string, leaks vulnerability, args ...string) {
	ctx, cancel := context.WithTimeout(r.ctx, programLimit)
	defer cancel()
	line, err := r.Here.firstLine(ctx, name, args...)
	version, known := parseVersion(strings.TrimPrefix(line, before))
	switch {
	case r.ctx.Err() != nil && r.result.Reason == nil:
		r.fail(step, errCheckInterrupted())
	case r.ctx.Err() != nil:
		r.skip("the check was interrupted", step)
	case errors.Is(err, exec.ErrNotFound):
		r.skip(name+" is not on the PATH", step)
	case ctx.Err() != nil:
		r.warn(step, nil, warnProgramSilent(name, "no answer within "+programLimit.String()))
	case err != nil && !errors.As(err, new(*exec.ExitError)):
		r.warn(step, nil, warnProgramSilent(name, "it can't be run: "+file.Cause(err)))
	case err != nil:
		r.warn(step, nil, warnProgramSilent(name, "it ends with an error"))
	case !known:
		r.warn(step, nil, warnProgramSilent(name, "its output has no version"))
	default:
		data := VersionData{Version: version.String()}
		fixed, affected := leaks.affects(version)
		path, _ := exec.LookPath(name)
		switch {
		case !affected:
			r.good(step, data, "%s", version)
		case slices.Contains(systemDirs, filepath.Dir(path)):
			r.good(step, data, "%s, a package of this system, which may have the fix for %s although it is older than %s", version, leaks.cve, fixed)
		default:
			r.warn(step, data, warnProgramLeaks(name, version.String(), fixed.String(), leaks.cve))
		}
	}
}

// parseVersion reads two or three numbers at the beginning of text.
func parseVersion(text string) (version release, ok bool) {
	for n := range version {
		digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
		number, err := strconv.Atoi(digits)
		if err != nil {
			return version, n >= 2
		}
		version[n] = number
		if text, ok = strings.CutPrefix(text[len(digits):], "."); !ok {
			return version, n >= 1
		}
	}
	return version, true
}
