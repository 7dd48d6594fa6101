package cache

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// format is the version of the files. It is part of their names, so a file of
// another version is never opened.
const format = 2

// Bounds of one file: entries, and bytes behind its first line. A verdict takes
// 80 to 250 bytes.
const (
	maxEntries = 256
	maxBody    = 64 << 10
)

// record is the content of a token's file. The first line is an HMAC of the file's
// name and the other lines. Each of them is an entry, in the order of the last change,
// decoded when it is needed: most calls need one.
type record struct {
	entries [][]byte
	// dropped says that drop has removed something since the file was read.
	dropped bool
}

// Keys begin with the kind of the entry.
const (
	kindVerdict  = "verdict-"
	kindToken    = "token-"   // what GitLab said about the token itself
	kindRate     = "rate-"    // the rate limit
	kindFailure  = "failure-" // another place that had nothing better
	kindTold     = "told"     // when people were last told about the expiry
	kindErased   = "erased"   // when Forget last dropped the verdicts
	kindInstance = "instance" // of the token, or of a Secret in the cluster
)

// entry is what one line holds, depending on its kind.
type entry struct {
	// Made is when GitLab answered; for several answers, the oldest.
	Made    time.Time      `json:",omitzero"`
	Verdict access.Verdict `json:",omitzero"`
	// Tried is when GitLab last gave no definite answer, and Trouble is why. The
	// last good verdict stays.
	Tried   time.Time      `json:",omitzero"`
	Trouble access.Verdict `json:",omitzero"`
	// Facts is what GitLab said about the token itself.
	Facts access.Facts `json:",omitzero"`
	// Until is when the rate limit resets.
	Until time.Time `json:",omitzero"`
	// RescueFailure is why another place had nothing better.
	RescueFailure RescueFailure `json:",omitzero"`
	// Instance is the URL of the instance.
	Instance string `json:",omitzero"`
}

// encode gives the text of an entry, in JSON. Only a good verdict is three words, since
// decoding JSON would make a warm call a tenth slower.
func (e entry) encode() []byte {
	if v := e.Verdict; v.Outcome == access.Granted && e.Tried.IsZero() {
		return fmt.Appendf(nil, "%d %d %t", e.Made.UnixMilli(), v.ExpiresAt.UnixMilli(), v.Unlimited)
	}
	text, _ := json.Marshal(e) // nothing in it can fail
	return text
}

// decode reverses encode; the zero value is for what it did not write.
func decode(text string) (e entry) {
	if strings.HasPrefix(text, "{") {
		if json.Unmarshal([]byte(text), &e) != nil {
			return entry{}
		}
		return e
	}
	words := strings.Fields(text)
	if len(words) != 3 {
		return entry{}
	}
	made, _ := strconv.ParseInt(words[0], 10, 64)
	expires, _ := strconv.ParseInt(words[1], 10, 64)
	return entry{Made: time.UnixMilli(made), Verdict: access.Verdict{
		Outcome: access.Granted, ExpiresAt: time.UnixMilli(expires).UTC(), Unlimited: words[2] == "true"}}
}

// get is the entry with a key; the zero value if there is none.
func (r record) get(key string) entry {
	for _, line := range r.entries {
		if text, ok := bytes.CutPrefix(line, []byte(key+" ")); ok {
			return decode(string(text))
		}
	}
	return entry{}
}

// set replaces the entry with a key. Above the bounds, it drops the oldest
// verdicts: all questions about the token need the other entries.
func (r *record) set(key string, e entry) {
	r.remove(key + " ")
	line := append([]byte(key+" "), e.encode()...)
	if len(line) > maxBody/8 {
		return
	}
	r.entries = append(r.entries, line)
	for len(r.entries) > maxEntries || len(bytes.Join(r.entries, nil))+len(r.entries) > maxBody {
		oldest := max(0, slices.IndexFunc(r.entries, isOf(kindVerdict)))
		r.entries = slices.Delete(r.entries, oldest, oldest+1)
	}
}

// drop removes what a dead token makes wrong, and reports whether there were verdicts
// or facts. The rate limit still counts.
func (r *record) drop() bool {
	before := len(r.entries)
	r.remove(kindVerdict)
	r.remove(kindToken)
	dropped := len(r.entries) < before
	r.remove(kindInstance)
	r.dropped = r.dropped || dropped
	return dropped
}

func (r *record) remove(start string) { r.entries = slices.DeleteFunc(r.entries, isOf(start)) }

func isOf(start string) func([]byte) bool {
	return func(line []byte) bool { return bytes.HasPrefix(line, []byte(start)) }
}

// marshal gives the content of the file with that name.
func (r record) marshal(name string, key []byte) []byte {
	body := bytes.Join(r.entries, []byte("\n"))
	return slices.Concat(authentication(name, key, body), body)
}

// parse reads a file. One that was cut, changed, renamed, or made without the key
// counts as empty.
func parse(data []byte, name string, key []byte) record {
	at := bytes.IndexByte(data, '\n') + 1
	if !hmac.Equal(data[:at], authentication(name, key, data[at:])) || at == len(data) {
		return record{}
	}
	return record{entries: bytes.Split(data[at:], []byte("\n"))}
}

// firstLine is the length of an authentication.
const firstLine = 2*sha256.Size + 1

// authentication is the first line of a file.
func authentication(name string, key, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(name + "\n"))
	mac.Write(body)
	return append(hex.AppendEncode(nil, mac.Sum(nil)), '\n')
}

// names are where the answer to a question is stored: digests, from which the token
// can't be found, since it is long and random.
type names struct {
	// file is the token's. key, which needs the token, authenticates it.
	file string
	key  []byte
	// verdict, token and rate are the keys of entries.
	verdict, token, rate string
}

func namesOf(q Question) names {
	secret, instance := q.Token.Reveal(), q.Instance.URL()
	scopes := slices.Sorted(slices.Values(q.Policy.Scopes))
	n := tokenFile(q.Token)
	n.verdict = kindVerdict + digest(append([]string{secret, instance, q.Project,
		strconv.FormatBool(q.Policy.Project), strconv.FormatBool(q.Policy.Wiki), strconv.Itoa(q.Policy.Minimum)}, scopes...)...)
	n.token = kindToken + digest(secret, instance)
	n.rate = kindRate + digest(secret, instance)
	return n
}

func tokenFile(tok token.Token) names { return fileOf("token", tok.Reveal()) }

// fileOf names the file about a token, or about something else.
func fileOf(kind, subject string) names {
	key := sha256.Sum256([]byte("git-credential-acp " + kind + "\x00" + subject))
	return names{file: prefix + digest(kind, subject), key: key[:]}
}

// digest is half of the SHA-256 of the fields, each with its length, so that no
// two lists of fields look the same.
func digest(fields ...string) string {
	hash := sha256.New()
	hash.Write([]byte(prefix))
	for _, field := range fields {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		hash.Write([]byte(field))
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
