package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ambient-code/git-credential-acp/internal/cli"
	"github.com/ambient-code/git-credential-acp/internal/secret"
)

// render is the manual page of a program with these commands. Its environment
// is described by readme's chapter with the table of variables. date is the day
// on which the page last changed (YYYY-MM-DD).
func render(root *cobra.Command, readme, date string) (string, error) {
	settings, found := chapter(readme)
	if !found {
		return "", errors.New("README.md has no table of variables")
	}
	commands := all(root)
	p := new(page)
	p.WriteString(".\\\" Made by make manual from the commands and README.md: change those.\n")
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
	p.item(bold(secret.DefaultDir), "the mounted Secret: `token`, and where they are needed `instanceUrl` and `ca.crt`, or `credentials.json`")
	p.item(bold("$XDG_RUNTIME_DIR/"+cli.Name)+", "+bold("/tmp/"+cli.Name)+`\-`+italic("uid"),
		"what GitLab said, remembered; see `ACP_GITLAB_CACHE_DIR`")

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

// row is a row of README's table of variables.
var row = regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (.*) \\| (.*) \\|$")

// environment is a chapter with a table of variables and what is said about
// others below it.
func (p *page) environment(chapter string) {
	var others []string
	for line := range strings.Lines(chapter) {
		line = strings.TrimSuffix(line, "\n")
		if match := row.FindStringSubmatch(line); match != nil {
			text := sentence(match[3])
			if match[2] != "unset" {
				text += " " + sentence("the default is "+match[2])
			}
			p.item(bold(match[1]), text)
		} else if !strings.HasPrefix(line, "|") {
			others = append(others, line)
		}
	}
	if rest := strings.Trim(strings.Join(others, "\n"), "\n"); rest != "" {
		p.WriteString(".PP\n")
		p.text(rest)
	}
}

// chapter is the first chapter of a Markdown document (a heading of the second
// level and what is below it) that has a row of the table, without its heading.
func chapter(document string) (text string, found bool) {
	for _, chapter := range strings.Split(document, "\n## ")[1:] {
		_, text, _ := strings.Cut(chapter, "\n")
		if row.MatchString(text) {
			return text, true
		}
	}
	return "", false
}
