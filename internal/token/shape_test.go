package token

import (
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"
)

func inUTF16(text string, bigEndian bool) string {
	var out strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		if bigEndian {
			out.WriteByte(byte(unit >> 8))
		}
		out.WriteByte(byte(unit))
		if !bigEndian {
			out.WriteByte(byte(unit >> 8))
		}
	}
	return out.String()
}

// Common mistakes in the place of a token.
func TestParseShapes(t *testing.T) {
	const old = "Canary7xQ_9Zk2WvB4n-"
	base64Of := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	tests := map[string][]string{
		"has quotes around it": {`"` + canary + `"`, "'" + canary + "'", "`" + canary + "`", "“" + canary + "”", "„" + canary + "“", "‘" + canary + "’",
			"«" + canary + "»", "‹" + canary + "›", "「" + canary + "」", `"` + canary, canary + "'", `\"` + canary + `\"`, " \"" + old + "\"\n", `""`, "＂" + canary + "＂"},
		"has brackets around it": {"<" + canary + ">", "[" + canary + "]", "{" + old + "}", "(" + canary + ")"},
		"is an unexpanded variable": {"${GITLAB_TOKEN}", "$GITLAB_TOKEN", "$(GITLAB_TOKEN)", "%GITLAB_TOKEN%", "{{ .Values.token }}",
			"${{ secrets.GITLAB_TOKEN }}", `"${GITLAB_TOKEN}"`, "${GITLAB_TOKEN:-" + canary + "}", "glpat-${TOKEN}", "#{token}#", "<%= token %>"},
		"is a masked value, as in a log, not a token": {"***", "****************", "glpat-****", canary[:10] + "****", "•••••", "xxxxx", "XXXXXXXXXXXXXXXXXXXX", "glpat-xxxxxxxxxxxxxxxxxxxx",
			"xxxx-xxxx-xxxx", "[MASKED]", "[REDACTED]", "<redacted>", "[FILTERED]", "REDACTED", "glpat-...", "...", "glpat-00000000000000000000", "---", "-", "."},
		"is a placeholder, not a token": {"changeme", "CHANGE_ME", "changeMe", "your-token-here", "YOUR_TOKEN", "glpat-your-token", "<token>", "<your-token>", "<your token>", "[token]", "<PAT from the vault>",
			"REPLACE_ME", "replace-with-your-personal-access-token", "placeholder", "TODO", "null", "None", "undefined", "GITLAB_TOKEN", "my-gitlab-token", "__TOKEN__", "@TOKEN@", "'changeme'", "glpat-", "insert your token here", "{token}"},
		"is a JSON document, not a bare token": {`{"token":"` + canary + `","instanceUrl":"https://h"}`, `["` + canary + `"]`, "{\n  \"token\": \"" + canary + "\"\n}", "{}", "{'token':'" + canary + "'}"},
		"is a line of the form NAME=value or name: value, not a bare token": {"GITLAB_TOKEN=" + canary, "GITLAB_TOKEN=" + old, "export GITLAB_TOKEN=" + canary, `GITLAB_TOKEN="` + canary + `"`,
			"export X='" + canary + "'", "token: " + canary, "token: \"" + old + "\"", "token=" + old, "$env:GITLAB_TOKEN = '" + canary + "'", "set GITLAB_TOKEN=" + canary, "# comment\nGITLAB_TOKEN=" + canary,
			"username=oauth2\npassword=" + canary, "GITLAB_TOKEN=", "apiVersion: v1\nkind: Secret", `"token": "` + canary + `"`, "- name: GITLAB_TOKEN\n  value: " + canary, "corp=" + canary},
		"is an HTTP header, not a bare token": {"Bearer " + canary, "bearer " + old, "Basic b2F1dGgyOngK", "Authorization: Bearer " + canary, "PRIVATE-TOKEN: " + canary, "-H 'PRIVATE-TOKEN: " + canary + "'",
			"token " + canary, "Private-Token:" + old},
		"is a user name and a token separated by a colon, not a bare token": {"oauth2:" + canary, "oauth2:" + old, "jane:" + canary, "jane@example.com:" + canary, "gitlab-ci-token:" + old, "user:gldt-Canary"},
		"is a URL, not a bare token": {"https://gitlab.example.com", "https://oauth2:" + canary + "@gitlab.example.com/group/project.git", "ssh://git@gitlab.example.com/group/project.git", "oauth2:" + canary + "@gitlab.example.com/group/project.git",
			"git@gitlab.example.com:group/project.git", "git clone https://gitlab.example.com/group/project.git", "http://h"},
		"is a reference to a secret, not a bare token":                   {"arn:aws:secretsmanager:eu-west-1:1:secret:gitlab", "vault:secret/data/gitlab#token", "!vault |", "!reference [.gitlab, token]", "ENC[AES256_GCM,data:Canary]"},
		"is a host name or an e-mail address, not a bare token":          {"gitlab.example.com", "jane@corp.test", "GitLab.Example.com"},
		"is a token with its prefix twice, not a bare token":             {"glpat-" + canary},
		"is an Anthropic API key (sk-ant-), not a Personal Access Token": {"sk-ant-Canary"},
		"is a token followed by other text, not a bare token":            {canary + "@gitlab.example.com", canary + ":x-oauth-basic", canary + ",", canary + ";", canary + "=="},
		"is two tokens joined together, not a bare token":                {canary + canary},
		"is an entry of a .netrc file, not a bare token":                 {"machine gitlab.example.com login oauth2 password " + canary, "machine h\n\tlogin x\n\tpassword " + canary, "default login x password " + canary},
		"is a web page or XML, not a bare token":                         {"<!DOCTYPE html><html></html>", "<html>\n<body>", `<?xml version="1.0"?>`},
		"is encoded in base64": {base64Of(canary), base64Of(canary + "\n"), base64Of(old), base64Of(old + "\n"), base64.RawURLEncoding.EncodeToString([]byte(canary)), base64Of(`{"token":"` + canary + `"}`),
			base64Of(inUTF16(canary, false)), base64Of("GITLAB_TOKEN=" + canary), base64Of(canary + canary + canary)[:76] + "\n" + base64Of(canary + canary + canary)[76:], base64Of("changeme!")[:11] + "=", base64Of("gldt-Canary")},
		"is encoded in base64, more than once":                             {base64Of(base64Of(canary)), base64Of(base64Of(old+"\n") + "\n"), base64Of(base64Of(base64Of(canary)))},
		"is text in UTF-16":                                                {"\xff\xfe" + inUTF16(canary, false), "\xfe\xff" + inUTF16(canary, true), inUTF16(canary, false), inUTF16(canary+"\r\n", true), "\xff\xfe"},
		"is a key or certificate in PEM form, not a Personal Access Token": {"-----BEGIN OPENSSH PRIVATE KEY-----\nCanary\n-----END OPENSSH PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----"},
		"is an SSH public key, not a Personal Access Token":                {"ssh-ed25519 AAAACanary jane@example.com", "ssh-rsa AAAACanary"},
		"is a JSON Web Token (eyJ...), not a Personal Access Token":        {"eyJhbGciOiJSUzI1NiJ9.CanaryOfTheSession.c2lnbmF0dXJl-_"},
		"is an OpenShift token (sha256~), not a Personal Access Token":     {"sha256~CanaryOfAUser"},
		"is the path of a file, not a token": {"/var/run/secrets/acp/gitlab/token", "/tmp/.ambient_gitlab_token", "~/token", "./token", "../secrets/Token1", `C:\Users\jane\token.txt`, "secrets/gitlab-token", "token.txt",
			"/token/gitlab", "file:/etc/token", "@/tmp/token", "@token.txt"},
		"contains characters that are invalid in a token": {"\x00\x01\x02\x03\xff", canary + "\x00", canary + "\x1b[2J", canary + "\u200b", canary + "%20", "\x80\x81", canary + "\\n"},
	}
	for want, texts := range tests {
		for _, text := range texts {
			got, err := Parse(text)
			var problem *Error
			if !errors.As(err, &problem) || problem.Error() != want || !got.IsZero() {
				t.Errorf("%q: %v, want %s", text, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "Canary") {
				t.Errorf("%q shows in %v", text, err)
			}
		}
	}
}

// Every token that GitLab generates is accepted, with any prefix that an instance can have.
func TestParseTakesRealTokens(t *testing.T) {
	const body = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz123456789-_"
	random := rand.New(rand.NewPCG(1, 2))
	for _, prefix := range []string{"", personal, "corp-", "corp_", "corp-glpat-", "my.pat-", "corp:", "corp@", "a/b/", "a=b+", "Team.A:", "pat-", "token-", "secret_", "user:", "pat:", "token:", "x", "glpat-x-", "0123456789012345678:"} {
		for range 500 {
			var text strings.Builder
			text.WriteString(prefix)
			for range generated {
				text.WriteByte(body[random.IntN(len(body))])
			}
			if tok, err := Parse(text.String()); err != nil || tok.Reveal() != text.String() {
				t.Fatalf("%q: %v", text.String(), err)
			}
		}
	}
	for _, text := range []string{
		"glpat-YWFhYWFhYWFhYWFhYWFhYW86MQp1OjJzCA.01.0y12958ut", "\ufeffglpat-bzoxCnU6MnNhYWFhYWFhYWFhYWFhYWFhEA.0y04texdh\r\n", "\r\n \ufeff " + canary + "\t",
		"12345678901234567890", "AKIACANARYCANARYCANA",
	} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
