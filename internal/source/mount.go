package source

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
)

// current is the symlink through which kubelet swaps all keys at once.
const current = "..data"

// mount reads the Secret mounted at dir; false if there is none.
func (c Config) mount(dir string) (Found, bool) {
	f := Found{Source: Mount, Where: "the Secret at " + message.Quote(dir), Renew: reconnect,
		Belongs: belongsKey,
		Path:    dir,
		// kubelet replaces this link at each update.
		Changed: func() time.Time {
			return cmp.Or(changed(os.Lstat(filepath.Join(dir, current))), changed(os.Stat(filepath.Join(dir, KeyToken))),
				changed(os.Stat(filepath.Join(dir, KeyCredentials))))
		},
		CA: func() ([]byte, error) { return nil, nil }}
	if c.Secret != "" {
		f.Renew = storing(c.Secret)
	}
	root, problem := openSecret(dir)
	switch {
	case problem != nil:
		f.Problem = problem
		return f, true
	case root == nil:
		return Found{}, false
	}
	defer func() { _ = root.Close() }()
	keys, ca := readVersion(root)
	f.CA = func() ([]byte, error) {
		return contentOf(ca()).authorities(placeIn(dir)(KeyCA))
	}
	return f, f.take(keys, func() (bool, error) { return empty(root) }, placeIn(dir), c.AllowHTTPLoopback)
}

// placeIn names the keys of a Secret mounted at dir.
func placeIn(dir string) func(key string) string {
	return func(key string) string { return message.Quote(filepath.Join(dir, key)) }
}

// openSecret opens a Secret's directory; nil if there is none. It checks the type first,
// since opening a FIFO would block.
func openSecret(dir string) (*os.Root, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return nil, errSecretNotDirectory(dir)
	}
	root, err := os.OpenRoot(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, message.FileUnreadable(message.Quote(dir), file.Cause(err))
	}
	return root, nil
}

// maxSwaps is how many times a read is repeated because kubelet replaced the Secret.
const maxSwaps = 100

// readVersion reads the deciding keys, all of one version of the Secret. kubelet points ..data
// to the new version before it removes the old one. So if a file is missing and ..data has not
// changed, the key does not exist; otherwise everything is read again. A mix of two versions
// could send a token to another instance, or trust another one's authorities. Authorities are
// read later, if needed.
func readVersion(root *os.Root) (keys map[string]content, ca func() ([]byte, error)) {
	for swaps := 0; ; swaps++ {
		version, err := versionOf(root)
		keys = map[string]content{}
		for _, name := range deciding {
			if keys[name] = readIn(root, filepath.Join(version, name), maxValue); err != nil {
				keys[name] = content{there: true, err: err}
			}
		}
		ca = file.Later(root, filepath.Join(version, KeyCA), maxCA)
		if again, _ := versionOf(root); err != nil || swaps == maxSwaps || again == version {
			return keys, ca
		}
	}
}

// versionOf is the directory that holds the current version, "." when the
// Secret was not mounted by kubelet.
func versionOf(root *os.Root) (string, error) {
	version, err := root.Readlink(current)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL): // EINVAL: it is no link
		return ".", nil
	case err != nil:
		return "", err
	case !filepath.IsLocal(version):
		return ".", nil
	}
	return version, nil
}

func empty(root *os.Root) (bool, error) {
	dir, err := root.Open(".")
	if err != nil {
		return false, err
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		// What kubelet mounts for an optional Secret that does not exist.
		if name != current && len(name) > 0 && name[0] != '.' {
			return false, nil
		}
	}
	return err == nil, err
}
