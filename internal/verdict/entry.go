package verdict

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/access"
)

// format is the version of what is written. It is part of every name, so that
// another version's entries are never even opened.
const format = 1

// entry is what is remembered under one name.
type entry struct {
	// Made is when GitLab was asked, in unix milliseconds.
	Made int64 `json:"made"`
	// Verdict is what was decided; not set in entries of a token's facts.
	Verdict access.Verdict `json:"verdict,omitzero"`
	// Facts is what GitLab said of the token itself.
	Facts access.Facts `json:"facts,omitzero"`
	// Tried is when GitLab was asked again in vain, in unix milliseconds, and
	// Trouble what was in the way. A good verdict stays, for the bridge.
	Tried   int64          `json:"tried,omitzero"`
	Trouble access.Verdict `json:"trouble,omitzero"`
	// Warned is the day (2006-01-02, UTC) on which the expiry was last told.
	Warned string `json:"warned,omitzero"`
	// Until is when the rate limit is full again, in unix milliseconds; only
	// in entries of a rate limit.
	Until int64 `json:"until,omitzero"`
}

func (e entry) made() time.Time { return time.UnixMilli(e.Made) }

// names are the files of one question. They are digests, from which the token
// can't be found: it is long and random.
type names struct {
	// token begins the name of everything that is known by this token.
	token string
	// verdict, facts and rate are the files.
	verdict, facts, rate string
	// seal is the key that entries are sealed with. Who doesn't know the token
	// can't make one.
	seal []byte
}

func namesOf(q Question) names {
	secret := q.Token.Reveal()
	token := digest("token", secret)[:16]
	scopes := slices.Sorted(slices.Values(q.Policy.Scopes))
	fields := append([]string{"verdict", secret, q.Instance.URL(), q.Project,
		strconv.FormatBool(q.Policy.Project), strconv.Itoa(q.Policy.Minimum)}, scopes...)
	seal := sha256.Sum256([]byte("git-credential-acp seal\x00" + secret))
	return names{
		token:   token,
		verdict: token + "-v-" + digest(fields...)[:40],
		facts:   token + "-f-" + digest("facts", secret, q.Instance.URL())[:40],
		rate:    token + "-r-" + digest("rate", secret, q.Instance.URL())[:40],
		seal:    seal[:],
	}
}

// digest is the SHA-256 of the fields, each with its length, so that no two
// lists of fields look the same.
func digest(fields ...string) string {
	hash := sha256.New()
	hash.Write([]byte("git-credential-acp " + strconv.Itoa(format)))
	for _, field := range fields {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
		hash.Write([]byte(field))
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// marshal gives the bytes of an entry: its seal on the first line, for this name
// only, then JSON.
func (e entry) marshal(name string, key []byte) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return append([]byte(sealOf(name, key, body)+"\n"), body...), nil
}

// unmarshal reads an entry; false for one that is cut, changed, of another
// version or another's.
func unmarshal(data []byte, name string, key []byte) (entry, bool) {
	seal, body, found := bytes.Cut(data, []byte("\n"))
	if !found || !hmac.Equal(seal, []byte(sealOf(name, key, body))) {
		return entry{}, false
	}
	var e entry
	if json.Unmarshal(body, &e) != nil {
		return entry{}, false
	}
	return e, true
}

func sealOf(name string, key, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(name + "\n"))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
