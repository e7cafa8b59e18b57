package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// workflow is what the tests look at; a mistake in the rest fails at the service.
type workflow struct {
	On          map[string]any    `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`

	Jobs map[string]struct {
		Timeout     int               `yaml:"timeout-minutes"`
		Needs       string            `yaml:"needs"`
		Permissions map[string]string `yaml:"permissions"`
		Strategy    struct {
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
			if step.Uses != "" && !regexp.MustCompile(`^actions/[a-z-]+@[0-9a-f]{40}$`).MatchString(step.Uses) {
				t.Errorf("%s: %s is none of the service's own actions, by its commit", name, step.Uses)
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

// TestSite: the site is built as .ci/run builds it.
func TestSite(t *testing.T) {
	w := read(t, "site.yml")
	if got := w.runs(); !slices.Equal(got, []string{"make site"}) || len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
		t.Errorf("it runs %q and may do %v", got, w.Permissions)
	}
	script, err := os.ReadFile("../run")
	if err != nil || !strings.Contains(string(script), "make site\n") {
		t.Errorf(".ci/run does not build the site: %v", err)
	}
}

// TestReleaseWorkflow: the job that builds may write nothing; the one that uploads checks out
// and builds nothing of ours.
func TestReleaseWorkflow(t *testing.T) {
	w := read(t, "release.yml")
	push, ok := w.On["push"].(map[string]any)
	if !ok || len(push) != 1 || push["tags"] == nil {
		t.Errorf("it runs on %v, want tags alone", w.On)
	}
	if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" || len(w.Jobs) != 2 {
		t.Errorf("its jobs may do %v", w.Permissions)
	}
	if build := w.Jobs["build"]; build.Permissions != nil || build.Needs != "" {
		t.Errorf("the job that builds may do %v", build.Permissions)
	}
	w.inOrder(t, "build", ".ci/run", "CHANGELOG.md", "govulncheck", "goreleaser release --clean --skip=publish", "sha256sum -c SHA256SUMS", ".ci/provenance")
	publish := w.Jobs["publish"]
	if publish.Needs != "build" || len(publish.Permissions) != 3 {
		t.Errorf("the job that uploads comes after %q and may do %v", publish.Needs, publish.Permissions)
	}
	w.inOrder(t, "publish", "sha256sum -c SHA256SUMS", "cosign sign-blob", "cosign attest-blob", "docker buildx build", "gh release create")
	for _, step := range publish.Steps {
		if strings.HasPrefix(step.Uses, "actions/checkout@") || strings.Contains(step.Run, "go run") || strings.Contains(step.Run, ".ci/") {
			t.Errorf("the job with the rights runs code of the repository: %s%s", step.Uses, step.Run)
		}
	}
}

// inOrder checks that the commands of a job have parts in their order.
func (w workflow) inOrder(t *testing.T, job string, parts ...string) {
	t.Helper()
	var commands strings.Builder
	for _, step := range w.Jobs[job].Steps {
		commands.WriteString(step.Run + "\n")
	}
	rest := commands.String()
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("%s: %q is missing, or not in its place:\n%s", job, part, commands.String())
			continue
		}
		rest = after
	}
}

// TestProvenance: what .ci/provenance prints is JSON that names the commit and the workflow.
func TestProvenance(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), filepath.Join("..", "provenance"))
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("outside of a workflow it prints %s", out)
	}
	cmd = exec.CommandContext(t.Context(), filepath.Join("..", "provenance"))
	cmd.Env = append(
		os.Environ(), "GITHUB_SERVER_URL=https://git.example", "GITHUB_REPOSITORY=a/b", "GITHUB_REF=refs/tags/v1.2.3", "GITHUB_SHA=0123abcd",
		"GITHUB_WORKFLOW_REF=a/b/.github/workflows/release.yml@refs/tags/v1.2.3", "GITHUB_RUN_ID=7", "GITHUB_RUN_ATTEMPT=1",
	)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var predicate struct {
		BuildDefinition struct {
			ResolvedDependencies []struct {
				URI    string            `json:"uri"`
				Digest map[string]string `json:"digest"`
			} `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		RunDetails struct {
			Builder struct{ ID string } `json:"builder"`
		} `json:"runDetails"`
	}
	if err := json.Unmarshal(out, &predicate); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	source := predicate.BuildDefinition.ResolvedDependencies
	if len(source) != 1 || source[0].URI != "git+https://git.example/a/b@refs/tags/v1.2.3" || source[0].Digest["gitCommit"] != "0123abcd" ||
		predicate.RunDetails.Builder.ID != "https://git.example/a/b/.github/workflows/release.yml@refs/tags/v1.2.3" {
		t.Errorf("it says %s", out)
	}
}
