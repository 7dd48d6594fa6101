package kubetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// program is the one that is tested, as it is released, built once.
type program struct {
	once      sync.Once
	dir, path string
	err       error
}

var built program

// build gives the path of the program.
func (p *program) build(t testing.TB) string {
	t.Helper()
	p.once.Do(func() {
		if p.dir, p.err = os.MkdirTemp("", "git-credential-acp-test-"); p.err != nil {
			return
		}
		p.path = filepath.Join(p.dir, "git-credential-acp")
		cmd := exec.Command("go", "build", "-o", p.path, "./cmd/git-credential-acp")
		cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			p.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	must(t, p.err)
	return p.path
}

func (p *program) remove() error { return os.RemoveAll(p.dir) }
