package report

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

func asIs(text string) string { return text }

// hostile is what a server or a user could put into a name.
const hostile = "\x1b[2J\x00\x7f\u0085\u202e\u2066\u2028\u2029\u200b\u00ad\ufeff\u3164\u115f\u2800\u00a0\ufe0f\u061c\U000e0041\U0001f600\xffé\t\r\n\"\\<>&"

// A document shows all that is in it, and says what was there.
func TestDocument(t *testing.T) {
	var out strings.Builder
	value := map[string]any{"name": hostile, "list": []string{hostile, `a": "b`}, "n": 7, "none": nil}
	if err := Document(&out, value, asIs); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.String() {
		if r != '\n' && !message.Visible(r) {
			t.Errorf("%U was printed", r)
		}
	}
	for _, shown := range []string{"é", "😀", "<>&", `\u202e`, `\udb40\udc41`, "\ufffd"} {
		if !strings.Contains(out.String(), shown) {
			t.Errorf("%s is not in %s", shown, out.String())
		}
	}
	var got struct {
		Name string
		List []string
		N    int
	}
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	want := strings.ToValidUTF8(hostile, "\ufffd")
	if got.Name != want || got.List[0] != want || got.List[1] != `a": "b` || got.N != 7 {
		t.Errorf("%q %q %d", got.Name, got.List, got.N)
	}
}

// No string contains a secret, in any JSON escape; a document without one is unchanged.
func TestDocumentRedacts(t *testing.T) {
	for _, secret := range []string{"Canary<&>\"\\0123", "Canary/plain", "1234567890"} {
		var out strings.Builder
		redact := func(text string) string { return strings.ReplaceAll(text, secret, "[redacted]") }
		if err := Document(&out, map[string]any{"a": "x" + secret + "y", "b": []int64{1234567890, 5}}, redact); err != nil {
			t.Fatal(err)
		}
		var got struct {
			A string
			B []int64
		}
		if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		if got.A != "x[redacted]y" || secret == "1234567890" && got.B[0] != 0 || secret != "1234567890" && got.B[0] != 1234567890 {
			t.Errorf("%s: %q %d", secret, got.A, got.B)
		}
	}
}

func TestLines(t *testing.T) {
	var out strings.Builder
	lines := Lines{To: &out, Redact: func(text string) string { return strings.ReplaceAll(text, "Canary", "[redacted]") }}
	lines.Step(Failed, "token", "bad: Canary\u202e\n", "ask\u2028again")
	lines.Step("", "", "more", "")
	lines.Color = true
	lines.Step(Good, "x", "y", "")
	want := `✗ token            bad: [redacted]\u202e\n
                   hint: ask\u2028again
                   more
` + "\x1b[32m✓\x1b[0m x                y\n"
	if out.String() != want || lines.Err != nil {
		t.Errorf("%q", out.String())
	}
}

func FuzzQuote(f *testing.F) {
	f.Add(hostile)
	f.Fuzz(func(t *testing.T, text string) {
		quoted := Quote(text)
		var got string
		if err := json.Unmarshal([]byte(quoted), &got); err != nil || got != strings.ToValidUTF8(got, "") {
			t.Fatalf("%q became %s: %v", text, quoted, err)
		}
		if strings.ContainsFunc(quoted, func(r rune) bool { return !message.Visible(r) }) {
			t.Fatalf("%q became %q", text, quoted)
		}
	})
}
