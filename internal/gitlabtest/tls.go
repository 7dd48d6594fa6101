package gitlabtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CertificateKind is a flaw in a server certificate.
type CertificateKind string

// Clients must refuse all but the first.
const (
	CertificateGood       CertificateKind = ""
	CertificateExpired    CertificateKind = "expired"
	CertificateWrongName  CertificateKind = "wrong-name"  // for wrong-name.invalid only
	CertificateSelfSigned CertificateKind = "self-signed" // not signed by the CA file's authority
)

// caLife is enough for a demo that keeps running.
const caLife = 7 * 24 * time.Hour

// authority is a directory's certificate authority. The zero value self-signs.
type authority struct {
	cert *x509.Certificate
	key  crypto.PrivateKey
	file string
}

// loadAuthority returns the authority of dir, and makes it if missing. Of concurrent
// processes, the first to link its file wins.
func loadAuthority(dir string) (*authority, error) {
	both, public := filepath.Join(dir, "ca-key.pem"), filepath.Join(dir, "ca.pem")
	pair, err := os.ReadFile(both)
	if errors.Is(err, fs.ErrNotExist) {
		var made *tls.Certificate
		if made, err = (&authority{}).sign(&x509.Certificate{
			Subject: pkix.Name{CommonName: "gitlabtest CA"}, NotAfter: time.Now().Add(caLife),
			IsCA: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}); err != nil {
			return nil, err
		}
		certificate, key := encoded(made)
		if err = writeWhole(dir, both, append(certificate, key...), os.Link); err == nil || errors.Is(err, fs.ErrExist) {
			pair, err = os.ReadFile(both)
		}
	}
	var c tls.Certificate
	if err == nil {
		c, err = tls.X509KeyPair(pair, pair)
	}
	if err == nil {
		certificate, _ := encoded(&c)
		err = writeWhole(dir, public, certificate, os.Rename)
	}
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: certificate authority in %s: %w", dir, err)
	}
	return &authority{cert: c.Leaf, key: c.PrivateKey, file: public}, nil
}

// sign makes a certificate with a new key.
func (a *authority) sign(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	template.BasicConstraintsValid = true
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	signer, signerKey := a.cert, a.key
	if signer == nil {
		signer, signerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// encoded is a certificate and its key, each in PEM form.
func encoded(c *tls.Certificate) (certificate, key []byte) {
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		panic(err) // it is an ECDSA key
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// issue makes a server certificate with a flaw.
func (a *authority) issue(kind CertificateKind, hosts []string) (*tls.Certificate, error) {
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: "gitlabtest"}, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	names := append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	switch kind {
	case CertificateGood:
	case CertificateExpired:
		leaf.NotBefore, leaf.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	case CertificateWrongName:
		names = []string{"wrong-name.invalid"}
	case CertificateSelfSigned:
		a = &authority{}
	default:
		return nil, fmt.Errorf("gitlabtest: unknown certificate kind %q", kind)
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, n)
		}
	}
	return a.sign(leaf)
}

// IssueClient makes a certificate for a client, and its key, each in PEM form.
func (w *web) IssueClient(name string) (certificate, key []byte, err error) {
	c, err := w.ca.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: w.ca.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, nil, err
	}
	certificate, key = encoded(c)
	return certificate, key, nil
}

// writeWhole writes a file atomically, by a temporary file in dir and put (a rename or link).
func writeWhole(dir, file string, data []byte, put func(from, to string) error) error {
	f, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // missing after a rename
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return put(f.Name(), file)
}
