package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/zhongkong-go/zhongkong/internal/docs"
)

// TestCommandLinesOfThePages gives every command line of the documentation to the
// parser that this program has.
func TestCommandLinesOfThePages(t *testing.T) {
	t.Parallel()
	var names []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/jobs/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	parsed := 0
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range docs.Parse(string(text)).Blocks {
			if block.Info != "sh" {
				continue
			}
			for _, words := range block.Commands() {
				arguments, ours := argumentsOf(words)
				if !ours {
					continue
				}
				parsed++
				if err := parses(arguments); err != nil {
					t.Errorf("%s, block at line %d: %q: %v", name, block.Line, words, err)
				}
			}
		}
		if filepath.Base(name) == "CHANGELOG.md" { // it names flags without their values
			continue
		}
		for _, inline := range commandInText.FindAllStringSubmatch(string(text), -1) {
			for _, words := range (docs.Block{Text: inline[1]}).Commands() {
				if err := parses(words[1:]); err != nil && !strings.Contains(inline[1], "…") { // not a command that is cut short
					t.Errorf("%s, `%s`: %v", name, inline[1], err)
				}
			}
		}
	}
	if parsed < 20 {
		t.Errorf("%d command lines were found", parsed)
	}
	if err := parses([]string{"serve", "--no-such-flag"}); err == nil {
		t.Error("a wrong command line is taken")
	}
}

// commandInText is a command line with a flag in the middle of a sentence; one without may be
// just the name of a command.
var commandInText = regexp.MustCompile("`(zhongkong [a-z][^`\n]* --[^`\n]+)`")

// argumentsOf returns what this program is given, when it is called.
func argumentsOf(words []string) (arguments []string, ours bool) {
	const command = "/cmd/zhongkong"
	for i, word := range words[:min(len(words), 3)] {
		path, _, _ := strings.Cut(word, "@")
		if (i == 0 && word == "zhongkong") || (i == 2 && words[0] == "go" && words[1] == "run" && strings.HasSuffix(path, command)) {
			return words[i+1:], true
		}
	}
	return nil, false
}

func parses(arguments []string) error {
	over := false // --help and --version end the program
	parser, err := kong.New(new(commands), kong.Name("zhongkong"), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) { over = true }))
	if err != nil {
		return err
	}
	if _, err = parser.Parse(arguments); over {
		return nil
	}
	return err
}
