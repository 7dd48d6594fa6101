// Package strictjson decodes JSON that must have one reading only. encoding/json
// accepts repeated keys and ignores case, so two readers could see different
// values.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
)

// Errors of Decode. Unlike the decoder's own, they quote nothing.
var (
	ErrBroken   = errors.New("broken JSON")
	ErrRepeated = errors.New("JSON that repeats a key")
)

// Decode reads data as [json.Unmarshal] does, and refuses it when an object
// anywhere in it has a key twice, in whatever case. After an error, nothing in
// into counts.
func Decode(data []byte, into any) error {
	if json.Unmarshal(data, into) != nil {
		return ErrBroken
	}
	if !unique(json.NewDecoder(bytes.NewReader(data))) {
		return ErrRepeated
	}
	return nil
}

// unique reads one value, which is known to be valid and to nest no deeper than
// json.Unmarshal allows.
func unique(d *json.Decoder) bool {
	start, _ := d.Token()
	seen := map[string]bool{}
	switch start {
	case json.Delim('['), json.Delim('{'):
	default:
		return true
	}
	for d.More() {
		if start == json.Delim('{') {
			key, _ := d.Token()
			name := strings.Map(fold, key.(string))
			if seen[name] {
				return false
			}
			seen[name] = true
		}
		if !unique(d) {
			return false
		}
	}
	_, _ = d.Token() // the end of it
	return true
}

// fold gives all cases of a letter as one, as package json compares keys.
func fold(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
