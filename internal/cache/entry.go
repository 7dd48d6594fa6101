package cache

import (
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
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// format is the version of what is written. It is part of every name, so that
// another version's entries are never even opened.
const format = 1

// entry is what is remembered under one name. Times are unix milliseconds, 0 for
// never.
type entry struct {
	head
	detail
}

// head is all that the way through memory needs of a good verdict. It is one
// line of numbers: decoding JSON would cost as much as the rest of the way.
type head struct {
	// Made is when GitLab's answer came, the oldest of several.
	Made int64
	// Saved is when the verdict was written, or the mark set. Callers that
	// began before may take it over, whatever its age.
	Saved int64
	// Outcome, Expires and Unlimited are the verdict's.
	Outcome   access.Outcome
	Expires   int64
	Unlimited bool
	// Tried is when GitLab was asked again in vain. A good verdict stays, for
	// the bridge.
	Tried int64
	// Until is when the rate limit is full again, in entries of a rate limit.
	Until int64
}

// detail is the rest, which only the slower ways need.
type detail struct {
	// Verdict is a refusal; a good verdict is all in the head.
	Verdict access.Verdict `json:"verdict,omitzero"`
	// Trouble is what was in the way when GitLab was asked in vain.
	Trouble access.Verdict `json:"trouble,omitzero"`
	// Facts is what GitLab said of the token itself.
	Facts access.Facts `json:"facts,omitzero"`
	// Note is what people were told of an attempt in vain.
	Note *message.Error `json:"note,omitzero"`
	// Instance is the URL of the one that a Secret or a token was for.
	Instance string `json:"instance,omitzero"`
}

func entryOf(v access.Verdict, made time.Time) entry {
	e := entry{head: head{Made: made.UnixMilli(), Outcome: v.Outcome, Unlimited: v.Unlimited}}
	if !v.ExpiresAt.IsZero() {
		e.Expires = v.ExpiresAt.UnixMilli()
	}
	if v.Outcome != access.Granted {
		e.Verdict = v
	}
	return e
}

func (e entry) made() time.Time { return time.UnixMilli(e.Made) }

// verdict is what was decided.
func (e entry) verdict() access.Verdict {
	if e.Outcome != access.Granted {
		return e.Verdict
	}
	v := access.Verdict{Outcome: access.Granted, Unlimited: e.Unlimited}
	if e.Expires != 0 {
		v.ExpiresAt = time.UnixMilli(e.Expires).UTC()
	}
	return v
}

// names are the files of one question. They are digests, from which the token
// can't be found: it is long and random.
type names struct {
	// token begins the name of everything that is known by this token.
	token string
	// verdict, facts and rate are files with an entry; mark is one that says
	// when all others of the token were dropped.
	verdict, facts, rate, mark string
	// instance is a file with the token's own.
	instance string
	// seal is the key that entries are sealed with. Who doesn't know the token
	// can't make one.
	seal []byte
}

func namesOf(q Question) names {
	secret := q.Token.Reveal()
	token := digest("token", secret)[:16]
	scopes := slices.Sorted(slices.Values(q.Policy.Scopes))
	fields := append([]string{"verdict", secret, q.Instance.URL(), q.Project,
		strconv.FormatBool(q.Policy.Project), strconv.FormatBool(q.Policy.Wiki), strconv.Itoa(q.Policy.Minimum)}, scopes...)
	seal := sha256.Sum256([]byte("git-credential-acp seal\x00" + secret))
	return names{
		token:   token,
		verdict: token + "-v-" + digest(fields...)[:40],
		facts:   token + "-f-" + digest("facts", secret, q.Instance.URL())[:40],
		rate:    token + "-r-" + digest("rate", secret, q.Instance.URL())[:40],
		mark:    token + "-e-",
		// The prefix tells it from the instance of a Secret.
		instance: token + "-i-" + digest("instance", secret)[:40],
		seal:     seal[:],
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

// marshal gives the bytes of an entry: its seal, for this name only, the head,
// and the detail as JSON, a line each.
func (e entry) marshal(name string, key []byte) ([]byte, error) {
	h := e.head
	body := []byte(fmt.Sprintf("%d %d %d %t %d %d %d\n", h.Made, h.Outcome, h.Expires, h.Unlimited, h.Saved, h.Tried, h.Until))
	if e.Outcome != access.Granted || e.Tried != 0 {
		text, err := json.Marshal(e.detail)
		if err != nil {
			return nil, err
		}
		body = append(body, text...)
	}
	return append([]byte(sealOf(name, key, body)+"\n"), body...), nil
}

// unmarshal reads an entry; false for one that is cut, changed, of another
// version or another's.
func unmarshal(data []byte, name string, key []byte) (entry, bool) {
	seal, body, found := strings.Cut(string(data), "\n")
	if !found || !hmac.Equal([]byte(seal), []byte(sealOf(name, key, []byte(body)))) {
		return entry{}, false
	}
	var e entry
	line, text, _ := strings.Cut(body, "\n")
	if !e.parse(strings.Split(line, " ")) {
		return entry{}, false
	}
	if text != "" && json.Unmarshal([]byte(text), &e.detail) != nil {
		return entry{}, false
	}
	return e, true
}

// parse reads the head.
func (h *head) parse(fields []string) bool {
	numbers := make([]int64, 7)
	if len(fields) != len(numbers) {
		return false
	}
	for n, field := range fields {
		var err error
		if n == 3 {
			h.Unlimited, err = strconv.ParseBool(field)
		} else {
			numbers[n], err = strconv.ParseInt(field, 10, 64)
		}
		if err != nil {
			return false
		}
	}
	h.Made, h.Outcome, h.Expires = numbers[0], access.Outcome(numbers[1]), numbers[2]
	h.Saved, h.Tried, h.Until = numbers[4], numbers[5], numbers[6]
	return true
}

func sealOf(name string, key, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(name + "\n"))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
