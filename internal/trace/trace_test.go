package trace

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/token"
)

const canary = "glpat-CanaryT3k9Wq7zXv5n"

func TestStep(t *testing.T) {
	var out bytes.Buffer
	tracer := New(&out, 42)
	tracer.Step("secret", time.Now().Add(-time.Second), Value{Source, "mount"}, Value{Count, 2}, Value{Instance, "a b"})
	want := `^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z step=secret process=42 took=1[.\d]*s source=mount count=2 instance="a b"` + "\n$"
	if !regexp.MustCompile(want).MatchString(out.String()) {
		t.Errorf("%q", out.String())
	}
}

// Only listed values are traced, and no token.
func TestList(t *testing.T) {
	tok, err := token.Parse(canary)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	tracer := New(&out, 1)
	tracer.Hide(tok)
	tracer.Hide(token.Token{})
	basic := base64.StdEncoding.EncodeToString([]byte("oauth2:" + canary))
	for _, value := range []any{canary, canary[6:], canary[8:17], basic, tok, []string{canary}, struct{ T string }{canary}, fmt.Errorf("x %s", canary)} {
		tracer.Step(canary, time.Now(), Value{"password", canary}, Value{Reason, value})
		tracer.log.With("header", canary).WithGroup("g").Info("x", "authorization", value)
		tracer.log.Info("x", slog.Group("g", "reason", value))
	}
	for _, part := range []string{"password", "header", "authorization", canary[6:14], canary[len(canary)-8:], basic[12:20]} {
		if strings.Contains(out.String(), part) {
			t.Errorf("%q got through: %s", part, out.String())
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines != 24 {
		t.Errorf("%d lines: %s", lines, out.String())
	}
}

// A token that nobody told the tracer of is known by how it begins.
func TestUnknownToken(t *testing.T) {
	var out bytes.Buffer
	tracer := New(&out, 1)
	for _, value := range []any{canary, []string{canary}, fmt.Errorf("x %s", canary)} {
		tracer.Step("x "+canary, time.Now(), Value{Reason, value})
	}
	if lines := strings.Count(out.String(), "\n"); lines != 3 || strings.Contains(out.String(), canary[6:14]) || strings.Contains(out.String(), canary[len(canary)-8:]) {
		t.Errorf("%d lines: %s", lines, out.String())
	}
}

// Without a tracer, nothing happens.
func TestNil(*testing.T) {
	var tracer *Tracer
	tracer.Hide(token.Token{})
	tracer.Step("x", time.Now())
}
