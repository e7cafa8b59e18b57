package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const epoch = 1767225600 // 2026-01-01

// TestRelease makes a release for this machine alone, twice, and looks at what a user
// downloads: the checksums fit, the binary is static and says its version, the list
// has what the binary has, and both runs gave the same bytes.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles everything without cgo, which takes a minute")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1767225600")
	i := slices.IndexFunc(targets, func(t target) bool { return t.os == runtime.GOOS && t.arch == runtime.GOARCH && !t.cgo })
	if i < 0 {
		t.Skip("there is no release for this machine")
	}
	const version = "v0.0.0-test.1"
	var runs []map[string][]byte
	for range 2 {
		r := release{root: filepath.Join("..", ".."), out: filepath.Join(t.TempDir(), "dist"), version: version, targets: targets[i : i+1]}
		if err := r.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, contents(t, r.out))
	}
	base := "zhongkong_" + version + "_" + targets[i].name()
	want := []string{"SHA256SUMS", base + ".cdx.json", base + ".tar.gz"}
	if got := slices.Sorted(maps.Keys(runs[0])); runtime.GOOS != "windows" && !slices.Equal(got, want) {
		t.Errorf("the folder has %q, want %q", got, want)
	}
	for name, data := range runs[0] {
		if !bytes.Equal(data, runs[1][name]) {
			t.Errorf("%s differs from run to run", name)
		}
	}
	checkSums(t, runs[0])

	folder := t.TempDir()
	files := unpack(t, folder, runs[0][base+".tar.gz"])
	want = []string{"CHANGELOG.md", "LICENSE", "README.md", "README.zh-CN.md", "THIRD-PARTY.txt", "zhongkong"}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("the archive has %q, want %q", got, want)
	}
	binary := filepath.Join(folder, "zhongkong")
	output, err := exec.CommandContext(t.Context(), binary, "--version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(output), "zhongkong "+version+"\n") ||
		!strings.Contains(string(output), "without cgo: SQLite in Go") {
		t.Errorf("--version: %v\n%s", err, output)
	}
	if runtime.GOOS == "linux" {
		if err := static(binary); err != nil {
			t.Error(err)
		}
	}
	if third := string(files["THIRD-PARTY.txt"]); !strings.Contains(third, "github.com/redis/go-redis/v9 v") ||
		strings.Contains(third, "chromedp") || strings.Contains(third, "gin-gonic") {
		t.Error("THIRD-PARTY.txt has not the licenses of what is linked, and of that alone")
	}
	checkList(t, runs[0][base+".cdx.json"], binary, version)
}

// checkSums compares as sha256sum -c does.
func checkSums(t *testing.T, dist map[string][]byte) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(dist["SHA256SUMS"])), "\n")
	if len(lines) != len(dist)-1 {
		t.Errorf("%d checksums of %d files", len(lines), len(dist)-1)
	}
	folder := t.TempDir()
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, dist[name], 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := sumOf(path); err != nil || got != want {
			t.Errorf("%s: %s, %v", line, got, err)
		}
	}
}

// checkList compares an SBOM with what the binary says of itself.
func checkList(t *testing.T, data []byte, binary, version string) {
	t.Helper()
	var list bom
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	sum, err := sumOf(binary)
	if err != nil {
		t.Fatal(err)
	}
	main := list.Metadata.Component
	if list.Format != "CycloneDX" || main.Version != version || len(main.Hashes) != 1 || main.Hashes[0].Content != sum || list.Metadata.Timestamp != "2026-01-01T00:00:00Z" {
		t.Errorf("the list is of another binary: %+v", list.Metadata)
	}
	listed := map[string]string{}
	for _, c := range list.Components {
		for _, p := range c.Properties {
			listed[c.Name+"@"+c.Version] = p.Value
		}
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Deps) < 20 || len(list.Components) != len(info.Deps)+1 ||
		list.Components[0].Version != strings.TrimPrefix(info.GoVersion, "go") {
		t.Errorf("%d components, and %d modules and %s in the binary", len(list.Components), len(info.Deps), info.GoVersion)
	}
	for _, m := range info.Deps {
		if sum := listed[m.Path+"@"+m.Version]; sum == "" || sum != m.Sum {
			t.Errorf("%s %s has the sum %q in the list, %q in the binary", m.Path, m.Version, sum, m.Sum)
		}
	}
}

func contents(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if found[e.Name()], err = os.ReadFile(filepath.Join(folder, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// unpack also writes the files into folder.
func unpack(t *testing.T, folder string, archive []byte) map[string][]byte {
	t.Helper()
	compressed, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(compressed); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(h.Name)
		files[name] = data
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.Unix() != epoch || strings.Count(h.Name, "/") != 1 {
			t.Errorf("%s: %+v", name, h)
		}
		if err := os.WriteFile(filepath.Join(folder, name), data, os.FileMode(h.Mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestZip has the times and modes that Windows' archive has.
func TestZip(t *testing.T) {
	r := release{time: time.Unix(epoch, 0).UTC()}
	files := []file{{name: "zhongkong.exe", content: []byte("binary"), program: true}, {name: "LICENSE", content: []byte("text")}}
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := r.zipped(out, "base", files); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same files give other bytes")
	}
	z, err := zip.NewReader(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil || len(z.File) != 2 || z.File[0].Name != "base/zhongkong.exe" || z.File[0].Mode() != 0o755 ||
		!z.File[1].Modified.Equal(r.time) {
		t.Errorf("%v, %+v", err, z.File)
	}
}

func TestRefusals(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "CHANGELOG.md"), []byte("# Changelog\n\n## 0.2.0\n\n## [0.1.0] - 2026-01-01\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ version, want string }{
		{"", "is no version"},
		{"0.1.0", "is no version"},
		{"v1", "is no version"},
		{"v01.0.0", "is no version"},
		{"v0.1.0+x", "is no version"},
		{"v0.1.0 -X main.x=y", "is no version"},
		{"v0.3.0", "CHANGELOG.md has no section 0.3.0"},
		{"v0.1.0", "is not empty"},
		{"v0.2.0", "is not empty"},
		{"v0.3.0-rc.1", "is not empty"},
	} {
		r := release{root: root, out: root, version: c.version}
		if err := r.run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.version, err, c.want)
		}
	}
	if _, err := choose("linux_amd64,plan9_arm"); err == nil {
		t.Error("an unknown target was taken")
	}
	if chosen, err := choose("linux_amd64,linux_amd64_cgo"); err != nil || len(chosen) != 2 || !chosen[1].cgo {
		t.Errorf("%v, %v", chosen, err)
	}
	for _, epoch := range []string{"", "yesterday"} { // and no repository
		t.Setenv("SOURCE_DATE_EPOCH", epoch)
		t.Setenv("GIT_DIR", root)
		if err := (&release{root: root}).source(t.Context()); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
			t.Errorf("%q: %v", epoch, err)
		}
	}
}

// TestStatic: a program with a loader is told apart.
func TestStatic(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ELF is Linux's")
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	if err := static(shell); err == nil || !strings.Contains(err.Error(), "not static") {
		t.Errorf("%s: %v", shell, err)
	}
}
