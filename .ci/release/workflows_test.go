package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// workflow is what the tests look at; a mistake in the rest fails at the service.
type workflow struct {
	On   map[string]any `yaml:"on"`
	Jobs map[string]struct {
		Timeout  int `yaml:"timeout-minutes"`
		Strategy struct {
			Matrix struct {
				Go []string `yaml:"go"`
			} `yaml:"matrix"`
		} `yaml:"strategy"`
		Steps []struct {
			Uses string            `yaml:"uses"`
			Run  string            `yaml:"run"`
			With map[string]string `yaml:"with"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

func read(t *testing.T, name string) workflow {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", ".github", "workflows", name))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(text, &w); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for job, j := range w.Jobs {
		if j.Timeout == 0 || j.Timeout > 120 {
			t.Errorf("%s: the job %s has %d minutes", name, job, j.Timeout)
		}
		for _, step := range j.Steps {
			if step.Uses != "" && !regexp.MustCompile(`^actions/[a-z-]+@v\d+$`).MatchString(step.Uses) {
				t.Errorf("%s: %s is none of the service's own actions", name, step.Uses)
			}
			if strings.Contains(step.Run, "${{") {
				t.Errorf("%s: a value from outside is put into a shell: %s", name, step.Run)
			}
		}
	}
	return w
}

// runs are the commands of a workflow in order.
func (w workflow) runs() (all []string) {
	for _, j := range w.Jobs {
		for _, step := range j.Steps {
			if step.Run != "" {
				all = append(all, step.Run)
			}
		}
	}
	return all
}

func TestCI(t *testing.T) {
	w := read(t, "ci.yml")
	if _, push := w.On["push"]; !push {
		t.Error("it does not run for a push")
	}
	if _, pull := w.On["pull_request"]; !pull {
		t.Error("it does not run for a pull request")
	}
	if got := slices.Sorted(slices.Values(w.runs())); !slices.Equal(got, []string{".ci/desks", ".ci/run"}) {
		t.Errorf("it runs %q: what a change has to pass belongs into .ci/run", got)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	oldest := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if versions := w.Jobs["run"].Strategy.Matrix.Go; oldest == nil || !slices.Contains(versions, string(oldest[1])) || len(versions) != 2 {
		t.Errorf("it runs with Go %q, want that of go.mod and the newest", versions)
	}
	for _, script := range []string{".ci/run", ".ci/desks"} {
		if info, err := os.Stat("../../" + script); err != nil || info.Mode()&0o100 == 0 {
			t.Errorf("%s cannot be run: %v", script, err)
		}
	}
}

func TestReleaseWorkflow(t *testing.T) {
	w := read(t, "release.yml")
	push, ok := w.On["push"].(map[string]any)
	if !ok || len(push) != 1 || push["tags"] == nil {
		t.Errorf("it runs on %v, want tags alone", w.On)
	}
	commands := strings.Join(w.runs(), "\n")
	last := -1
	for _, part := range []string{".ci/run", `make release VERSION="$VERSION"`, "sha256sum -c SHA256SUMS", "gh release create"} {
		i := strings.Index(commands, part)
		if i <= last {
			t.Errorf("%q is missing, or not in its place:\n%s", part, commands)
		}
		last = i
	}
}
