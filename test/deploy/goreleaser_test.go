package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
)

// TestGoReleaser: GoReleaser reads its configuration strictly. It builds five targets with the
// flags of make release, and what it packs is there once .ci/prepare-release has run.
func TestGoReleaser(t *testing.T) {
	project, err := config.Load(filepath.Join(root, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	checkBuilds(t, project)
	checkPacked(t, project)
	formulas := project.Brews //nolint:staticcheck // a cask, which is to replace it, is for macOS alone
	if !slices.Equal(project.NFPMs[0].Formats, []string{"deb", "rpm"}) || len(formulas) != 1 || len(project.Scoops) != 1 || len(project.SBOMs) != 1 ||
		project.Checksum.NameTemplate != "SHA256SUMS" {
		t.Errorf("packages, formula, manifest, SBOM or checksums are missing: %+v", project)
	}
	for _, address := range []string{formulas[0].URLTemplate, project.Scoops[0].URLTemplate} {
		if !strings.HasSuffix(address, "/releases/download/{{ .Tag }}/{{ .ArtifactName }}") { // GoReleaser has none where it does not upload
			t.Errorf("the formula or the manifest downloads from %q", address)
		}
	}
}

// checkBuilds: five targets, with the flags of make release, and nothing in them that differs
// from build to build.
func checkBuilds(t *testing.T, project config.Project) {
	t.Helper()
	if len(project.Builds) != 1 {
		t.Fatalf("%d builds", len(project.Builds))
	}
	build := project.Builds[0]
	targets := len(build.Goos)*len(build.Goarch) - len(build.Ignore)
	if targets != 5 || len(build.Ignore) != 1 || build.Ignore[0].Goos != "windows" || build.Ignore[0].Goarch != "arm64" {
		t.Errorf("%d targets without %+v", targets, build.Ignore)
	}
	local, err := os.ReadFile(filepath.Join(root, ".ci", "release", "build.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range append(slices.Clone(build.Flags), "-s -w", "-X main.version=", "-X main.commit=") {
		if !strings.Contains(string(local), flag) || !strings.Contains(strings.Join(append(slices.Clone(build.Flags), build.Ldflags...), " "), flag) {
			t.Errorf("%s is not a flag of both", flag)
		}
	}
	if build.ModTimestamp == "" || !strings.Contains(strings.Join(build.Ldflags, " "), "main.version=v{{ .Version }}") || !slices.Contains(build.Env, "CGO_ENABLED=0") {
		t.Errorf("two builds differ, or --version is wrong: %+v", build)
	}
	for _, file := range append(project.Archives[0].Files, config.File{Info: project.Archives[0].BuildsInfo}) {
		if file.Info.MTime == "" {
			t.Errorf("the time of %s differs from build to build", file.Source)
		}
	}
}

// checkPacked: what goes into archives and packages is there.
func checkPacked(t *testing.T, project config.Project) {
	t.Helper()
	prepare := exec.CommandContext(t.Context(), filepath.Join(root, project.Before.Hooks[0]))
	if out, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var packed []string
	for _, file := range project.Archives[0].Files {
		packed = append(packed, file.Source)
	}
	for _, content := range project.NFPMs[0].Contents {
		if content.Source != "" {
			packed = append(packed, content.Source)
		}
	}
	packed = append(packed, project.NFPMs[0].Scripts.PostInstall, project.NFPMs[0].Scripts.PreRemove)
	if len(packed) < 15 {
		t.Errorf("only %q is packed", packed)
	}
	for _, pattern := range packed {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Errorf("there is no %s: %v", pattern, err)
		}
		for _, path := range found {
			if info, err := os.Stat(path); err != nil || info.Size() == 0 {
				t.Errorf("%s is empty: %v", path, err)
			}
		}
	}
}
