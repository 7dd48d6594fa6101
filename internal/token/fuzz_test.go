package token

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
)

// Any text: nothing is left that looks like a token, and masking twice changes nothing.
func FuzzMask(f *testing.F) {
	for _, text := range []string{"", canary, "x" + canary + ".y", "glpat-short", "glpat-glrt-abcdefgh", "https://oauth2:" + canary + "@h", "ghp_0123456789", "glpat-\x00abcdefghij"} {
		f.Add(text)
	}
	left := regexp.MustCompile(`(glpat-|` + strings.Join(prefixes(), "|") + `)[A-Za-z0-9_.-]{8}`)
	f.Fuzz(func(t *testing.T, text string) {
		masked := Mask(text)
		if part := left.FindString(masked); part != "" {
			t.Fatalf("%q is left of %q", part, text)
		}
		if Mask(masked) != masked {
			t.Fatalf("%q became %q, and that %q", text, masked, Mask(masked))
		}
		if !left.MatchString(text) && masked != text {
			t.Fatalf("%q became %q", text, masked)
		}
	})
}

// Any text around a part of a token, or of its base64: no eight characters of it are left, and
// the rest of the text is.
func FuzzRedact(f *testing.F) {
	f.Add("password=", canary, "\n", uint8(0), uint8(0))
	f.Add("Authorization: Basic ", "glpat-bzoxCnU6MnNhYWFhYWFhYWFhYWFhYWFhEA.0y04texdh", "", uint8(5), uint8(3))
	f.Add("", "aaaaaaaaaaaaaaaa", "a", uint8(2), uint8(2))
	f.Fuzz(func(t *testing.T, before, secret, after string, from, form uint8) {
		tok, err := Parse(secret)
		secret = tok.Reveal()
		if err != nil || len(secret) < window || strings.ContainsAny(secret, "[]") || strings.Contains(secret, "redacted") {
			return // such a token can't be told from the mark that hides it
		}
		shown := secret[min(int(from), len(secret)-window):]
		if form%4 > 0 {
			// As in a Basic credential, behind a user name of any length.
			shown = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("u", int(form%4)) + secret))
		}
		got := tok.Redact(before + shown + after)
		for i := 0; i+window <= len(secret); i++ {
			if strings.Contains(got, secret[i:i+window]) {
				t.Fatalf("%q leaves %q", before+shown+after, got)
			}
		}
		if form%4 > 0 && len(secret) >= 2*window {
			for i := 4; i+window <= len(shown)-4; i++ {
				if strings.Contains(got, shown[i:i+window]) && !strings.Contains(before+after, shown[i:i+window]) {
					t.Fatalf("%q of %q is left in %q", shown[i:i+window], shown, got)
				}
			}
		}
		if again := tok.Redact(got); again != got {
			t.Fatalf("%q became %q, and that %q", before+shown+after, got, again)
		}
	})
}
