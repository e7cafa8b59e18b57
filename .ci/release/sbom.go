package main

import (
	"context"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// module is this one.
const module = "github.com/zhongkong-go/zhongkong"

// The parts of CycloneDX 1.5 (https://cyclonedx.org) that are used.
type (
	bom struct {
		Format       string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		SerialNumber string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Licenses   []licensed `json:"licenses,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
	licensed struct {
		License license `json:"license"`
	}
	license struct {
		ID string `json:"id"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// sbom lists what is in a binary, as the binary itself says it: the modules with
// the sums that go.sum has, Go's standard library, and how it was built.
func (r *release) sbom(ctx context.Context, t target, binary string, info *buildinfo.BuildInfo) ([]byte, error) {
	sum, err := sumOf(binary)
	if err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(sum)
	if err != nil {
		return nil, err
	}
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // a UUID of version 8: of one's own making
	main := component{
		Type: "application", Ref: purl(module, r.version), Name: "zhongkong", Version: r.version, PURL: purl(module, r.version),
		Hashes:     []hash{{"SHA-256", sum}},
		Licenses:   []licensed{{license{"MIT"}}},
		Properties: []property{{"zhongkong:target", t.name()}, {"zhongkong:commit", r.commit}},
	}
	for _, s := range info.Settings {
		main.Properties = append(main.Properties, property{"go:build:" + s.Key, s.Value})
	}
	if t.cgo {
		version, err := exec.CommandContext(ctx, "cc", "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("cc --version: %w", err)
		}
		first, _, _ := strings.Cut(string(version), "\n")
		main.Properties = append(main.Properties,
			property{"zhongkong:c:compiler", first},
			property{"zhongkong:c:library", "linked statically, of the machine that built it"},
			property{"zhongkong:c:sqlite", "in github.com/mattn/go-sqlite3"})
	}
	list := bom{
		Format: "CycloneDX", SpecVersion: "1.5", Version: 1,
		SerialNumber: fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16]),
		Metadata:     metadata{Timestamp: r.time.Format(time.RFC3339), Component: main},
	}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	list.Components = append(
		list.Components,
		component{Type: "library", Ref: purl("std", goVersion), Name: "std", Version: goVersion, PURL: purl("std", goVersion)},
	)
	for _, m := range linked(info) {
		list.Components = append(list.Components, component{
			Type: "library", Ref: purl(m.Path, m.Version), Name: m.Path, Version: m.Version, PURL: purl(m.Path, m.Version),
			Properties: []property{{"go:sum", m.Sum}},
		})
	}
	var all []string
	for _, c := range list.Components {
		all = append(all, c.Ref)
	}
	list.Dependencies = []dependency{{Ref: main.Ref, DependsOn: all}}
	data, err := json.MarshalIndent(list, "", "  ")
	return append(data, '\n'), err
}

// linked are the modules of a binary besides its own, in the order of their paths.
func linked(info *buildinfo.BuildInfo) []debug.Module {
	var modules []debug.Module
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		modules = append(modules, *m)
	}
	slices.SortFunc(modules, func(a, b debug.Module) int { return strings.Compare(a.Path, b.Path) })
	return modules
}

// purl is a module's package URL.
func purl(path, version string) string { return "pkg:golang/" + strings.ToLower(path) + "@" + version }
