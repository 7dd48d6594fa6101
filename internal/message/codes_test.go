package message

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/ambient-code/git-credential-acp/internal/access"
	pat "github.com/ambient-code/git-credential-acp/internal/token"
)

var update = flag.Bool("update", false, "write docs/messages.md")

// head is the beginning of docs/messages.md.
const head = `# Messages

Every message by its topic, with its code (` + "`code`" + ` in JSON output), what its text does not say, and the first thing to try. The program prints a longer hint that fits the case. … stands for what varies, INSTANCE for the GitLab instance, SOURCE for the token's source, and PROJECT for the project's path. For symptoms, see [Troubleshooting](troubleshooting.md).

This page is generated from the source.

- **Replace the token**: create a new one with the scopes api, read_api, read_user and write_repository at ` + "`https://INSTANCE/-/profile/personal_access_tokens`" + `. Then store it where the old one is: reconnect under *Settings → Integrations → GitLab*, or run ` + "`git-credential-acp connect`" + `, or replace the file's contents ([The token](token.md)).
- **Trust the authority**: add the certificate of the instance's authority to the Secret as ` + "`ca.crt`" + `, or set ` + "`GIT_SSL_CAINFO`, `SSL_CERT_FILE` or git's `http.sslCAInfo`" + ` to a file with it ([details](troubleshooting.md#the-certificate-is-not-trusted)).
`

var sample = Subject{Instance: "INSTANCE", URL: "https://INSTANCE", Project: "PROJECT", Where: "SOURCE", Renew: "…"}

// remedy is the first part of a hint.
func remedy(hint string) string {
	hint, _, _ = strings.Cut(common.Replace(hint), "; ")
	if strings.Trim(hint, "… ") == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(hint)
	if !strings.HasPrefix(hint, "git") && !strings.HasPrefix(hint, "kube") {
		hint = string(unicode.ToUpper(first)) + hint[size:]
	}
	return hint
}

// common shortens the remedies that head explains.
var common = strings.NewReplacer(
	"otherwise "+sample.NewToken(), "otherwise replace the token",
	": "+sample.NewToken(), ": replace the token",
	sample.NewToken(), "Replace the token",
	caSettings+"; …", "Trust the authority",
	", then …", "", "; …", "", "…, or write", "write")

// pattern is a message as its constructor spells it, with … for what varies.
type pattern struct{ code, topic, what, hint string }

// source is the declarations of one package that the patterns are made from.
type source struct {
	values map[string]ast.Expr
	funcs  map[string]*ast.FuncDecl
	shared *source // package message
}

// TestMessages compares the table of codes with the messages that the program's
// source makes, and with docs/messages.md, which -update writes.
func TestMessages(t *testing.T) {
	made := map[string][]pattern{}
	for _, p := range append(sampled(), extracted(t)...) {
		if !slices.Contains(made[p.code], p) {
			made[p.code] = append(made[p.code], p)
		}
	}
	rows, sections := map[string]bool{}, map[string]string{}
	var topics []string
	for _, row := range Codes {
		if rows[row.Code] {
			t.Errorf("codes.go has two rows for %s", row.Code)
		}
		rows[row.Code] = true
		if words := len(strings.Fields(row.Meaning)); words > 25 {
			t.Errorf("codes.go: the meaning of %s has %d words; want at most 25", row.Code, words)
		}
		if made[row.Code] == nil {
			t.Errorf("codes.go has a row for %s, which no constructor makes", row.Code)
			continue
		}
		for _, p := range made[row.Code] {
			checkPattern(t, p)
		}
		p := made[row.Code][0]
		what := strings.ReplaceAll(p.what, "`", "'")
		if before, _, _ := strings.Cut(what, "; "); before != "…" {
			what = before
		}
		if sections[p.topic] == "" {
			topics = append(topics, p.topic)
		}
		if what != "…" {
			what = "`" + what + "`"
		}
		line := strings.ReplaceAll(fmt.Sprintf("%s\x00%s\x00%s\x00%s", row.Code, what, row.Meaning, remedy(p.hint)), "|", `\|`)
		line = "| " + strings.ReplaceAll(line, "\x00", " | ") + " |"
		sections[p.topic] += line + "\n"
	}
	var doc strings.Builder
	doc.WriteString(head)
	for _, topic := range topics {
		heading := topic
		if topic == "…" {
			heading = "with the topic of the cause"
		}
		fmt.Fprintf(&doc, "\n## %s\n\n| code | message | meaning | remedy |\n|---|---|---|---|\n%s", heading, sections[topic])
	}
	for code := range made {
		if !rows[code] {
			t.Errorf("codes.go has no row for %s", code)
		}
	}
	path := filepath.Join("..", "..", "docs", "messages.md")
	if *update {
		if err := os.WriteFile(path, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != doc.String() {
		t.Errorf("docs/messages.md is out of date (%v): go test ./internal/message -run TestMessages -update", err)
	}
}

// checkPattern checks the form: lower case, no full stop, no slip of a format.
func checkPattern(t *testing.T, p pattern) {
	t.Helper()
	if strings.Trim(p.code, "abcdefghijklmnopqrstuvwxyz-") != "" || p.topic == "" || p.what == "" {
		t.Errorf("%+v lacks a code, a topic or a text", p)
	}
	for _, text := range []string{p.what, p.hint} {
		first, _ := utf8.DecodeRuneInString(text)
		if unicode.IsUpper(first) && !regexp.MustCompile(`^(GitLab|TLS|ACP_|GIT_|INSTANCE|SOURCE)`).MatchString(text) ||
			strings.HasSuffix(text, ".") || strings.HasSuffix(text, " ") || strings.Contains(text, "%!") || strings.Contains(text, "  ") {
			t.Errorf("%s: %q does not have the form of a message", p.code, text)
		}
	}
}

// sampled are the messages whose code is a reason or a fault, from usual values.
func sampled() (all []pattern) {
	add := func(err error) {
		m := As(err)
		all = append(all, pattern{m.Code, string(m.Topic), m.What, m.Hint})
	}
	for _, reason := range access.Reasons() {
		for _, v := range samples(reason) {
			if v.Detail != "" {
				v.Detail = "…"
			}
			add(Explain(v, sample))
		}
	}
	for _, fault := range pat.Faults() {
		add(TokenFault(&pat.Error{Fault: fault, Kind: "…"}, "SOURCE", "…"))
	}
	return all
}

// extracted are the messages whose code is a literal in the source.
func extracted(t *testing.T) (all []pattern) {
	t.Helper()
	shared := parse(t, ".")
	dirs, err := filepath.Glob("../*/errors.go")
	if err != nil || len(dirs) < 10 {
		t.Fatal(err, dirs)
	}
	all = shared.all()
	for _, file := range dirs {
		s := parse(t, filepath.Dir(file))
		s.shared = shared
		all = append(all, s.all()...)
	}
	return all
}

// all are the messages of a package, in the order of its functions' names.
func (s *source) all() (all []pattern) {
	for _, name := range slices.Sorted(maps.Keys(s.funcs)) {
		all = append(all, s.messages(s.funcs[name])...)
	}
	return all
}

func parse(t *testing.T, dir string) *source {
	t.Helper()
	s := &source{map[string]ast.Expr{}, map[string]*ast.FuncDecl{}, nil}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				s.funcs[d.Name.Name] = d
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.CONST {
						for i := range v.Values {
							s.values[v.Names[i].Name] = v.Values[i]
						}
					}
				}
			}
		}
	}
	return s
}

// messages are those that one function makes: literals of Error, and changes of a
// copy's Code. Other assignments to What and Hint there are variants.
func (s *source) messages(f *ast.FuncDecl) (all []pattern) {
	local := map[string]ast.Expr{}
	var changed pattern
	var whats []string
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if p := s.literal(n, local); p.code != "" {
				all = append(all, p)
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if name, ok := left.(*ast.Ident); ok && n.Tok == token.DEFINE && len(n.Rhs) == len(n.Lhs) {
					local[name.Name] = n.Rhs[i]
				}
				field, ok := left.(*ast.SelectorExpr)
				if !ok || len(n.Rhs) <= i {
					continue
				}
				text := s.text(n.Rhs[i], local, 0)
				switch field.Sel.Name {
				case "Code":
					changed.code = text
				case "What":
					if n.Tok == token.ADD_ASSIGN {
						text = "…" + text
					}
					whats = append(whats, text)
				case "Hint":
					changed.hint = text
				}
			}
		}
		return true
	})
	if changed.code != "" {
		return append(all, pattern{changed.code, "…", strings.Join(whats, ""), changed.hint})
	}
	for _, what := range whats {
		if len(all) > 0 && !strings.HasPrefix(what, "…") {
			all = append(all, pattern{all[0].code, all[0].topic, what, all[0].hint})
		}
	}
	return all
}

func (s *source) literal(n *ast.CompositeLit, local map[string]ast.Expr) (p pattern) {
	name := n.Type
	if sel, ok := name.(*ast.SelectorExpr); ok {
		name = sel.Sel
	}
	if id, ok := name.(*ast.Ident); !ok || id.Name != "Error" {
		return p
	}
	for _, element := range n.Elts {
		field, ok := element.(*ast.KeyValueExpr)
		if !ok {
			return pattern{}
		}
		text := s.text(field.Value, local, 0)
		switch field.Key.(*ast.Ident).Name {
		case "Code":
			if _, lit := field.Value.(*ast.BasicLit); lit {
				p.code = text
			}
		case "Topic":
			p.topic = text
		case "What":
			p.what = text
		case "Hint":
			p.hint = text
		}
	}
	return p
}

var verbs = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)

// text is an expression as it is printed, with … for what varies.
func (s *source) text(e ast.Expr, local map[string]ast.Expr, depth int) string {
	const varies = "…"
	if depth > 6 {
		return varies
	}
	depth++
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
	case *ast.ParenExpr:
		return s.text(e.X, local, depth)
	case *ast.BinaryExpr:
		text := s.text(e.X, local, depth) + s.text(e.Y, local, depth)
		return strings.ReplaceAll(text, "……", "…")
	case *ast.Ident:
		if value := local[e.Name]; value != nil {
			return s.text(value, nil, depth)
		}
		if value := s.values[e.Name]; value != nil {
			return s.text(value, nil, depth)
		}
	case *ast.SelectorExpr:
		if pkg, ok := e.X.(*ast.Ident); ok && pkg.Name == "message" && s.shared != nil {
			return s.shared.text(e.Sel, nil, depth)
		}
	case *ast.CallExpr:
		from, name := s, e.Fun
		if sel, ok := name.(*ast.SelectorExpr); ok {
			name = sel.Sel
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "fmt" && len(e.Args) > 0 {
				return verbs.ReplaceAllString(s.text(e.Args[0], local, depth), varies)
			} else if ok && pkg.Name == "message" && s.shared != nil {
				from = s.shared
			}
		}
		if id, ok := name.(*ast.Ident); ok && id.Name == "Error" {
			return varies
		} else if ok && id.Name == "TopicOf" {
			return string(Configuration)
		} else if ok && from.funcs[id.Name] != nil && from.funcs[id.Name].Body != nil && len(from.funcs[id.Name].Body.List) == 1 {
			if back, ok := from.funcs[id.Name].Body.List[0].(*ast.ReturnStmt); ok && len(back.Results) == 1 {
				return from.text(back.Results[0], nil, depth)
			}
		}
	}
	return varies
}
