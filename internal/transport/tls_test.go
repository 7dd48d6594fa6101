package transport

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// signed is a certificate with its key.
type signed struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// certify makes a certificate, by itself when by is zero. The change is made to
// an authority, or to a good server certificate for 127.0.0.1.
func certify(t *testing.T, name string, ca bool, by signed, change func(*x509.Certificate), keys ...crypto.Signer) signed {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := signed{key: key}
	if len(keys) > 0 {
		made.key = keys[0]
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(0x11223344), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: ca, KeyUsage: x509.KeyUsageCertSign}
	if !ca {
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	if change != nil {
		change(template)
	}
	parent, signer := by.cert, by.key
	if parent == nil {
		parent, signer = template, made.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, made.key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if made.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return made
}

func rsaKey(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// negate gives a certificate that was signed with ECDSA a negative serial number,
// which crypto/x509 does not make.
func negate(t *testing.T, c signed, signer crypto.Signer) []byte {
	t.Helper()
	tbs := []byte(strings.Replace(string(c.cert.RawTBSCertificate), "\x02\x04\x11\x22\x33\x44", "\x02\x04\x91\x22\x33\x44", 1))
	sum := sha256.Sum256(tbs)
	signature, err := signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
		asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// serveTLS is the address of a server with a chain of certificates, and what else
// its configuration has.
func serveTLS(t *testing.T, key crypto.Signer, config *tls.Config, chain ...[]byte) string {
	t.Helper()
	if config == nil {
		config = &tls.Config{}
	}
	config.Certificates = []tls.Certificate{{Certificate: chain, PrivateKey: key}}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "https://" + listener.Addr().String()
}

// fault is what is said of a server at an address by who trusts that file; "" for
// nothing, when it answers.
func fault(t *testing.T, at, trusted string) (access.Reason, string) {
	t.Helper()
	all, problem := Roots(Trust{PEM: []byte(trusted), Where: "ca.crt"})
	if problem != nil {
		t.Fatal(problem)
	}
	transport := New(Network{Roots: all.Pool, Added: all.Added, Unread: all.Unread})
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	resp, err := client.Get(at)
	if err == nil {
		_ = resp.Body.Close()
		return "", ""
	}
	f := transport.Fault(err)
	return f.Reason, f.Detail
}

func wantFault(t *testing.T, reason access.Reason, detail string, want access.Reason, part string) {
	t.Helper()
	if reason != want || !strings.Contains(detail, part) || (part == "") != (detail == "") {
		t.Errorf("%s, %q, want %s, %q", reason, detail, want, part)
	}
}

// Each flaw of a chain has its own cause.
func TestCertificateCauses(t *testing.T) {
	root := certify(t, "root", true, signed{}, nil)
	old := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}
	sha1 := func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }
	middle := func(change func(*x509.Certificate)) signed { return certify(t, "middle", true, root, change) }
	leaf := func(by signed, change func(*x509.Certificate)) signed { return certify(t, "leaf", false, by, change) }
	noName := func(c *x509.Certificate) { c.IPAddresses, c.Subject.CommonName = nil, "127.0.0.1" }
	for name, test := range map[string]struct {
		root  signed
		chain func(root signed) []signed
		want  access.Reason
		part  string
	}{
		"good":               {root, func(signed) []signed { m := middle(nil); return []signed{leaf(m, nil), m} }, "", ""},
		"self-signed, known": {certify(t, "leaf", false, signed{}, nil), func(r signed) []signed { return []signed{r} }, "", ""},
		"no subjectAltName":  {root, func(r signed) []signed { return []signed{leaf(r, noName)} }, access.TLSNoName, ""},
		"another name": {root, func(r signed) []signed {
			return []signed{leaf(r, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"x.example"} })}
		}, access.TLSWrongName, ""},
		"expired":          {root, func(r signed) []signed { return []signed{leaf(r, old)} }, access.TLSExpired, ""},
		"expired between":  {root, func(signed) []signed { m := middle(old); return []signed{leaf(m, nil), m} }, access.TLSUnusable, `the intermediate certificate that the server sends (middle) expired on `},
		"expired root":     {certify(t, "root", true, signed{}, old), func(r signed) []signed { return []signed{leaf(r, nil)} }, access.TLSUnusable, "the authority's certificate here (root) expired on"},
		"not sent":         {root, func(signed) []signed { m := middle(nil); return []signed{leaf(m, nil)} }, access.TLSUntrusted, "the server must send that certificate too"},
		"self-signed":      {root, func(signed) []signed { return []signed{leaf(signed{}, nil)} }, access.TLSUntrusted, "self-signed"},
		"another key":      {root, func(signed) []signed { return []signed{leaf(certify(t, "root", true, signed{}, nil), nil)} }, access.TLSUntrusted, "with another key"},
		"SHA-1":            {root, func(r signed) []signed { return []signed{leaf(r, sha1)} }, access.TLSUnusable, "SHA-1"},
		"SHA-1 between":    {root, func(signed) []signed { m := middle(sha1); return []signed{leaf(m, nil), m} }, access.TLSUnusable, "SHA-1"},
		"SHA-1 root":       {certify(t, "root", true, signed{}, sha1), func(r signed) []signed { return []signed{leaf(r, nil), r} }, "", ""},
		"not an authority": {root, func(r signed) []signed { m := leaf(r, nil); return []signed{leaf(m, nil), m} }, access.TLSUnusable, "is not an authority's"},
		"root is none": {certify(t, "root", false, signed{}, nil), func(r signed) []signed {
			return []signed{leaf(r, func(c *x509.Certificate) { c.Subject.CommonName = "other" })}
		}, access.TLSUnusable, "is not an authority's"},
		"for clients": {root, func(r signed) []signed {
			return []signed{leaf(r, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })}
		}, access.TLSUnusable, "not for servers"},
		"name constraints": {certify(t, "root", true, signed{}, func(c *x509.Certificate) {
			c.PermittedIPRanges = []*net.IPNet{{IP: net.IPv4(10, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}}
		}), func(r signed) []signed { return []signed{leaf(r, nil)} }, access.TLSUnusable, "name constraints"},
		"too long":            {certify(t, "root", true, signed{}, func(c *x509.Certificate) { c.MaxPathLenZero = true }), func(r signed) []signed { m := certify(t, "m", true, r, nil); return []signed{leaf(m, nil), m} }, access.TLSUnusable, "longer than an authority"},
		"short key of a root": {certify(t, "root", true, signed{}, nil, rsaKey(t, 768)), func(r signed) []signed { l := leaf(r, nil); t.Setenv("GODEBUG", ""); return []signed{l} }, access.TLSUnusable, "shorter than 1024 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			var chain [][]byte
			sent := test.chain(test.root)
			for _, c := range sent {
				chain = append(chain, c.cert.Raw)
			}
			reason, detail := fault(t, serveTLS(t, sent[0].key, nil, chain...), encode("CERTIFICATE", test.root.cert.Raw))
			wantFault(t, reason, detail, test.want, test.part)
		})
	}
}

// Other causes of TLS failures; the hint's remedy helps.
func TestTLSCauses(t *testing.T) {
	root := certify(t, "root", true, signed{}, nil)
	trusted := encode("CERTIFICATE", root.cert.Raw)
	leaf := certify(t, "leaf", false, root, nil)
	check := func(at string, want access.Reason, part string) {
		t.Helper()
		reason, detail := fault(t, at, trusted)
		wantFault(t, reason, detail, want, part)
	}
	check(serveTLS(t, leaf.key, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, leaf.cert.Raw), access.TLSVersion, "")
	// A server that chooses TLS 1.1 without a look at what is offered.
	hello := "\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02" + strings.Repeat("r", 32) + "\x00\xc0\x13\x00"
	check("https://"+speaking(t, hello), access.TLSVersion, "")
	check("https://"+speaking(t, "SSH-2.0-OpenSSH_9.2\r\n"), access.TLSFailed, "does not speak TLS")
	check("https://"+speaking(t, "\x15\x03\x03\x00\x02\x02\x70"), access.TLSFailed, "does not know that host name")
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	check(strings.Replace(plain.URL, "http:", "https:", 1), access.TLSPlain, "")

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	long := certify(t, "leaf", false, root, nil, key)
	exchange := serveTLS(t, long.key, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, long.cert.Raw)
	check(exchange, access.TLSCiphers, "")
	check(serveTLS(t, leaf.key, &tls.Config{MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{30}}, leaf.cert.Raw), access.TLSCiphers, "")
	check(serveTLS(t, leaf.key, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}}, leaf.cert.Raw), access.TLSCiphers, "")
	strange := serveTLS(t, leaf.key, nil, negate(t, leaf, root.key))
	check(strange, access.TLSUnusable, "serial number is negative")
	curve, _ := pem.Decode([]byte(otherCurve))
	check(serveTLS(t, leaf.key, nil, curve.Bytes), access.TLSUnusable, "the key is on an elliptic curve that is not supported")
	check(serveTLS(t, leaf.key, nil, []byte("no certificate")), access.TLSUnusable, "malformed")
	t.Setenv("GODEBUG", "tlsrsakex=1,x509negativeserial=1")
	check(exchange, "", "")
	check(strange, "", "")
}

// Authorities that OpenSSL and GnuTLS accept and crypto/x509 can't parse: with a key on
// secp256k1, and with one on P-256 given by its parameters.
const (
	otherCurve = `-----BEGIN CERTIFICATE-----
MIIBkDCCATagAwIBAgIUQ4usXt3mIEzo1z37Uij5Dwy91r0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2MTEyODIwNDgzOFoXDTI2MTIyODIw
NDgzOFowFDESMBAGA1UEAwwJbG9jYWxob3N0MFYwEAYHKoZIzj0CAQYFK4EEAAoD
QgAE+vmP9craAjpnje/apDypa0SjRtoI6Zf8kpOzuGPeaY/s7QSg6OISZ6bIg1FW
1tfqfh1LWqa+XteVubYvPqgktaNpMGcwHQYDVR0OBBYEFMhAYxcZbqz5C1TpxTJh
3OU4/jURMB8GA1UdIwQYMBaAFMhAYxcZbqz5C1TpxTJh3OU4/jURMA8GA1UdEwEB
/wQFMAMBAf8wFAYDVR0RBA0wC4IJbG9jYWxob3N0MAoGCCqGSM49BAMCA0gAMEUC
IQDlZR1YasgxtBgYDiKybDwSsOi6uWxYuifcs1fvOJu8twIgV8LyzV7idyoEw02N
8TPys0Lj6bRsRepxpwVVphjKDIg=
-----END CERTIFICATE-----
`
	curveByParameters = `-----BEGIN CERTIFICATE-----
MIICdDCCAhmgAwIBAgIUYfDkNrW8lLWLX8f6PkWpEF+oWHQwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKRXhwbGljaXRDQTAeFw0yNjExMjgyMDUwMjlaFw0yNjEyMjgy
MDUwMjlaMBUxEzARBgNVBAMMCkV4cGxpY2l0Q0EwggFLMIIBAwYHKoZIzj0CATCB
9wIBATAsBgcqhkjOPQEBAiEA/////wAAAAEAAAAAAAAAAAAAAAD/////////////
//8wWwQg/////wAAAAEAAAAAAAAAAAAAAAD///////////////wEIFrGNdiqOpPn
s+u9VXaYhrxlHQawzFOw9jvOPD4n0mBLAxUAxJ02CIbnBJNqZnjhE50mt4GffpAE
QQRrF9Hy4SxCR/i85uVjpEDydwN9gS3rM6D0oTlF2JjClk/jQuL+Gn+bjufrSnwP
nhYrzjNXazFezsu2QGg3v1H1AiEA/////wAAAAD//////////7zm+q2nF56E87nK
wvxjJVECAQEDQgAEEg91KPSuMkzN0w7q89uga2qyRAeNzjLhsMdNIVbMTpN/UZvr
z14qGfA8O1KExraF+Epksy8wRj1u/qaOFA9S4qNTMFEwHQYDVR0OBBYEFHaX6lDm
5n7KAycoG4n6rVZSz7r0MB8GA1UdIwQYMBaAFHaX6lDm5n7KAycoG4n6rVZSz7r0
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAN78UeqQ5DIKPith
r5RMo4jxvkBXPBMkfu2JLW883oPtAiEAp3J5K0/3gO3Yb+jFjek9vIPJe6Z0N7fP
h5V6AWLWWh4=
-----END CERTIFICATE-----
`
)

// speaking is the address of a server that says one thing.
func speaking(t *testing.T, text string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadAtLeast(conn, make([]byte, 4096), 100) // a whole ClientHello
			_, _ = io.WriteString(conn, text)
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

// A file of authorities is read as git reads it, and what can't be read is named.
func TestPEM(t *testing.T) {
	one, two := certify(t, "one", true, signed{}, nil), certify(t, "two", true, signed{}, nil)
	leaf := certify(t, "leaf", false, two, nil)
	at := serveTLS(t, leaf.key, nil, leaf.cert.Raw)
	first, second := encode("CERTIFICATE", one.cert.Raw), encode("CERTIFICATE", two.cert.Raw)
	aux := func(trust, reject []asn1.ObjectIdentifier) string {
		rest, err := asn1.Marshal(struct {
			Trust  []asn1.ObjectIdentifier `asn1:"omitempty"`
			Reject []asn1.ObjectIdentifier `asn1:"optional,tag:0,omitempty"`
		}{trust, reject})
		if err != nil {
			t.Fatal(err)
		}
		return encode("TRUSTED CERTIFICATE", append(append([]byte{}, two.cert.Raw...), rest...))
	}
	servers, mail := []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}}, []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 4}}
	crlf := func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
	negative := encode("CERTIFICATE", negate(t, two, two.key))
	for name, test := range map[string]struct {
		file string
		// problem is why all of it is refused; else trusted is whether the server
		// is, and remark what is said when it is not.
		problem string
		trusted bool
		remark  string
	}{
		"two":                   {first + second, "", true, ""},
		"joined":                {strings.TrimSpace(first) + second, "", true, ""},
		"joined, CRLF":          {crlf(strings.TrimSpace(second) + first), "", true, ""},
		"byte order mark":       {"\ufeff" + second, "", true, ""},
		"byte order mark twice": {"\ufeff" + first + "\ufeff" + second, "", true, ""},
		"CRLF":                  {crlf(first + second), "", true, ""},
		"CR":                    {strings.ReplaceAll(second, "\n", "\r"), "", true, ""},
		"one line":              {strings.ReplaceAll(second, "\n", ""), "", true, ""},
		"indented":              {"  " + strings.ReplaceAll(second, "\n", "\n  "), "", true, ""},
		"text around":           {"subject=two\n" + second + "# the end", "", true, ""},
		"X509":                  {strings.ReplaceAll(second, "CERTIFICATE", "X509 CERTIFICATE"), "", true, ""},
		"TRUSTED":               {strings.ReplaceAll(second, "CERTIFICATE", "TRUSTED CERTIFICATE"), "", true, ""},
		"TRUSTED for servers":   {aux(servers, nil), "", true, ""},
		"TRUSTED for mail":      {first + aux(mail, nil), "", false, "block 2 of ca.crt is not used: it is marked as not trusted for servers"},
		"TRUSTED, rejected":     {aux(nil, servers), "block 1 can't be read: it is marked as not trusted", false, ""},
		"a key beside":          {encode("PRIVATE KEY", []byte("x")) + second, "", true, ""},
		"negative serial":       {negative, "block 1 can't be read: its serial number is negative", false, ""},
		"negative serial among": {first + negative, "", false, "block 2 of ca.crt is not used: its serial number is negative"},

		"curve":                {otherCurve, "block 1 can't be read: its key is on an elliptic curve that is not supported", false, ""},
		"curve among":          {second + otherCurve, "", true, ""},
		"curve among, in vain": {first + otherCurve, "", false, "block 2 of ca.crt is not used: its key is on an elliptic curve that is not supported"},
		"curve by parameters":  {first + curveByParameters, "", false, "block 2 of ca.crt is not used: its key is on an elliptic curve that is not supported"},

		"damaged":          {strings.Replace(second, "M", "!", 1), "block 1 can't be read: it is damaged (no valid base64)", false, ""},
		"damaged inside":   {second + strings.Replace(first, "\nMI", "\nAA", 1), "block 2 can't be read: it is damaged (no certificate)", false, ""},
		"damaged, first":   {strings.Replace(first, "\nMI", "\nAA", 1) + second, "block 1 can't be read: it is damaged", false, ""},
		"cut":              {first + second[:len(second)/2], "block 2 can't be read: it has no END line", false, ""},
		"cut, first":       {first[:len(first)/2] + "\n" + second, "block 1 can't be read: it has no END line", false, ""},
		"other END":        {strings.Replace(second, "END CERTIFICATE", "END CERTIFICAT", 1), "its END line does not match", false, ""},
		"BEGIN damaged":    {first + strings.Replace(second, "CERTIFICATE-----", "CERTIFICATE\n", 1), "block 2 can't be read: its BEGIN line is damaged", false, ""},
		"empty block":      {"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "block 1 can't be read", false, ""},
		"written \\n":      {strings.ReplaceAll(second, "\n", `\n`), `block 1 can't be read: its line breaks are written as \n`, false, ""},
		"DER":              {string(two.cert.Raw), "it is in DER form", false, ""},
		"UTF-16":           {"\xff\xfe-\x00-\x00", "it is UTF-16", false, ""},
		"nothing":          {"nothing", "it contains no certificate", false, ""},
		"nothing but keys": {encode("PRIVATE KEY", []byte("x")), "it contains no certificate", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, problem := Roots(Trust{PEM: []byte(test.file), Where: "ca.crt"})
			required := Named{write(t, []byte(test.file)), "SETTING"}
			_, other := Roots(Trust{Required: required})
			if test.problem != "" {
				for _, p := range []string{problem.Error(), other.Error(), PEMProblem([]byte(test.file))} {
					if !strings.Contains(p, test.problem) {
						t.Errorf("%s, want %s", p, test.problem)
					}
				}
				return
			}
			if problem != nil || other != nil || PEMProblem([]byte(test.file)) != "" {
				t.Fatal(problem, other)
			}
			reason, detail := fault(t, at, test.file)
			if (reason == "") != test.trusted || !test.trusted && reason != access.TLSUntrusted || !strings.Contains(detail, test.remark) {
				t.Errorf("%s, %q", reason, detail)
			}
		})
	}
}
