package main

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// logFile receives the output of every test, also of those that pass.
const logFile = ".cache/test.log"

// pages is the module with the tests in a browser.
const pages = "test/pages"

// stage is one run of go test.
type stage struct {
	name     string
	dir      string
	flags    []string // of go test
	packages []string
	env      []string
	measures bool // its lines with a × are measurements
}

// stages returns the stages of make test. Times mean nothing under the race detector or
// while other tests run: tests that measure are named TestSpeed…, skip themselves
// in the other stages and run in the last ones, one package after the other. So do tests
// named …Unraced, which compute for so long that the race detector is too slow for them, and
// those named …AtScale, which take fewer of something under it. Package race aside, the files
// are those that go vet has seen in the first stages.
func stages() ([]stage, error) {
	all := []stage{{name: "tests, under the race detector", dir: ".", flags: []string{"-race", "-timeout", "20m"}, packages: []string{"./..."}}}
	modules := []string{"."}
	if _, err := os.Stat(filepath.Join(pages, "go.mod")); err == nil {
		modules = append(modules, pages)
		all = append(all, stage{name: "pages, in a browser", dir: pages, flags: []string{"-race", "-timeout", "20m"}, packages: []string{"./..."}})
	}
	for _, module := range modules {
		packages, err := measuring(module)
		if err != nil {
			return nil, err
		}
		if len(packages) == 0 {
			continue
		}
		all = append(all, stage{
			name: "speed, without it, in " + module, dir: module, env: []string{tier.SpeedVariable + "=1"}, measures: true,
			flags: []string{"-count", "1", "-p", "1", "-vet=off", "-timeout", "15m", "-run", "^TestSpeed|(Unraced|AtScale)$"}, packages: packages,
		})
	}
	return all, nil
}

var measure = regexp.MustCompile(`(?m)^func (TestSpeed|Test\w+(Unraced|AtScale)\()`)

// measuring returns the packages of a module that have tests for the stage without the race
// detector, so that no other is built for it.
func measuring(module string) ([]string, error) {
	var packages []string
	err := filepath.WalkDir(module, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if path != module && (err == nil || strings.ContainsAny(entry.Name()[:1], "._") || entry.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil && measure.Match(text) {
			dir, relErr := filepath.Rel(module, filepath.Dir(path))
			packages, err = append(packages, "./"+filepath.ToSlash(dir)), relErr
		}
		return err
	})
	slices.Sort(packages)
	return slices.Compact(packages), err
}

// runStages runs the stages of make test one after the other, also after one that
// failed, and prints the summary. It returns the exit code.
func runStages(environment []string) int {
	all, err := stages()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(logFile), 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "withservers:", err)
		return 1
	}
	log, err := os.Create(logFile)
	if err != nil {
		fmt.Fprintln(os.Stderr, "withservers:", err)
		return 1
	}
	defer func() { _ = log.Close() }()
	fmt.Println("all output: " + logFile)
	r := newReport(os.Stdout, log)
	code := 0
	for _, s := range all {
		r.begin(s)
		began := time.Now()
		stderr := io.MultiWriter(os.Stderr, log)
		stageCode := s.run(environment, r, stderr)
		if stageCode != 0 && stageCode != interrupted {
			stageCode = s.again(environment, r, stderr, stageCode)
		}
		r.end(s, time.Since(began))
		code = max(code, stageCode)
		if stageCode == interrupted {
			break
		}
	}
	r.summary(code == 0)
	return code
}

func (s stage) run(environment []string, r *report, stderr io.Writer) int {
	args := slices.Concat([]string{"test", "-json"}, s.flags, s.packages)
	cmd := exec.Command("go", args...)
	cmd.Dir = s.dir
	cmd.Env = append(append(slices.Clone(environment), "CGO_ENABLED=1"), s.env...)
	cmd.Stdout, cmd.Stderr = r, stderr
	return wait(cmd)
}

// again runs a few tests that failed once more, with the machine for themselves. Those that
// pass then are second attempts in the summary, and their first output is in the log. It
// returns the exit code of the stage.
func (s stage) again(environment []string, r *report, stderr io.Writer, code int) int {
	tests := r.busy()
	if len(tests) == 0 {
		return code
	}
	alone := map[string][]string{} // tests of a package
	for _, t := range tests {
		alone[t.Package] = append(alone[t.Package], t.Test)
	}
	first := r.failed
	r.failed = nil
	for _, name := range slices.Sorted(maps.Keys(alone)) {
		r.say(fmt.Sprintf("== once more: %s of %s\n", strings.Join(alone[name], ", "), name))
		one := s
		one.flags = append(slices.Clone(s.flags), "-count", "1", "-run", "^("+strings.Join(alone[name], "|")+")$")
		one.packages = []string{name}
		if code := one.run(environment, r, stderr); code != 0 {
			r.failed = append(first, r.failed...)
			return code
		}
	}
	for _, t := range tests {
		r.second = append(r.second, t.String()+": it failed while other tests ran")
	}
	return 0
}
