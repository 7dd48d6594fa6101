package message

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

// ProxyLogin is what to do about a proxy that wants a login: the one that a setting
// names, or one before the URL.
func ProxyLogin(proxy, url string) string {
	if proxy == "" {
		return "have requests to " + url + " let through without a login of the proxy's"
	}
	return "put user name and password into the URL of the proxy (http://USER:PASSWORD@proxy.example.com:3128, special characters as %40 and the like), or put the host into NO_PROXY"
}

// caSettings is what to do about an unknown authority.
const caSettings = "add the authority's certificate as the key ca.crt of the Secret, or " + CAFileSettings

// CAFileSettings is what to do about an authority that no Secret names.
const CAFileSettings = "name a file that holds it in GIT_SSL_CAINFO, SSL_CERT_FILE or git's http.sslCAInfo (git config --global)"

// clientSettings is what to do about a server that wants a certificate.
const clientSettings = "name the files of certificate and key in git's http.sslCert and http.sslKey (git config --global), or in GIT_SSL_CERT and GIT_SSL_KEY"

// Also adds remarks, if there are any, to a hint.
func Also(hint, remarks string) string {
	if remarks == "" {
		return hint
	}
	return hint + "; " + remarks
}
