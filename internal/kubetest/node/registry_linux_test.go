package node

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// registry serves images of one layer to containerd: it has each name under every
// host, path and tag (the Distribution specification's part for pulling).
type registry struct {
	manifests map[string][]byte // by the last part of an image's name, and by digest
	blobs     map[string]string // files, by digest
	dir       string
}

const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// add makes an image of a tar file, with the configuration that Docker's
// documentation calls Config.
func (r *registry) add(name, layer string, config map[string]any) error {
	content, err := r.blob(layer, typeLayer)
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"os": "linux", "architecture": runtime.GOARCH, "config": config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{content.Digest}}})
	if err != nil {
		return err
	}
	file := filepath.Join(r.dir, name+".json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	about, err := r.blob(file, typeConfig)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeManifest, "config": about, "layers": []descriptor{content}})
	if err != nil {
		return err
	}
	r.manifests[name], r.manifests[fmt.Sprintf("sha256:%x", sha256.Sum256(manifest))] = manifest, manifest
	return nil
}

func (r *registry) blob(file, mediaType string) (descriptor, error) {
	f, err := os.Open(file)
	if err != nil {
		return descriptor{}, err
	}
	defer f.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	d := descriptor{MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", hash.Sum(nil)), Size: size}
	r.blobs[d.Digest] = file
	return d, err
}

func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	dir, reference := path.Split(request.URL.Path)
	name, kind := path.Base(path.Dir(path.Clean(dir))), path.Base(dir)
	switch {
	case request.URL.Path == "/v2/":
	case kind == "blobs" && r.blobs[reference] != "":
		http.ServeFile(w, request, r.blobs[reference])
	case kind == "manifests":
		manifest, found := r.manifests[reference]
		if !found {
			manifest, found = r.manifests[name]
		}
		if !found {
			http.NotFound(w, request)
			return
		}
		w.Header().Set("Content-Type", typeManifest)
		w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256(manifest)))
		http.ServeContent(w, request, "", zeroTime, bytes.NewReader(manifest))
	default:
		http.NotFound(w, request)
	}
}

// readDockerfile gives the configuration of the released image.
func readDockerfile(file string) (map[string]any, error) {
	text, err := os.ReadFile(file)
	config := map[string]any{}
	for line := range strings.Lines(string(text)) {
		directive, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch directive {
		case "ENV":
			config["Env"] = []string{value}
		case "WORKDIR":
			config["WorkingDir"] = value
		case "USER":
			config["User"] = value
		case "ENTRYPOINT":
			var words []string
			if err := json.Unmarshal([]byte(value), &words); err != nil {
				return nil, err
			}
			config["Entrypoint"] = words
		}
	}
	if len(config) != 4 {
		return nil, fmt.Errorf("%s: only %v", file, config)
	}
	return config, err
}

// pack writes a tar file with one program in the root.
func pack(program, file string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: filepath.Base(program), Mode: 0o755, Size: int64(len(data))}); err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(file, out.Bytes(), 0o600)
}

// serveDNS answers questions for the addresses of names, and says that there are no
// others.
func serveDNS(conn net.PacketConn, names map[string][4]byte) {
	buffer := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		a := dnsmessage.Message{Questions: m.Questions, Header: dnsmessage.Header{
			ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true}}
		ip, found := names[strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))]
		if !found {
			a.RCode = dnsmessage.RCodeNameError
		} else if q.Type == dnsmessage.TypeA {
			a.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 5},
				Body: &dnsmessage.AResource{A: ip}}}
		}
		if out, err := a.Pack(); err == nil {
			_, _ = conn.WriteTo(out, from)
		}
	}
}
