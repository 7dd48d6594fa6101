package gitnet

import (
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
)

// A header of http.extraHeader is sent unless it could decide who asks, or belongs to
// the connection.
func TestHeader(t *testing.T) {
	for text, want := range map[string]string{
		"X-Gate: open": "X-Gate=open", "x-gate:open": "X-Gate=open", "Cookie: a=b; c": "Cookie=a=b; c", "X-Empty;": "X-Empty=",
		"User-Agent: gate/1": "User-Agent=gate/1", "X: a: b": "X=a: b",
		"X-Removed:": "", "none": "", "": "", ":": "", "X Y: z": "", "X: a\r\nPrivate-Token: b": "",
		"Authorization: Basic x": "", "AUTHORIZATION:x": "", "private-token: x": "", "Job-Token: x": "", "Deploy-Token: x": "",
		"Host: evil.example": "", "Content-Length: 0": "", "Transfer-Encoding: chunked": "", "Proxy-Authorization: x": "",
	} {
		got := ""
		if name, value, ok := header(text); ok {
			got = name + "=" + value
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	var pairs [][2]string
	for _, value := range []string{
		"gitlab.example.com:443:127.0.0.1", "+Other.example:443:[::1],10.0.0.1", "gone.example:443:10.0.0.2", "-gone.example:443",
		"*:8443:10.0.0.3", "broken", "broken:443", "broken:x:10.0.0.4", ":443:10.0.0.5",
	} {
		pairs = append(pairs, [2]string{"http.curloptResolve", value})
	}
	want := map[string][]string{
		"gitlab.example.com:443": {"127.0.0.1"}, "other.example:443": {"::1", "10.0.0.1"}, "*:8443": {"10.0.0.3"},
	}
	if got := addresses(gitconfig.FromEnvironment(pairs, "")); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A cookie goes to its own host, path and protocol alone, until it expires.
func TestJar(t *testing.T) {
	const file = "# Netscape HTTP Cookie File\n" +
		"gitlab.example.com\tFALSE\t/\tFALSE\t0\thost\t1\r\n" +
		".example.com\tTRUE\t/\tFALSE\t4000000000\tdomain\t2\n" +
		"#HttpOnly_gitlab.example.com\tFALSE\t/\tTRUE\t0\tsecure\t3\n" +
		"gitlab.example.com\tFALSE\t/\tFALSE\t1000000000\texpired\t4\n" +
		"example.com\tFALSE\t/\tFALSE\t0\tparent\t5\n" +
		"evil.example\tTRUE\t/\tFALSE\t0\tevil\t6\n" +
		"gitlab.example.com\tFALSE\t/group\tFALSE\t0\tpath\t7\n" +
		"Set-Cookie: plain=8\n" +
		"set-cookie: other=9; Domain=evil.example\n" +
		"not a cookie\n"
	at, _ := url.Parse("https://gitlab.example.com/api/v4/user")
	var got []string
	for _, c := range jar([]byte(file), "https://gitlab.example.com/group/project.git").Cookies(at) {
		got = append(got, c.String())
	}
	if want := "host=1 domain=2 secure=3 plain=8"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
