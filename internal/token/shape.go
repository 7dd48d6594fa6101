package token

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"
)

// alphabet has the characters of tokens: those that GitLab generates, and those that it
// allows in an instance's prefix (personal_access_token_prefix in ApplicationSetting).
const alphabet = characters + "+=/@:"

// shape recognizes texts that are not a bare token, such as a quoted one, a line of a
// .env file or a placeholder; nil for others. The text is trimmed. A text that could be
// a token with some instance's prefix is left to GitLab, unless the prefix would be odd
// ("GITLAB_TOKEN=", "https://").
func shape(text string) *Error {
	if text == "" {
		return nil
	}
	if inner, mark := unwrapped(text); mark != "" {
		if e := shape(inner); e != nil {
			return e
		}
		return &Error{Fault: Quoted, Kind: mark}
	}
	lower := strings.ToLower(text)
	for _, s := range shapes {
		if s.is(text, lower) {
			return &Error{Fault: s.fault, Kind: s.kind}
		}
	}
	return nil
}

// shapes are tried in this order; lower is the text in lower case.
var shapes = []struct {
	fault Fault
	kind  string
	is    func(text, lower string) bool
}{
	{OtherKind, "a key or certificate in PEM form", func(text, _ string) bool { return strings.HasPrefix(text, "-----BEGIN") }},
	{OtherKind, "an SSH public key", func(text, _ string) bool {
		return hasAnyPrefix(text, "ssh-", "ecdsa-sha2-") && strings.Contains(text, " ")
	}},
	{Variable, "", variable},
	{Placeholder, "a masked value, as in a log", masked},
	{Placeholder, "a placeholder", func(text, lower string) bool { return bracketed(text) || words(lower) }},
	{Wrapped, "a web page or XML", func(text, _ string) bool { return text[0] == '<' }},
	{Wrapped, "a JSON document", func(text, _ string) bool { return text[0] == '{' || text[0] == '[' }},
	{Wrapped, "an HTTP header", header},
	{Wrapped, "an entry of a .netrc file", netrc},
	{Wrapped, "a line of the form NAME=value or name: value", assignment},
	{Wrapped, "a URL", address},
	{Wrapped, "a reference to a secret", func(_, lower string) bool {
		return hasAnyPrefix(lower, "arn:", "vault:", "!vault", "!reference", "op:", "ref+", "enc[")
	}},
	{Wrapped, "a user name and a token separated by a colon", withUser},
	{Wrapped, "a token followed by other text", followed},
	{Wrapped, "two tokens joined together", func(text, _ string) bool {
		_, rest, _ := strings.Cut(text, personal)
		return strings.Index(rest, personal) >= generated && !strings.ContainsAny(rest, space)
	}},
	{Wrapped, "a token with its prefix twice", func(text, _ string) bool { return strings.HasPrefix(text, personal+personal) }},
	{Path, "", filePath},
	{Wrapped, "a host name or an e-mail address", domain},
}

const space = " \t\r\n\v\f"

// generated is the length of what GitLab generates after a prefix, without a checksum.
const generated = 20

func hasAnyPrefix(text string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}

// unwrapped removes quotes around a text, or brackets around a token. mark names them, ""
// for none.
func unwrapped(text string) (inner, mark string) {
	const quotes = "\"'`´“”„‟‘’‚‛«»‹›「」『』〝〞〟❛❜❝❞＂＇′″"
	if strings.Trim(text, quotes) != text || strings.HasPrefix(text, `\"`) {
		return strings.TrimSpace(strings.Trim(text, quotes+`\`)), "quotes"
	}
	first, last := text[:min(1, len(text))], text[max(0, len(text)-1):]
	if at := strings.Index("<[{(", first); first != "" && at >= 0 && last == ">]})"[at:at+1] && len(text) > 2 {
		inner = strings.TrimSpace(text[1 : len(text)-1])
		if strings.Trim(inner, alphabet) == "" && (strings.Contains(inner, personal) || plausible(inner)) {
			return inner, "brackets"
		}
	}
	return text, ""
}

// plausible reports whether a text ends like a generated token and not like a name.
func plausible(text string) bool {
	if len(text) < generated || len(text) > 2*generated {
		return false
	}
	body := text[len(text)-generated:]
	return strings.Trim(body, characters) == "" && !strings.Contains(body, ".") && strings.ContainsAny(body, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

func variable(text, _ string) bool {
	body := strings.TrimPrefix(text, personal)
	return strings.HasPrefix(body, "$") && !strings.Contains(body, "=") ||
		slices.ContainsFunc([]string{"${", "$(", "{{", "#{", "<%"}, func(mark string) bool { return strings.Contains(text, mark) }) ||
		len(body) > 2 && strings.HasPrefix(body, "%") && strings.HasSuffix(body, "%")
}

func masked(text, lower string) bool {
	if strings.ContainsAny(text, `"{`) {
		return false // a document, in which a part is masked
	}
	if strings.ContainsAny(text, "*•●█∙·…") || strings.Contains(text, "...") {
		return true
	}
	if slices.Contains([]string{"masked", "redacted", "filtered", "hidden", "removed"}, strings.Trim(lower, "[]<>()_")) {
		return true
	}
	body := strings.TrimPrefix(text, personal)
	rest := strings.NewReplacer("-", "", "_", "", ".", "", " ", "").Replace(body)
	return body != "" && (rest == "" || len(rest) >= 3 && strings.ContainsAny(rest[:1], "xX#?0") && strings.Trim(rest, rest[:1]) == "")
}

// bracketed reports whether a text is a description in brackets, such as <your token>.
func bracketed(text string) bool {
	last := text[len(text)-1]
	if len(text) < 3 || text[0] == '<' && (last != '>' || strings.ContainsAny(text[1:2], "!?/")) ||
		text[0] == '[' && last != ']' || text[0] == '{' && last != '}' || !strings.ContainsAny(text[:1], "<[{") {
		return false
	}
	return !strings.ContainsAny(text[1:len(text)-1], "\"<>[]{}:,=\n")
}

// words reports whether a text consists only of placeholder words, however joined:
// "changeme", "YOUR_TOKEN_HERE", "glpat-your-token".
func words(lower string) bool {
	rest := strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_. !@%:", r) {
			return -1
		}
		return r
	}, strings.TrimPrefix(lower, personal))
	if strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz") != "" || len(rest) > 64 || len(lower) < 3 {
		return false
	}
	// reached[n]: the first n letters are words.
	reached := make([]bool, len(rest)+1)
	reached[0] = true
	for n := range rest {
		for _, word := range placeholders {
			if reached[n] && strings.HasPrefix(rest[n:], word) {
				reached[n+len(word)] = true
			}
		}
	}
	return reached[len(rest)]
}

var placeholders = strings.Fields(`your my the a an token tokens here change changeme me replace replaced with by insert put paste enter
	fill in set add use placeholder example sample dummy fake todo tbd fixme null none nil undefined unset empty missing notset
	secret password passwd credential credentials git gitlab personal access pat private api key real actual new value goes
	this is to be from some user username acp ci env var variable redacted masked hidden removed string x no true false na not
	generated create created glpat oauth please edit update`)

func header(_, lower string) bool {
	scheme, rest, _ := strings.Cut(strings.Join(strings.Fields(lower), " "), " ")
	return hasAnyPrefix(strings.TrimLeft(strings.TrimPrefix(lower, "-h "), "'\""), "curl ", "bearer:", "authorization:", "proxy-authorization:", "private-token:", "job-token:", "deploy-token:") ||
		rest != "" && (scheme == "bearer" || scheme == "basic" || scheme == "token" && !hasAnyPrefix(rest, "=", ":"))
}

func netrc(_, lower string) bool {
	fields := strings.Fields(lower)
	return len(fields) > 2 && (fields[0] == "machine" || fields[0] == "default" || fields[0] == "login") && slices.Contains(fields, "password")
}

// assignment reports whether a text has a line that assigns a value to a name. Without
// white space or quotes, the name must be a usual one for a token, since an instance may
// have the prefix "corp:".
func assignment(text, _ string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		bare := line
		for _, keyword := range []string{"export ", "set ", "setx ", "env ", "declare -x ", "local ", "- ", "-e ", "--env ", "$env:", "ENV ", "name: "} {
			bare = strings.TrimPrefix(bare, keyword)
		}
		at := strings.IndexAny(bare, "=:")
		if at <= 0 {
			continue
		}
		name, value := strings.Trim(bare[:at], " \t\"'"), strings.TrimLeft(bare[at:], "=:>")
		if name == "" || strings.Trim(name, characters) != "" || strings.HasPrefix(value, "//") {
			continue
		}
		equals, lower := bare[at] == '=', strings.ToLower(name)
		named := lower == "pat" || lower == "username" || strings.Contains(lower, "token") || strings.Contains(lower, "password") || strings.Contains(lower, "secret")
		switch {
		case bare != line, strings.TrimLeft(value, " \t\"'`") != value, strings.ContainsAny(bare[:at], " \t\"'"), // no token has those
			named && (equals || !plausible(text)), equals && strings.HasPrefix(value, personal), !equals && value == "":
			return true
		}
	}
	return false
}

func address(text, _ string) bool {
	return strings.Contains(text, "://") || strings.Contains(text, "@") && strings.Contains(text, ":") && strings.HasSuffix(text, ".git")
}

// domain reports whether a text ends like a host name. Tokens don't: a routable one has
// digits after its last dot.
func domain(text, lower string) bool {
	_, host, _ := cutLast(lower, "@")
	name, top, dotted := cutLast(host, ".")
	return dotted && text[0] != '.' && len(top) >= 2 && strings.Trim(top, "abcdefghijklmnopqrstuvwxyz") == "" &&
		name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && !strings.Contains(lower, personal)
}

// cutLast splits a text at its last separator; without one, all of it is in after.
func cutLast(text, separator string) (before, after string, found bool) {
	at := strings.LastIndex(text, separator)
	if at < 0 {
		return "", text, false
	}
	return text[:at], text[at+len(separator):], true
}

func withUser(text, lower string) bool {
	_, rest, found := strings.Cut(text, ":")
	known := hasAnyPrefix(rest, personal) || hasAnyPrefix(rest, prefixes()...)
	return found && (known || hasAnyPrefix(lower, "oauth2:", "gitlab-ci-token:", "x-access-token:", "x-oauth-basic:"))
}

// followed reports whether a text is a token with GitLab's prefix followed by something
// else, such as "@gitlab.example.com".
func followed(text, _ string) bool {
	_, rest, found := strings.Cut(text, personal)
	return found && strings.ContainsAny(rest, "+=/@:,;|&?#") && !strings.ContainsAny(rest, space) && !plausible(text)
}

// roots are directories in which secrets are commonly found.
var roots = []string{"~/", "./", "../", "/var/", "/run/", "/tmp/", "/home/", "/etc/", "/root/", "/workspace/", "/app/", "/mnt/", "/opt/",
	"/usr/", "/secret/", "/secrets/", "/data/", "/srv/", "/dev/", "/proc/", "/users/", "/private/", "/vault/", "/config/", "/path/", "file:/"}

func filePath(text, lower string) bool {
	text, lower = strings.TrimPrefix(text, "@"), strings.TrimPrefix(lower, "@") // as curl names a file
	drive := len(text) > 2 && text[1] == ':' && (text[2] == '\\' || text[2] == '/')
	names := strings.Contains(text, "/") && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz._-/") == ""
	ending := slices.ContainsFunc([]string{".txt", ".json", ".yaml", ".yml", ".env", ".pem", ".key"}, func(end string) bool { return strings.HasSuffix(lower, end) })
	return !strings.ContainsAny(text, "\r\n") && (drive || names || ending || hasAnyPrefix(lower, roots...))
}

// jwt reports whether a text is a JSON Web Token (RFC 7519), such as a service account's.
func jwt(text string) bool {
	head, rest, _ := strings.Cut(text, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(head)
	return err == nil && strings.Contains(rest, ".") && strings.HasPrefix(string(decoded), "{")
}

// isUTF16 reports whether a text is UTF-16: it has its byte order mark, or every second
// byte is zero.
func isUTF16(text string) bool {
	if hasAnyPrefix(text, "\xff\xfe", "\xfe\xff") {
		return true
	}
	if len(text) < 4 || len(text)%2 != 0 {
		return false
	}
	var zero [2]int
	for n := range len(text) {
		if text[n] == 0 {
			zero[n%2]++
		}
	}
	return zero[0] == 0 && zero[1] == len(text)/2 || zero[1] == 0 && zero[0] == len(text)/2
}

// maxEncoded is how many times a text is decoded at most.
const maxEncoded = 4

// encoded counts how many times a text was encoded in base64. A generated token is not
// mistaken for base64: its characters decode to those of a token once in 10^9.
func encoded(text string) int {
	for times := range maxEncoded {
		decoded, ok := decode(text)
		if !ok {
			return times
		}
		text = decoded
	}
	return maxEncoded
}

func decode(text string) (string, bool) {
	text = strings.Join(strings.Fields(text), "") // base64 puts in line breaks
	bare := strings.TrimRight(text, "=")
	data, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(bare))
	decoded := strings.TrimSpace(string(data))
	switch {
	case err != nil || len(decoded) < 3:
		return "", false
	case len(data) > 8 && isUTF16(string(data)):
		return decoded, true
	case !utf8.ValidString(decoded) || strings.ContainsFunc(decoded, func(r rune) bool { return r < ' ' && !strings.ContainsRune(space, r) }):
		return "", false
	}
	// What GitLab generates does not end in "=".
	return decoded, bare != text || strings.Contains(decoded, personal) || hasAnyPrefix(decoded, prefixes()...) || strings.HasPrefix(decoded, `{"`) ||
		len(decoded) >= 16 && strings.Trim(decoded, alphabet) == ""
}
