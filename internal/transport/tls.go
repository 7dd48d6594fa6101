package transport

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// tlsFault is the reason for a failed TLS handshake, with a cause if the reason is not
// specific. The reason is "" for other errors. Some errors of crypto/tls and crypto/x509
// have no type and are recognized by their text, which is not shown.
func tlsFault(err error) (reason access.Reason, cause string) {
	var (
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		op     *net.OpError
	)
	says := func(text string) bool { return strings.Contains(err.Error(), text) }
	switch {
	case errors.As(err, &cert):
		return certificateFault(cert)
	case errors.Is(err, http.ErrSchemeMismatch):
		return access.TLSPlain, ""
	case errors.As(err, &record):
		if bytes.HasPrefix(record.RecordHeader[:], []byte("HTTP/")) {
			return access.TLSPlain, ""
		}
		return access.TLSFailed, "the server does not speak TLS"
	case says("tls: server selected unsupported protocol version"):
		return access.TLSVersion, ""
	case says("tls: failed to parse certificate from server"):
		if problem := unsupported(err); problem != "" {
			return access.TLSUnusable, "in a certificate that the server sends, the " + problem
		}
		return access.TLSUnusable, "a certificate that the server sends is malformed"
	case says("bit keys are insecure"):
		return access.TLSUnusable, shortKey
	case says("tls: server sent certificate containing RSA key larger than"):
		return access.TLSUnusable, "its RSA key is longer than 8192 bits"
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return alertFault(op.Err)
	}
	return "", ""
}

// alertFault is the reason for an alert from the peer (RFC 8446, section 6.2). Its type is
// not exported; its text is that of tls.AlertError.
func alertFault(alert error) (reason access.Reason, cause string) {
	is := func(numbers ...tls.AlertError) bool {
		return slices.ContainsFunc(numbers, func(n tls.AlertError) bool { return alert.Error() == n.Error() })
	}
	switch {
	case is(70): // protocol_version
		return access.TLSVersion, ""
	case is(40, 71): // handshake_failure, insufficient_security
		return access.TLSCiphers, ""
	case is(112): // unrecognized_name
		return access.TLSFailed, "the server does not know that host name"
	}
	return access.TLSFailed, ""
}

// shortKey makes a certificate unusable.
const shortKey = "an RSA key in its chain is shorter than 1024 bits"

// certificateFault is the reason for a rejected certificate chain.
func certificateFault(failed *tls.CertificateVerificationError) (reason access.Reason, cause string) {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		critical  x509.UnhandledCriticalExtension
	)
	sent := failed.UnverifiedCertificates
	switch {
	case errors.As(failed.Err, &name):
		if c := name.Certificate; len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses)+len(c.URIs) == 0 {
			return access.TLSNoName, ""
		}
		return access.TLSWrongName, ""
	case errors.As(failed.Err, &authority):
		return untrusted(sent, failed.Err.Error())
	case errors.As(failed.Err, &invalid):
		return invalidFault(invalid, sent)
	case errors.As(failed.Err, &critical):
		return access.TLSUnusable, "it has an unknown critical extension"
	}
	return access.TLSFailed, ""
}

// untrusted is the cause for a chain without a trusted root. Details of crypto/x509 are only
// in the error's text.
func untrusted(sent []*x509.Certificate, text string) (reason access.Reason, cause string) {
	const sha1 = "it, or an authority's certificate in its chain, is signed with SHA-1 or MD5, which is no longer accepted"
	for _, c := range sent {
		// The signature of a root, made by itself, is not checked.
		old := x509.InsecureAlgorithmError(c.SignatureAlgorithm).Error()
		if weak(c.SignatureAlgorithm) && (!selfIssued(c) || strings.Contains(text, old)) {
			return access.TLSUnusable, sha1
		}
	}
	switch {
	case strings.Contains(text, x509.ConstraintViolationError{}.Error()):
		return access.TLSUnusable, "the certificate that signed it is not an authority's (basicConstraints CA:TRUE, keyUsage keyCertSign)"
	case strings.Contains(text, "bit keys are insecure"):
		return access.TLSUnusable, shortKey
	case strings.Contains(text, "possibly because of"):
		return access.TLSUntrusted, "an authority of the same name but with another key is trusted here: its certificate here is outdated, or something else answers in the server's place"
	case len(sent) > 0 && selfIssued(sent[0]):
		return access.TLSUntrusted, "the server's certificate is self-signed: add that certificate itself"
	}
	return access.TLSUntrusted, ""
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

func weak(a x509.SignatureAlgorithm) bool {
	return slices.Contains([]x509.SignatureAlgorithm{x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1}, a)
}

// invalidFault is the rule that a certificate of the chain violates.
func invalidFault(invalid x509.CertificateInvalidError, sent []*x509.Certificate) (reason access.Reason, cause string) {
	switch invalid.Reason {
	case x509.Expired:
		if len(sent) == 0 || invalid.Cert == nil || invalid.Cert.Equal(sent[0]) {
			return access.TLSExpired, ""
		}
		whose := "the authority's certificate here"
		if slices.ContainsFunc(sent, invalid.Cert.Equal) {
			whose = "the intermediate certificate that the server sends"
		}
		when := " expired on " + invalid.Cert.NotAfter.UTC().Format(time.DateOnly)
		if time.Now().Before(invalid.Cert.NotBefore) {
			when = " is not valid before " + invalid.Cert.NotBefore.UTC().Format(time.DateOnly)
		}
		return access.TLSUnusable, whose + " (" + message.Quote(invalid.Cert.Subject.CommonName) + ")" + when
	case x509.NotAuthorizedToSign:
		return access.TLSUnusable, "a certificate in its chain is not an authority's (basicConstraints CA:TRUE)"
	case x509.IncompatibleUsage, x509.CANotAuthorizedForExtKeyUsage:
		return access.TLSUnusable, "it is not for servers (extendedKeyUsage serverAuth)"
	case x509.CANotAuthorizedForThisName, x509.UnconstrainedName, x509.NameConstraintsWithoutSANs:
		return access.TLSUnusable, "its authority may not sign for that host name (name constraints)"
	case x509.TooManyIntermediates:
		return access.TLSUnusable, "its chain is longer than an authority in it allows (pathLenConstraint)"
	}
	return access.TLSUnusable, "it breaks a rule of its authority"
}
