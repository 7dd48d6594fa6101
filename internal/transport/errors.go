package transport

import (
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// errClientCertificateInvalid is for a certificate, or the key of one, that git shows
// to servers and that can't be used.
func errClientCertificateInvalid(where, why string) error {
	return &message.Error{Code: "client-certificate-invalid", Topic: message.Configuration,
		What: "the client certificate in " + where + " can't be used: " + why,
		Hint: "check that git's http.sslCert and http.sslKey (or GIT_SSL_CERT and GIT_SSL_KEY) name files in PEM form, the key without a password"}
}
