package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "glpat-CanaryNeverToBeSeen0"

func TestParse(t *testing.T) {
	for _, text := range []string{
		canary,
		"  " + canary + "\r\n",
		"\ufeff" + canary + "\n",
		"CanaryWithoutPrefix0",
		"corp-glpat-Canary",
		"corp.pat-CanaryInstancePrefix",
		"my.glpat-CanaryInstancePrefix",
		"x",
		"glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.01.0y12958ut",
		"glpat-bzoxCnU6MnNhYWFhYWFhYWFhYWFhYWFhEA.0y04texdh",
	} {
		got, err := Parse(text)
		if err != nil || got.Reveal() != strings.Trim(text, " \r\n\ufeff") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		text string
		want Fault
		kind string
	}{
		{"", Empty, ""},
		{" \n\t", Empty, ""},
		{"glpat-Canary\nSecondLine", Broken, ""},
		{"glpat-Canary SecondWord", Broken, ""},
		{"glpat-Canary\x00", Garbled, ""},
		{"glpat-Canaryä", Garbled, ""},
		{"glpat-\x1b[2KCanary", Garbled, ""},
		{"glpat-Canary\u200b", Garbled, ""},
		{strings.Repeat("Canary", 200), Garbled, ""},
		{"gldt-Canary", OtherKind, "a deploy token (gldt-)"},
		{"glcbt-64_Canary", OtherKind, "a CI job token (glcbt-)"},
		{"glrt-Canary", OtherKind, "a runner token (glrt-)"},
		{"glrtr-W5m1cHR6skC98Bx7XkuYjmM6MQpnOjgKbzpyegp0OjIQ.01.181uebm4k", OtherKind, "a runner registration token (glrtr-)"},
		{"glffct-Canary", OtherKind, "a feature flags client token (glffct-)"},
		{"ghp_Canary", OtherKind, "a GitHub token (ghp_)"},
		// Versioned and older routable tokens: a wrong character, the end cut
		// off in four places, the beginning cut off, the prefix changed.
		{"glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.01.0y12958uu", Damaged, ""},
		{"glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCB.01.0y12958ut", Damaged, ""},
		{"glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.01.0y12958u", Damaged, ""},
		{"glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.01.", Damaged, ""},
		{"glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.0", Damaged, ""},
		{"glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.", Damaged, ""},
		{"pat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.01.0y12958ut", Damaged, ""},
		{"Glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.01.0y12958ut", Damaged, ""},
		{"glpat-bzoxCnU6MnNhYWFhYWFhYWFhYWFhYWFhEA.0y04texdi", Damaged, ""},
		{"glpat-bzoxCnU6MnNhYWFhYWFhYWFhYWFhYWFhEA.0y04tex", Damaged, ""},
		{"t-bzoxCnU6MnNhYWFhYWFhYWFhYWFhYWFhEA.0y04texdh", Damaged, ""},
	}
	for _, test := range tests {
		got, err := Parse(test.text)
		var problem *Error
		if !errors.As(err, &problem) || problem.Fault != test.want || problem.Kind != test.kind {
			t.Errorf("%q: %v, want %s %s", test.text, err, test.want, test.kind)
		}
		if err != nil && strings.Contains(err.Error(), "Canary") || !got.IsZero() {
			t.Errorf("%q: something of the text came through: %v", test.text, err)
		}
	}
}

// GitLab's own example, and the two forms made for this project.
func TestRoutable(t *testing.T) {
	for _, text := range []string{
		"glrtr-W5m1cHR6skC98Bx7XkuYjmM6MQpnOjgKbzpyegp0OjIQ.01.181uebm4k",
		"glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.01.0y12958ut",
		"glpat-bzoxCnU6MnNhYWFhYWFhYWFhYWFhYWFhEA.0y04texdh",
	} {
		if !routable(text) {
			t.Errorf("%q: its checksum was not found right", text)
		}
		for i := range len(text) {
			changed := []byte(text)
			changed[i] ^= 1
			if routable(string(changed)) {
				t.Errorf("%q passes for a whole token", changed)
			}
		}
	}
}

func TestTokenCannotBePrinted(t *testing.T) {
	tok, err := Parse(canary)
	if err != nil {
		t.Fatal(err)
	}
	outer := struct {
		Name  string
		Token Token
		Ptr   *Token
	}{"outer", tok, &tok}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" ", tok, outer)
	}
	encoded, err := json.Marshal(outer)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "token", tok, "outer", outer)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "token", tok, "outer", outer)
	if strings.Contains(out.String(), "Canary") {
		t.Errorf("printed: %s", out.String())
	}
	if !strings.Contains(out.String(), redacted) {
		t.Errorf("nothing printed says that it was redacted: %s", out.String())
	}
}

func TestRedact(t *testing.T) {
	tok, err := Parse(canary)
	if err != nil {
		t.Fatal(err)
	}
	basic := base64.StdEncoding.EncodeToString([]byte("oauth2:" + canary))
	tests := []struct{ text, want string }{
		{"", ""},
		{"nothing to see", "nothing to see"},
		{"a " + canary + " b " + canary, "a [redacted] b [redacted]"},
		{"part CanaryNe of it", "part [redacted] of it"},
		{"seven CanaryN of it", "seven CanaryN of it"},
		{"end ToBeSeen0", "end [redacted]"},
	}
	for _, test := range tests {
		if got := tok.Redact(test.text); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
	for _, prefix := range []string{"", "a", "ab", "oauth2:"} {
		encoded := base64.StdEncoding.EncodeToString([]byte(prefix + canary))
		got := tok.Redact("Basic " + encoded)
		for i := range len(encoded) - 16 {
			if i > 12 && strings.Contains(got, encoded[i:i+8]) {
				t.Errorf("%q leaves %q", got, encoded[i:i+8])
			}
		}
	}
	if got := (Token{}).Redact(basic); got != basic {
		t.Errorf("no token redacts %q", got)
	}
}

// An accepted token fits on one line of an HTTP header and of git's protocol, and no text
// shows eight characters of it.
func FuzzParse(f *testing.F) {
	f.Add(canary)
	f.Add("glpat-bzoxCnU6MnNhYWFhYWFhYWFhYWFhYWFhEA.0y04texdh")
	f.Add("a.01.0y12958ut")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := Parse(text)
		if err != nil {
			if !tok.IsZero() {
				t.Fatal("an error and a token")
			}
			return
		}
		secret := tok.Reveal()
		for _, r := range secret {
			if r <= ' ' || r >= 0x7f {
				t.Fatalf("%q was taken for a token", secret)
			}
		}
		if strings.Contains(redacted, secret) {
			return // a token as short as "a" can't be told from the mark that hides it
		}
		if got := tok.Redact("<" + secret + ">"); strings.Contains(got, secret) {
			t.Fatalf("%q is left in %q", secret, got)
		}
	})
}
