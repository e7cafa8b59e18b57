package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// terminal is where a command reads and writes.
type terminal struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	env    func(string) (string, bool)
	colour bool

	mu sync.Mutex // makes lines of several goroutines whole
}

// newTerminal colours what a person reads, and nothing that goes to a file, a pipe
// or somebody who has set NO_COLOR.
func newTerminal(in io.Reader, out, errs io.Writer, env func(string) (string, bool)) *terminal {
	t := &terminal{in: in, out: out, err: errs, env: env}
	kind, _ := env("TERM")
	no, _ := env("NO_COLOR")
	t.colour = isTerminal(out) && no == "" && kind != "dumb"
	return t
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// say writes a line, or several.
func (t *terminal) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(t.out, format+"\n", args...) // a reader who is gone misses nothing
}

// complain writes an error to where errors go.
func (t *terminal) complain(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(t.err, "zhongkong: %v\n", err)
}

// The colours.
func (t *terminal) bold(s string) string   { return t.paint("1", s) }
func (t *terminal) dim(s string) string    { return t.paint("2", s) }
func (t *terminal) red(s string) string    { return t.paint("31", s) }
func (t *terminal) green(s string) string  { return t.paint("32", s) }
func (t *terminal) yellow(s string) string { return t.paint("33", s) }

func (t *terminal) paint(code, s string) string {
	if !t.colour || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// tick is a mark for what went well or not.
func (t *terminal) tick(ok bool) string {
	if ok {
		return t.green("✓")
	}
	return t.red("✗")
}

// lines returns what is typed, line by line, until the input ends. Its goroutine
// ends with the input or with the program, as no read from a terminal can be
// given up.
func (t *terminal) lines() <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(t.in)
		for scanner.Scan() {
			lines <- strings.TrimSpace(scanner.Text())
		}
	}()
	return lines
}

// printable keeps what others have sent from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return '·'
		}
		return r
	}, s)
}

// argument is what somebody typed, for an error: printable, and not shown where it may be a
// secret.
func argument(s string) string {
	if shape.IsSecret(s) {
		return shape.Show(s)
	}
	return printable(s)
}

// oneLine is printable on one line and at most so many characters long.
func oneLine(s string, most int) string {
	runes := []rune(printable(strings.ReplaceAll(s, "\n", "⏎")))
	if len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return string(runes)
}
