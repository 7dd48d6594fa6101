package gitlab

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// A server that speaks nothing newer than TLS 1.1 never hears of the token.
func TestOldTLS(t *testing.T) {
	for version, want := range map[uint16]access.Reason{tls.VersionTLS11: access.TLSVersion, tls.VersionTLS12: access.Garbled} {
		heard := 0
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			heard++
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("{}"))
		}))
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version}
		server.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		c := connect(t, server.URL, "", func(c *Config) { c.Network.Roots = roots })
		v, _ := c.Check(t.Context(), "", access.Policy{Minimum: access.Developer, Scopes: access.DefaultScopes()}, access.Facts{})
		server.Close()
		if v.Reason != want || (heard > 0) != (version == tls.VersionTLS12) {
			t.Errorf("%s: %+v, %d requests", tls.VersionName(version), v, heard)
		}
	}
}
