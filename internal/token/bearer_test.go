package token

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const bearer = "eyJhbGciOiJSUzI1NiJ9.CanaryOfTheSession.c2lnbmF0dXJl-_"

func TestParseBearer(t *testing.T) {
	for _, text := range []string{bearer, " " + bearer + "\r\n", "sha256~CanaryOfAUser", "Canary+/==", strings.Repeat("c", maxBearer)} {
		if got, err := ParseBearer(text); err != nil || got.Reveal() != strings.TrimSpace(text) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"":                                 "is empty",
		" \n":                              "is empty",
		"Bearer Canary":                    "has white space or a line break within it",
		"Canary\nCanary":                   "has white space or a line break within it",
		"glpat-CanaryInTheWrongPlace":      "is a GitLab token, not one of the platform",
		"Canary\x00":                       "holds characters that no token has, or far too many",
		"Can=ary":                          "holds characters that no token has, or far too many",
		"==":                               "holds characters that no token has, or far too many",
		"\"Canary\"":                       "holds characters that no token has, or far too many",
		"Canaryé":                          "holds characters that no token has, or far too many",
		strings.Repeat("c", maxBearer+1):   "holds characters that no token has, or far too many",
		"Canary\u00a0Canary":               "holds characters that no token has, or far too many",
		"https://user:Canary@example.com/": "holds characters that no token has, or far too many",
	} {
		if got, err := ParseBearer(text); err == nil || err.Error() != want || !got.IsZero() || got.Reveal() != "" {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func TestBearerCannotBePrinted(t *testing.T) {
	tok, err := ParseBearer(bearer)
	if err != nil {
		t.Fatal(err)
	}
	outer := struct {
		Token Bearer
		inner Bearer
	}{tok, tok}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" ", tok, outer)
	}
	encoded, err := json.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "token", tok, "outer", outer)
	if strings.Contains(out.String(), "Canary") || !strings.Contains(out.String(), redacted) {
		t.Errorf("printed: %s", out.String())
	}
	if got := tok.Redact("a CanaryOfTheSession b"); got != "a [redacted] b" {
		t.Errorf("redacted: %q", got)
	}
}
