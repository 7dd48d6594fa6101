package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ambient-code/git-credential-acp/internal/cli"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// render is the manual page of a program with these commands. Its environment
// is described by the chapter of docs/settings.md with the tables of variables. date is the day
// on which the page last changed (YYYY-MM-DD).
func render(root *cobra.Command, document, date string) (string, error) {
	settings, found := chapter(document)
	if !found {
		return "", errors.New("no table of variables was found")
	}
	commands := all(root)
	p := new(page)
	p.WriteString(".\\\" Made by make manual from the commands and docs/settings.md: change those.\n")
	_, _ = fmt.Fprintf(p, ".TH %s 1 %s %s \"User Commands\"\n", strings.ToUpper(literal(cli.Name)), date, literal(cli.Name))

	p.section("Name")
	p.line(literal(cli.Name) + ` \-`)
	p.lines(root.Short)
	p.section("Synopsis")
	for i, command := range commands {
		if i > 0 {
			p.WriteString(".br\n")
		}
		p.line(usage(command))
	}
	p.section("Description")
	p.text(root.Long)

	p.section("Commands")
	for _, command := range commands {
		p.macro(".SS", strings.TrimPrefix(command.CommandPath(), cli.Name+" "))
		p.text(about(command))
		command.LocalNonPersistentFlags().VisitAll(p.flag)
	}
	p.section("Options")
	p.WriteString("These go with every command.\n")
	root.PersistentFlags().VisitAll(p.flag)
	p.item(bold("-h")+", "+bold("--help"), "help for the command")

	p.section("Exit status")
	for number, meaning := range cli.ExitCodes() {
		p.item(bold(fmt.Sprint(number)), meaning)
	}
	p.section("Environment")
	p.environment(settings)
	p.section("Files")
	p.item(bold(source.DefaultDir), "the mounted Secret: `token`, and where they are needed `instanceUrl` and `ca.crt`, or `credentials.json`")
	p.item(bold("$XDG_RUNTIME_DIR/"+cli.Name)+", "+bold("/tmp/"+cli.Name)+`\-`+italic("uid"),
		"what GitLab said, remembered; see `ACP_GITLAB_CACHE_DIR`")
	p.item(bold("$XDG_STATE_HOME/"+cli.Name)+", "+bold("~/.local/state/"+cli.Name),
		"a new token that `rotate --new` could not store yet; see `--recovery-dir`")

	p.section("Examples")
	for _, command := range append([]*cobra.Command{root}, commands...) {
		if command.Example != "" {
			p.example(command.Example)
		}
	}
	p.section("See also")
	p.line(`\fBgitcredentials\fR(7), \fBgit\-credential\fR(1), \fBgit\-config\fR(1)`)
	return p.String(), nil
}

// all are the commands that help shows, each followed by its own.
func all(parent *cobra.Command) []*cobra.Command {
	var found []*cobra.Command
	for _, command := range parent.Commands() {
		if command.IsAvailableCommand() || command.Name() == "help" {
			if command.Runnable() {
				found = append(found, command)
			}
			found = append(found, all(command)...)
		}
	}
	return found
}

// about is the longest that the command says of itself. Where each shell wants
// its completions is too long for a page about git.
func about(command *cobra.Command) string {
	if command.Long != "" && command.Parent().Name() != "completion" {
		return command.Long
	}
	return sentence(command.Short)
}

// usage is the line of the synopsis: the command, its arguments, its flags.
func usage(command *cobra.Command) string {
	words := []string{bold(command.CommandPath())}
	if _, arguments, found := strings.Cut(command.Use, " "); found {
		words = append(words, italic(arguments))
	}
	command.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden && flag.Name != "help" {
			words = append(words, "["+spelling(flag)+"]")
		}
	})
	return strings.Join(words, " ")
}

// flag is an item about a flag.
func (p *page) flag(flag *pflag.Flag) {
	if flag.Hidden || flag.Name == "help" {
		return
	}
	_, text := pflag.UnquoteUsage(flag)
	switch flag.DefValue {
	case "", "false", "0", "0s", "[]":
	default:
		text += "; the default is " + flag.DefValue
	}
	term := spelling(flag)
	if flag.Shorthand != "" {
		term = bold("-"+flag.Shorthand) + ", " + term
	}
	p.item(term, text)
}

// spelling is how a flag is written with its value.
func spelling(flag *pflag.Flag) string {
	value, _ := pflag.UnquoteUsage(flag)
	name := bold("--" + flag.Name)
	switch {
	case value == "":
		return name
	case flag.NoOptDefVal != "" && flag.Value.Type() != "bool":
		return name + "[=" + italic(value) + "]"
	default:
		return name + " " + italic(value)
	}
}

// variable is the first cell of a table's row about a variable.
var variable = regexp.MustCompile("(?m)^\\| `([A-Za-z_]+)` \\|")

// environment is a chapter of a document with tables of variables: name, default or
// what else the heading says, meaning.
func (p *page) environment(chapter string) {
	first := true // below a heading, where no paragraph is begun
	for block := range strings.SplitSeq(strings.Trim(chapter, "\n"), "\n\n") {
		title, heading := strings.CutPrefix(block, "### ")
		switch {
		case heading:
			p.macro(".SS", title)
		case strings.HasPrefix(block, "|"):
			p.table(strings.Split(block, "\n"))
		default:
			if !first {
				p.WriteString(".PP\n")
			}
			p.text(block)
		}
		first = heading
	}
}

// table is a table of variables, an item each.
func (p *page) table(lines []string) {
	heading := cells(lines[0])
	for _, line := range lines {
		cells := cells(line)
		if match := variable.FindStringSubmatch(line); match != nil && len(cells) == 3 && len(heading) == 3 {
			p.item(bold(match[1]), sentence(cells[2])+beside(heading[1], cells[1]))
		}
	}
}

// beside is a sentence about the second cell of a row, by its column's heading.
func beside(heading, cell string) string {
	switch {
	case cell == "" || cell == "unset":
		return ""
	case heading == "default":
		return " " + sentence("the default is "+cell)
	default:
		return " " + sentence(heading+": "+cell)
	}
}

// cells are the cells of a table's row.
func cells(line string) []string {
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

// chapter is the first chapter of a Markdown document (a heading of the second
// level and what is below it) that has a variable's row, without its heading.
func chapter(document string) (text string, found bool) {
	for _, chapter := range strings.Split(document, "\n## ")[1:] {
		_, text, _ := strings.Cut(chapter, "\n")
		if variable.MatchString(text) {
			return text, true
		}
	}
	return "", false
}
