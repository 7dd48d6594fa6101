package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	source = "https://github.com/ambient-code/git-credential-acp"
	// user is any number but root's: the program needs none in particular.
	user = "65532:65532"
	// refName is where an image layout says which version it holds, the others
	// where an image says what it was made from.
	refName  = "org.opencontainers.image.ref.name"
	revision = "org.opencontainers.image.revision"
	created  = "org.opencontainers.image.created"
)

// architectures are what there are images for, all on Linux.
var architectures = []string{"amd64", "arm64"}

// release is what images are made from.
type release struct {
	version, commit string
	made            time.Time
	// trees are the root file systems by architecture.
	trees map[string]tree
}

// readRelease reads what goreleaser left in dist: the version, and where the
// programs are. date is the commit's (RFC 3339).
func readRelease(dist, date string, licences []string) (*release, error) {
	var metadata struct{ Version, Commit string }
	var artifacts []struct{ Path, Goos, Goarch, Type string }
	made, err := time.Parse(time.RFC3339, date)
	if err = errors.Join(err, readJSON(filepath.Join(dist, "metadata.json"), &metadata),
		readJSON(filepath.Join(dist, "artifacts.json"), &artifacts)); err != nil {
		return nil, err
	}
	r := &release{version: "v" + metadata.Version, commit: metadata.Commit, made: made, trees: map[string]tree{}}
	for _, artifact := range artifacts {
		if artifact.Type != "Binary" || artifact.Goos != "linux" || !slices.Contains(architectures, artifact.Goarch) {
			continue
		}
		// Paths are as seen from where dist is.
		if r.trees[artifact.Goarch], err = rootTree(filepath.Join(dist, "..", artifact.Path), licences); err != nil {
			return nil, err
		}
	}
	if len(r.trees) != len(architectures) {
		return nil, fmt.Errorf("%s has programs for %d of %v", dist, len(r.trees), architectures)
	}
	return r, nil
}

func readJSON(name string, to any) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// labels are what the image says of itself, by the names that OCI gives.
func (r *release) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":         "git-credential-acp",
		"org.opencontainers.image.description":   "git credential helper for GitLab on the Ambient Code Platform",
		"org.opencontainers.image.source":        source,
		"org.opencontainers.image.documentation": source,
		"org.opencontainers.image.licenses":      "Apache-2.0",
		"org.opencontainers.image.version":       r.version,
		revision:                                 r.commit,
		created:                                  r.made.UTC().Format(time.RFC3339),
	}
}

// config is the configuration of the image for an architecture, but for its
// layers.
func (r *release) config(arch string) *v1.ConfigFile {
	return &v1.ConfigFile{
		OS: "linux", Architecture: arch, Created: v1.Time{Time: r.made.UTC()},
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       user,
			Entrypoint: []string{"/" + programPath},
			Env:        []string{"PATH=/"},
			WorkingDir: "/",
			Labels:     r.labels(),
		},
	}
}

func (r *release) image(arch string) (v1.Image, error) {
	content, err := r.trees[arch].archive(r.made)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.ConfigFile(image, r.config(arch)); err != nil {
		return nil, err
	}
	return mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{
		Created: v1.Time{Time: r.made.UTC()}, CreatedBy: "image make", Comment: "program, roots of trust, licences",
	}})
}

// write writes an image layout, instead of one that is there: an image for each
// architecture, and an index of them.
func (r *release) write(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Annotations: r.labels()}
	for _, arch := range architectures {
		image, err := r.image(arch)
		if err != nil {
			return err
		}
		if err := to.WriteImage(image); err != nil {
			return err
		}
		entry, err := describe(image)
		if err != nil {
			return err
		}
		entry.Platform = &v1.Platform{OS: "linux", Architecture: arch}
		index.Manifests = append(index.Manifests, entry)
	}
	content, err := json.Marshal(index)
	if err != nil {
		return err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		return err
	}
	fmt.Println(r.version, digest)
	return errors.Join(
		to.WriteBlob(digest, io.NopCloser(bytes.NewReader(content))),
		to.AppendDescriptor(v1.Descriptor{MediaType: types.OCIImageIndex, Size: size, Digest: digest,
			Annotations: map[string]string{refName: r.version}}))
}

// describe is what an index says of an image. The library's own mutate would add
// a type of artifact, which some readers of indexes don't know.
func describe(image v1.Image) (v1.Descriptor, error) {
	digest, err := image.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := image.Size()
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: size, Digest: digest}, err
}

// says is what the program prints of its version.
func (r *release) says() string {
	return fmt.Sprintf("git-credential-acp %s (%s, %s)\n", r.version, r.commit, r.made.UTC().Format(time.RFC3339))
}
