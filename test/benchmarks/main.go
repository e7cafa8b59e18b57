// Command benchmarks measures zhongkong, its peers and the floor of each thing
// side by side, in one run, and prints one table:
//
//	go run . -o RESULT.md -docs ../..
//
// writes it to RESULT.md, to RESULT.json for programs, and into the READMEs and
// docs that show some of it. With -fill nothing is measured: they are given what
// RESULT.json has.
//
// All of them talk to one simulator of WeChat on loopback. A measurement is made
// in rounds, each round begins with another one of them, and the table shows
// medians. Peers are used as their documentation says, with their own defaults.
//
// Rows that need a Redis start one of their own and are left out where
// redis-server is not installed, and so are the peers in npm without node and npm.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"

	"github.com/zhongkong-go/zhongkong/test/benchmarks/figures"
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
	out := flag.String("o", "", "write the table to this `file` too, and what it shows to one beside it that ends in .json")
	docs := flag.String("docs", "", "fill the READMEs and docs below this `folder` with it")
	fill := flag.Bool("fill", false, "measure nothing: take the result that -o's other file has")
	only := flag.String("only", "", "measure only what has this in its name")
	rounds := flag.Int("rounds", 5, "rounds of each measurement, of which the median counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *fill {
		r, err := figures.Read(besides(*out))
		if err != nil {
			return err
		}
		return errors.Join(write(r, *out), fillDocs(r, *docs))
	}
	env, end, err := awayFromHome()
	if err != nil {
		return err
	}
	defer end()
	r, err := run(ctx, env, *only, *rounds)
	if err != nil {
		return err
	}
	if *out != "" {
		if err := write(r, *out); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(os.Stdout, r.Markdown()); err != nil || *docs == "" {
		return err
	}
	return fillDocs(r, *docs)
}

// besides is where the result of a table is for programs.
func besides(file string) string { return strings.TrimSuffix(file, ".md") + ".json" }

func write(r *figures.Result, file string) error {
	data, err := r.JSON()
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(besides(file), data, 0o644), os.WriteFile(file, []byte(r.Markdown()), 0o644))
}

// fillDocs gives every file that shows figures those of r.
func fillDocs(r *figures.Result, folder string) error {
	for _, name := range figures.Files {
		path := filepath.Join(folder, name)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		filled, _, err := r.Fill(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(path, []byte(filled), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bench is one run of the command.
type bench struct {
	ctx     context.Context
	dir     string   // temporary
	env     []string // before HOME was changed
	rounds  int
	redis   string   // why there is no redis-server; "" when there is
	npm     string   // the folder with the packages; "" when there are none
	leftOut []string // what was not measured, and why
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
	{"renewal", renewal},
	{"restarts", restarts},
	{"store down", storeDown},
	{"permanent error", permanentError},
	{"store calls", storeCalls},
	{"callback", callbacks},
	{"pushes", pushesPerSecond},
	{"middleware", middleware},
	{"proxy", proxy},
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

// run measures. What fails is measured once more: a run takes minutes, and a
// machine may have a bad moment.
func run(ctx context.Context, env []string, only string, rounds int) (*figures.Result, error) {
	logrus.SetLevel(logrus.WarnLevel) // silenceper/wechat logs every callback at Debug
	goredis.SetLogger(quiet{})
	dir, err := os.MkdirTemp("", "zhongkong-benchmarks-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{ctx: ctx, dir: dir, env: env, rounds: rounds, redis: redisMissing()}
	if b.redis != "" {
		b.leftOut = append(b.leftOut, b.redis)
	}
	if err := b.installNPM(); err != nil {
		b.leftOut = append(b.leftOut, fmt.Sprintf("co-wechat-api was not measured: %v.", err))
	}
	var rows []row
	began := time.Now()
	for _, m := range measurements {
		if only != "" && !strings.Contains(m.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(began).Seconds(), m.name)
		some, err := m.run(b)
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "%4.0f s  %s, again, after: %v\n", time.Since(began).Seconds(), m.name, err)
			some, err = m.run(b)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		rows = append(rows, some...)
	}
	return b.result(rows, time.Since(began)), nil
}
