package main

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/zhongkong-go/zhongkong/internal/lang"
)

// choose takes the language of --lang, which holds for the help too and is therefore looked
// for before the command line is parsed.
func (t *terminal) choose(args []string) {
	for i, arg := range args {
		value, found := strings.CutPrefix(arg, "--lang=")
		if arg == "--lang" && i+1 < len(args) {
			value, found = args[i+1], true
		}
		if found && (value == "en" || value == "zh") {
			t.lang, t.named = lang.Parse(value)
		}
		if arg == "--" {
			return
		}
	}
}

// translate puts the texts of the model into the language of the terminal.
func (t *terminal) translate(model *kong.Application) {
	if t.lang == lang.Chinese {
		walk(model, func(text *string) { *text = dictionary().Format(*text) })
	}
}

// walk gives each the texts of a model that people read.
func walk(model *kong.Application, each func(text *string)) {
	_ = kong.Visit(model, func(node kong.Visitable, next kong.Next) error {
		switch node := node.(type) {
		case *kong.Application:
			each(&node.Help)
		case *kong.Node:
			each(&node.Help)
			each(&node.Detail)
			for _, arg := range node.Positional {
				each(&arg.Help)
			}
		case *kong.Flag:
			each(&node.Help)
		}
		return next(nil)
	})
}

// help prints what --help asks for. Kong's own printer takes a Chinese character for one
// column, and breaks lines at spaces alone.
func (t *terminal) help(options kong.HelpOptions, ctx *kong.Context) error {
	if t.lang != lang.Chinese {
		return kong.DefaultHelpPrinter(options, ctx)
	}
	node := ctx.Selected()
	summary := ctx.Model.Summary()
	if node == nil {
		node = ctx.Model.Node
	} else {
		summary = " " + node.Summary()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "用法：%s%s\n", ctx.Model.Name, strings.NewReplacer("[flags]", "[选项]", "<command>", "<命令>").Replace(summary))
	for _, text := range []string{node.Help, node.Detail} {
		if text != "" {
			b.WriteString("\n" + paragraphs(text) + "\n")
		}
	}
	var arguments, flags, commands [][2]string
	for _, arg := range node.Positional {
		arguments = append(arguments, [2]string{arg.Summary(), arg.Help})
	}
	for i, group := range node.AllFlags(true) {
		if i > 0 {
			flags = append(flags, [2]string{})
		}
		for _, flag := range group {
			flags = append(flags, [2]string{flagName(flag), flag.Help})
		}
	}
	for _, command := range node.Leaves(true) {
		commands = append(commands, [2]string{command.Path(), command.Help})
	}
	columnsOf(&b, "参数", arguments)
	columnsOf(&b, "选项", flags)
	columnsOf(&b, "命令", commands)
	if len(commands) > 0 {
		fmt.Fprintf(&b, "\n单个命令的用法：%s <命令> --help\n", ctx.Model.Name)
	}
	_, err := fmt.Fprint(ctx.Stdout, b.String())
	return err
}

// flagName is a flag as one types it.
func flagName(flag *kong.Flag) string {
	name := "    --" + flag.Name
	if flag.Short != 0 {
		name = "-" + string(flag.Short) + ", --" + flag.Name
	}
	if !flag.IsBool() && !flag.IsCounter() {
		name += "=" + flag.FormatPlaceHolder()
	}
	return name
}

// columnsOf writes a heading and two columns. What is too wide for the first has the line to
// itself.
func columnsOf(b *strings.Builder, heading string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	const widest, gap = 32, 4
	left := 0
	for _, row := range rows {
		if w := width(row[0]); w <= widest {
			left = max(left, w)
		}
	}
	fmt.Fprintf(b, "\n%s：\n", heading)
	indent := strings.Repeat(" ", 2+left+gap)
	for _, row := range rows {
		head := "  " + pad(row[0], left+gap)
		if width(row[0]) > left {
			head = "  " + row[0] + "\n" + indent
		}
		b.WriteString(strings.TrimRight(head+strings.Join(fold(row[1], columns-len(indent)), "\n"+indent), " ") + "\n")
	}
}

// paragraphs folds text: lines that follow one another are one paragraph, unless they are
// indented.
func paragraphs(text string) string {
	var all []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		last := len(all) - 1
		switch {
		case line == "", strings.HasPrefix(line, " "), last < 0, all[last] == "", strings.HasPrefix(all[last], " "):
			all = append(all, line)
		default:
			all[last] += joint(all[last], line) + line
		}
	}
	for i, line := range all {
		if !strings.HasPrefix(line, " ") {
			all[i] = strings.Join(fold(line, columns), "\n")
		}
	}
	return strings.Join(all, "\n")
}

// joint is what is between two lines of one paragraph: nothing next to Chinese.
func joint(before, after string) string {
	runes := []rune(before)
	if first := []rune(after)[0]; wide(runes[len(runes)-1]) && !unicode.IsDigit(first) || wide(first) {
		return ""
	}
	return " "
}
