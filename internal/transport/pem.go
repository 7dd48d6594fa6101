package transport

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// pemBlock is a block of a PEM file: a certificate, something that git passes over
// too (both nil and ""), or a certificate that can't be used, and why.
type pemBlock struct {
	certificate *x509.Certificate
	problem     string
	// valid: git can use it, and only crypto/x509 can't.
	valid bool
}

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemTail  = "-----"
	// maxLabel bounds the type of a block in bytes ("TRUSTED CERTIFICATE").
	maxLabel = 64
)

// readPEM reads the blocks of a file of authorities. Like GnuTLS and OpenSSL, and so git, but
// unlike encoding/pem, it accepts blocks that do not begin on their own line (joined files,
// a byte order mark), and other names of a certificate (X509 CERTIFICATE, TRUSTED
// CERTIFICATE).
func readPEM(data []byte) (blocks []pemBlock) {
	for {
		at := bytes.Index(data, []byte(pemBegin))
		if at < 0 {
			return blocks
		}
		data = data[at+len(pemBegin):]
		// A block ends before the next one begins.
		text := data
		if next := bytes.Index(data, []byte(pemBegin)); next >= 0 {
			text = data[:next]
		}
		blocks = append(blocks, readBlock(text))
	}
}

// readBlock reads a block after its BEGIN.
func readBlock(text []byte) pemBlock {
	label, rest, found := bytes.Cut(text, []byte(pemTail))
	if !found || len(label) > maxLabel || bytes.ContainsAny(label, "\r\n") {
		return pemBlock{problem: "its BEGIN line is damaged"}
	}
	kind := string(label)
	if !slices.Contains([]string{"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"}, kind) {
		return pemBlock{}
	}
	body, _, found := bytes.Cut(rest, []byte(pemEnd+kind+pemTail))
	switch {
	case !found && bytes.Contains(rest, []byte(pemEnd)):
		return pemBlock{problem: "its END line does not match its BEGIN line"}
	case !found:
		return pemBlock{problem: "it has no END line"}
	case bytes.Contains(body, []byte(`\n`)):
		return pemBlock{problem: `its line breaks are written as \n`}
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
	if err != nil {
		return pemBlock{problem: "it is damaged (no valid base64)"}
	}
	if kind == "TRUSTED CERTIFICATE" {
		var distrusted bool
		if der, distrusted = splitTrusted(der); distrusted {
			return pemBlock{problem: "it is marked as not trusted for servers", valid: true}
		}
	}
	certificate, err := x509.ParseCertificate(der)
	if err == nil {
		return pemBlock{certificate: certificate}
	}
	if problem := unsupported(err); problem != "" {
		return pemBlock{problem: "its " + problem, valid: true}
	}
	return pemBlock{problem: "it is damaged (no certificate)"}
}

// unsupported is what crypto/x509 rejects in a certificate that git's TLS libraries accept, ""
// for other errors. These errors have no type.
func unsupported(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "negative serial number"):
		return "serial number is negative, which RFC 5280 forbids (GODEBUG=x509negativeserial=1 in git's environment accepts it)"
	case strings.Contains(text, "unsupported elliptic curve"), strings.Contains(text, "invalid ECDSA parameters"):
		return "key is on an elliptic curve that is not supported (P-256, P-384 and P-521 by name are)"
	}
	return ""
}

// splitTrusted cuts off OpenSSL's trust settings after a certificate (X509_AUX in x509(1)),
// and reports whether they exclude servers.
func splitTrusted(der []byte) (certificate []byte, distrusted bool) {
	var whole asn1.RawValue
	rest, err := asn1.Unmarshal(der, &whole)
	if err != nil || len(rest) == 0 {
		return der, false
	}
	var aux struct {
		Trust  []asn1.ObjectIdentifier `asn1:"optional"`
		Reject []asn1.ObjectIdentifier `asn1:"optional,tag:0"`
	}
	if _, err := asn1.Unmarshal(rest, &aux); err != nil {
		return der, false // damaged, as its bytes that are too many will show
	}
	servers := func(use asn1.ObjectIdentifier) bool {
		return use.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}) || use.Equal(asn1.ObjectIdentifier{2, 5, 29, 37, 0})
	}
	return whole.FullBytes, slices.ContainsFunc(aux.Reject, servers) || len(aux.Trust) > 0 && !slices.ContainsFunc(aux.Trust, servers)
}

// PEMProblem is why a file of authorities can't be used, "" if it can.
func PEMProblem(data []byte) string {
	blocks := readPEM(data)
	first, certificates := "", 0
	for i, block := range blocks {
		said := "block " + strconv.Itoa(i+1) + " can't be read: " + block.problem
		switch {
		case block.problem != "" && !block.valid:
			return said
		case block.problem != "" && first == "":
			first = said
		case block.certificate != nil:
			certificates++
		}
	}
	switch {
	case certificates > 0:
		return ""
	case first != "":
		return first
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return "it is UTF-16 text; PEM is ASCII"
	}
	if _, err := x509.ParseCertificates(data); err == nil && len(data) > 0 {
		return "it is in DER form, not PEM (openssl x509 -inform der converts it)"
	}
	return "it contains no certificate"
}

// withLines puts each BEGIN and END on its own line, as encoding/pem requires, and unifies
// the names of certificates.
func withLines(data []byte) []byte {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n", "BEGIN X509 CERT", "BEGIN CERT", "END X509 CERT", "END CERT").Replace(string(data))
	text = strings.NewReplacer(pemBegin, "\n"+pemBegin, pemEnd, "\n"+pemEnd).Replace(text)
	return []byte(text)
}
