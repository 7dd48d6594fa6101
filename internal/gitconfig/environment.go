package gitconfig

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// passedVariables are the variables that git gets: its paths, and nothing that may contain a token.
var passedVariables = []string{
	"PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "SUDO_UID",
	"GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM",
	"GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
	"SYSTEMROOT", "PROGRAMDATA", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA",
}

// passedSettings are the settings from the environment that git gets: which other files to read,
// whether it may work in a repository, and the author of commits. Others may contain a
// token (http.extraHeader).
var passedSettings = []string{"include.path", "includeif.path", "safe.directory", "safe.barerepository", "user.name", "user.email"}

// Environment is the part of an environment, and of the settings in it, that git gets.
// Relative paths are left out, since they would refer to the repository.
func Environment(environ []string, command []Entry) []string {
	env := []string{"LC_ALL=C"}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !slices.Contains(passedVariables, name) {
			continue
		}
		switch name {
		case "HOME", "XDG_CONFIG_HOME", "GIT_EXEC_PATH":
			if !filepath.IsAbs(value) {
				continue
			}
		case "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM":
			if !filepath.IsAbs(value) {
				variable = name + "=" + os.DevNull
			}
		}
		env = append(env, variable)
	}
	count := 0
	for _, e := range command {
		if slices.Contains(passedSettings, e.Section+"."+e.Key) {
			at := strconv.Itoa(count)
			env = append(env, "GIT_CONFIG_KEY_"+at+"="+e.fullName(), "GIT_CONFIG_VALUE_"+at+"="+e.Value())
			count++
		}
	}
	return append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(count))
}

// Origins of settings in the environment.
const (
	pairOrigin       = "GIT_CONFIG_KEY_"
	parametersOrigin = "GIT_CONFIG_PARAMETERS"
)

// FromEnvironment is the configuration in the environment: pairs of key and value
// (GIT_CONFIG_COUNT), and the settings of `git -c` (GIT_CONFIG_PARAMETERS), as
// git_config_from_parameters in git's config.c reads them. Malformed ones are left out.
func FromEnvironment(pairs [][2]string, parameters string) []Entry {
	var entries []Entry
	add := func(origin, name, value string, implicit bool) {
		if e, ok := newEntry(Command, origin, name, value, implicit); ok {
			entries = append(entries, e)
		}
	}
	for n, pair := range pairs {
		add(pairOrigin+strconv.Itoa(n), pair[0], pair[1], false)
	}
	for _, p := range dequote(parameters) {
		add(parametersOrigin, p.key, p.value, p.implicit)
	}
	return entries
}

// parameter is one of GIT_CONFIG_PARAMETERS.
type parameter struct {
	key, value string
	implicit   bool
}

// dequote reads GIT_CONFIG_PARAMETERS: 'key'='value', or 'key'= without a value, separated
// by spaces; before git 2.31, 'key=value'. It is nil if any of it is malformed.
func dequote(list string) []parameter {
	var all []parameter
	for rest := strings.TrimLeft(list, spaces); rest != ""; rest = strings.TrimLeft(rest, spaces) {
		var p parameter
		var ok bool
		if p.key, rest, ok = unquote(rest); !ok {
			return nil
		}
		switch after, assigned := strings.CutPrefix(rest, "="); {
		case !assigned:
			key, value, found := strings.Cut(p.key, "=")
			p = parameter{key: key, value: value, implicit: !found}
		case after == "" || strings.ContainsRune(spaces, rune(after[0])):
			p.implicit, rest = true, after
		default:
			if p.value, rest, ok = unquote(after); !ok {
				return nil
			}
		}
		if rest != "" && !strings.ContainsRune(spaces, rune(rest[0])) {
			return nil
		}
		all = append(all, p)
	}
	return all
}

const spaces = " \t\n\r"

// unquote reads one text that git's quote.c has quoted for a shell: in single quotes,
// outside of which only \' and \! may appear.
func unquote(text string) (value, rest string, ok bool) {
	var out strings.Builder
	rest = text
	for {
		inner, found := strings.CutPrefix(rest, "'")
		if !found {
			return "", "", false
		}
		end := strings.IndexByte(inner, '\'')
		if end < 0 {
			return "", "", false
		}
		out.WriteString(inner[:end])
		rest = inner[end+1:]
		if len(rest) < 3 || rest[0] != '\\' || rest[1] != '\'' && rest[1] != '!' || rest[2] != '\'' {
			return out.String(), rest, true
		}
		out.WriteByte(rest[1])
		rest = rest[2:]
	}
}
