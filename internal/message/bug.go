package message

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bug is for a panic. where is a place in the source; no data is shown.
func Bug(version, where string) error {
	return &Error{Code: "bug", Topic: Internal,
		What: "this is a bug in git-credential-acp " + version + " (in " + where + ")",
		Hint: reportHint}
}

const reportHint = "report this line at https://github.com/ambient-code/git-credential-acp/issues; running the command again may help"

// Printable makes a text safe for one line of a terminal or a log: characters that are
// not [Visible] are escaped.
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

// Visible reports whether a terminal shows a character and does nothing else with it:
// no control or format characters, no line separators, no spaces but U+0020, and no
// invisible ones such as variation selectors and fillers.
func Visible(r rune) bool {
	return strconv.IsPrint(r) && r != '\u2800' && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
