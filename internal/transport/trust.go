package transport

import (
	"crypto/x509"
	"os"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Trust is what to trust besides the system's own authorities.
type Trust struct {
	// PEM are certificates in PEM form that came with the token, and Where
	// their place in words.
	PEM   []byte
	Where string
	// Required is a file of certificates that must be readable (git fails over
	// an unreadable GIT_SSL_CAINFO too), RequiredBy the setting that names it.
	Required, RequiredBy string
	// Optional is one that may be missing, as OpenSSL treats SSL_CERT_FILE, and
	// OptionalBy the setting that names it.
	Optional, OptionalBy string
}

// maxBundle bounds a file of authorities in bytes; the usual ones have 250 KB.
const maxBundle = 4 << 20

// Roots is the system's authorities (which SSL_CERT_FILE and SSL_CERT_DIR
// replace on Unix, see crypto/x509) and those of t.
func Roots(t Trust) (*x509.CertPool, *message.Message) {
	// crypto/x509 opens this file itself, and would wait for a FIFO.
	if info, err := os.Stat(t.Optional); err == nil && !info.Mode().IsRegular() {
		return nil, message.CAInvalid(message.Quote(t.Optional)+", which "+t.OptionalBy+" names,", "it is not a regular file")
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if len(t.PEM) > 0 && !pool.AppendCertsFromPEM(t.PEM) {
		return nil, message.CAInvalid(t.Where, "there is no certificate in it")
	}
	if t.Required != "" {
		where := message.Quote(t.Required) + ", which " + t.RequiredBy + " names,"
		pem, err := file.Read(t.Required, maxBundle)
		if err != nil {
			return nil, message.CAInvalid(where, "it can't be read")
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, message.CAInvalid(where, "there is no certificate in it")
		}
	}
	if t.Optional != "" {
		if pem, err := file.Read(t.Optional, maxBundle); err == nil {
			pool.AppendCertsFromPEM(pem)
		}
	}
	return pool, nil
}
