package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// licenseFile is the name of a file that has to travel with a binary.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([.-].*)?$`)

// notices are the licenses of everything in a binary, which most of them ask to be
// handed on with it.
func (r *release) notices(ctx context.Context, info *buildinfo.BuildInfo) ([]byte, error) {
	root, err := r.golang(ctx, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	text.WriteString("What is in this binary besides zhongkong, and under which terms.\n")
	if err := appendLicenses(&text, "Go "+info.GoVersion, root); err != nil {
		return nil, err
	}
	for _, m := range linked(info) {
		folder, err := r.golang(ctx, "list", "-m", "-f", "{{.Dir}}", m.Path)
		if err != nil {
			return nil, err
		}
		if err := appendLicenses(&text, m.Path+" "+m.Version, folder); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

// writeNotices writes the notices of a binary, for GoReleaser's archives.
func (r *release) writeNotices(ctx context.Context, binary string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	text, err := r.notices(ctx, info)
	if err != nil {
		return err
	}
	return os.WriteFile(r.out, text, 0o644)
}

func (r *release) golang(ctx context.Context, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(arguments, " "), err)
	}
	return strings.TrimSpace(string(output)), nil
}

func appendLicenses(text *bytes.Buffer, name, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("the license of %s: %w", name, err)
	}
	found := false
	for _, e := range entries {
		if e.IsDir() || !licenseFile.MatchString(e.Name()) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return err
		}
		found = true
		fmt.Fprintf(text, "\n%s\n%s, %s\n\n%s\n", strings.Repeat("=", 78), name, e.Name(), bytes.TrimSpace(data))
	}
	if !found {
		return fmt.Errorf("%s has no license at its root: a binary with it may not be handed on like that", name)
	}
	return nil
}
