package message

import "strings"

// ClientCertificateInvalid is for a certificate, or the key of one, that git shows
// to servers and that can't be used.
func ClientCertificateInvalid(where, why string) error {
	return &Error{Code: "client-certificate-invalid", Topic: Configuration,
		What: "the client certificate in " + where + " can't be used: " + why,
		Hint: "see that git's http.sslCert and http.sslKey (or GIT_SSL_CERT and GIT_SSL_KEY) name files in PEM form, the key without a password"}
}

// CAUnread is a warning about certificates of authorities that can't be used,
// each with its place and the cause, beside others that can.
func CAUnread(blocks []string) error {
	return &Error{Code: "ca-unread", Topic: Warning, What: strings.Join(blocks, "; "),
		Hint: "replace what is named, or remove it if it is not needed"}
}

// ProxyInvalid is for a proxy, named by a setting, that can't be used. Its URL is
// not shown: there may be a password in it.
func ProxyInvalid(by, why string) error {
	return &Error{Code: "proxy-invalid", Topic: Configuration,
		What: "the proxy that " + by + " names can't be used: " + why,
		Hint: "use the form http://proxy.example.com:3128 (or https, socks5, socks5h), or leave it empty for no proxy; in a user name or password, write @ as %40, / as %2F, # as %23, ? as %3F and % as %25"}
}

// ProxyReads is for a proxy, named by a setting, on the way to an instance over
// plain http.
func ProxyReads(by string) error {
	return &Error{Code: "proxy-reads", Topic: Configuration,
		What: "the instance is plain http, so the proxy that " + by + " names would read the token",
		Hint: "put the instance's host into NO_PROXY, which git heeds too"}
}

// PathInvalid is for a path, named by a setting of git's, that leads nowhere for
// sure.
func PathInvalid(by, why string) error {
	return &Error{Code: "path-invalid", Topic: Configuration,
		What: "the path that " + by + " names can't be followed: " + why,
		Hint: "write the whole path, or one that begins with ~/"}
}

// HeaderAuthorizes is for an http.extraHeader, named by a setting and its place, that
// logs in: curl sends it in the place of the login that a helper gives git.
func HeaderAuthorizes(by string) error {
	return &Error{Code: "header-authorizes", Topic: Configuration,
		What: by + " sends a header Authorization, and git sends that instead of the token of any helper",
		Hint: "remove the setting (git config --global --unset-all http.extraHeader, or without --global in the repository), and revoke what it holds"}
}

// SettingIgnored is a warning, where nothing could be learned from GitLab, about a
// setting that git follows and this program does not.
func SettingIgnored(by string) error {
	return &Error{Code: "setting-ignored", Topic: Warning,
		What: "git follows " + by + ", and this helper does not",
		Hint: "if GitLab can't be reached without it, set it in the user's configuration (git config --global): this helper follows http.proxy, http.version, http.extraHeader, http.cookieFile and http.curloptResolve there, and never a repository's own"}
}

// NotFollowed is the part of a hint about a setting of git's that is left alone
// here.
func NotFollowed(by string) string { return by + " is not followed here" }

// Hides is the part of a hint about a variable that counts before a setting.
func Hides(variable, setting string) string { return variable + " counts before " + setting }

// Unreadable is the part of a hint about a path in a setting that did not help.
func Unreadable(path, by string) string {
	return Quote(path) + ", which " + by + " names, can't be read"
}

// proxyLogin is what to do about a proxy that wants a login: the one that a setting
// names, or one before the URL.
func proxyLogin(proxy, url string) string {
	if proxy == "" {
		return "have requests to " + url + " let through without a login of the proxy's"
	}
	return "put user name and password into the URL of the proxy (http://USER:PASSWORD@proxy.example.com:3128, special characters as %40 and the like), or put the host into NO_PROXY"
}

// caSettings is what to do about an unknown authority.
const caSettings = "add the authority's certificate as the key ca.crt of the Secret, or " + caFileSettings

const caFileSettings = "name a file that holds it in GIT_SSL_CAINFO, SSL_CERT_FILE or git's http.sslCAInfo (git config --global)"

// TrustToConnect is what to do about an unknown authority of an instance for which
// a token is about to be stored: in a Secret, which keeps the authority too, or
// elsewhere. file is what --ca-file names, "" when it was not given.
func TrustToConnect(secret bool, file string) string {
	switch {
	case !secret:
		return "get the authority's certificate, and " + caFileSettings
	case file == "":
		return "name a file that holds the authority's certificate with --ca-file, which also stores it in the Secret"
	}
	return "check that " + Quote(file) + ", which --ca-file names, holds the certificate of the authority that signed the instance's, and those in between"
}

// clientSettings is what to do about a server that wants a certificate.
const clientSettings = "name the files of certificate and key in git's http.sslCert and http.sslKey (git config --global), or in GIT_SSL_CERT and GIT_SSL_KEY"

// also adds remarks, if there are any, to a hint.
func also(hint, remarks string) string {
	if remarks == "" {
		return hint
	}
	return hint + "; " + remarks
}
