package message

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"plain → words… \"x\" \\":   "plain → words… \"x\" \\",
		"unknown flag: --\x1b[2K":   `unknown flag: --\x1b[2K`,
		"two\nlines\r":              `two\nlines\r`,
		"a\u2028b\u0085c":           `a\u2028b\u0085c`,
		"right\u202eleft":           `right\u202eleft`,
		"\xff\ufffd":                `\xff` + "\ufffd",
		"a\ufe0f\u3164\u115f\u200b": `a\ufe0f\u3164\u115f\u200b`,
		"\U000e0041":                `\U000e0041`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// Any text becomes one line without control characters; harmless text is unchanged.
func FuzzPrintable(f *testing.F) {
	for _, text := range []string{"", "hint: Settings → Integrations", "\x1b]0;title\x07", "\xc3\x28", "\u2066\u2029"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Printable(text)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Fatalf("%q became %q", text, got)
		}
		if Printable(got) != got {
			t.Fatalf("%q became %q, and that %q", text, got, Printable(got))
		}
	})
}
