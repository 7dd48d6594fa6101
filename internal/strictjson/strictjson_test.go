package strictjson

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":[`, n) + strings.Repeat(`]}`, n) }
	for text, want := range map[string]error{
		`{"token":"a","instanceUrl":"b"}`:        nil,
		`{"token":"a","nested":{"token":"b"}}`:   nil,
		`[{"token":"a"},{"token":"b"}]`:          nil,
		`{"a":{},"b":[],"c":[{}],"d":null}`:      nil,
		`null`:                                   nil,
		`{"":1}`:                                 nil,
		deep(4000):                               nil,
		`{"token":"a","token":"b"}`:              ErrRepeated,
		`{"token":"a","token":"a"}`:              ErrRepeated,
		`{"token":"a","Token":"b"}`:              ErrRepeated,
		`{"token":"a","to\u006ben":"b"}`:         ErrRepeated,
		"{\"token\":\"a\",\"to\u212aen\":\"b\"}": ErrRepeated, // the Kelvin sign
		"{\"user\":1,\"u\u017fer\":2}":           ErrRepeated, // the long s
		`{"a":{"b":1,"B":2}}`:                    ErrRepeated,
		`{"a":[[{"b":1,"b":{}}]]}`:               ErrRepeated,
		`{"":1,"":2}`:                            ErrRepeated,
		``:                                       ErrBroken,
		`{"token":"a"`:                           ErrBroken,
		`{"token":"a"} {"token":"b"}`:            ErrBroken,
		`{"token":"a"}x`:                         ErrBroken,
		`{'token':1}`:                            ErrBroken,
		deep(6000):                               ErrBroken, // deeper than package json goes
	} {
		var into any
		if err := Decode([]byte(text), &into); !errors.Is(err, want) {
			t.Errorf("%.60s: %v, want %v", text, err, want)
		}
	}
	if err := Decode([]byte(`{"token":7}`), &struct{ Token string }{}); !errors.Is(err, ErrBroken) {
		t.Errorf("the wrong type: %v", err)
	}
}

// Keys that package json takes for the same are never both taken, and no others
// are refused.
func FuzzDecode(f *testing.F) {
	f.Add("token", "Token")
	f.Add("token", "to\u212aen")
	f.Add("a", "b")
	f.Fuzz(func(t *testing.T, one, other string) {
		first, _ := json.Marshal(one) // a text can always be
		second, _ := json.Marshal(other)
		text := `[{` + string(first) + `:{},` + string(second) + `:[]}]`
		var into any
		err := Decode([]byte(text), &into)
		if same := strings.EqualFold(string(first), string(second)); same != errors.Is(err, ErrRepeated) {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
