package main

import (
	"fmt"
	"regexp"
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

// betweenTags is what the module system calls a commit that has no tag of its own.
var betweenTags = regexp.MustCompile(`-\d{14}-([0-9a-f]{7})`)

// shortVersion is the version, or the commit, in a word; "" where neither is known.
func shortVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "(devel)" {
		return ""
	}
	if commit := betweenTags.FindStringSubmatch(info.Main.Version); commit != nil {
		return commit[1]
	}
	return info.Main.Version
}

// describe tells version, commit, Go and what cgo decides: which SQLite there is.
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
	c := "with cgo: SQLite in C"
	if settings["CGO_ENABLED"] != "1" {
		c = "without cgo: SQLite in Go"
	}
	return text + fmt.Sprintf("%s %s/%s, %s", info.GoVersion, settings["GOOS"], settings["GOARCH"], c)
}
