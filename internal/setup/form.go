package setup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/report"
)

// File formats sections exactly as git writes them (git's config.c, write_section and
// write_pair).
func File(sections []Section) string {
	var out strings.Builder
	for _, s := range sections {
		out.WriteString(s.text())
	}
	return out.String()
}

func (s Section) text() string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`)
	var out strings.Builder
	out.WriteString("[" + s.Name)
	if s.Sub != "" {
		out.WriteString(` "` + escape.Replace(s.Sub) + `"`)
	}
	out.WriteString("]\n")
	for _, line := range s.Lines {
		quote := ""
		if strings.HasPrefix(line.Value, " ") || strings.HasSuffix(line.Value, " ") || strings.ContainsAny(line.Value, ";#\r") {
			quote = `"`
		}
		out.WriteString("\t" + line.Key + " = " + quote + escape.Replace(line.Value) + quote + "\n")
	}
	return out.String()
}

// pairsOf are keys and values for GIT_CONFIG_KEY_n and GIT_CONFIG_VALUE_n.
func pairsOf(sections []Section) [][2]string {
	var pairs [][2]string
	for _, s := range sections {
		for _, line := range s.Lines {
			pairs = append(pairs, [2]string{s.String() + "." + line.Key, line.Value})
		}
	}
	return pairs
}

// Shell formats sections as commands that add them to the environment of a POSIX shell,
// after the existing pairs. If they are already among those and effective, they keep their
// places, so that running it twice is the same as once.
func Shell(sections []Section, there [][2]string) string {
	pairs, first := pairsOf(sections), len(there)
	config := gitconfig.Config{Entries: gitconfig.FromEnvironment(there, "")}
	if asksAll(config, sections) {
		first = place(pairs, there)
	}
	var out strings.Builder
	for _, v := range variables(pairs, first, len(there)) {
		value := v[1]
		if value == "" || strings.Trim(value, plainInShell) != "" {
			value = "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
		}
		fmt.Fprintf(&out, "export %s=%s\n", v[0], value)
	}
	return out.String()
}

// Kubernetes formats sections as a container's env list in YAML, whose quoted strings are
// those of JSON. Kubernetes reads $$ as one dollar sign, and $(NAME) as a variable.
func Kubernetes(sections []Section) string {
	var out strings.Builder
	for _, v := range variables(pairsOf(sections), 0, 0) {
		fmt.Fprintf(&out, "- name: %s\n  value: %s\n", v[0], report.Quote(strings.ReplaceAll(v[1], "$", "$$")))
	}
	return out.String()
}

// Registry formats sections as container.env of the platform's agent registry: a JSON
// object whose values become a container's environment as for Kubernetes.
func Registry(sections []Section) string {
	var lines []string
	for _, v := range variables(pairsOf(sections), 0, 0) {
		lines = append(lines, "  "+report.Quote(v[0])+": "+report.Quote(strings.ReplaceAll(v[1], "$", "$$")))
	}
	return "{\n" + strings.Join(lines, ",\n") + "\n}\n"
}

// place is the index of pairs in those that are there, or their number.
func place(pairs, there [][2]string) int {
	for n := 0; n+len(pairs) <= len(there); n++ {
		if slices.Equal(there[n:n+len(pairs)], pairs) {
			return n
		}
	}
	return len(there)
}

// variables are the environment variables for pairs from a number on, after existing ones
// (git-config(1), GIT_CONFIG_COUNT).
func variables(pairs [][2]string, first, there int) [][2]string {
	out := [][2]string{{"GIT_CONFIG_COUNT", strconv.Itoa(max(first+len(pairs), there))}}
	for n, pair := range pairs {
		at := strconv.Itoa(first + n)
		out = append(out, [2]string{"GIT_CONFIG_KEY_" + at, pair[0]}, [2]string{"GIT_CONFIG_VALUE_" + at, pair[1]})
	}
	return out
}
