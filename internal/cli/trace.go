package cli

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/trace"
)

// newTracer is the tracer for ACP_GITLAB_TRACE, nil for none: as for GIT_TRACE, 1 or true is
// standard error, and an absolute path a file to append to. An unusable file is a warning.
func newTracer(d *deps) *trace.Tracer {
	switch where := d.config.Trace.Value; {
	case where == "" || where == "0" || where == "false":
		return nil
	case where == "1" || where == "true":
		return trace.New(prefixed{d.env.Stderr}, os.Getpid())
	case !filepath.IsAbs(where):
		d.say.tell(warnTraceUnusable(where, "it is neither 1 nor an absolute path"), asIs)
		return nil
	default:
		opened, err := file.Append(where)
		if err != nil {
			d.say.tell(warnTraceUnusable(where, file.Cause(err)), asIs)
			return nil
		}
		// The process ends with its command, and closes it.
		return trace.New(opened, os.Getpid())
	}
}

// prefixed writes the program's name before each line.
type prefixed struct{ to io.Writer }

func (p prefixed) Write(line []byte) (int, error) {
	_, err := p.to.Write(append([]byte(Name+": trace: "), line...))
	return len(line), err
}

// results are the names of outcomes.
var results = map[helper.Outcome]string{helper.Failed: "failed", helper.NotOurs: "not ours", helper.Refused: "refused",
	helper.Unverified: "unverified", helper.Answered: "answered"}

// exchange traces a request to GitLab or the platform, with the reply's status only.
func exchange(t *trace.Tracer) func(req *http.Request, status int, began time.Time) {
	if t == nil {
		return nil
	}
	return func(req *http.Request, status int, began time.Time) {
		values := []trace.Value{{Key: trace.Request, Value: req.Method + " " + req.URL.EscapedPath()}}
		if status != 0 {
			values = append(values, trace.Value{Key: trace.Status, Value: status})
		} else {
			values = append(values, trace.Value{Key: trace.Outcome, Value: "no answer"})
		}
		t.Step("request", began, values...)
	}
}
