package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// terminal is where a command reads and writes.
type terminal struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	env    func(string) (string, bool)
	colour bool

	lang  lang.Lang // of what is printed
	named bool      // somebody has chosen it

	mu sync.Mutex // makes lines of several goroutines whole
}

// newTerminal colours what a person reads, and nothing that goes to a file, a pipe
// or somebody who has set NO_COLOR.
func newTerminal(in io.Reader, out, errs io.Writer, env func(string) (string, bool)) *terminal {
	t := &terminal{in: in, out: out, err: errs, env: env}
	t.lang, t.named = lang.FromEnv(env)
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

// T is a text in the language of the terminal.
func (t *terminal) T(format string, args ...any) string {
	return fmt.Sprintf(t.format(format), t.arguments(args)...)
}

// format returns the Chinese format where that is wanted and there is one.
func (t *terminal) format(format string) string {
	if t.lang == lang.Chinese {
		return dictionary().Format(format)
	}
	return format
}

// arguments returns args with the sentences among them in the language of the terminal. A
// single word may be somebody's name and stays.
func (t *terminal) arguments(args []any) []any {
	if t.lang != lang.Chinese {
		return args
	}
	all := make([]any, len(args))
	for i, arg := range args {
		all[i] = arg
		switch arg := arg.(type) {
		case string:
			if strings.Contains(arg, " ") {
				all[i] = dictionary().In(t.lang, arg)
			}
		case error:
			all[i] = dictionary().In(t.lang, arg.Error())
		}
	}
	return all
}

// problem is what an error says, in the language of the terminal, with what the system's part
// of it means.
func (t *terminal) problem(err error) string { return dictionary().Explained(t.lang, err) }

// say writes a line, or several.
func (t *terminal) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(t.out, t.format(format)+"\n", t.arguments(args)...) // a reader who is gone misses nothing
}

// complain writes an error to where errors go.
func (t *terminal) complain(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(t.err, "zhongkong: %s\n", t.problem(err))
}

// The colours.
func (t *terminal) bold(s string) string   { return t.paint("1", s) }
func (t *terminal) dim(s string) string    { return t.paint("2", s) }
func (t *terminal) red(s string) string    { return t.paint("31", s) }
func (t *terminal) green(s string) string  { return t.paint("32", s) }
func (t *terminal) yellow(s string) string { return t.paint("33", s) }

func (t *terminal) paint(code, s string) string {
	if t.lang == lang.Chinese {
		s = dictionary().In(t.lang, s)
	}
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
