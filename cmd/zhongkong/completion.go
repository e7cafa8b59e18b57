package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd prints what makes a shell complete our command lines.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"bash, zsh, fish or powershell."`
}

// Help is what is below the flags' list.
func (*completionCmd) Help() string {
	return `The script asks this program what may follow, so it stays right after an upgrade.

  source <(zhongkong completion bash)                                in ~/.bashrc
  source <(zhongkong completion zsh)                                 in ~/.zshrc, after compinit
  zhongkong completion fish > ~/.config/fish/completions/zhongkong.fish
  zhongkong completion powershell | Out-String | Invoke-Expression   in $PROFILE`
}

// Run prints the script.
func (c *completionCmd) Run(t *terminal) error {
	script, err := completionScripts.ReadFile("completions/" + c.Shell)
	if err == nil {
		_, err = t.out.Write(script)
	}
	return err
}

// completionScripts hand the words of the command line to completeCmd, the last of which is
// the one to be completed. It answers with a line for each that may stand there, with what it
// is for behind a tab, and with :files where a file may.
//
//go:embed completions
var completionScripts embed.FS

// completeCmd answers the scripts.
type completeCmd struct {
	Next  bool     `hidden:"" help:"A new word begins after the last."`
	Words []string `arg:"" optional:"" help:"The words of the command line so far."`
}

// Run prints what may replace the last word.
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
