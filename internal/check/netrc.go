package check

import "strings"

// netrcPassword is the password that git's libcurl uses for a host from the content of a
// ~/.netrc, which it reads for every request; false for none.
// The rules are those of curl's lib/netrc.c: an entry without a port, "default" for
// any host, words that may be quoted, comments, macros that end with an empty line.
func netrcPassword(content, host string) (password string, found bool) {
	state, login, previous := "", false, ""
	for line := range strings.Lines(content) {
		if state == "macdef" && strings.TrimSpace(line) == "" {
			state = ""
		}
		for word, rest, ok := netrcWord(line); ok && state != "macdef"; word, rest, ok = netrcWord(rest) {
			keyword := strings.ToLower(word)
			switch {
			case previous == "machine":
				if previous = ""; strings.EqualFold(word, host) {
					state = "ours"
				} else {
					state = ""
				}
			case previous == "login":
				previous, login = "", true
			case previous == "password":
				previous, password, found = "", word, word != ""
			case keyword == "machine" || state == "ours" && (keyword == "login" || keyword == "password"):
				previous = keyword
			case keyword == "default":
				state = "ours"
			case keyword == "macdef":
				state = keyword
			}
			if login && found {
				return password, true
			}
		}
	}
	return password, found
}

// netrcWord cuts the first word off a line; false at its end and at a comment.
func netrcWord(line string) (word, rest string, ok bool) {
	line = strings.TrimLeft(line, " \t\r\n")
	if line == "" || line[0] == '#' {
		return "", "", false
	}
	if line[0] != '"' {
		if end := strings.IndexAny(line, " \t\r\n"); end >= 0 {
			return line[:end], line[end:], true
		}
		return line, "", true
	}
	var out strings.Builder
	for n := 1; n < len(line) && line[n] != '\n'; n++ {
		switch {
		case line[n] == '"':
			return out.String(), line[n+1:], true
		case line[n] == '\\' && n+1 < len(line):
			n++
			out.WriteString(strings.NewReplacer("n", "\n", "r", "\r", "t", "\t").Replace(line[n : n+1]))
		default:
			out.WriteByte(line[n])
		}
	}
	return "", "", false // a quote that does not end
}
