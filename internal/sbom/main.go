// Command sbom writes the bill of materials of a built program: which modules
// are linked into it, with their versions and licences, in CycloneDX's JSON.
// syft takes it from the program; what would differ each time is replaced.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	syft        = "github.com/anchore/syft/cmd/syft"
	syftVersion = "v1.46.0"
	module      = "github.com/ambient-code/git-credential-acp"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: sbom PROGRAM VERSION COMMIT-DATE FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func write(program, version, date, file string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	found, err := scan(program, version)
	if err != nil {
		return err
	}
	document, err := settle(found, sha256.Sum256(content), version, date)
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return os.WriteFile(file, document, 0o644)
}

// scan is what syft says of a program.
func scan(program, version string) ([]byte, error) {
	cache, err := output("go", "env", "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"SYFT_CHECK_FOR_APP_UPDATE": "false",
		// Names of files would tell where it was built.
		"SYFT_FILE_METADATA_SELECTION": "none",
		// The modules are there, since the program was built from them.
		"SYFT_GOLANG_SEARCH_LOCAL_MOD_CACHE_LICENSES": "true",
		"SYFT_GOLANG_LOCAL_MOD_CACHE_DIR":             strings.TrimSpace(string(cache)),
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	return output("go", "run", "-ldflags", "-X main.version="+strings.TrimPrefix(syftVersion, "v"), syft+"@"+syftVersion,
		"scan", "file:"+program, "--quiet", "--output", "cyclonedx-json",
		"--override-default-catalogers", "go-module-binary-cataloger",
		"--source-name", filepath.Base(program), "--source-version", version)
}

func output(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, args[0], err, &stderr)
	}
	return out, nil
}

// settle makes a document depend on the program alone: its serial number comes
// from the program's digest, its time is that of the commit. The program's own
// module gets its version, which the linker's flags hide from syft.
func settle(document []byte, digest [sha256.Size]byte, version, date string) ([]byte, error) {
	var bom map[string]any
	if err := json.Unmarshal(document, &bom); err != nil {
		return nil, err
	}
	metadata, _ := bom["metadata"].(map[string]any)
	subject, _ := metadata["component"].(map[string]any)
	components, _ := bom["components"].([]any)
	if subject == nil || len(components) == 0 {
		return nil, errors.New("syft found nothing")
	}
	// A UUID of version 8 is free to be made from anything (RFC 9562).
	id := [16]byte(digest[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	bom["serialNumber"] = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	metadata["timestamp"] = date
	subject["type"] = "application"
	subject["hashes"] = []any{map[string]any{"alg": "SHA-256", "content": fmt.Sprintf("%x", digest)}}
	own := 0
	for _, component := range components {
		if c, ok := component.(map[string]any); ok && c["name"] == module {
			own++
			c["version"], c["purl"] = version, "pkg:golang/"+module+"@"+version
		}
	}
	if own != 1 {
		return nil, fmt.Errorf("syft found %s %d times", module, own)
	}
	settled, err := json.MarshalIndent(bom, "", "  ")
	return append(settled, '\n'), err
}
