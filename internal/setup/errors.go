package setup

import (
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errGitFailed is for a failed git; words are its output, "" for none.
func errGitFailed(words string) error {
	what := "git config failed without a message"
	if words != "" {
		what = "git config failed: " + message.Quote(words)
	}
	return &message.Error{Code: "git-failed", Topic: message.Configuration, What: what,
		Hint: "check that git config --list works here, then run the command again"}
}

// errGitConfigFile is for a configuration file that is not a readable file.
func errGitConfigFile(path, why string) error {
	return &message.Error{Code: "git-config-file", Topic: message.Configuration,
		What: "git's configuration file " + message.Quote(path) + " can't be used: " + why,
		Hint: "correct the path, or name another file in GIT_CONFIG_GLOBAL or GIT_CONFIG_SYSTEM"}
}

// errGitConfigUnwritable is for a configuration file that git can't change.
func errGitConfigUnwritable(path, why string) error {
	return &message.Error{Code: "git-config-unwritable", Topic: message.Configuration,
		What: "git's configuration file " + message.Quote(path) + " can't be written: " + message.Quote(strings.TrimSpace(why)),
		Hint: "check that this user may write to its directory; if nothing is writable, use setup --env"}
}

// errGitConfigLocked is for a lock file that does not go away.
func errGitConfigLocked(lock string) error {
	return &message.Error{Code: "git-config-locked", Topic: message.Configuration,
		What: "git's configuration is locked by " + message.Quote(lock),
		Hint: "if no other git is running, the file is left over from one that was killed: remove it and run the command again"}
}

// errNoRepository is for --local outside a repository; words are git's output.
func errNoRepository(words string) error {
	return &message.Error{Code: "no-repository", Topic: message.Configuration,
		What: "--local needs a repository, and git finds none here: " + message.Quote(words),
		Hint: "run it in a clone, or without --local"}
}

// warnSetUpIneffective is a warning that git does not use this helper first for the
// instance at url, although path says so. key and origin are the setting of the helper
// that git uses first, "" for none.
func warnSetUpIneffective(url, path, key, origin string) error {
	why := "it uses none, so that file is not read, or later configuration resets the list"
	if key != "" {
		why = message.Quote(key) + " in " + message.Quote(origin) + " names another one"
	}
	return &message.Error{Code: "set-up-in-vain", Topic: message.Warning,
		What: message.Quote(path) + " sets this helper for " + url + ", but git does not use it first: " + why,
		Hint: "remove that, or run setup for a scope that git reads later (--system, then --global, --local, --env)"}
}

// warnProxyBypassed is a warning that git uses an instance's url, not the proxy, for ssh
// addresses that begin with form. key and origin are the setting that says so.
func warnProxyBypassed(form, url, key, origin string) error {
	return &message.Error{Code: "proxy-bypassed", Topic: message.Warning,
		What: "git replaces " + message.Quote(form) + " with " + url + ", not with the proxy: " + message.Quote(key) + " in " + message.Quote(origin),
		Hint: "remove that setting, and run setup --proxy with --rewrite-ssh"}
}

// errSSHAmbiguous is for two instances on one host with the same ssh addresses.
func errSSHAmbiguous(one, other string) error {
	return &message.Error{Code: "ssh-ambiguous", Topic: message.Configuration,
		What: "ssh addresses are the same for " + one + " and " + other,
		Hint: "choose one with --instance"}
}

// errProxyAmbiguous is for two instances through one proxy.
func errProxyAmbiguous(proxy, one, other string) error {
	return &message.Error{Code: "proxy-ambiguous", Topic: message.Configuration,
		What: proxy + " can't be the proxy for both " + one + " and " + other + ": serve is for one instance",
		Hint: "run a serve for each, on different ports, and choose one with --instance; setup --remove --instance undoes the other"}
}
