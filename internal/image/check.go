package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// check reads an image layout back, and runs the program of the image for this
// machine's architecture.
func check(dir string) error {
	r, err := read(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if r.trees[runtime.GOARCH] == nil {
		return fmt.Errorf("no image is for this machine's %s: run the check on one of %v", runtime.GOARCH, architectures)
	}
	return r.try(r.trees[runtime.GOARCH])
}

// read is what an image layout was made from. Digests, sizes, configurations and
// files have to be what write writes.
func read(dir string) (*release, error) {
	layouts, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkBlobs(dir), validate.Index(layouts)); err != nil {
		return nil, err
	}
	top, err := layouts.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(top.Manifests) != 1 || top.Manifests[0].MediaType != types.OCIImageIndex {
		return nil, errors.New("not one index for all architectures")
	}
	index, err := layouts.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	r := &release{version: top.Manifests[0].Annotations[refName], commit: manifest.Annotations[revision], trees: map[string]tree{}}
	if r.made, err = time.Parse(time.RFC3339, manifest.Annotations[created]); err != nil {
		return nil, err
	}
	if !maps.Equal(manifest.Annotations, r.labels()) || r.version == "" || r.commit == "" {
		return nil, fmt.Errorf("the index says %v of itself, not %v", manifest.Annotations, r.labels())
	}
	for _, entry := range manifest.Manifests {
		if entry.Platform == nil {
			return nil, fmt.Errorf("the index does not say what %s is for", entry.Digest)
		}
		image, err := index.Image(entry.Digest)
		if err != nil {
			return nil, err
		}
		arch := entry.Platform.Architecture
		if r.trees[arch], err = r.readImage(image, arch); err != nil {
			return nil, fmt.Errorf("linux/%s: %w", arch, err)
		}
		fmt.Printf("linux/%s %s: %v\n", arch, entry.Digest, slices.Sorted(maps.Keys(r.trees[arch])))
	}
	if found := slices.Sorted(maps.Keys(r.trees)); !slices.Equal(found, architectures) {
		return nil, fmt.Errorf("images for %v, not for %v", found, architectures)
	}
	return r, nil
}

// checkBlobs is an error when a file of a layout isn't what its name says. The
// library that reads the layout believes the names of manifests.
func checkBlobs(dir string) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	entries, err := os.ReadDir(blobs)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(blobs, entry.Name()))
		if err != nil {
			return err
		}
		if digest := sha256.Sum256(content); hex.EncodeToString(digest[:]) != entry.Name() {
			return fmt.Errorf("blob %s has another digest", entry.Name())
		}
	}
	return nil
}

// readImage is the root file system of an image of the release.
func (r *release) readImage(image v1.Image, arch string) (tree, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	want := r.config(arch)
	if config.OS != want.OS || config.Architecture != want.Architecture || !config.Created.Equal(r.made) ||
		!reflect.DeepEqual(config.Config, want.Config) {
		return nil, fmt.Errorf("the configuration is %+v, not %+v", config, want)
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != 1 {
		return nil, fmt.Errorf("%d layers instead of one", len(layers))
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }()
	t, err := readArchive(content, r.made)
	if err != nil {
		return nil, err
	}
	return t, errors.Join(checkProgram(t[programPath], arch), checkRoots(t[rootsPath]), checkLicences(t))
}

// checkProgram is an error when a program isn't ours, is for another machine or
// needs more than the kernel.
func checkProgram(content []byte, arch string) error {
	program, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return err
	}
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; program.Machine != want {
		return fmt.Errorf("the program is for %s, not for %s", program.Machine, want)
	}
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP {
			return errors.New("the program is not static")
		}
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return err
	}
	if want := "github.com/ambient-code/git-credential-acp/cmd/git-credential-acp"; info.Path != want {
		return fmt.Errorf("the program is %s, not %s", info.Path, want)
	}
	return nil
}

// fewRoots is less than Mozilla has ever trusted since there was git.
const fewRoots = 50

func checkRoots(content []byte) error {
	count := 0
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		if !certificate.IsCA {
			return fmt.Errorf("%s is no authority", certificate.Subject)
		}
		count++
	}
	if count < fewRoots {
		return fmt.Errorf("only %d authorities", count)
	}
	return nil
}

// checkLicences is an error when there is no licence, or anything but licences
// beside program and roots.
func checkLicences(t tree) error {
	licences := 0
	for name, content := range t {
		switch {
		case path.Dir(name) == licenceDir && len(content) > 0:
			licences++
		case name != programPath && name != rootsPath:
			return errors.New("more than is wanted: " + name)
		}
	}
	if licences == 0 {
		return errors.New("no licence")
	}
	return nil
}
