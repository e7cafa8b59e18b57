// Command benchmarks measures zhongkong, its peers and the floor of each thing
// side by side, in one run, and prints one table:
//
//	go run . -o RESULT.md
//
// All of them talk to one simulator of WeChat on loopback. A measurement is made
// in rounds, each round begins with another one of them, and the table shows
// medians. Peers are used as their documentation says, with their own defaults.
//
// Rows that need a Redis start one of their own and are left out where
// redis-server is not installed.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
)

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start() error {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		return child(os.Args[2], os.Args[3:])
	}
	out := flag.String("o", "", "write the table to this file too")
	only := flag.String("only", "", "measure only what has this in its name")
	rounds := flag.Int("rounds", 5, "rounds of each measurement, of which the median counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	env, end, err := awayFromHome()
	if err != nil {
		return err
	}
	defer end()
	return run(ctx, env, os.Stdout, *out, *only, *rounds)
}

// bench is one run of the command.
type bench struct {
	ctx    context.Context
	dir    string   // temporary
	env    []string // before HOME was changed
	rounds int
	redis  string // why there is no redis-server; "" when there is
}

// measurement is one or more rows of the table.
type measurement struct {
	name string
	run  func(*bench) ([]row, error)
}

var measurements = []measurement{
	{"current token", currentToken},
	{"current token, Redis", currentTokenRedis},
	{"cold callers", coldCallers},
	{"superseded", superseded},
	{"restarts", restarts},
	{"store down", storeDown},
	{"permanent error", permanentError},
	{"callback", callbacks},
	{"middleware", middleware},
	{"accounts", accounts},
	{"binary", binary},
	{"fleet", fleet},
}

// awayFromHome gives this process a temporary home, where PowerWeChat's cache, of
// which a process has one, writes a file. It returns the environment before.
func awayFromHome() (env []string, end func(), err error) {
	env = os.Environ()
	home, err := os.MkdirTemp("", "zhongkong-home-")
	if err != nil {
		return nil, nil, err
	}
	return env, func() { _ = os.RemoveAll(home) }, os.Setenv("HOME", home)
}

func run(ctx context.Context, env []string, stdout io.Writer, file, only string, rounds int) error {
	logrus.SetLevel(logrus.WarnLevel) // silenceper/wechat logs every callback at Debug
	dir, err := os.MkdirTemp("", "zhongkong-benchmarks-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{ctx: ctx, dir: dir, env: env, rounds: rounds, redis: redisMissing()}
	var rows []row
	began := time.Now()
	for _, m := range measurements {
		if only != "" && !strings.Contains(m.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(began).Seconds(), m.name)
		some, err := m.run(b)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		rows = append(rows, some...)
	}
	text := report(rows, time.Since(began), rounds)
	if file != "" {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	_, err = io.WriteString(stdout, text)
	return err
}
