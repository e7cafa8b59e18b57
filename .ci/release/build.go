package main

import (
	"context"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// target is a binary of the release.
type target struct {
	os, arch string
	cgo      bool // with SQLite in C, which is faster than SQLite in Go
}

// targets are all of them. Only this machine's C compiler is counted on, so there is
// one with cgo.
var targets = []target{
	{os: "linux", arch: "amd64", cgo: true},
	{os: "linux", arch: "amd64"},
	{os: "linux", arch: "arm64"},
	{os: "darwin", arch: "amd64"},
	{os: "darwin", arch: "arm64"},
	{os: "windows", arch: "amd64"},
}

func (t target) name() string {
	name := t.os + "_" + t.arch
	if t.cgo {
		name += "_cgo"
	}
	return name
}

func (t target) binary() string {
	if t.os == "windows" {
		return "zhongkong.exe"
	}
	return "zhongkong"
}

// build compiles and looks at what came out.
func (r *release) build(ctx context.Context, t target, path string) (*buildinfo.BuildInfo, error) {
	linker := "-s -w -X main.version=" + r.version + " -X main.commit=" + r.commit
	arguments := []string{"build", "-trimpath", "-buildvcs=false", "-o", path}
	enabled := "0"
	if t.cgo {
		enabled = "1"
		// Static: no loader, no C library of the machine on which it runs. What glibc
		// would load while the program runs (names, users, extensions) is left out.
		linker += " -linkmode external -extldflags=-static"
		arguments = append(arguments, "-tags", "netgo,osusergo,sqlite_omit_load_extension")
	}
	arguments = append(arguments, "-ldflags", linker, "./cmd/zhongkong")
	absolute, err := filepath.Abs(r.root)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = absolute
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+enabled, "GOOS="+t.os, "GOARCH="+t.arch, "GOFLAGS=", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, output)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if t.os == "linux" {
		if err := static(path); err != nil {
			return nil, err
		}
	}
	return info, nil
}

// static returns an error for a binary that needs a loader or shared libraries.
func static(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("the binary is not static: it asks for a loader")
		}
	}
	libraries, err := f.ImportedLibraries()
	if err == nil && len(libraries) > 0 {
		err = fmt.Errorf("the binary is not static: it asks for %s", strings.Join(libraries, ", "))
	}
	return err
}
