package secret

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/object"
)

// Keys of a Secret, each a file of the mounted directory.
const (
	keyToken       = "token"
	keyInstance    = "instanceUrl"
	keyCA          = "ca.crt"
	keyCredentials = "credentials.json"
)

// current is the symlink through which kubelet swaps all keys at once.
const current = "..data"

// mount reads the Secret mounted at dir; false when there is none.
func (c Config) mount(dir string) (Found, bool) {
	f := Found{Source: Mount, Where: "the Secret at " + message.Quote(dir), Renew: reconnect,
		Belongs: "the key " + keyInstance + " of the Secret",
		Path:    dir,
		// kubelet replaces this link when it brings in another version.
		Changed: func() time.Time {
			return cmp.Or(changed(os.Lstat(filepath.Join(dir, current))), changed(os.Stat(filepath.Join(dir, keyToken))),
				changed(os.Stat(filepath.Join(dir, keyCredentials))))
		},
		CA: func() ([]byte, *message.Message) { return readCA(dir) }}
	root, problem := openSecret(dir)
	switch {
	case problem != nil:
		f.Problem = problem
		return f, true
	case root == nil:
		return Found{}, false
	}
	defer func() { _ = root.Close() }()
	keys := readVersion(root)
	text, credentials, url := keys[keyToken], keys[keyCredentials], keys[keyInstance]
	switch {
	case credentials.broken() && text.broken():
		// Nothing in the directory can be read, so nobody knows what is there.
		f.Problem = text.problem(filepath.Join(dir, keyToken), maxValue)
		return f, true
	case credentials.there && (text.there || url.there):
		f.Problem = message.TwoForms(dir)
	case credentials.there:
		f.readCredentials(credentials, c.AllowHTTPLoopback, filepath.Join(dir, keyCredentials))
		return f, true
	case text.there:
		f.readToken(text, filepath.Join(dir, keyToken))
	case url.there || !empty(root):
		f.Problem = message.TokenKeyMissing(dir)
	default:
		return Found{}, false
	}
	if credentials.there {
		// Two forms may name two instances.
		return f, true
	}
	if problem := url.problem(filepath.Join(dir, keyInstance), maxValue); problem != nil {
		f.Problem = problem
		return f, true
	}
	f.setInstance(url.text, message.Quote(filepath.Join(dir, keyInstance)), c.AllowHTTPLoopback)
	return f, true
}

// openSecret opens a Secret's directory; nil when there is none. It looks first,
// since opening a FIFO would wait for its other end.
func openSecret(dir string) (*os.Root, *message.Message) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return nil, message.SecretNotDirectory(dir)
	}
	root, err := os.OpenRoot(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, message.FileUnreadable(dir, file.Cause(err))
	}
	return root, nil
}

func (f *Found) readToken(key content, path string) {
	if f.Problem = key.problem(path, maxValue); f.Problem == nil {
		f.setToken(key.text)
	}
}

// readCredentials reads the platform's own entry. Its other fields (userId,
// updatedAt) say nothing that is needed here.
func (f *Found) readCredentials(key content, allowHTTPLoopback bool, path string) {
	if f.Problem = key.problem(path, maxValue); f.Problem != nil {
		return
	}
	var entry *struct {
		Token       string `json:"token"`
		InstanceURL string `json:"instanceUrl"`
	}
	if object.Decode([]byte(key.text), &entry) != nil || entry == nil {
		f.Problem = message.CredentialsGarbled(path)
		return
	}
	f.setToken(entry.Token)
	f.setInstance(entry.InstanceURL, message.Quote(path), allowHTTPLoopback)
}

// maxSwaps bounds how often a read begins again because the Secret was swapped
// under it.
const maxSwaps = 100

// readVersion reads the keys that decide, all of one version of the Secret.
// kubelet points ..data to the new version before it removes the old one: so a
// file that is missing while ..data still points to the same version is
// missing for good, and otherwise everything is read again. Half of one
// version and half of another would give a token to another instance.
func readVersion(root *os.Root) map[string]content {
	for swaps := 0; ; swaps++ {
		version := versionOf(root)
		keys := map[string]content{}
		complete := true
		for _, name := range []string{keyToken, keyCredentials, keyInstance} {
			keys[name] = readIn(root, filepath.Join(version, name), maxValue)
			complete = complete && keys[name].there
		}
		if complete || swaps == maxSwaps || versionOf(root) == version {
			return keys
		}
	}
}

// versionOf is the directory that holds the current version, "." when the
// Secret was not mounted by kubelet.
func versionOf(root *os.Root) string {
	version, err := root.Readlink(current)
	if err != nil || !filepath.IsLocal(version) {
		return "."
	}
	return version
}

func empty(root *os.Root) bool {
	dir, err := root.Open(".")
	if err != nil {
		return false
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		// What kubelet mounts for an optional Secret that does not exist.
		if name != current && len(name) > 0 && name[0] != '.' {
			return false
		}
	}
	return true
}

func readCA(dir string) ([]byte, *message.Message) {
	root, problem := openSecret(dir)
	if root == nil && problem == nil {
		problem = message.FileUnreadable(dir, "it is no longer there")
	}
	if problem != nil {
		return nil, problem
	}
	defer func() { _ = root.Close() }()
	key := readIn(root, keyCA, maxCA)
	if !key.there {
		return nil, nil
	}
	if problem := key.problem(filepath.Join(dir, keyCA), maxCA); problem != nil {
		return nil, problem
	}
	return []byte(key.text), nil
}
