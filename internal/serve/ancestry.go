package serve

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // git's object IDs
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
)

const (
	// maxHeld bounds how much of a pack is read before it is forwarded, in bytes,
	// and maxCommits what its commits take in memory, with the overhead of each commit
	// and each parent. A push of 10,000 commits has about 2 MiB of them.
	maxHeld    = 4 << 20
	maxCommits = 16 << 20
	overhead   = 256
	// maxMoved bounds the branches of a push that are verified.
	maxMoved = 100
	// maxQuestions bounds the questions to GitLab for one push.
	maxQuestions = 32
)

// commits are the commits at the beginning of a pack.
type commits struct {
	parents map[string][]string
	content map[string][]byte // by ID
	at      map[int64]string  // the ID by the place in the pack
	size    int
	zlib    io.ReadCloser // used for each object
}

// readCommits reads the commits at the beginning of a pack (gitformat-pack(5)), up to
// the first other object: git writes commits first. IDs are computed from the
// content, so parents can't be made up. An error means that there may be more.
func readCommits(r io.Reader, idLength int) (*commits, error) {
	c := &commits{parents: map[string][]string{}, content: map[string][]byte{}, at: map[int64]string{}}
	in := &counter{Reader: bufio.NewReader(r)}
	var head [12]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return c, err
	}
	if version := binary.BigEndian.Uint32(head[4:]); string(head[:4]) != "PACK" || version != 2 && version != 3 {
		return c, errors.New("no pack")
	}
	for range binary.BigEndian.Uint32(head[8:]) {
		if more, err := c.next(in, idLength); err != nil || !more {
			return c, err
		}
	}
	return c, nil
}

// The types of objects in a pack.
const (
	typeCommit   = 1
	typeOffDelta = 6
	typeRefDelta = 7
)

var (
	errCommits = errors.New("more commits than are looked through")
	errBroken  = errors.New("an object of another size than it says")
)

// next reads one object; false for one that is no commit.
func (c *commits) next(in *counter, idLength int) (bool, error) {
	start := in.n
	kind, size, err := objectHeader(in)
	if err != nil {
		return false, err
	}
	var base []byte
	switch kind {
	case typeCommit:
	case typeOffDelta:
		distance, err := offset(in)
		if err != nil {
			return false, err
		}
		base = c.content[c.at[start-distance]]
	case typeRefDelta:
		id := make([]byte, idLength/2)
		if _, err := io.ReadFull(in, id); err != nil {
			return false, err
		}
		base = c.content[hex.EncodeToString(id)]
	}
	if kind != typeCommit && base == nil {
		return false, nil
	}
	if c.size += int(min(size, maxCommits)) + overhead; c.size > maxCommits {
		return false, errCommits
	}
	content, err := c.inflate(in, size)
	if err == nil && base != nil {
		content, err = c.patch(base, content)
	}
	if err != nil {
		return false, err
	}
	parents := parentsOf(content)
	if c.size += len(parents) * overhead; c.size > maxCommits {
		return false, errCommits
	}
	id := objectID(content, idLength)
	c.content[id], c.parents[id], c.at[start] = content, parents, id
	return true, nil
}

// counter counts what is read, and never reads ahead of what is asked for.
type counter struct {
	*bufio.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// objectHeader reads the type and size of an object.
func objectHeader(in io.ByteReader) (kind byte, size int64, err error) {
	b, err := in.ReadByte()
	kind, size = b>>4&7, int64(b&15)
	for shift := 4; err == nil && b&0x80 != 0; shift += 7 {
		if shift > 40 {
			return 0, 0, errors.New("an object without a size")
		}
		b, err = in.ReadByte()
		size |= int64(b&0x7f) << shift
	}
	return kind, size, err
}

// offset reads how far back the base of a delta is.
func offset(in io.ByteReader) (distance int64, err error) {
	b, err := in.ReadByte()
	distance = int64(b & 0x7f)
	for err == nil && b&0x80 != 0 && distance < 1<<48 {
		b, err = in.ReadByte()
		distance = (distance+1)<<7 | int64(b&0x7f)
	}
	return distance, err
}

// inflate reads the compressed content of an object of a size.
func (c *commits) inflate(in *counter, size int64) ([]byte, error) {
	var err error
	if c.zlib == nil {
		c.zlib, err = zlib.NewReader(in)
	} else {
		err = c.zlib.(zlib.Resetter).Reset(in, nil) //nolint:forcetypeassert // documented
	}
	if err != nil {
		return nil, err
	}
	content := make([]byte, size)
	if _, err := io.ReadFull(c.zlib, content); errors.Is(err, io.EOF) {
		return nil, errBroken // the pack goes on
	} else if err != nil {
		return nil, err
	}
	// The end has the checksum, and must be read.
	if n, err := c.zlib.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return nil, errBroken
	}
	return content, nil
}

// patch applies a delta (gitformat-pack(5), "Deltified representation").
func (c *commits) patch(base, delta []byte) ([]byte, error) {
	broken := errors.New("a broken delta")
	from, n := binary.Uvarint(delta)
	if n <= 0 || from != uint64(len(base)) {
		return nil, broken
	}
	size, m := binary.Uvarint(delta[n:])
	if m <= 0 || size > maxCommits {
		return nil, broken
	}
	if c.size += int(size); c.size > maxCommits {
		return nil, errCommits
	}
	var out []byte
	for in := bytes.NewReader(delta[n+m:]); in.Len() > 0; {
		op, _ := in.ReadByte()
		part := make([]byte, op)
		if op&0x80 == 0 {
			if _, err := io.ReadFull(in, part); op == 0 || err != nil {
				return nil, broken
			}
		} else {
			var field [7]int
			for i := range field {
				if op>>i&1 != 0 {
					b, _ := in.ReadByte()
					field[i] = int(b)
				}
			}
			at, length := field[0]|field[1]<<8|field[2]<<16|field[3]<<24, field[4]|field[5]<<8|field[6]<<16
			if length == 0 {
				length = 0x10000
			}
			if at > len(base) || length > len(base)-at {
				return nil, broken
			}
			part = base[at : at+length]
		}
		if out = append(out, part...); uint64(len(out)) > size {
			return nil, broken
		}
	}
	if uint64(len(out)) != size {
		return nil, broken
	}
	return out, nil
}

func objectID(content []byte, idLength int) string {
	sum := sha1.New() //nolint:gosec // git's object IDs
	if idLength == 64 {
		sum = sha256.New()
	}
	_, _ = io.WriteString(sum, "commit "+decimal(len(content))+"\x00")
	_, _ = sum.Write(content)
	return hex.EncodeToString(sum.Sum(nil))
}

// parentsOf are the parents in a commit's header.
func parentsOf(content []byte) (parents []string) {
	_, rest, _ := bytes.Cut(content, []byte("\n")) // the tree
	for {
		line, next, _ := bytes.Cut(rest, []byte("\n"))
		parent, found := bytes.CutPrefix(line, []byte("parent "))
		if !found {
			return parents
		}
		parents, rest = append(parents, string(parent)), next
	}
}

// reaches reports whether old is an ancestor of a commit, as far as the pack shows;
// if not, frontier are ancestors that the pack does not have, and the server must. They
// are one more than maxQuestions at most.
func (c *commits) reaches(commit, old string) (found bool, frontier []string) {
	seen := map[string]bool{}
	for todo := []string{commit}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		parents, known := c.parents[id]
		switch {
		case id == old:
			return true, nil
		case seen[id]:
		case known:
			todo = append(todo, parents...)
		case len(frontier) <= maxQuestions:
			frontier = append(frontier, id)
		}
		seen[id] = true
	}
	return false, frontier
}
