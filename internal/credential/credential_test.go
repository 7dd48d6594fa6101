package credential

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestReadRequest(t *testing.T) {
	long := strings.Repeat("x", MaxLine-len("path=\n"))
	tests := []struct {
		name, in string
		want     Request
	}{
		{"git's own", "protocol=https\nhost=gitlab.example.com\npath=group/project.git\n",
			Request{Protocol: "https", Host: "gitlab.example.com", Path: "group/project.git"}},
		{"blank line ends the list", "protocol=https\nhost=h\n\nhost=evil\r\n", Request{Protocol: "https", Host: "h"}},
		{"no final line feed", "protocol=https\nhost=h", Request{Protocol: "https", Host: "h"}},
		{"equals signs in a value", "protocol=https\nhost=h\npath=a=b=c\n", Request{Protocol: "https", Host: "h", Path: "a=b=c"}},
		{"host is raw", "protocol=https\nhost=GitLab.Example.com:443\n", Request{Protocol: "https", Host: "GitLab.Example.com:443"}},
		{"unknown attributes", "future=1\nprotocol=https\nstate[]=x\nstate[]=y\nhost=h\n", Request{Protocol: "https", Host: "h", States: []string{"x", "y"}}},
		{"capabilities", "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=h\nusername=u\n",
			Request{Protocol: "https", Host: "h", Username: "u", Capabilities: []string{"authtype", "state"}}},
		{"tab in a server's header", "protocol=https\nhost=h\nwwwauth[]=Basic\trealm=x\n", Request{Protocol: "https", Host: "h"}},
		{"longest line", "protocol=https\nhost=h\npath=" + long + "\n", Request{Protocol: "https", Host: "h", Path: long}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadRequest(strings.NewReader(test.in))
			if err != nil {
				t.Fatal(err)
			}
			if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", test.want); g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
		})
	}
}

func TestReadRequestRefuses(t *testing.T) {
	good := "protocol=https\nhost=h\n"
	tests := []struct{ name, in, want string }{
		{"nothing", "", "no protocol"},
		{"no host", "protocol=https\n", "no host"},
		{"empty host", "protocol=https\nhost=\n", "no host"},
		{"no protocol", "host=h\n", "no protocol"},
		{"second host", good + "host=evil\n", "line 3 repeats"},
		{"second unknown scalar", "x=1\nx=2\n" + good, "line 2 repeats"},
		{"carriage return at the end", "protocol=https\r\nhost=h\n", "line 1 contains a carriage return"},
		{"carriage return within", "protocol=https\nhost=h\rhost=evil\n", "line 2 contains a carriage return"},
		{"carriage return in an array", good + "wwwauth[]=a\rb\n", "line 3 contains a carriage return"},
		{"NUL", "protocol=https\nhost=h\x00.evil\n", "line 2 contains a NUL"},
		{"escape", "protocol=https\nhost=h\x1b[2K\n", "line 2 contains a control character"},
		{"delete", "protocol=https\nhost=h\x7f\n", "line 2 contains a control character"},
		{"tab in a scalar", good + "path=a\tb\n", "line 3 contains a control character"},
		{"no equals sign", good + "hello\n", `line 3 has no "="`},
		{"no key", good + "=x\n", "line 3 has no name"},
		{"long line", good + "path=" + strings.Repeat("x", MaxLine) + "\n", "line 3 is longer"},
		{"long request", good + strings.Repeat("wwwauth[]="+strings.Repeat("x", 60000)+"\n", 20), "longer than 1 MiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadRequest(strings.NewReader(test.in))
			var malformed *MalformedError
			if !errors.As(err, &malformed) {
				t.Fatalf("error %v, want a MalformedError; request %+v", err, got)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q in it", err, test.want)
			}
			if strings.Contains(err.Error(), "evil") || strings.ContainsAny(err.Error(), "\x00\r\x1b") {
				t.Errorf("error %q quotes the input", err)
			}
		})
	}
}

func TestRequestHidesPassword(t *testing.T) {
	const secret = "glpat-CanaryOfTheWireFormat"
	basic := base64.StdEncoding.EncodeToString([]byte("oauth2:" + secret))
	for _, line := range []string{"password=" + secret, "authtype=Basic\ncredential=" + basic} {
		req, err := ReadRequest(strings.NewReader("protocol=https\nhost=h\n" + line + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if req.Password == nil || req.Password() != secret {
			t.Errorf("the password of %q was not read", line[:9])
		}
		if printed := fmt.Sprintf("%v %+v %#v", req, req, req); strings.Contains(printed, "Canary") {
			t.Errorf("printing a request shows its password: %s", printed)
		}
	}
}

func TestAnswer(t *testing.T) {
	expiry := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	login := Login{Username: "oauth2", Password: func() string { return "glpat-Canary" }, Expiry: expiry}
	tests := []struct {
		name  string
		req   Request
		login Login
		want  string
	}{
		{"old git", Request{}, login, "username=oauth2\npassword=glpat-Canary\npassword_expiry_utc=1801353600\n"},
		{"other capability", Request{Capabilities: []string{"state"}}, Login{Username: "a", Password: login.Password},
			"username=a\npassword=glpat-Canary\n"},
		{"git 2.46", Request{Capabilities: []string{"authtype"}}, login,
			"capability[]=authtype\nauthtype=Basic\ncredential=b2F1dGgyOmdscGF0LUNhbmFyeQ==\nephemeral=1\npassword_expiry_utc=1801353600\n"},
		{"a state, for one that takes it", Request{Capabilities: []string{"state"}}, Login{Username: "a", Password: login.Password, State: "s:1"},
			"capability[]=state\nusername=a\npassword=glpat-Canary\nstate[]=s:1\ncontinue=1\n"},
		{"a state, with a header", Request{Capabilities: []string{"authtype", "state"}}, Login{Username: "a", Password: login.Password, State: "s:1"},
			"capability[]=state\ncapability[]=authtype\nauthtype=Basic\ncredential=YTpnbHBhdC1DYW5hcnk=\nephemeral=1\nstate[]=s:1\ncontinue=1\n"},
		{"a state, for one that doesn't", Request{Capabilities: []string{"authtype"}}, Login{Username: "a", Password: login.Password, State: "s:1"},
			"capability[]=authtype\nauthtype=Basic\ncredential=YTpnbHBhdC1DYW5hcnk=\nephemeral=1\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.req.Answer(test.login)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestAnswerRefuses(t *testing.T) {
	for _, login := range []Login{
		{Username: "u", Password: func() string { return "Canary\nquit=0" }},
		{Username: "u", Password: func() string { return "Canary\r" }},
		{Username: "u\x00", Password: func() string { return "Canary" }},
		{Username: "a:b", Password: func() string { return "Canary" }},
		{Username: "u", Password: func() string { return strings.Repeat("Canary", MaxLine) }},
	} {
		got, err := Request{}.Answer(login)
		if err == nil || got != nil {
			t.Errorf("answered %q", got)
		} else if strings.Contains(err.Error(), "Canary") {
			t.Errorf("the error quotes a value: %v", err)
		}
	}
}

// Any request that can be read can be written again with the same bytes.
func FuzzRead(f *testing.F) {
	f.Add([]byte("protocol=https\nhost=gitlab.example.com\npath=group/project.git\n"))
	f.Add([]byte("capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=h\nwwwauth[]=Basic realm=\"GitLab\"\n\n"))
	f.Add([]byte("protocol=https\nhost=h\r\n"))
	f.Add([]byte("protocol=https\nhost=h\nhost=evil\n"))
	f.Add([]byte("a=b"))
	f.Fuzz(func(t *testing.T, in []byte) {
		attrs, err := Read(bytes.NewReader(in))
		if err != nil {
			if len(attrs) != 0 {
				t.Fatalf("an error and %d attributes", len(attrs))
			}
			return
		}
		out, err := Marshal(attrs)
		if err != nil {
			t.Fatalf("read, but can't be written: %v", err)
		}
		want := in
		if end := bytes.Index(append([]byte("\n"), in...), []byte("\n\n")); end >= 0 {
			want = in[:end]
		}
		if len(want) > 0 && !bytes.HasSuffix(want, []byte("\n")) {
			want = append(bytes.Clone(want), '\n')
		}
		if !bytes.Equal(out, want) {
			t.Fatalf("read %q, wrote %q", want, out)
		}
	})
}

// git reads back exactly the login that was written.
func FuzzAnswer(f *testing.F) {
	f.Add("oauth2", "glpat-Canary", true)
	f.Add("u", "a\nb", false)
	f.Fuzz(func(t *testing.T, user, password string, authtype bool) {
		var req Request
		if authtype {
			req.Capabilities = []string{Authtype}
		}
		out, err := req.Answer(Login{Username: user, Password: func() string { return password }})
		if err != nil {
			return
		}
		back, err := ReadRequest(strings.NewReader("protocol=https\nhost=h\n" + string(out)))
		if err != nil {
			t.Fatalf("answered %q, which can't be read: %v", out, err)
		}
		if !authtype && back.Username != user {
			t.Fatalf("user %q came back as %q", user, back.Username)
		}
		if got := back.Password; password != "" && (got == nil || got() != password) {
			t.Fatalf("the password came back changed: %q", out)
		}
	})
}
