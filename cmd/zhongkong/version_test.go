package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	built := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{GoVersion: "go1.25.0", Main: debug.Module{Version: version}, Settings: append(settings,
			debug.BuildSetting{Key: "GOOS", Value: "linux"}, debug.BuildSetting{Key: "GOARCH", Value: "amd64"})}
	}
	with, without := debug.BuildSetting{Key: "CGO_ENABLED", Value: "1"}, debug.BuildSetting{Key: "CGO_ENABLED", Value: "0"}
	for name, c := range map[string]struct {
		version, commit string
		info            *debug.BuildInfo
		want            string
	}{
		"make release": {
			"v0.1.0", "abc", built("(devel)", without),
			"zhongkong v0.1.0\ncommit abc\ngo1.25.0 linux/amd64, without cgo: SQLite in Go",
		},
		"go install": {"", "", built("v0.1.0", with), "zhongkong v0.1.0\ngo1.25.0 linux/amd64, with cgo: SQLite in C"},
		"a checkout": {
			"", "", built("", with, debug.BuildSetting{Key: "vcs.revision", Value: "abc"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"}),
			"zhongkong (devel)\ncommit abc-dirty\ngo1.25.0 linux/amd64, with cgo: SQLite in C",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := describe(c.version, c.commit, c.info); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestVersionFlag(t *testing.T) {
	t.Parallel()
	code, out, errs := started(t.Context(), nil, "--version")
	if code != exitOK || errs != "" || !strings.HasPrefix(out, "zhongkong ") || !strings.Contains(out, "go1.") {
		t.Errorf("%d %q %q", code, out, errs)
	}
}
