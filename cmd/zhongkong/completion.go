package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd prints what makes a shell complete our command lines.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"bash, zsh, fish or powershell."`
}

// Help is what stands below the flags' list.
func (*completionCmd) Help() string {
	return `The script asks this program what may follow, so it stays right after an upgrade.

  source <(zhongkong completion bash)                                in ~/.bashrc
  source <(zhongkong completion zsh)                                 in ~/.zshrc, after compinit
  zhongkong completion fish > ~/.config/fish/completions/zhongkong.fish
  zhongkong completion powershell | Out-String | Invoke-Expression   in $PROFILE`
}

// Run prints the script.
func (c *completionCmd) Run(t *terminal) error {
	_, err := fmt.Fprint(t.out, completionScripts[c.Shell])
	return err
}

// completionScripts hand the words of the command line to completeCmd, the last of which is
// the one to be completed. It answers with a line for each that may stand there, with what it
// is for behind a tab, and with :files where a file may.
var completionScripts = map[string]string{
	"bash": `# Completions of zhongkong for bash.
_zhongkong() {
    local line IFS=$'\n'
    COMPREPLY=()
    for line in $("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do
        if [ "$line" = ":files" ]; then
            compopt -o filenames 2>/dev/null
            while read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]#=}")
        else
            COMPREPLY+=("${line%%$'\t'*}")
        fi
    done
}
complete -F _zhongkong zhongkong
`,
	"zsh": `#compdef zhongkong
# Completions of zhongkong for zsh.
_zhongkong() {
    local line
    local -a found
    for line in "${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :files) _files ;;
            *) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    if (( ${#found} )); then _describe zhongkong found; fi
}
if [ "${funcstack[1]}" = _zhongkong ]; then
    _zhongkong "$@"
else
    compdef _zhongkong zhongkong
fi
`,
	"fish": `# Completions of zhongkong for fish.
function __zhongkong_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c zhongkong -f -a '(__zhongkong_complete)'
`,
	"powershell": `# Completions of zhongkong for PowerShell.
Register-ArgumentCompleter -Native -CommandName zhongkong -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
    $more = @()
    if ($wordToComplete -eq '') { $more = @('--next') } # older versions drop an empty argument
    & $commandAst.CommandElements[0].ToString() __complete @more -- @words 2>$null | ForEach-Object {
        $value, $about = $_ -split [char]9, 2
        if ($value -eq ':files') {
            [System.Management.Automation.CompletionCompleters]::CompleteFilename($wordToComplete)
        } else {
            if (-not $about) { $about = $value }
            [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $about)
        }
    }
}
`,
}

// completeCmd answers the scripts.
type completeCmd struct {
	Next  bool     `hidden:"" help:"A new word begins after the last."`
	Words []string `arg:"" optional:"" help:"The words of the command line so far."`
}

// Run prints what may stand in the place of the last word.
func (c *completeCmd) Run(t *terminal, parsed *kong.Context) error {
	words := c.Words
	if c.Next || len(words) == 0 {
		words = append(words, "")
	}
	for _, one := range completions(parsed.Model, words) {
		if _, err := fmt.Fprintln(t.out, one); err != nil {
			return err
		}
	}
	return nil
}

// files stands for the files that a shell knows.
const files = ":files"

// follow walks the words of a command line: to which command they lead, how many arguments of
// it there are, and the flag whose value comes next.
func follow(model *kong.Application, words []string) (node *kong.Node, arguments int, flag *kong.Flag) {
	node = model.Node
	for _, word := range words {
		switch {
		case word == "=": // bash takes --lang=zh for three words
		case flag != nil:
			flag = nil
		case strings.HasPrefix(word, "-"):
			if found := flagOf(node, word); found != nil && !found.IsBool() && !found.IsCounter() && !strings.Contains(word, "=") {
				flag = found
			}
		default:
			if child := childOf(node, word); child != nil {
				node = child
			} else {
				arguments++
			}
		}
	}
	return node, arguments, flag
}

// completions are the lines for the last of words.
func completions(model *kong.Application, words []string) []string {
	last := words[len(words)-1]
	node, arguments, flag := follow(model, words[:len(words)-1])
	head := ""
	if name, value, with := strings.Cut(last, "="); with && flag == nil && strings.HasPrefix(name, "--") {
		flag, head, last = flagOf(node, name), name+"=", value
	}
	last = strings.TrimPrefix(last, "=")
	var all []string
	switch {
	case flag != nil:
		all = valuesOf(flag.Value, flag.PlaceHolder, flag.Help)
	case strings.HasPrefix(last, "-"):
		for _, group := range node.AllFlags(true) {
			for _, one := range group {
				all = append(all, "--"+one.Name+"\t"+one.Help)
			}
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				all = append(all, child.Name+"\t"+child.Help)
			}
		}
		if arguments < len(node.Positional) {
			all = append(all, valuesOf(node.Positional[arguments], "", node.Positional[arguments].Help)...)
		}
	}
	all = slices.DeleteFunc(all, func(line string) bool { return line != files && !strings.HasPrefix(line, last) })
	for i, line := range all {
		if line != files {
			all[i] = head + line
		}
	}
	return all
}

// flagOf finds a flag as it is typed.
func flagOf(node *kong.Node, word string) *kong.Flag {
	name, _, _ := strings.Cut(word, "=")
	for _, group := range node.AllFlags(false) {
		for _, flag := range group {
			if name == "--"+flag.Name || flag.Short != 0 && name == "-"+string(flag.Short) {
				return flag
			}
		}
	}
	return nil
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// valuesOf are what a flag or an argument may be.
func valuesOf(value *kong.Value, placeholder, help string) (all []string) {
	for _, one := range value.EnumSlice() {
		if one != "" {
			all = append(all, one+"\t"+help)
		}
	}
	if strings.Contains(placeholder, "FILE") {
		all = append(all, files)
	}
	return all
}
