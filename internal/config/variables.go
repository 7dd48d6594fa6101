package config

import (
	"fmt"
	"strings"
)

// Variable is a row of the table, in Markdown.
type Variable struct {
	Name string
	// Default is the default value; GitSetting is git's own setting with the same
	// meaning.
	Default, GitSetting string
	Meaning             string
	// Token: the value is a token.
	Token bool
}

// Group is a part of the table. Column is the title of the column between name and
// meaning, "" for none.
type Group struct {
	Title, Column string
	Variables     []Variable
}

// groups is the table of all variables. The documents, the help topic environment and the
// manual page are generated from it.
var groups = []Group{
	{"Variables", "default", []Variable{
		{Name: "ACP_GITLAB_SECRET_DIR", Default: "`/var/run/secrets/acp/gitlab`", Meaning: "mounted Secret; several directories separated by `:` serve several instances"},
		{Name: "ACP_GITLAB_SECRET", Meaning: "`namespace/name` of a Secret to read through the Kubernetes API if no mounted Secret has a valid token"},
		{Name: "KUBECONFIG", Meaning: "absolute paths of kubeconfigs for `ACP_GITLAB_SECRET`; default: the pod's ServiceAccount, else `~/.kube/config`"},
		{Name: "KUBERNETES_SERVICE_HOST", Meaning: "address of the Kubernetes API in a pod; set by kubelet"},
		{Name: "KUBERNETES_SERVICE_PORT", Meaning: "its port"},
		{Name: "ACP_GITLAB_TOKEN_FILE", Meaning: "file with the token, used if no Secret has one"},
		{Name: TokenVariable, Meaning: "the token, used if there is neither a Secret nor a file", Token: true},
		{Name: "ACP_GITLAB_INSTANCE_URL", Default: "`https://gitlab.com`", Meaning: "instance of the token file and `GITLAB_TOKEN`, and of a token for which [the platform](architecture.md#the-platform-as-a-source) names none. If set, requests for other instances ask neither the cluster nor the platform, except [in the runner](#the-platforms-runner)"},
		{Name: "ACP_GITLAB_SOURCE", Default: "`auto`", Meaning: "`mount`, `api`, `file`, `env`, `backend` (the platform itself) or `runner`: use only this source. `auto` is `runner` in [the platform's runner](#the-platforms-runner), else the first of the first four that has a token"},
		{Name: "ACP_GITLAB_MIN_ACCESS", Default: "`developer`", Meaning: "[lowest role on the project](#the-minimum-access-level): `none`, `guest`, `planner`, `reporter`, `developer`, `maintainer`, `owner` or a number from 0 to 50"},
		{Name: "ACP_GITLAB_REQUIRED_SCOPES", Default: "`api,read_api,read_user,write_repository`", Meaning: "scopes that the token must have; `api` implies `read_api` and `read_user`"},
		{Name: "ACP_GITLAB_ON_UNVERIFIED", Default: "`deny`", Meaning: "`allow`: give the token to its own instance although GitLab did not answer"},
		{Name: "ACP_GITLAB_TIMEOUT", Default: "`20s`", Meaning: "limit for one verification, including up to four retries"},
		{Name: "ACP_GITLAB_RATE_LIMIT_WAIT", Default: "`2m`", Meaning: "total wait for rate limits to reset, in addition to `ACP_GITLAB_TIMEOUT`; `0`: don't wait"},
		{Name: "ACP_GITLAB_CACHE_DIR", Default: "`$XDG_RUNTIME_DIR/git-credential-acp`, else `$TMPDIR/git-credential-acp-<uid>`", Meaning: "cache of verdicts, never of tokens; used only if nobody but the user can write to it. `off`: no cache, and no expiry warnings from `get`"},
		{Name: "ACP_GITLAB_CACHE_TTL", Default: "`5m`", Meaning: "how long a good verdict is fresh; `0`: ask GitLab at each call and use the cache only while it does not answer"},
		{Name: "ACP_BACKEND_URL", Meaning: "the platform's URL, with or without `/api`: `https`, or `http` for a Service named with its namespace"},
		{Name: "BACKEND_API_URL", Meaning: "the same, set in session pods; in-cluster addresses only"},
		{Name: PlatformTokenVariable, Meaning: "token for the platform", Token: true},
		{Name: "ACP_TOKEN_FILE", Default: "`/var/run/secrets/ambient/bot-token`", Meaning: "file with that token, used if `ACP_TOKEN` is not set"},
		{Name: BotTokenVariable, Meaning: "the session's own token for the platform, set in `init-hydrate`; used if there is no such file, and for in-cluster addresses only", Token: true},
		{Name: "PROJECT_NAME", Meaning: "the session's project, to ask the platform for its credentials"},
		{Name: "AGENTIC_SESSION_NAMESPACE", Meaning: "the same, used if `PROJECT_NAME` is not set"},
		{Name: "NAMESPACE", Meaning: "the same, used if neither is set; set in `init-hydrate`"},
		{Name: "AGENTIC_SESSION_NAME", Meaning: "the session, to ask the platform for its credentials; ignored if it can't be a resource's name"},
		{Name: "SESSION_NAME", Meaning: "the same, set in `init-hydrate`"},
		{Name: "SESSION_ID", Meaning: "the same, used if neither is set; in pods of the control plane, it takes precedence over both"},
		{Name: "CREDENTIAL_IDS", Meaning: "JSON object from provider to credential, set in pods of the control plane; its credential `gitlab`, if any, is used instead of the session's"},
		{Name: "USER_ID", Meaning: "the session's owner; used only to recognize [the runner](#the-platforms-runner)"},
		{Name: "WORKSPACE_PATH", Meaning: "the session's directory; used only to recognize the runner"},
		{Name: RepositoriesVariable, Meaning: "the session's repositories, for `check --all`: a JSON list of objects with a `url` or an `input.url`, or of URLs"},
		{Name: "XDG_RUNTIME_DIR", Meaning: "for `ACP_GITLAB_CACHE_DIR`"},
		{Name: "TMPDIR", Default: "`/tmp`", Meaning: "for `ACP_GITLAB_CACHE_DIR`"},
		{Name: "XDG_STATE_HOME", Default: "`~/.local/state`", Meaning: "where `rotate --new` saves a new token until it is stored, in `git-credential-acp`"},
		{Name: "ACP_GITLAB_ALLOW_HTTP_LOOPBACK", Meaning: "`1`: accept an `http` instance on a loopback address, for local testing"},
		{Name: "ACP_GITLAB_TRACE", Meaning: "`1`: one redacted line per step with its duration, on standard error; or the absolute path of a file to append to"},
		{Name: "NO_COLOR", Meaning: "any value: no colors"},
		{Name: "TERM", Meaning: "`dumb`: the same"},
	}},
	{"Reaching GitLab", "git's setting", []Variable{
		{Name: "GIT_SSL_CAINFO", GitSetting: "`http.sslCAInfo`", Meaning: "CA file, in addition to the system's CAs and the Secret's"},
		{Name: "GIT_SSL_CAPATH", GitSetting: "`http.sslCAPath`", Meaning: "directory of CA files"},
		{Name: "SSL_CERT_FILE", Meaning: "the same; ignored if missing or not a file of certificates, with a warning in `check`"},
		{Name: "SSL_CERT_DIR", Meaning: "directories of CA files, instead of the system's"},
		{Name: "GIT_SSL_CERT", GitSetting: "`http.sslCert`", Meaning: "client certificate"},
		{Name: "GIT_SSL_KEY", GitSetting: "`http.sslKey`", Meaning: "its key, if in another file; a key with a password can't be used"},
		{Name: "GIT_SSL_NO_VERIFY", GitSetting: "`http.sslVerify`", Meaning: "**ignored**: the helper always verifies"},
		{Name: "https_proxy", GitSetting: "`http.proxy`, which takes precedence", Meaning: "the proxy: `http`, `https`, `socks5` or `socks5h`; empty for none"},
		{Name: "HTTPS_PROXY", Meaning: "the same, used if `https_proxy` is not set"},
		{Name: "all_proxy", Meaning: "the same, used if neither is set"},
		{Name: "ALL_PROXY", Meaning: "the same, used if none of the three is set"},
		{Name: "http_proxy", Meaning: "used instead of `https_proxy` for a plain `http` instance on a loopback address"},
		{Name: "no_proxy", Meaning: "hosts, domains and networks to reach without a proxy, in curl's syntax"},
		{Name: "NO_PROXY", Meaning: "the same, used if `no_proxy` is not set"},
		{Name: "GIT_PROXY_SSL_CAINFO", GitSetting: "`http.proxySSLCAInfo`", Meaning: "CA file for an `https` proxy"},
	}},
	{"Git's own", "", []Variable{
		{Name: "GIT_CONFIG_GLOBAL", Meaning: "the user's configuration file, for `setup`"},
		{Name: "HOME", Meaning: "directory of the user's configuration"},
		{Name: "XDG_CONFIG_HOME", Meaning: "the same, for `git/config`"},
		{Name: "GIT_CONFIG_SYSTEM", Meaning: "the system's configuration file, for `setup --system`"},
		{Name: "GIT_CONFIG_COUNT", Meaning: "number of key/value pairs in the environment"},
		{Name: "GIT_CONFIG_KEY_", Meaning: "with a number: a key"},
		{Name: "GIT_CONFIG_VALUE_", Meaning: "with a number: its value"},
		{Name: "GIT_CONFIG_PARAMETERS", Meaning: "settings of `git -c`"},
		{Name: "PATH", Meaning: "where git and the helper are found"},
	}},
}

// TokenVariables are the variables with a token. Child processes must not inherit them.
func TokenVariables() []string {
	var names []string
	for _, group := range groups {
		for _, v := range group.Variables {
			if v.Token {
				names = append(names, v.Name)
			}
		}
	}
	return names
}

// head is the table's header in Markdown.
func (g Group) head() string {
	if g.Column == "" {
		return "| variable | meaning |\n|---|---|\n"
	}
	return "| variable | " + g.Column + " | meaning |\n|---|---|---|\n"
}

// column is the cell between a variable's name and its meaning.
func (g Group) column(v Variable) string {
	if g.Column == "default" && v.Default == "" {
		return "unset"
	}
	return v.Default + v.GitSetting
}

// Markdown is the group as a table.
func (g Group) Markdown() string {
	var b strings.Builder
	b.WriteString(g.head())
	for _, v := range g.Variables {
		fmt.Fprintf(&b, "| `%s` |", v.Name)
		if g.Column != "" {
			fmt.Fprintf(&b, " %s |", g.column(v))
		}
		fmt.Fprintf(&b, " %s |\n", v.Meaning)
	}
	return strings.ReplaceAll(b.String(), "|  |", "| |")
}

// Update returns a document with the groups' tables updated. A table is recognized by its
// header.
func Update(document string) string {
	for _, group := range groups {
		before, rest, found := strings.Cut(document, group.head())
		if found {
			_, after, _ := strings.Cut(rest, "\n\n")
			document = before + group.Markdown() + "\n" + after
		}
	}
	return document
}

// Text is the table for a terminal of 80 columns.
func Text() string {
	var b strings.Builder
	for _, group := range groups {
		fmt.Fprintf(&b, "%s:\n\n", group.Title)
		for _, v := range group.Variables {
			title := v.Name
			if extra := v.Default + v.GitSetting; extra != "" {
				title += " (" + plain(extra) + ")"
			}
			b.WriteString(wrap(title, "  ", 80))
			b.WriteString(wrap(plain(v.Meaning), "      ", 80))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Manual is the table as definition lists in Markdown, for a manual page.
func Manual() string {
	var b strings.Builder
	for _, group := range groups {
		fmt.Fprintf(&b, "# %s\n\n", strings.ToUpper(group.Title))
		for _, v := range group.Variables {
			fmt.Fprintf(&b, "`%s`", v.Name)
			if extra := v.Default + v.GitSetting; extra != "" {
				fmt.Fprintf(&b, " (%s)", extra)
			}
			fmt.Fprintf(&b, "\n: %s\n\n", unlinked(v.Meaning))
		}
	}
	return b.String()
}

// plain is Markdown without markup.
func plain(text string) string {
	return strings.NewReplacer("`", "", "**", "").Replace(unlinked(text))
}

// unlinked is Markdown with links replaced by their texts.
func unlinked(text string) string {
	for {
		before, rest, found := strings.Cut(text, "[")
		label, rest, link := strings.Cut(rest, "](")
		_, after, end := strings.Cut(rest, ")")
		if !found || !link || !end {
			return text
		}
		text = before + label + after
	}
}

// wrap breaks a text into lines of at most width bytes, each with indent.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line) > len(indent) && len(line)+len(word) >= width {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		line += word + " "
	}
	return b.String() + strings.TrimRight(line, " ") + "\n"
}
