package main

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// width is where lines of the source are broken.
const width = 76

// page is a manual page in the making, in the macros of man(7).
type page struct{ strings.Builder }

func (p *page) section(title string) { p.macro(".SH", strings.ToUpper(title)) }

func (p *page) macro(name, text string) { _, _ = fmt.Fprintf(p, "%s %s\n", name, literal(text)) }

// item is a term (ready-made roff) and what there is to say about it.
func (p *page) item(term, text string) {
	_, _ = fmt.Fprintf(p, ".TP\n%s\n", term)
	p.lines(sentence(text))
}

// text is a text of several paragraphs. What is indented by two columns or more
// is shown as it is.
func (p *page) text(text string) {
	for i, block := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if i > 0 {
			p.WriteString(".PP\n")
		}
		if strings.HasPrefix(block, "  ") || strings.HasPrefix(block, "\t") {
			p.example(block)
		} else {
			p.lines(block)
		}
	}
}

func (p *page) example(block string) {
	p.WriteString(".RS 4\n.EX\n")
	for line := range strings.SplitSeq(strings.Trim(block, "\n"), "\n") {
		p.line(literal(strings.TrimPrefix(strings.TrimPrefix(line, "\t"), "  ")))
	}
	p.WriteString(".EE\n.RE\n")
}

// lines is one paragraph, a new line for each sentence, as roff wants it.
func (p *page) lines(text string) {
	var line string
	flush := func() {
		if line != "" {
			p.line(line)
			line = ""
		}
	}
	for word := range strings.FieldsSeq(inline(text)) {
		if utf8.RuneCountInString(line)+utf8.RuneCountInString(word) >= width {
			flush()
		}
		if line != "" {
			line += " "
		}
		line += word
		if len(word) > 1 && strings.ContainsAny(word[len(word)-1:], ".!?") {
			flush()
		}
	}
	flush()
}

// line is one line of text: neither a dot nor a quote at its beginning makes it
// a macro.
func (p *page) line(line string) {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		p.WriteString(`\&`)
	}
	p.WriteString(line + "\n")
}

var (
	link = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	// marked is code or strong text.
	marked = regexp.MustCompile("`([^`]*)`|\\*\\*([^*]+)\\*\\*")
	// option is a word of prose that begins with hyphens.
	option = regexp.MustCompile(`(^|[\s(])(--?)(\w[\w-]*)`)
)

// inline is prose, perhaps with Markdown's links and code, as roff.
func inline(text string) string {
	text = link.ReplaceAllString(text, "$1")
	var out strings.Builder
	at := 0
	for _, m := range marked.FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(plain(text[at:m[0]]))
		from, to := m[2], m[3]
		if from < 0 {
			from, to = m[4], m[5]
		}
		out.WriteString(bold(text[from:to]))
		at = m[1]
	}
	out.WriteString(plain(text[at:]))
	return out.String()
}

func plain(text string) string {
	var out strings.Builder
	at := 0
	for _, m := range option.FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(glyphs(text[at:m[4]]))
		out.WriteString(literal(text[m[4]:m[1]]))
		at = m[1]
	}
	out.WriteString(glyphs(text[at:]))
	return out.String()
}

func bold(text string) string { return `\fB` + unbroken(literal(text)) + `\fR` }

// unbroken keeps a term on one line of the source: a font must not be left
// open at a line's end.
func unbroken(text string) string { return strings.ReplaceAll(text, " ", `\ `) }

func italic(text string) string { return `\fI` + literal(text) + `\fR` }

// literal is text that people copy: hyphens, quotes and the like stay what they
// are.
func literal(text string) string {
	return strings.NewReplacer("-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(glyphs(text))
}

// glyphs is text with what has a meaning of its own in roff, or is not ASCII,
// by name.
func glyphs(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\\':
			out.WriteString(`\e`)
		case r > unicode.MaxASCII:
			fmt.Fprintf(&out, `\[u%04X]`, r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// sentence is a note, such as a table's cell, as a sentence.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[size:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}
