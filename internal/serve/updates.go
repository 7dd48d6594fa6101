package serve

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Update is one ref update of a push: from the old object ID, as known by the client, to the
// new one. An ID of zeros means no ref, before or after; the server rejects an update with a
// wrong old ID.
type Update struct{ Old, New, Ref string }

func zero(id string) bool { return strings.Trim(id, "0") == "" }

func (u Update) creates() bool { return zero(u.Old) }
func (u Update) deletes() bool { return zero(u.New) }

// Updates is the beginning of the body of git-receive-pack, before the pack.
type Updates struct {
	List         []Update
	Capabilities []string
	Options      []string
	// Raw are the bytes that were read, to be forwarded as they are.
	Raw []byte
}

// can reports whether a capability was requested, as git reads them: a value may follow it
// (parse_feature_request in git's connect.c).
func (u Updates) can(capability string) bool {
	return slices.ContainsFunc(u.Capabilities, func(c string) bool {
		name, _, _ := strings.Cut(c, "=")
		return name == capability
	})
}

const (
	// maxUpdates bounds Updates.Raw in bytes: some 8,000 refs.
	maxUpdates = 1 << 20
	// maxLine is git's LARGE_PACKET_MAX.
	maxLine = 65520
)

var errTooManyUpdates = errors.New("more than 1 MiB of ref updates")

// ReadUpdates reads ref updates and push options up to the pack (gitprotocol-pack(5),
// "Reference Update Request"). It is stricter than git, so that both read the same bytes in
// the same way, and than go-git, whose decoder also accepts only one shallow line. Without
// updates, the body must end: git sends an empty one to test the login.
func ReadUpdates(r io.Reader) (Updates, error) {
	var u Updates
	lines, err := u.lines(r)
	if err != nil {
		return u, err
	}
	for n, line := range lines {
		if shallow, found := strings.CutPrefix(line, "shallow "); found && len(u.List) == 0 && isID(shallow) {
			continue
		}
		line, capabilities, first := strings.Cut(line, "\x00")
		if first != (len(u.List) == 0) {
			return u, errors.New("line " + strconv.Itoa(n+1) + " has capabilities where none belong, or none where some do")
		}
		if first {
			if strings.ContainsFunc(capabilities, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
				return u, errors.New("its capabilities are no plain text")
			}
			u.Capabilities = strings.Fields(capabilities)
		}
		if err := u.add(line); err != nil {
			return u, err
		}
	}
	switch {
	case len(u.List) == 0 && len(lines) > 0:
		return u, errors.New("it updates nothing")
	case len(u.List) == 0:
		if n, err := io.ReadFull(r, make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
			return u, errors.New("it has a pack, and updates nothing")
		}
	case u.can("push-options"):
		u.Options, err = u.lines(r)
	}
	return u, err
}

// add reads one update.
func (u *Updates) add(line string) error {
	fields := strings.SplitN(line, " ", 3)
	if len(fields) < 3 || !isID(fields[0]) || !isID(fields[1]) || len(fields[0]) != len(fields[1]) || zero(fields[0]) && zero(fields[1]) {
		return errors.New("it has a line that is no ref update (signed pushes are not supported)")
	}
	next := Update{fields[0], fields[1], fields[2]}
	switch {
	case !validRef(next.Ref):
		return errors.New("it has a name that no ref has")
	case slices.ContainsFunc(u.List, func(u Update) bool { return u.Ref == next.Ref || len(u.Old) != len(next.Old) }):
		return errors.New("it updates a ref twice, or has IDs of two kinds")
	}
	u.List = append(u.List, next)
	return nil
}

// lines reads packet lines up to a flush packet (gitprotocol-common(5)), without
// their line feeds.
func (u *Updates) lines(r io.Reader) (lines []string, err error) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, cutShort(err)
		}
		length, err := strconv.ParseUint(string(head[:]), 16, 16)
		switch {
		case err != nil || length > maxLine || length > 0 && length <= 4:
			return nil, errors.New("it has a line whose length is none of git's")
		case len(u.Raw)+len(head)+int(length) > maxUpdates:
			return nil, errTooManyUpdates
		}
		u.Raw = append(u.Raw, head[:]...)
		if length == 0 {
			return lines, nil
		}
		from := len(u.Raw)
		u.Raw = append(u.Raw, make([]byte, length-4)...)
		if _, err := io.ReadFull(r, u.Raw[from:]); err != nil {
			return nil, cutShort(err)
		}
		lines = append(lines, strings.TrimSuffix(string(u.Raw[from:]), "\n"))
	}
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends before its flush packet")
	}
	return err
}

func isID(text string) bool {
	return (len(text) == 40 || len(text) == 64) && strings.Trim(text, hexDigits) == ""
}

// validRef reports whether a full ref name is valid (git-check-ref-format(1)).
func validRef(name string) bool {
	if !strings.HasPrefix(name, "refs/") || strings.Count(name, "/") < 2 || len(name) > 1024 || !utf8.ValidString(name) ||
		strings.ContainsAny(name, " ~^:?*[\\\x7f") || strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.HasSuffix(name, ".") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' })
}
