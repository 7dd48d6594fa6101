package message

// HeaderAuthorizes is for an http.extraHeader with an Authorization header, named by
// its setting and place. curl sends it instead of a helper's credential.
func HeaderAuthorizes(by string) error {
	return &Error{Code: "header-authorizes", Topic: Configuration,
		What: by + " sets an Authorization header, which git sends instead of a helper's token",
		Hint: "remove the setting (git config --global --unset-all http.extraHeader, or without --global in the repository), and revoke the token in it"}
}

// SettingIgnored is a warning, when GitLab gave no verdict, about a setting that git
// uses and this program ignores.
func SettingIgnored(by string) error {
	return &Error{Code: "setting-ignored", Topic: Warning,
		What: "git uses " + by + ", but this helper ignores it",
		Hint: "if GitLab can't be reached without it, set it with git config --global: this helper uses http.proxy, http.version, http.extraHeader, http.cookieFile and http.curloptResolve from there, never from a repository"}
}

// ProxyLogin is the hint for a proxy that requires a login: the configured one, or, for
// "", one in front of the URL.
func ProxyLogin(proxy, url string) string {
	if proxy == "" {
		return "exempt " + url + " from the proxy's login"
	}
	return "put the user name and password into the proxy's URL (http://USER:PASSWORD@proxy.example.com:3128, with special characters percent-encoded), or add the host to NO_PROXY"
}

// caSettings is the hint for an unknown certificate authority.
const caSettings = "add the authority's certificate as the key ca.crt of the Secret, or " + CAFileSettings

// CAFileSettings is the same hint without a Secret.
const CAFileSettings = "set GIT_SSL_CAINFO, SSL_CERT_FILE or git's http.sslCAInfo (git config --global) to a file with it"

// clientSettings is the hint for a server that requires a client certificate.
const clientSettings = "set git's http.sslCert and http.sslKey (git config --global), or GIT_SSL_CERT and GIT_SSL_KEY, to the files with the certificate and its key"

// Also appends remarks, if any, to a hint.
func Also(hint, remarks string) string {
	if remarks == "" {
		return hint
	}
	return hint + "; " + remarks
}
