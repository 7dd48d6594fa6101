// Package report prints results as lines for people and as a JSON document for
// programs. It escapes control characters and redacts secrets.
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf16"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Status is how a step ended.
type Status string

// The statuses. A step is skipped if an earlier one failed, or if there is nothing to
// check.
const (
	Good    Status = "good"
	Warning Status = "warning"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// marks are a sign and an SGR color for each status.
var marks = map[Status][2]string{Good: {"✓", "32"}, Warning: {"!", "33"}, Failed: {"✗", "31"}, Skipped: {"-", "2"}}

// column is the width of the names' column.
const column = 16

// Lines prints lines for people.
type Lines struct {
	// To is where they are written.
	To io.Writer
	// Color says to color the marks.
	Color bool
	// Width is that of the column of names; 0 means 16.
	Width int
	// Redact removes secrets from a text; nil if there are none.
	Redact func(string) string
	// Err is the first write error.
	Err error
}

// Step prints a step's mark, name and text, and its hint if any. With status "", there is
// no mark: the line continues the one before.
func (l *Lines) Step(status Status, name, text, hint string) {
	mark := " "
	if sign, known := marks[status]; known {
		mark = sign[0]
		if l.Color {
			mark = "\x1b[" + sign[1] + "m" + mark + "\x1b[0m"
		}
	}
	width := cmp.Or(l.Width, column)
	l.Print("%s %-*s %s\n", mark, width, l.plain(name), l.plain(text))
	if hint != "" {
		l.Print("  %-*s hint: %s\n", width, "", l.plain(hint))
	}
}

// Print prints a text as it is.
func (l *Lines) Print(format string, args ...any) {
	if _, err := fmt.Fprintf(l.To, format, args...); err != nil && l.Err == nil {
		l.Err = err
	}
}

func (l *Lines) plain(text string) string {
	if l.Redact != nil {
		text = l.Redact(text)
	}
	return message.Printable(text)
}

// Document prints a value as one indented JSON document, with every string redacted and
// then escaped as by [Quote].
func Document(to io.Writer, value any, redact func(string) string) error {
	var encoded strings.Builder
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	var out strings.Builder
	for text := encoded.String(); ; {
		before, rest, found := strings.Cut(text, `"`)
		if redact(before) != before {
			before = numbers().ReplaceAllString(before, "0") // a secret of digits
		}
		out.WriteString(before)
		if !found {
			break
		}
		end := endOf(rest)
		literal := `"` + rest[:end]
		text = rest[end:]
		var plain string
		if err := json.Unmarshal([]byte(literal), &plain); err != nil {
			return err
		}
		if !strings.HasPrefix(text, ":") { // else it is a field's name
			literal = Quote(redact(plain))
		}
		out.WriteString(literal)
	}
	_, err := io.WriteString(to, out.String())
	return err
}

// numbers is compiled on demand, since initializers run at each start.
func numbers() *regexp.Regexp { return regexp.MustCompile(`[0-9]+`) }

// endOf is the length of a string literal without its first quote.
func endOf(literal string) int {
	for n := 0; n < len(literal); n++ {
		switch literal[n] {
		case '\\':
			n++
		case '"':
			return n + 1
		}
	}
	return len(literal)
}

// Quote is a text as a JSON string. Control, bidirectional and other invisible characters
// and line separators are escaped, so that a terminal shows what is there. Bytes that are
// not UTF-8 become U+FFFD.
func Quote(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out.WriteString(`\` + string(r))
		case message.Visible(r):
			out.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&out, `\u%04x`, unit)
			}
		}
	}
	out.WriteByte('"')
	return out.String()
}
