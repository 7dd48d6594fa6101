package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"sigs.k8s.io/yaml"
)

// Actions are pinned by commit, since a tag can be moved, and what the workflows
// make is in the Makefile.
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
