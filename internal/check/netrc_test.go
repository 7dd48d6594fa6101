package check

import "testing"

func TestNetrc(t *testing.T) {
	const host = "gitlab.example.com"
	for content, want := range map[string]string{
		"": "",
		"machine gitlab.example.com login a password p":                                               "p",
		"machine GitLab.example.com\n\tlogin a\n\tpassword p\n":                                       "p",
		"MACHINE gitlab.example.com LOGIN a PASSWORD p":                                               "p",
		"machine gitlab.example.com password p\n":                                                     "p",
		"machine gitlab.example.com login a account x password p\n":                                   "p",
		"machine gitlab.example.com login \"a b\" password \"p \\\"q\\\\\"\n":                         `p "q\`,
		"machine other.example login a password b\nmachine gitlab.example.com password p":             "p",
		"machine other.example login a password b\ndefault login a password p":                        "p",
		"default login a password d\nmachine gitlab.example.com login a password p":                   "d",
		"machine gitlab.example.com login a password p\ndefault login b password d":                   "p",
		"machine gitlab.example.com login a\n":                                                        "",
		"machine gitlab.example.com:443 login a password p\n":                                         "",
		"machine example.com login a password p\n":                                                    "",
		"# machine gitlab.example.com login a password p\n":                                           "",
		"macdef x\nmachine gitlab.example.com login a password p\n\nmachine other login a password b": "",
		"macdef x\nls\n\nmachine gitlab.example.com login a password p":                               "p",
		"machine gitlab.example.com login a password \"p":                                             "",
		"machine gitlab.example.com login machine password p":                                         "p",
		"machine":    "",
		"password p": "",
	} {
		if got, found := netrcPassword(content, host); got != want || found != (want != "") {
			t.Errorf("%q: %q, %v; want %q", content, got, found, want)
		}
	}
}
