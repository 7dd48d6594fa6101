package cache

import (
	"bytes"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// A file that was changed anywhere, cut, lengthened or put under another name
// counts as empty.
func FuzzTampered(f *testing.F) {
	f.Add(uint16(0), []byte("0"), false, "")
	f.Add(uint16(65), []byte("9"), false, "")
	f.Add(uint16(70), []byte("2 0 true"), true, "")
	f.Add(uint16(200), []byte("\n{}"), false, "")
	f.Add(uint16(0), []byte(""), false, "other")
	key := []byte("key")
	var r record
	r.set("verdict-a", entry{Made: time.Unix(1790000000, 0), Verdict: access.Verdict{Outcome: access.Refused, Reason: access.LevelTooLow, Level: 20}})
	whole := r.marshal("name", key)
	f.Fuzz(func(t *testing.T, at uint16, with []byte, cut bool, name string) {
		n := min(int(at), len(whole))
		end := min(n+len(with), len(whole))
		if cut {
			end = len(whole)
		}
		data := bytes.Join([][]byte{whole[:n], with, whole[end:]}, nil)
		if name == "" {
			name = "name"
		}
		if r := parse(data, name, key); len(r.entries) > 0 && (name != "name" || !bytes.Equal(data, whole)) {
			t.Fatalf("%q under %q was taken for %q", data, name, r.entries)
		}
	})
}
