// Package trace writes one line per step with its duration, to show why a call was slow
// or refused. Only a fixed list of keys is written, so that no secret gets in by accident.
package trace

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Key names a value of a step.
type Key string

// The keys. None is for text from a server, a whole URL, or anything of a request but its
// host and path.
const (
	Operation Key = "operation" // what git asked for, or the command
	Version   Key = "version"   // the program's
	Process   Key = "process"   // its number, since several may write to one file
	Source    Key = "source"    // a kind of place that a token comes from
	Instance  Key = "instance"  // host, port and path of an instance
	Project   Key = "project"   // a full path
	Count     Key = "count"     // how many there were
	Request   Key = "request"   // a method and a path of the API
	Status    Key = "status"    // of HTTP
	Outcome   Key = "outcome"   // how the step ended
	Reason    Key = "reason"    // the code of a message
	Wait      Key = "wait"      // the time to wait
)

// Value is a key and its value.
type Value struct {
	Key   Key
	Value any
}

// Tracer writes steps. A nil Tracer writes nothing.
type Tracer struct {
	log *slog.Logger

	mu     sync.Mutex
	tokens []token.Token
}

// New makes a tracer that writes lines to w, each in one write.
func New(w io.Writer, process int) *Tracer {
	t := &Tracer{}
	handler := slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: t.clean})
	t.log = slog.New(handler).With(slog.Int(string(Process), process))
	return t
}

// Hide redacts a token, and parts of it, in all lines from now on, as a last line of
// defense.
func (t *Tracer) Hide(tok token.Token) {
	if t == nil || tok.IsZero() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.ContainsFunc(t.tokens, func(known token.Token) bool { return known.Reveal() == tok.Reveal() }) {
		t.tokens = append(t.tokens, tok)
	}
}

// Step writes a step that began at a time and has just ended.
func (t *Tracer) Step(name string, began time.Time, values ...Value) {
	if t == nil {
		return
	}
	attrs := make([]slog.Attr, 0, len(values)+1)
	attrs = append(attrs, slog.Duration(took, time.Since(began).Round(time.Microsecond)))
	for _, v := range values {
		attrs = append(attrs, slog.Any(string(v.Key), v.Value))
	}
	t.log.LogAttrs(context.Background(), slog.LevelInfo, name, attrs...)
}

const took = "took"

// allowed are the keys that are written, slog's own included.
var allowed = map[string]bool{
	slog.TimeKey: true, slog.MessageKey: true, took: true,
	string(Operation): true, string(Version): true, string(Process): true, string(Source): true, string(Instance): true,
	string(Project): true, string(Count): true, string(Request): true, string(Status): true, string(Outcome): true,
	string(Reason): true, string(Wait): true,
}

// clean drops other keys, and redacts what looks like a token.
func (t *Tracer) clean(_ []string, a slog.Attr) slog.Attr {
	switch {
	case !allowed[a.Key]:
		return slog.Attr{}
	case a.Key == slog.MessageKey:
		a.Key = "step"
	case a.Key == slog.TimeKey:
		return slog.String(slog.TimeKey, a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	switch a.Value.Kind() {
	case slog.KindInt64, slog.KindDuration, slog.KindBool:
		return a
	}
	text := fmt.Sprint(a.Value.Any())
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tok := range t.tokens {
		text = tok.Redact(text)
	}
	return slog.String(a.Key, token.Mask(text))
}
