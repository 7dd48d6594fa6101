// Package strictjson decodes JSON without ambiguity. encoding/json accepts repeated keys
// and ignores case, so two readers could see different values.
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

// Decode reads data as [json.Unmarshal] does, and rejects any object with the same key
// twice, in whatever case. After an error, into is undefined.
func Decode(data []byte, into any) error {
	if json.Unmarshal(data, into) != nil {
		return ErrBroken
	}
	if !unique(json.NewDecoder(bytes.NewReader(data))) {
		return ErrRepeated
	}
	return nil
}

// unique reads one value, which json.Unmarshal has accepted.
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

// fold maps all cases of a letter to one, as package json compares keys.
func fold(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
