// Command release builds what a release consists of: archives of the command
// zhongkong for each system, a list of what is in each binary (an SBOM) and the
// checksums of all of them.
//
//	make release VERSION=v0.1.0
//
// The same source, Go and C compiler give the same bytes: paths are trimmed and all
// times are that of the commit, or SOURCE_DATE_EPOCH.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	r := release{}
	flag.StringVar(&r.root, "root", ".", "the repository")
	flag.StringVar(&r.out, "out", "dist", "where to write; must be empty or not there")
	flag.StringVar(&r.version, "version", "", "such as v0.1.0, or v0.1.0-rc.1")
	names := flag.String("targets", "", "some of all, by comma, such as linux_amd64,linux_amd64_cgo")
	binary := flag.String("notices", "", "write only the licenses of what this binary has in it, into the file of -out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *binary != "" {
		err = r.writeNotices(ctx, *binary)
	} else if r.targets, err = choose(*names); err == nil {
		err = r.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1) //nolint:gocritic // the process ends, and with it what stop would undo
	}
}

// release is one run.
type release struct {
	root    string
	out     string
	version string
	targets []target
	time    time.Time // of every file in the archives
	commit  string    // "" outside of a repository
}

// semantic is a version as go.mod knows it, with no build metadata.
var semantic = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// final reports whether the version is none that comes before a release.
func (r *release) final() bool { return !strings.Contains(r.version, "-") }

func (r *release) run(ctx context.Context) error {
	if !semantic.MatchString(r.version) {
		return fmt.Errorf("%q is no version: give one such as v0.1.0 or v0.1.0-rc.1", r.version)
	}
	if err := r.changelog(); err != nil {
		return err
	}
	if entries, err := os.ReadDir(r.out); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: remove it first", r.out)
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	if err := r.source(ctx); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "zhongkong-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	for _, t := range r.targets {
		fmt.Println(t.name())
		if err := r.make(ctx, t, filepath.Join(folder, t.name())); err != nil {
			return fmt.Errorf("%s: %w", t.name(), err)
		}
	}
	return r.checksums()
}

// make builds a target in folder, and writes its archive and its list.
func (r *release) make(ctx context.Context, t target, folder string) error {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	binary := filepath.Join(folder, t.binary())
	info, err := r.build(ctx, t, binary)
	if err != nil {
		return err
	}
	notices, err := r.notices(ctx, info)
	if err != nil {
		return err
	}
	list, err := r.sbom(ctx, t, binary, info)
	if err != nil {
		return err
	}
	base := "zhongkong_" + r.version + "_" + t.name()
	if err := os.WriteFile(filepath.Join(r.out, base+".cdx.json"), list, 0o644); err != nil {
		return err
	}
	files := []file{{name: t.binary(), path: binary, program: true}}
	for _, name := range []string{"LICENSE", "README.md", "README.zh-CN.md", "CHANGELOG.md"} {
		files = append(files, file{name: name, path: filepath.Join(r.root, name)})
	}
	files = append(files, file{name: "THIRD-PARTY.txt", content: notices})
	return r.archive(t, base, files)
}

// changelog wants a section for a version that is final.
func (r *release) changelog() error {
	text, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	number := regexp.QuoteMeta(strings.TrimPrefix(r.version, "v"))
	if r.final() && !regexp.MustCompile(`(?m)^## \[?v?`+number+`\b`).Match(text) {
		return fmt.Errorf("CHANGELOG.md has no section %s: move there what is under Unreleased", strings.TrimPrefix(r.version, "v"))
	}
	return nil
}

// source finds out the commit and its time. SOURCE_DATE_EPOCH
// (https://reproducible-builds.org) is stronger, and needed outside of a repository.
func (r *release) source(ctx context.Context) error {
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if output, err := r.git(ctx, "log", "-1", "--format=%H %ct"); err == nil {
		commit, when, _ := strings.Cut(output, " ")
		r.commit = commit
		if seconds == "" {
			seconds = when
		}
		changed, err := r.git(ctx, "status", "--porcelain")
		switch {
		case err != nil:
			return err
		case changed != "" && r.final():
			return fmt.Errorf("the source is not what was committed: commit first, or give a version such as %s-rc.1", r.version)
		case changed != "":
			r.commit += "-dirty"
		}
	}
	if seconds == "" {
		return errors.New("the time of the source is unknown: set SOURCE_DATE_EPOCH, in seconds since 1970")
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH is %q: it must be seconds since 1970", seconds)
	}
	r.time = time.Unix(n, 0).UTC()
	return nil
}

func (r *release) git(ctx context.Context, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", arguments...)
	cmd.Dir = r.root
	output, err := cmd.Output()
	return strings.TrimSpace(string(output)), err
}

// checksums writes SHA256SUMS over everything in the folder, in the form of
// sha256sum -c.
func (r *release) checksums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, e := range entries { // in the order of their names
		sum, err := sumOf(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, e.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(text.String()), 0o644)
}

func sumOf(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// choose returns the targets of these names; all without any.
func choose(names string) ([]target, error) {
	if names == "" {
		return targets, nil
	}
	var chosen []target
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(targets, func(t target) bool { return t.name() == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no target %q", name)
		}
		chosen = append(chosen, targets[i])
	}
	return chosen, nil
}
