package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Where things are in the image.
const (
	programPath = "git-credential-acp"
	// rootsPath is where Go's crypto/x509 looks first, and most other programs.
	rootsPath  = "etc/ssl/certs/ca-certificates.crt"
	licenceDir = "licenses"
)

// tree is a root file system: the content of its regular files by their paths,
// without the first slash. All of it belongs to root, and anybody may read it.
type tree map[string][]byte

// rootTree is the image's root file system, from the files of a program and of
// licences.
func rootTree(program string, licences []string) (tree, error) {
	t := tree{rootsPath: roots()}
	sources := map[string]string{programPath: program}
	for _, name := range licences {
		sources[path.Join(licenceDir, filepath.Base(name))] = name
	}
	for target, source := range sources {
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		t[target] = content
	}
	return t, nil
}

// roots are the authorities that Mozilla trusts for servers, as this module's
// go.mod and go.sum pin them: the same on every machine. Those that Mozilla trusts
// under a condition are left out, since a file of certificates can't tell it.
func roots() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			// A bytes.Buffer takes everything.
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return out.Bytes()
}

// mode is the mode of a path of the tree: only the program can be executed.
func (t tree) mode(name string) fs.FileMode {
	if _, regular := t[name]; regular && name != programPath {
		return 0o644
	}
	return 0o755
}

// names are the paths of all files and directories, parents first.
func (t tree) names() []string {
	seen := map[string]bool{}
	for name := range t {
		for ; name != "."; name = path.Dir(name) {
			seen[name] = true
		}
	}
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// headers are what a tar archive says of the tree's paths, in their order. It
// depends on nothing but the tree and the time.
func (t tree) headers(made time.Time) []*tar.Header {
	var headers []*tar.Header
	for _, name := range t.names() {
		header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: int64(t.mode(name)), Size: int64(len(t[name])),
			ModTime: made.UTC(), Format: tar.FormatUSTAR}
		if _, regular := t[name]; !regular {
			header.Name, header.Typeflag = name+"/", tar.TypeDir
		}
		headers = append(headers, header)
	}
	return headers
}

func (t tree) archive(made time.Time) ([]byte, error) {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, header := range t.headers(made) {
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(t[header.Name]); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return out.Bytes(), err
}

// readArchive is the tree in a tar archive. An archive that holds anything but
// what archive writes is an error.
func readArchive(in io.Reader, made time.Time) (tree, error) {
	t := tree{}
	var found []*tar.Header
	for reader := tar.NewReader(in); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		found = append(found, header)
		if header.Typeflag == tar.TypeReg {
			if t[header.Name], err = io.ReadAll(reader); err != nil {
				return nil, err
			}
		}
	}
	describe := func(h *tar.Header) string {
		return fmt.Sprintf("%s, type %c, mode %#o, owner %d:%d, %s", h.Name, h.Typeflag, h.Mode, h.Uid, h.Gid, h.ModTime.UTC())
	}
	expected := t.headers(made)
	for i, header := range found {
		if i >= len(expected) || describe(header) != describe(expected[i]) {
			return nil, errors.New("unexpected in the layer: " + describe(header))
		}
	}
	if len(found) < len(expected) {
		return nil, errors.New("missing in the layer: " + expected[len(found)].Name)
	}
	return t, nil
}

// write writes the tree to a directory, which must not be there yet, with its
// modes whatever the umask is.
func (t tree) write(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, name := range append([]string{"."}, t.names()...) {
		target := filepath.Join(dir, filepath.FromSlash(name))
		var err error
		if content, regular := t[name]; regular {
			err = os.WriteFile(target, content, 0o600)
		} else if name != "." {
			err = os.Mkdir(target, 0o700)
		}
		if err := errors.Join(err, os.Chmod(target, t.mode(name))); err != nil {
			return err
		}
	}
	return nil
}
