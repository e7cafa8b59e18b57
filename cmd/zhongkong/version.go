package main

import (
	"fmt"
	"runtime/debug"
)

// These are stamped by make release. Without that, the binary knows by itself what it
// was built from.
var version, commit string

// versionText is what --version prints.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	return describe(version, commit, info)
}

// describe tells version, commit, Go and what cgo decides: whether there is SQLite.
func describe(stamped, commit string, info *debug.BuildInfo) string {
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if stamped == "" {
		stamped = info.Main.Version // of go install …@version, and of a checkout
	}
	if stamped == "" {
		stamped = "(devel)"
	}
	text := "zhongkong " + stamped + "\n"
	if commit == "" && settings["vcs.revision"] != "" {
		commit = settings["vcs.revision"]
		if settings["vcs.modified"] == "true" {
			commit += "-dirty"
		}
	}
	if commit != "" {
		text += "commit " + commit + "\n"
	}
	c := "with cgo"
	if settings["CGO_ENABLED"] != "1" {
		c = "without cgo: no SQLite, so set ZHONGKONG_STORE to another store"
	}
	return text + fmt.Sprintf("%s %s/%s, %s", info.GoVersion, settings["GOOS"], settings["GOARCH"], c)
}
