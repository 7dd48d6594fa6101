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
		"":                           "is empty",
		" \n":                        "is empty",
		"Canary Canary":              "contains white space or a line break",
		"Bearer Canary":              "is an HTTP header, not a bare token",
		"ACP_TOKEN=Canary":           "is a line of the form NAME=value or name: value, not a bare token",
		"${ACP_TOKEN}":               "is an unexpanded variable",
		"your-token-here":            "is a placeholder, not a token",
		"****":                       "is a masked value, as in a log, not a token",
		`{"token":"Canary"}`:         "is a JSON document, not a bare token",
		"/var/run/secrets/bot-token": "is the path of a file, not a token",
		"\xff\xfeC\x00":              "is text in UTF-16",
		"ZXlKaGJHY2lPaUpTVXpJMU5pSjkuQ2FuYXJ5T2ZUaGVTZXNzaW9uLmMybG5ibUYwZFhKbA==": "is encoded in base64",
		"Canary\nCanary":                   "contains white space or a line break",
		"glpat-CanaryInTheWrongPlace":      "is a GitLab token, not a platform token",
		"Canary\x00":                       "contains characters that are invalid in a token",
		"Can=ary":                          "contains characters that are invalid in a token",
		"x":                                "is too short to be a token",
		"==":                               "is too short to be a token",
		"====":                             "contains characters that are invalid in a token",
		"\"Canary\"":                       "has quotes around it",
		"Canaryé":                          "contains characters that are invalid in a token",
		strings.Repeat("c", maxBearer+1):   "contains characters that are invalid in a token",
		"Canary\u00a0Canary":               "contains characters that are invalid in a token",
		"https://user:Canary@example.com/": "is a URL, not a bare token",
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
