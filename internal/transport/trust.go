package transport

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// Named is a file or directory, "" for none, and the setting that names it.
type Named struct{ Path, By string }

// where is its name in messages.
func (n Named) where() string { return message.Quote(n.Path) + ", which " + n.By + " names," }

// Trust is what to trust besides the system's own authorities.
type Trust struct {
	// PEM are certificates in PEM form from the token's source, and Where names their
	// place.
	PEM   []byte
	Where string
	// Required is a file of certificates that must be readable (git fails over
	// an unreadable GIT_SSL_CAINFO too).
	Required Named
	// Directory has files of certificates. git ignores one that can't be read.
	Directory Named
	// Optional is a file that may be missing, as OpenSSL treats SSL_CERT_FILE, and
	// OptionalDirs are directories, divided as in PATH, as SSL_CERT_DIR has them.
	Optional, OptionalDirs Named
}

// Limits of what is read of authorities: a file in bytes (the usual ones have 250
// KB), and the files of a directory.
const (
	maxBundle = 4 << 20
	maxFiles  = 2000
)

// special is an entry of a directory that can't be a file of authorities, and why;
// subdirectories are ignored.
func special(dir string) (name string, why error) {
	entries, _ := os.ReadDir(dir) // what can't be read is passed over there, too
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		if info, err := os.Stat(name); err == nil && !info.IsDir() {
			if why := notAFile(info); why != nil {
				return name, why
			}
		}
	}
	return "", nil
}

// notAFile is why something can't be a file of authorities, nil if it may be one.
func notAFile(info os.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return file.ErrNotRegular
	case info.Size() > maxBundle:
		return file.ErrTooLarge
	}
	return nil
}

// Authorities are the certificate authorities to trust.
type Authorities struct {
	Pool *x509.CertPool
	// Added counts the certificates that were read besides the system's.
	Added int
	// Unread names each block of a file that could not be read. A file without any
	// readable block, or which git rejects, is an error instead.
	Unread []string
}

// Roots is the system's authorities (which SSL_CERT_FILE and SSL_CERT_DIR
// replace on Unix, see crypto/x509) and those of t.
//
// Whether git's CA file adds to the system's authorities or replaces them depends on how its
// curl was built: Debian's adds them, since it also reads /etc/ssl/certs. Here it always
// adds, so that whatever git can reach is reached.
func Roots(t Trust) (Authorities, error) {
	all := Authorities{Pool: x509.NewCertPool()}
	all.system(t)
	if len(t.PEM) > 0 {
		if problem := all.require(t.PEM, t.Where); problem != nil {
			return Authorities{}, problem
		}
	}
	if t.Required.Path != "" {
		data, err := file.Read(t.Required.Path, maxBundle)
		if err != nil {
			return Authorities{}, message.CAInvalid(t.Required.where(), "it can't be read: "+file.Cause(err))
		}
		if problem := all.require(data, t.Required.where()); problem != nil {
			return Authorities{}, problem
		}
	}
	all.directory(t.Directory)
	return all, nil
}

// system adds the system's and the optional authorities. crypto/x509 reads them itself, but
// would block on a FIFO and read an endless file. If there is such a file, the others are
// read here.
func (a *Authorities) system(t Trust) {
	info, err := os.Stat(t.Optional.Path)
	odd := err == nil && !info.IsDir() && notAFile(info) != nil
	for _, dir := range filepath.SplitList(t.OptionalDirs.Path) {
		at := Named{dir, t.OptionalDirs.By}
		if _, err := os.ReadDir(dir); err != nil {
			a.pass(at, err)
		}
		if name, why := special(dir); why != nil {
			odd = true
			a.pass(Named{name, at.By}, why)
			a.directory(at)
		}
	}
	if odd {
		a.bundle()
	} else if pool, err := x509.SystemCertPool(); err == nil {
		a.Pool = pool
	} else if !a.bundle() { // not for missing files
		a.Unread = append(a.Unread, "the system's certificate authorities can't be read: "+file.Cause(err))
	}
	if t.Optional.Path != "" {
		a.optional(t.Optional)
	}
}

// directory adds the files of a directory, without those that can't be read.
func (a *Authorities) directory(n Named) {
	for _, name := range names(n.Path) {
		at := Named{filepath.Join(n.Path, name), n.By}
		if data, err := file.Read(at.Path, maxBundle); err == nil {
			a.add(readPEM(data), at.where())
		}
	}
}

// bundle adds the system's authorities without crypto/x509, and reports whether there are
// any.
func (a *Authorities) bundle() bool {
	for _, path := range systemBundles {
		if data, err := file.Read(path, maxBundle); err == nil {
			return a.Pool.AppendCertsFromPEM(data)
		}
	}
	return false
}

// systemBundles are the systems' bundles, as in crypto/x509, which reads none of them if
// SSL_CERT_FILE is set.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// optional adds a file that may be missing or something else, such as the empty directory
// for a missing ConfigMap. git's curl ignores it, and uses the system's authorities.
func (a *Authorities) optional(n Named) {
	data, err := file.Read(n.Path, maxBundle)
	if err == nil {
		before := a.Added + len(a.Unread)
		if a.add(readPEM(data), n.where()); a.Added+len(a.Unread) == before {
			err = errors.New("it contains no certificate")
		}
	}
	if err == nil {
		return
	}
	a.pass(n, err)
	a.bundle()
}

// pass records a setting's file that was ignored.
func (a *Authorities) pass(n Named, why error) {
	cause := file.Cause(why)
	if info, err := os.Stat(n.Path); err == nil && info.IsDir() && errors.Is(why, file.ErrNotRegular) {
		cause = "it is a directory, perhaps because of a missing ConfigMap"
	}
	a.Unread = append(a.Unread, n.where()+" is not used: "+cause)
}

// require adds a file that must be usable. A damaged block makes all of it unusable, as for
// git (with OpenSSL and with GnuTLS). A certificate that git accepts but crypto/x509 does
// not is skipped if there are others.
func (a *Authorities) require(data []byte, where string) error {
	if why := PEMProblem(data); why != "" {
		return message.CAInvalid(where, why)
	}
	a.add(readPEM(data), where)
	return nil
}

func (a *Authorities) add(blocks []pemBlock, where string) {
	for i, block := range blocks {
		switch {
		case block.problem != "":
			a.Unread = append(a.Unread, "block "+strconv.Itoa(i+1)+" of "+strings.TrimSuffix(where, ",")+" is not used: "+block.problem)
		case block.certificate != nil:
			a.Pool.AddCert(block.certificate)
			a.Added++
		}
	}
}

// names are the files of a directory; none if it can't be read. It checks the type first,
// since opening a FIFO would block.
func names(path string) []string {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return nil
	}
	dir, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	found, err := dir.Readdirnames(maxFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return found
}

// Identity is the client certificate with its key, which is in the same file if no other is
// named.
func Identity(certificate, key Named) (*tls.Certificate, error) {
	if key.Path == "" {
		key = certificate
	}
	chain, problem := readIdentity(certificate)
	if problem != nil {
		return nil, problem
	}
	private, problem := readIdentity(key)
	if problem != nil {
		return nil, problem
	}
	if !holds(chain, func(block *pem.Block) bool { return block.Type == "CERTIFICATE" }) {
		return nil, errClientCertificateInvalid(certificate.where(), "it contains no certificate")
	}
	if !holds(private, func(block *pem.Block) bool { return strings.HasSuffix(block.Type, "PRIVATE KEY") }) {
		return nil, errClientCertificateInvalid(key.where(), "it contains no key")
	}
	if holds(private, encrypted) {
		return nil, errClientCertificateInvalid(key.where(), "its key is protected by a password")
	}
	pair, err := tls.X509KeyPair(chain, private)
	if err != nil {
		return nil, errClientCertificateInvalid(certificate.where(), "the certificate and the key don't match, or are damaged")
	}
	return &pair, nil
}

func readIdentity(n Named) ([]byte, error) {
	data, err := file.Read(n.Path, maxBundle)
	if err != nil {
		return nil, errClientCertificateInvalid(n.where(), "it can't be read: "+file.Cause(err))
	}
	return withLines(data), nil
}

// encrypted reports whether a key needs a password, in PKCS #8 or in OpenSSL's older form.
func encrypted(block *pem.Block) bool {
	return block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
}

// holds reports whether there is a PEM block for which wanted is true.
func holds(data []byte, wanted func(*pem.Block) bool) bool {
	for len(bytes.TrimSpace(data)) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			return false
		}
		if wanted(block) {
			return true
		}
		data = rest
	}
	return false
}
