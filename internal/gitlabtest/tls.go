package gitlabtest

import (
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
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CertificateKind is a flaw in a server certificate.
type CertificateKind string

// What clients meet in the wild, and must refuse but for the first.
const (
	CertificateGood       CertificateKind = ""
	CertificateExpired    CertificateKind = "expired"
	CertificateWrongName  CertificateKind = "wrong-name"  // for wrong-name.invalid only
	CertificateSelfSigned CertificateKind = "self-signed" // right names, but not signed by the CA file's authority
)

// caLife is long enough for a demo that is left running, and no more.
const caLife = 7 * 24 * time.Hour

// authority is the certificate authority of one directory.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

// loadAuthority returns the authority of dir and makes it if there is none.
// Several processes may do so at once: the first to link its file wins and the
// others use that one.
func loadAuthority(dir string) (*authority, error) {
	both, public := filepath.Join(dir, "ca-key.pem"), filepath.Join(dir, "ca.pem")
	a, err := readAuthority(both, public)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeAuthority(dir, both); err == nil {
			a, err = readAuthority(both, public)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: certificate authority in %s: %w", dir, err)
	}
	return a, writeWhole(dir, public, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), os.Rename)
}

func readAuthority(file, public string) (*authority, error) {
	pair, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(pair, pair)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return nil, err
	}
	key, ok := c.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an ecdsa key")
	}
	return &authority{cert: cert, key: key, file: public}, nil
}

func makeAuthority(dir, file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := serialNumber()
	if err != nil {
		return err
	}
	now := time.Now()
	der, err := sign(&x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "gitlabtest CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil, key, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	err = writeWhole(dir, file, both, os.Link)
	if errors.Is(err, fs.ErrExist) {
		return nil // another server was faster
	}
	return err
}

// issue makes a server certificate with the flaw asked for.
func (a *authority) issue(kind CertificateKind, hosts []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	now := time.Now()
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "gitlabtest"},
		NotBefore: now.Add(-time.Hour), NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	signer, signerKey := a.cert, a.key
	names := append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	switch kind {
	case CertificateGood:
	case CertificateExpired:
		leaf.NotBefore, leaf.NotAfter = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
	case CertificateWrongName:
		names = []string{"wrong-name.invalid"}
	case CertificateSelfSigned:
		signer, signerKey = nil, key
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
	der, err := sign(leaf, signer, key, signerKey)
	if err != nil {
		return nil, fmt.Errorf("gitlabtest: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// issueClient makes a certificate that a client shows, and its key, both in PEM
// form.
func (a *authority) issueClient(name string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("gitlabtest: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, nil, fmt.Errorf("gitlabtest: %w", err)
	}
	der, err := sign(&x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, a.cert, private, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("gitlabtest: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("gitlabtest: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// pool is the authority as somebody to trust.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// sign signs by itself when signer is nil.
func sign(c, signer *x509.Certificate, key, signerKey *ecdsa.PrivateKey) ([]byte, error) {
	if signer == nil {
		signer = c
	}
	return x509.CreateCertificate(rand.Reader, c, signer, &key.PublicKey, signerKey)
}

func serialNumber() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
}

// writeWhole writes to a temporary file in dir and puts it in place with put,
// so that nobody ever reads half of it.
func writeWhole(dir, file string, data []byte, put func(from, to string) error) error {
	f, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already after a rename
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return put(f.Name(), file)
}
