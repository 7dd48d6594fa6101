package check

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// programLimit bounds how long a program may take to tell its version.
const programLimit = 10 * time.Second

// machine makes the steps that look at this machine: git's configuration for
// the URL, and the programs.
func (r *run) machine(p place, project string) {
	config := r.Config()
	if url := r.url(p, project); url != "" {
		r.helpers(config, url)
		r.transfer(url)
	} else {
		r.skip("the instance is not known", stepHelpers)
	}
	r.stored(config)
	r.version(stepGit, "git", "git version ", gitFixed, "--version")
	r.version(stepLFS, "git-lfs", "git-lfs/", lfsFixed, "version")
}

// url is the address that git is used with.
func (r *run) url(p place, project string) string {
	switch {
	case p.request.Path != "":
		return p.request.Protocol + "://" + p.request.Host + "/" + p.request.Path
	case p.found.Instance.String() == "":
		return ""
	case project != "":
		return p.found.Instance.URL() + "/" + project + ".git"
	}
	return p.found.Instance.URL()
}

// ours are the names by which git calls this program.
const program = "acp"

// helpers tells which helpers git asks, in which order.
func (r *run) helpers(config gitconfig.Config, url string) {
	found := config.Credential(url)
	data := HelpersData{Helpers: []HelperData{}, UseHTTPPath: found.UseHTTPPath}
	var names []string
	ours, keeps := -1, ""
	for n, h := range found.Helpers {
		data.Helpers = append(data.Helpers, HelperData{Program: h.Program, Scope: h.Scope.String(), Origin: h.Origin})
		names = append(names, fmt.Sprintf("%s (%s)", message.Quote(h.Program), h.Scope))
		base := h.Program[strings.LastIndexAny(h.Program, `/\`)+1:]
		switch strings.TrimPrefix(strings.TrimSuffix(base, ".exe"), "git-credential-") {
		case program:
			if ours < 0 {
				ours = n
			}
		case "store":
			keeps = message.Quote(h.Origin)
		}
	}
	switch {
	case ours < 0:
		r.warn(stepHelpers, data, message.NotAHelper(names))
	case ours > 0:
		r.warn(stepHelpers, data, message.OtherHelperFirst(names[0]))
	default:
		text := "git asks " + strings.Join(names, ", then ")
		if !found.UseHTTPPath {
			text += "; without useHttpPath, it does not say which project it wants"
		}
		r.good(stepHelpers, data, "%s", text)
	}
	if keeps != "" {
		r.warn(stepHelpers, data, message.StoreKeepsToken(keeps))
	}
}

// transfer warns of settings of git's that weaken TLS.
func (r *run) transfer(url string) {
	if by := r.VerifyOff(url); by != "" {
		r.warn(stepHelpers, nil, message.VerifyOff(by))
	}
}

// stored names the places in git's configuration that hold a token or a
// password. What they hold is not even looked at here.
func (r *run) stored(config gitconfig.Config) {
	exposed := config.Exposed()
	for _, entry := range exposed {
		r.warn(stepStored, nil, message.TokenStored(entry.Name(), message.Quote(entry.Origin), remoteOf(entry)))
	}
	for _, skipped := range config.Skipped {
		what := message.Quote(skipped.Origin)
		if skipped.Include != "" {
			what = message.Quote(skipped.Path) + ", which " + message.Quote(skipped.Origin) + " includes,"
		}
		r.warn(stepStored, nil, message.ConfigSkipped(what, skipped.Why))
	}
	if len(exposed) == 0 && len(config.Skipped) == 0 {
		r.good(stepStored, nil, "no token or password stands in git's configuration")
	}
}

// remoteOf is the name of the remote that an entry is about, "" for none.
func remoteOf(entry gitconfig.Entry) string {
	if name, found := entry.Subsection(); found && entry.Section == "remote" {
		return message.Quote(name)
	}
	return ""
}

// fixed is a version in which leaks of credentials are mended.
type fixed [3]int

// The first versions of each line of git that mend CVE-2024-50349 and
// CVE-2024-52006 (2.39 as distributions patch it), and of git-lfs that mend
// CVE-2024-53263. Lines after the last are good, those before the first are not.
var (
	gitFixed = []fixed{{2, 39, 5}, {2, 40, 4}, {2, 41, 3}, {2, 42, 4}, {2, 43, 6}, {2, 44, 3}, {2, 45, 3}, {2, 46, 3}, {2, 47, 2}, {2, 48, 1}}
	lfsFixed = []fixed{{3, 6, 1}}
)

// leaks reports whether a version is before the mended one of its line, and
// which that is.
func leaks(version fixed, mended []fixed) (fixed, bool) {
	last := mended[len(mended)-1]
	for _, m := range mended {
		if version[0] == m[0] && version[1] == m[1] {
			return m, version[2] < m[2]
		}
	}
	return last, version[0] < last[0] || version[0] == last[0] && version[1] < last[1]
}

// version looks at the version of a program.
func (r *run) version(step, name, prefix string, mended []fixed, args ...string) {
	ctx, cancel := context.WithTimeout(r.ctx, programLimit)
	defer cancel()
	line, found := r.Output(ctx, name, args...)
	if !found {
		r.skip("there is no "+name+" here, or it does not answer", step)
		return
	}
	version, ok := parseVersion(strings.TrimPrefix(line, prefix))
	if !ok {
		r.skip(name+" does not tell its version in the usual form", step)
		return
	}
	text := fmt.Sprintf("%d.%d.%d", version[0], version[1], version[2])
	if good, bad := leaks(version, mended); bad {
		r.warn(step, VersionData{Version: text}, message.ProgramLeaks(name, text, fmt.Sprintf("%d.%d.%d", good[0], good[1], good[2])))
		return
	}
	r.good(step, VersionData{Version: text}, "%s", text)
}

// parseVersion reads up to three numbers at the beginning of text.
func parseVersion(text string) (version fixed, ok bool) {
	text, _, _ = strings.Cut(text, " ")
	for n, part := range strings.SplitN(text, ".", 4) {
		if n == len(version) {
			break
		}
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		number, err := strconv.Atoi(digits)
		if err != nil {
			return version, n >= 2
		}
		version[n] = number
	}
	return version, version[0] > 0
}
