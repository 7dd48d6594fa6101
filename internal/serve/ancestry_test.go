package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// repository runs git in a new one.
func repository(t *testing.T, format string) func(stdin string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	run := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	run("", "init", "-q", "--object-format="+format, "-b", "main")
	return run
}

// history is a fast-import stream of count commits, with messages alike, so that git
// stores some as deltas.
func history(count int) string {
	var s strings.Builder
	for n := range count {
		message := strings.Repeat(fmt.Sprintf("A line of a long message that many commits have, %d.\n", n/7), 40)
		fmt.Fprintf(&s, "commit refs/heads/main\ncommitter T <t@example.com> %d +0000\ndata %d\n%s\nM 100644 inline f\ndata 3\n%03d\n", n+1, len(message), message, n%1000)
		if n%10 == 9 {
			fmt.Fprintf(&s, "commit refs/heads/side\ncommitter T <t@example.com> %d +0000\ndata 1\ns\nmerge refs/heads/main\n", n+1)
		}
	}
	return s.String()
}

// The commits in packs of git, deltas among them, are those that git shows.
func TestReadCommits(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		git := repository(t, format)
		git(history(300), "fast-import", "--quiet", "--force")
		git("", "repack", "-adfq", "--window=50", "--depth=50")
		for _, flags := range [][]string{{"--thin", "--delta-base-offset"}, {"--thin"}, {"--no-reuse-delta", "--window=50"}} {
			list := git("", "rev-list", "--parents", "main", "side", "^main~200")
			pack := git("main\nside\n^main~200\n", append([]string{"pack-objects", "--stdout", "--revs", "-q"}, flags...)...)
			c, err := readCommits(strings.NewReader(pack), map[string]int{"sha1": 40, "sha256": 64}[format])
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(list, "\n")
			if len(c.parents) != len(lines) {
				t.Errorf("%s %v: %d commits of %d", format, flags, len(c.parents), len(lines))
			}
			for _, line := range lines {
				ids := strings.Fields(line)
				if !slices.Equal(c.parents[ids[0]], ids[1:]) {
					t.Fatalf("%s: %s has the parents %v, not %v", format, ids[0], c.parents[ids[0]], ids[1:])
				}
			}
			old, tip := git("", "rev-parse", "main~200"), git("", "rev-parse", "main")
			if found, _ := c.reaches(tip, old); !found {
				t.Error("the old commit is not found")
			}
			if found, frontier := c.reaches(tip, git("", "rev-parse", "main~210")); found || !slices.Equal(frontier, []string{old}) {
				t.Errorf("an older commit is found %v, beyond %v", found, frontier)
			}
		}
	}
}

// Commits beyond the bounds are an error, and so is everything that is no pack.
func TestReadCommitsBounds(t *testing.T) {
	for name, row := range map[string]string{
		"nothing": "", "no pack": "PACX\x00\x00\x00\x02\x00\x00\x00\x01", "version": "PACK\x00\x00\x00\x09\x00\x00\x00\x01",
		"no object": "PACK\x00\x00\x00\x02\x00\x00\x00\x01", "not compressed": "PACK\x00\x00\x00\x02\x00\x00\x00\x01\x10xxxxxxxx",
		"endless size": "PACK\x00\x00\x00\x02\x00\x00\x00\x01\x9f" + strings.Repeat("\xff", 50),
		"huge":         "PACK\x00\x00\x00\x02\x00\x00\x00\x01\x9f\xff\xff\xff\x7f",
	} {
		if c, err := readCommits(strings.NewReader(row), 40); err == nil || len(c.parents) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	git := repository(t, "sha1")
	git(history(50), "fast-import", "--quiet", "--force")
	pack := git("main\n", "pack-objects", "--stdout", "--revs", "-q")
	for at := 0; at < 2000; at += 41 {
		c, err := readCommits(strings.NewReader(pack[:at]), 40)
		if err == nil {
			t.Fatalf("cut at %d: no error", at)
		}
		for id := range c.parents {
			git("", "cat-file", "-e", id)
			break
		}
	}
	if _, err := readCommits(io.LimitReader(strings.NewReader(pack), 100), 40); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

// Broken deltas and sizes that lie end in an error, not in a panic or in much memory.
func FuzzReadCommits(f *testing.F) {
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01\x10x\x9c\x03\x00\x00\x00\x00\x01"), []byte("\x05\x05\x90\x05"))
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01\x60\x00x"), []byte("\x05\x03\x03abc"))
	f.Fuzz(func(t *testing.T, pack, delta []byte) {
		c, _ := readCommits(bytes.NewReader(pack), 40)
		if c.size > maxCommits+maxCommits {
			t.Fatalf("%d bytes are kept", c.size)
		}
		if out, err := c.patch([]byte("hello"), delta); err == nil && len(out) > maxCommits {
			t.Fatalf("a delta makes %d bytes", len(out))
		}
	})
}
