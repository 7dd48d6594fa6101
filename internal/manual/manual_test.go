package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/cli"
)

const (
	settingsFile = "../../docs/settings.md"
	pageFile     = "../../docs/git-credential-acp.1"
)

func TestPageIsUpToDate(t *testing.T) {
	settings, err := os.ReadFile(settingsFile)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	want, err := render(cli.Commands(), string(settings), dated(have))
	if err != nil {
		t.Fatal(err)
	}
	if string(have) == want {
		return
	}
	old, new := strings.Split(string(have), "\n"), strings.Split(want, "\n")
	for i := range min(len(old), len(new)) {
		if old[i] != new[i] {
			t.Fatalf("%s is not up to date (run make manual): line %d is\n%s\nand should be\n%s", pageFile, i+1, old[i], new[i])
		}
	}
	t.Fatalf("%s is not up to date (run make manual): %d lines instead of %d", pageFile, len(old), len(new))
}

// The date tells when the page last changed, not when it was last made.
func TestWritePage(t *testing.T) {
	name := filepath.Join(t.TempDir(), "page.1")
	write := func(day int) string {
		t.Helper()
		if err := writePage(settingsFile, name, time.Date(2030, 1, day, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(page)
	}
	first := write(1)
	if got := dated([]byte(first)); got != "2030-01-01" {
		t.Errorf("the first page is of %q", got)
	}
	if write(2) != first {
		t.Error("a page that was up to date was changed")
	}
	if err := os.WriteFile(name, []byte(strings.Replace(first, ".SH NAME", ".SH TITLE", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(first, "2030-01-01", "2030-01-03", 1); write(3) != want {
		t.Error("a page that was not up to date was not made again")
	}
	if err := writePage(name, name, time.Now()); err == nil || !strings.Contains(err.Error(), "table") {
		t.Errorf("a document without a table: %v", err)
	}
}

// sample is a command with all that the page has to cope with.
func sample() *cobra.Command {
	nothing := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: cli.Name, Short: "a helper", Long: "First.\n\n  $ show 'this' --as-is\n\nLast, with --flag.",
		RunE: nothing, Example: "  git-credential-acp one"}
	root.PersistentFlags().String("where", "here", "a `PLACE` - or another")
	one := &cobra.Command{Use: "one [THING]", Short: "Do one thing", RunE: nothing, Example: "  git-credential-acp one 'a thing'"}
	one.Flags().BoolP("quick", "q", false, "make haste")
	one.Flags().String("form", "", "write it in this `FORM`")
	one.Flags().Lookup("form").NoOptDefVal = "long"
	one.Flags().Bool("secret", false, "not for everybody")
	if err := one.Flags().MarkHidden("secret"); err != nil {
		panic(err)
	}
	hidden := &cobra.Command{Use: "hidden", Hidden: true, Short: "Not to be seen", RunE: nothing}
	group := &cobra.Command{Use: "group", Short: "Only a group"}
	group.AddCommand(&cobra.Command{Use: "inner", Short: "Be inside", RunE: nothing})
	root.AddCommand(one, hidden, group)
	return root
}

const sampleSettings = "# x\n\n## Other\n\n| `a b` | c |\n\n## Variables\n\nAs follows.\n\n| variable | default | meaning |\n|---|---|---|\n" +
	"| `ACP_ONE` | unset | see [this](x.md) |\n| `ACP_TWO` | `2s` | a time; `0`: none |\n| `ACP_THREE` | | **not** this |\n\n" +
	"### Further\n\nAs git has them:\n\n| variable | git's setting | meaning |\n|---|---|---|\n| `http_proxy` | `http.proxy` | a proxy |\n\n" +
	"And `HTTPS_PROXY`.\n\n## Next\n\n| `ACP_FOUR` | | No more |\n"

func TestRender(t *testing.T) {
	page, err := render(sample(), sampleSettings, "2030-01-01")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		".TH GIT\\-CREDENTIAL\\-ACP 1 2030-01-01 git\\-credential\\-acp \"User Commands\"\n.SH NAME\ngit\\-credential\\-acp \\-\na helper\n",
		"\\fBgit\\-credential\\-acp\\ group\\ inner\\fR\n.br\n\\fBgit\\-credential\\-acp\\ one\\fR \\fI[THING]\\fR " +
			"[\\fB\\-\\-form\\fR[=\\fIFORM\\fR]] [\\fB\\-\\-quick\\fR]\n.SH DESCRIPTION\n",
		"First.\n.PP\n.RS 4\n.EX\n$ show \\(aqthis\\(aq \\-\\-as\\-is\n.EE\n.RE\n.PP\nLast, with \\-\\-flag.\n.SH COMMANDS\n",
		".SS one\nDo one thing.\n.TP\n\\fB\\-\\-form\\fR[=\\fIFORM\\fR]\nWrite it in this FORM.\n.TP\n\\fB\\-q\\fR, \\fB\\-\\-quick\\fR\nMake haste.\n.SH OPTIONS\n",
		".TP\n\\fB\\-\\-where\\fR \\fIPLACE\\fR\nA PLACE - or another; the default is here.\n",
		".TP\n\\fB2\\fR\nWrong usage.\n",
		".SH ENVIRONMENT\nAs follows.\n.TP\n\\fBACP_ONE\\fR\nSee this.\n.TP\n\\fBACP_TWO\\fR\nA time; \\fB0\\fR: none.\nThe default is \\fB2s\\fR.\n" +
			".TP\n\\fBACP_THREE\\fR\n\\fBnot\\fR this.\n.SS Further\nAs git has them:\n" +
			".TP\n\\fBhttp_proxy\\fR\nA proxy.\nGit's setting: \\fBhttp.proxy\\fR.\n.PP\nAnd \\fBHTTPS_PROXY\\fR.\n.SH FILES\n",
		".SH EXAMPLES\n.RS 4\n.EX\ngit\\-credential\\-acp one\n.EE\n.RE\n.RS 4\n.EX\ngit\\-credential\\-acp one \\(aqa thing\\(aq\n.EE\n.RE\n.SH SEE ALSO\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("not in the page:\n%s", want)
		}
	}
	for _, unwanted := range []string{"hidden", "Not to be seen", "secret\\fR", "not for everybody", "Only a group", "No more", ".SS group\n"} {
		if strings.Contains(page, unwanted) {
			t.Errorf("in the page: %s", unwanted)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

func TestInline(t *testing.T) {
	for text, want := range map[string]string{
		`a \ b`:                  `a \e b`,
		"well-known --long -s":   `well-known \-\-long \-s`,
		"(--long)":               `(\-\-long)`,
		"`it's -x`":              `\fBit\(aqs\ \-x\fR`,
		"see [the `x`](y.md#z).": `see the \fBx\fR.`,
		"✓ 1–2":                  `\[u2713] 1\[u2013]2`,
		"~/x^2 `~/x^2`":          `~/x^2 \fB\(ti/x\(ha2\fR`,
	} {
		if got := inline(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	for text, want := range map[string]string{
		"One. Two":       "One.\nTwo\n",
		".dot\nand 'so'": "\\&.dot and 'so'\n",
		"'tis":           "\\&'tis\n",
		strings.Repeat("word ", 16) + ".so it goes": strings.Repeat("word ", 14) + "word\nword .so it goes\n",
		strings.Repeat("word ", 15) + ".so it goes": strings.Repeat("word ", 14) + "word\n\\&.so it goes\n",
		"": "",
	} {
		p := new(page)
		p.lines(text)
		if p.String() != want {
			t.Errorf("%q: %q, want %q", text, p.String(), want)
		}
	}
}

func TestCompletionsAreWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "completions")
	if err := writeCompletions(dir); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"git-credential-acp.bash": "__start_git-credential-acp",
		"_git-credential-acp":     "#compdef git-credential-acp",
		"git-credential-acp.fish": "complete -c git-credential-acp",
		"git-credential-acp.ps1":  "Register-ArgumentCompleter -CommandName 'git-credential-acp'",
	} {
		script, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(string(script), want) {
			t.Errorf("%s: no %q (%v)", file, want, err)
		}
	}
}
