package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// Actions are pinned by commit, and the workflows' make targets exist.
func TestWorkflows(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	pinned := regexp.MustCompile(`^[\w./-]+@[0-9a-f]{40}$`)
	target := regexp.MustCompile(`\bmake ([a-z-]+)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var workflow struct {
			Jobs map[string]struct {
				Uses  string
				Steps []struct{ Uses, Run string }
			}
		}
		if err := yaml.Unmarshal(text, &workflow); err != nil || len(workflow.Jobs) == 0 {
			t.Fatal(file, err)
		}
		for _, job := range workflow.Jobs {
			for _, step := range append(job.Steps, struct{ Uses, Run string }{Uses: job.Uses}) {
				if step.Uses != "" && !pinned.MatchString(step.Uses) {
					t.Errorf("%s: %s is not pinned by its commit", file, step.Uses)
				}
				for _, called := range target.FindAllStringSubmatch(step.Run, -1) {
					if !regexp.MustCompile(`(?m)^` + called[1] + `:`).Match(makefile) {
						t.Errorf("%s: the Makefile has no target %s", file, called[1])
					}
				}
			}
		}
	}
}

// make install puts the program, its manual pages and completions below PREFIX in
// DESTDIR, and make uninstall removes just these.
func TestMakeInstall(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("make install is for Linux and macOS")
	}
	dir := filepath.Join(t.TempDir(), "a dir") // paths with spaces work, too
	made, dest := t.TempDir(), filepath.Join(dir, "root")
	run := func(target string, environment ...string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "make", "-C", root, "--no-print-directory", target, "DESTDIR="+dest, "PREFIX=/opt/my tools",
			"PROGRAM="+filepath.Join(made, "git-credential-acp"), "EXTRAS="+filepath.Join(made, "extras"))
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(entry string) bool {
			return strings.HasPrefix(entry, "SUDO_UID=") || strings.HasPrefix(entry, "MAKE")
		}), environment...)
		return cmd.CombinedOutput()
	}
	files := func() (found []string) {
		err := filepath.WalkDir(dest, func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				found = append(found, strings.TrimPrefix(path, filepath.Join(dest, "opt", "my tools")+"/"))
			}
			return err
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return found
	}

	if out, err := run("install", "SUDO_UID=1000"); err == nil || !strings.Contains(string(out), "run make build pages first") || files() != nil {
		t.Errorf("with sudo and nothing built: %v, %s", err, out)
	}
	for _, sudo := range []string{"", "SUDO_UID=1000"} { // the second time with what is built, over what is there
		if out, err := run("install", sudo); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, want := range []string{"bin/git-credential-acp", "share/man/man1/git-credential-acp.1", "share/man/man1/git-credential-acp-check.1",
		"share/man/man7/git-credential-acp-settings.7", "share/bash-completion/completions/git-credential-acp",
		"share/zsh/site-functions/_git-credential-acp", "share/fish/vendor_completions.d/git-credential-acp.fish"} {
		if !slices.Contains(files(), want) {
			t.Errorf("%s is missing in %q", want, files())
		}
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(dest, "opt/my tools/bin/git-credential-acp"), "version").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	other := filepath.Join(dest, "opt/my tools/share/man/man1/git-credential-other.1")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := run("uninstall"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if left := files(); !slices.Equal(left, []string{"share/man/man1/git-credential-other.1"}) {
		t.Errorf("left over: %q", left)
	}
}

// make help lists every target, but not files.
func TestMakeHelp(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "make", "-C", root, "--no-print-directory", "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range regexp.MustCompile(`(?m)^([a-z-]+):(?:[^=]|$)`).FindAllStringSubmatch(string(makefile), -1) {
		if !regexp.MustCompile(`(?m)^make ` + target[1] + ` +\S`).Match(out) {
			t.Errorf("make help does not describe %s", target[1])
		}
	}
}

// docs/release.md verifies what the workflow signs.
func TestVerifyRelease(t *testing.T) {
	document, err := os.ReadFile(filepath.Join(root, "docs", "release.md"))
	if err != nil {
		t.Fatal(err)
	}
	workflow, err := os.ReadFile(filepath.Join(root, ".github", "workflows", "release.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for said, done := range map[string]string{
		"gh attestation verify git-credential-acp_":                       "with: {subject-checksums: dist/SHA256SUMS}",
		"gh attestation verify oci://":                                    "push-to-registry: true",
		"cosign verify-blob SHA256SUMS --bundle SHA256SUMS.sigstore.json": "cosign sign-blob --yes --bundle dist/SHA256SUMS.sigstore.json dist/SHA256SUMS && gh release upload \"$GITHUB_REF_NAME\" dist/SHA256SUMS.sigstore.json",
		"cosign verify registry.example.com/git-credential-acp:v1.2.3":    "cosign sign --yes \"$IMAGE@$(cat dist/image.digest)\"",
		"/.github/workflows/release.yml@refs/tags/v1.2.3":                 "tags: [\"v*\"]",
	} {
		if !strings.Contains(string(document), said) {
			t.Errorf("docs/release.md does not say %q", said)
		}
		if !strings.Contains(string(workflow), done) {
			t.Errorf("release.yml does not have %q", done)
		}
	}
}
