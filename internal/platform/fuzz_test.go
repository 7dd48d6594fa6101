package platform

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
	"github.com/ambient-code/git-credential-acp/internal/transport"
)

type answering func(*http.Request) (*http.Response, error)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// Any reply, of the platform or something in front of it: credentials are those in the reply,
// only the platform is asked, and no text of the reply is in messages.
func FuzzAnswers(f *testing.F) {
	for status, bodies := range map[int][]string{
		200: {
			`{"token":"` + pat + `","instanceUrl":"https://gitlab.example.com","provider":"gitlab"}`,
			`{"connected":true,"instanceUrl":"","updatedAt":"1790000000"}`,
			`{"connected":false}`, `{"message":"GitLab connected successfully","instanceUrl":"https://h"}`, `{"valid":true}`, `{"token":7}`, `[]`,
		},
		400: {`{"error":"Invalid input: instance URL"}`, `{"error":"GitLab connectivity check failed: x"}`},
		404: {`{"error":"GitLab credentials not configured"}`, `{"error":"Session not found"}`},
		302: {""},
	} {
		for _, body := range bodies {
			for which := range 5 {
				f.Add(uint8(which), status, "application/json", body, "https://evil.example/")
			}
		}
	}
	base, err := ParseBase("https://platform.example.com/api", false)
	if err != nil {
		f.Fatal(err)
	}
	bearer, err := token.ParseBearer(bot)
	if err != nil {
		f.Fatal(err)
	}
	tok, err := token.Parse(other)
	if err != nil {
		f.Fatal(err)
	}
	i, err := instance.Parse("https://gitlab.example.com", false)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which uint8, status int, contentType, body, location string) {
		if status < 200 || status > 599 {
			return
		}
		body = strings.ReplaceAll(body, "%", somebody)
		// The deadline comes before the first wait would end, so no request is sent again.
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		c := New(Config{Base: base, Token: bearer, TokenFrom: "here", Limit: limit})
		c.http.Transport = transport.Redirects{Next: answering(func(r *http.Request) (*http.Response, error) {
			if r.URL.Scheme != "https" || r.URL.Host != "platform.example.com" || !strings.HasPrefix(r.URL.Path, "/api/") || r.Header.Get("Authorization") != "Bearer "+bot {
				t.Errorf("asked for %s %s", r.Method, r.URL)
			}
			return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Request: r, Body: io.NopCloser(strings.NewReader(body)),
				Header: http.Header{"Content-Type": {contentType}, "Location": {location}}}, nil
		})}
		var problem error
		var credentials Credentials
		switch which % 4 {
		case 0:
			credentials, problem = c.SessionCredentials(ctx, Name{"team"}, Name{"one"})
		case 1:
			_, problem = c.Status(ctx)
		case 2:
			_, problem = c.Connect(ctx, tok, i)
		case 3:
			problem = c.Disconnect(ctx)
		}
		if problem != nil {
			for _, line := range message.As(problem).Lines() {
				if strings.Contains(line, "Canary") || message.Printable(line) != line {
					t.Fatalf("said %q", line)
				}
			}
		}
		if credentials.Token == nil {
			return
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(body), &fields); err != nil || status != http.StatusOK {
			t.Fatalf("%d %q was taken: %v", status, body, err)
		}
		found := 0
		for name, value := range fields {
			if strings.EqualFold(name, "token") && value == credentials.Token() || strings.EqualFold(name, "instanceUrl") && value == credentials.InstanceURL {
				found++
			}
		}
		if found == 0 || found == 1 && credentials.InstanceURL != "" {
			t.Fatalf("%q gave %q for %q", body, credentials.Token(), credentials.InstanceURL)
		}
	})
}
