package transport

import (
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errClientCertificateInvalid is for a client certificate of git's, or its key, that
// can't be used.
func errClientCertificateInvalid(where, why string) error {
	return &message.Error{Code: "client-certificate-invalid", Topic: message.Configuration,
		What: "the client certificate in " + where + " can't be used: " + why,
		Hint: "check that git's http.sslCert and http.sslKey (or GIT_SSL_CERT and GIT_SSL_KEY) name PEM files, and that the key has no password"}
}
