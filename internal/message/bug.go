package message

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bug is for a failure that is the program's own. where is a place in its source;
// nothing of what it worked on is told.
func Bug(version, where string) error {
	return &Error{Code: "bug", Topic: Internal,
		What: "this is a bug in git-credential-acp " + version + " (in " + where + ")",
		Hint: reportHint}
}

const reportHint = "report this line at https://github.com/ambient-code/git-credential-acp/issues; running the same again may help"

// Printable makes a text fit for one line of a terminal or a log: what is not
// [Visible] is written as an escape.
func Printable(text string) string {
	var out strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if Visible(r) && (r != utf8.RuneError || size > 1) {
			out.WriteString(text[:size])
		} else {
			out.WriteString(strings.Trim(strconv.QuoteToASCII(text[:size]), `"`))
		}
		text = text[size:]
	}
	return out.String()
}

// Visible reports a character that a terminal shows and does nothing else with: no
// control or format character, no line separator, no space but the usual one, and
// none that has no form of its own, such as a variation selector or a filler.
func Visible(r rune) bool {
	return strconv.IsPrint(r) && r != '\u2800' && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
