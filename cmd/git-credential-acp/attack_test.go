package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// attacks is the directory of the attack scripts.
var attacks = filepath.Join(scripts, "attacks")

// Each attack names its origin and the expected result, and asserts of each call the exit
// code and both outputs, and at the end the requests of each server and the files left.
func TestAttacksAssertAll(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(attacks, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no attacks: %v", err)
	}
	guide, err := os.ReadFile(filepath.Join(attacks, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	header := regexp.MustCompile(`\A# origin: \S[^\n]*\n(#   \S[^\n]*\n)*# expected: \S[^\n]*\n(#   \S[^\n]*\n)*\n`)
	call := regexp.MustCompile(`^(exec ask|exits \d+)( |$)`)
	saysOut, saysErr := regexp.MustCompile(`^(! )?stdout |^cmp(env)? stdout `), regexp.MustCompile(`^(! )?stderr |^cmp(env)? stderr `)
	atEnd := []*regexp.Regexp{
		regexp.MustCompile(`^requests (.* )?all=\d+$`), regexp.MustCompile(`^unseen EVIL \d+$`), regexp.MustCompile(`^left( |$)`),
	}
	servers := map[*regexp.Regexp]string{
		regexp.MustCompile(`^listener (\w+)`):  `^unseen NAME( \d+)?$`,
		regexp.MustCompile(`^(platform)( |$)`): `^requests (.* )?NAME:\w+=\d+`,
		regexp.MustCompile(`^(proxy)( |$)`):    `^through `,
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bad := func(what string) { t.Errorf("%s %s", filepath.Base(name), what) }
		if kind, _, _ := strings.Cut(filepath.Base(name), "-"); !strings.Contains(string(guide), "`"+kind+"-`") {
			bad("has a kind that is not in README.md")
		}
		if !header.Match(text) {
			bad("does not begin with its origin and what is expected")
		}
		script, _, _ := strings.Cut(string(text), "\n-- ")
		calls, out, err2 := 0, 0, 0
		atEnd := slices.Clone(atEnd)
		ends := make([]bool, len(atEnd), len(atEnd)+4)
		for line := range strings.Lines(script) {
			line = strings.TrimSuffix(line, "\n")
			// The requests of other servers must be asserted, too.
			for kind, asserted := range servers {
				if match := kind.FindStringSubmatch(line); match != nil {
					atEnd = append(atEnd, regexp.MustCompile(strings.ReplaceAll(asserted, "NAME", match[1])))
					ends = append(ends, false)
				}
			}
			switch {
			case call.MatchString(line):
				if out < calls || err2 < calls {
					bad("asserts too little before: " + line)
				}
				calls++
				clear(ends)
			case saysOut.MatchString(line):
				out = calls
			case saysErr.MatchString(line):
				err2 = calls
			}
			for i, pattern := range atEnd {
				ends[i] = ends[i] || pattern.MatchString(line)
			}
		}
		if calls == 0 || out < calls || err2 < calls {
			bad("asserts too little of its last call")
		}
		for i, done := range ends {
			if !done {
				bad("does not end with " + atEnd[i].String())
			}
		}
	}
}
