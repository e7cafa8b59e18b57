//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/zhongkong-go/zhongkong/internal/test/testserver"
)

// TestCompletions: what may follow, by the parser's own model.
func TestCompletions(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(new(commands), kong.Name("zhongkong"), kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		words []string
		want  string // separated by spaces
	}{
		"a command":                     {[]string{"ser"}, "serve"},
		"all commands":                  {[]string{""}, "client completion doctor explain healthcheck migrate push serve simulate token"},
		"of a command":                  {[]string{"client", "r"}, "revoke rotate"},
		"after a flag without a value":  {[]string{"serve", "--demo", "--che"}, "--check"},
		"of a program's own and global": {[]string{"client", "add", "--l"}, "--lang"},
		"a flag's value":                {[]string{"--lang", ""}, "en zh"},
		"with an equals sign":           {[]string{"--lang=z"}, "--lang=zh"},
		"as bash takes it apart":        {[]string{"--lang", "=", "z"}, "zh"},
		"at the sign itself":            {[]string{"--lang", "="}, "en zh"},
		"after a flag's value":          {[]string{"--lang", "zh", "mig"}, "migrate"},
		"a file":                        {[]string{"serve", "--config", "zh"}, ":files"},
		"a file, by a short name":       {[]string{"serve", "-c", ""}, ":files"},
		"an argument":                   {[]string{"migrate", ""}, "down status up"},
		"behind the last argument":      {[]string{"migrate", "up", ""}, ""},
		"nothing hidden":                {[]string{"__"}, ""},
		"nothing known":                 {[]string{"serve", "--nothing", "--al"}, ""},
	} {
		var got []string
		for _, line := range completions(parser.Model, c.words) {
			value, about, _ := strings.Cut(line, "\t")
			if value != files && about == "" {
				t.Errorf("%s: nothing is said about %s", name, value)
			}
			got = append(got, value)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %s", name, got, c.want)
		}
	}
}

// TestShells: bash, zsh, fish and PowerShell load their script and complete with it. Debian
// has no PowerShell: where there is none, its script is only printed.
func TestShells(t *testing.T) {
	t.Parallel()
	path := filepath.Dir(binary(t)) + ":" + os.Getenv("PATH")
	for shell, c := range map[string]struct {
		pkg  string
		args []string
		text string // SCRIPT is the script's path
	}{
		"bash": {"bash", []string{"--norc", "-c"}, `source SCRIPT
complete -p zhongkong >/dev/null || exit 1
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _zhongkong; printf '%s\n' "${COMPREPLY[@]}"; }
try zhongkong heal
try zhongkong --lang = z
try zhongkong serve --config shop.y`},
		"zsh": {"zsh", []string{"-f", "-c"}, `autoload -U compinit; compinit -u -D
source SCRIPT
[ "$_comps[zhongkong]" = _zhongkong ] || exit 1
_describe() { print -l -- ${(P)2} }
_files() { print -l -- shop.y* }
try() { words=("$@"); CURRENT=$#; _zhongkong }
try zhongkong heal
try zhongkong --lang z
try zhongkong serve --config shop.y`},
		"fish": {"fish", []string{"--no-config", "-c"}, `source SCRIPT
complete -C "zhongkong heal"
complete -C "zhongkong --lang z"
complete -C "zhongkong serve --config shop.y"`},
		"powershell": {"", []string{"-NoProfile", "-NonInteractive", "-Command"}, `. SCRIPT
function try([string]$line) { (TabExpansion2 -inputScript $line -cursorColumn $line.Length).CompletionMatches | ForEach-Object { $_.CompletionText } }
try 'zhongkong heal'
try 'zhongkong --lang z'
try 'zhongkong serve --config shop.y'`},
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			program, err := exec.LookPath("pwsh")
			switch {
			case c.pkg != "":
				program = testserver.Program(t, shell, c.pkg)
			case err != nil:
				t.Skip("left out: PowerShell is not installed")
			}
			script, errs, err := command(t, nil, "completion", shell)
			if err != nil {
				t.Fatal(err, errs)
			}
			cmd := exec.CommandContext(t.Context(), program, append(c.args, strings.ReplaceAll(c.text, "SCRIPT", written(t, "script.ps1", script)))...)
			cmd.Dir = t.TempDir()
			if err := os.WriteFile(filepath.Join(cmd.Dir, "shop.yaml"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd.Env = []string{"PATH=" + path, "HOME=" + cmd.Dir, "LANG=C.UTF-8"}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if len(lines) != 3 || !strings.HasPrefix(lines[0], "healthcheck") || !strings.HasPrefix(lines[1], "zh") || !strings.HasPrefix(strings.TrimPrefix(lines[2], "./"), "shop.yaml") {
				t.Errorf("it completes\n%s", out)
			}
		})
	}
	if script, errs, err := command(t, nil, "completion", "powershell"); err != nil || !strings.Contains(script, "Register-ArgumentCompleter -Native -CommandName zhongkong") {
		t.Errorf("%v %s%s", err, script, errs)
	}
}
