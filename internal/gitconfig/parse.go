package gitconfig

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/go-git/gcfg"
)

// parse reads a file of configuration. The parser is gcfg, which calls back for
// each entry in its order and takes time in proportion. It knows fewer forms than
// git, so it gets the file in those that both read alike (see tidy).
// What it reads is what keep lets through.
func parse(data []byte, scope Scope, origin string, keep func(Entry) bool) ([]Entry, error) {
	tidied, err := tidy(data)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	// Names recur: one string of each will do.
	names := map[string]string{}
	name := func(text string) string {
		known, found := names[text]
		if !found {
			known = lower(text)
			names[text] = known
		}
		return known
	}
	err = gcfg.ReadWithCallback(strings.NewReader(tidied), func(section, subsection, key, value string, implicit bool) error {
		section = strings.TrimPrefix(section, mark)
		switch {
		case key == "" || section == "":
			return nil // a section itself, or what stands in none
		case strings.ContainsFunc(key, func(r rune) bool { return !nameCharacter(r) }):
			return ErrBroken
		}
		subsection, inner := strings.CutPrefix(subsection, mark)
		e := Entry{Scope: scope, Origin: origin, Section: name(section), Key: name(key),
			text: &text{subsection: narrow(subsection), value: narrow(value), inSubsection: inner, implicit: implicit}}
		if keep(e) {
			entries = append(entries, e)
		}
		return nil
	})
	if err != nil {
		// Its text is not told: it can hold parts of the file.
		return nil, ErrBroken
	}
	return entries, nil
}

// mark begins each name of a section and of a subsection in what tidy makes: gcfg
// takes none that are empty or begin with a digit.
const mark = "x"

// tidy writes a file so that gcfg reads in it what git does: without a byte order
// mark, in a section from the beginning, each section on a line of its own and
// with its subsection in quotes, continued lines in one (gcfg would put a line
// break there), and each byte a character of its own, since git takes any.
func tidy(data []byte) (string, error) {
	var out strings.Builder
	out.Grow(len(data) + len(data)/4)
	out.WriteString("[" + mark + "]\n")
	continued, quoted := false, false
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		line = bytes.TrimRight(line, "\r\n")
		for !continued {
			rest, found := bytes.CutPrefix(bytes.TrimLeft(line, blanks), []byte("["))
			if !found {
				break
			}
			section, rest, err := header(rest)
			if err != nil {
				return "", err
			}
			out.WriteString(section)
			line = rest
		}
		if !continued && bytes.IndexByte(line, '=') < 0 {
			quoted = false // nothing that could be continued
		} else if continued, quoted = ending(line, quoted); continued {
			widen(&out, line[:len(line)-1])
			continue
		}
		widen(&out, line)
		out.WriteByte('\n')
	}
	return out.String(), nil
}

const blanks = " \t\r"

// ending tells how a line ends: whether the next one continues it, and does so
// within quotes.
func ending(line []byte, quoted bool) (continued, within bool) {
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case !quoted && (c == '#' || c == ';'):
			return false, false
		case c == '"':
			quoted = !quoted
		case c == '\\':
			if i++; i == len(line) {
				return true, quoted
			}
		}
	}
	return false, false
}

// header reads the rest of a section's header, behind its bracket (config.c,
// get_base_var), and gives the header in gcfg's form and what follows it.
func header(line []byte) (section string, rest []byte, err error) {
	end := bytes.IndexFunc(line, func(r rune) bool { return r != '.' && !nameCharacter(r) })
	if end < 0 {
		return "", nil, ErrBroken
	}
	// The older form of a subsection, which git knows in lower case only.
	first, second, inner := strings.Cut(string(line[:end]), ".")
	second = lower(second)
	rest = line[end:]
	if quoted, found := bytes.CutPrefix(bytes.TrimLeft(rest, blanks), []byte(`"`)); found && len(quoted)+1 < len(rest) {
		name, after, ok := quotedName(quoted)
		if !ok {
			return "", nil, ErrBroken
		}
		if inner {
			second += "."
		}
		second, rest, inner = second+name, after, true
	}
	rest, found := bytes.CutPrefix(rest, []byte("]"))
	if !found || first == "" && !inner {
		return "", nil, ErrBroken
	}
	var out strings.Builder
	out.WriteString("[" + mark + first)
	if inner {
		out.WriteString(` "` + mark)
		widen(&out, []byte(escape.Replace(second)))
		out.WriteByte('"')
	}
	out.WriteString("]\n")
	return out.String(), rest, nil
}

// nameCharacter is what names of sections and keys are made of.
func nameCharacter(r rune) bool {
	return r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// quotedName reads a subsection to its closing quote; a backslash makes any
// character stand for itself.
func quotedName(line []byte) (name string, rest []byte, ok bool) {
	var out strings.Builder
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '"':
			return out.String(), line[i+1:], true
		case '\\':
			if i++; i == len(line) {
				return "", nil, false
			}
		}
		out.WriteByte(line[i])
	}
	return "", nil, false
}

// widen writes each byte as the character of the same number, and narrow takes
// that back.
func widen(out *strings.Builder, data []byte) {
	for _, b := range data {
		out.WriteRune(rune(b))
	}
}

func narrow(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		out.WriteByte(byte(r & 0xff))
	}
	return out.String()
}
