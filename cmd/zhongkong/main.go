// Command zhongkong keeps the credentials of WeChat accounts alive, and plays
// WeChat where there is none.
//
//	zhongkong simulate                  WeChat's server side on this machine
//	zhongkong push text "你好" --to …    one message to an app, as WeChat pushes it
//	zhongkong doctor                    what is wrong, and what to do about it
//	zhongkong migrate up|down|status    the tables of a store
//	zhongkong explain 40164             what an errcode means, in English and Chinese
//	zhongkong token status              how the token is doing
//	zhongkong serve --config FILE       the gateway for programs in any language
//	zhongkong healthcheck               whether a gateway on this machine is well
//	zhongkong client add NAME …         a program that may use it
//	zhongkong completion SHELL          completions for bash, zsh, fish and PowerShell
//	zhongkong --version                 which zhongkong this is
//
// A command is a file of its own with a struct in it that has a Run method, and a
// line in commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	goredis "github.com/redis/go-redis/v9"

	"github.com/zhongkong-go/zhongkong/internal/lang"
)

// commands are what the program can do.
type commands struct {
	Simulate    simulateCmd    `cmd:"" help:"Play WeChat's server side on this machine: an API host for any SDK, and messages pushed to your app."`
	Push        pushCmd        `cmd:"" help:"Push one message to an app as WeChat does, and judge the answer."`
	Doctor      doctorCmd      `cmd:"" help:"Find out what is wrong, and what to do: configuration, store, clock, WeChat, credentials, whitelist, callback address."`
	Migrate     migrateCmd     `cmd:"" help:"Bring the tables of a store to the version that this program needs, take a step back, or look."`
	Explain     explainCmd     `cmd:"" help:"Say what an errcode of WeChat means and what to do about it, in English and Chinese."`
	Token       tokenCmd       `cmd:"" help:"Look at the token that your programs share, print it, or renew it."`
	Serve       serveCmd       `cmd:"" help:"Keep the tokens of your accounts for all programs: the gateway (中控服务器) that they call instead of WeChat."`
	Healthcheck healthcheckCmd `cmd:"" help:"Check whether a gateway on this machine is healthy, for containers."`
	Client      clientCmd      `cmd:"" help:"Add, list and revoke the programs that may use the gateway."`

	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`
	Complete   completeCmd   `cmd:"" name:"__complete" hidden:"" help:"Say what may follow a command line; for the scripts of completion."`

	Lang    string           `help:"The language of what is printed: en or zh. Without it, that of ZHONGKONG_LANG, else of the locale." enum:",en,zh" default:"" placeholder:"LANG"`
	Version kong.VersionFlag `help:"Show the version, and what it was built from."`
}

// description is what the program is for.
const description = "zhongkong (中控) keeps the credentials of WeChat accounts alive."

// The exit codes.
const (
	exitOK      = 0
	exitFailed  = 1 // what was asked for did not go well
	exitMistake = 2 // it could not be understood
)

// The ends of a command that has said itself what is wrong.
var (
	errFailed  = errors.New("failed")
	errMistake = errors.New("mistaken")
)

func main() {
	goredis.SetLogger(silence{}) // the store says by itself what is the matter
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	t := newTerminal(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)
	if !t.named {
		t.lang, t.named = lang.System(os.LookupEnv)
	}
	os.Exit(run(ctx, os.Args[1:], t))
}

// run is the program without its process.
func run(ctx context.Context, args []string, t *terminal) int {
	t.choose(args)
	exited := -1
	parser, err := kong.New(new(commands),
		kong.Name("zhongkong"),
		kong.Description(description),
		kong.Writers(t.out, t.err),
		kong.Help(t.help),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t),
		kong.Vars{"version": versionText()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
	)
	if err != nil {
		panic(err) // a mistake in commands, which every test meets
	}
	t.translate(parser.Model)
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case helpOfDoctor(args):
		args = append([]string{"doctor", "all"}, slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == "doctor" })...) // or kong leaves out the default command's flags
	}
	if len(args) > 0 && args[0] == "explain" {
		args = negative(args)
	}
	command, err := parser.Parse(args)
	switch {
	case exited >= 0: // --help has said it all
		return exited
	case err != nil:
		if strings.HasSuffix(err.Error(), "?") { // "did you mean …?"
			t.complain(fmt.Errorf("%w See zhongkong --help", err))
		} else {
			t.complain(fmt.Errorf("%w; see zhongkong --help", err))
		}
		return exitMistake
	}
	err = command.Run()
	var mistake usageError
	switch {
	case errors.As(err, &mistake):
		t.complain(err)
		return exitMistake
	case errors.Is(err, errFailed):
		return exitFailed
	case errors.Is(err, errMistake):
		return exitMistake
	case err != nil:
		t.complain(err)
		return exitFailed
	}
	return exitOK
}

// silence takes what a driver would write to standard error past everything.
type silence struct{}

// Printf implements the driver's logger.
func (silence) Printf(context.Context, string, ...any) {}

// usageError is a mistake in what was asked for.
type usageError struct{ error }

func mistake(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// helpOfDoctor reports whether args ask for the help of doctor, and say nothing else but a
// language.
func helpOfDoctor(args []string) bool {
	asked := 0
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--lang":
			i++ // its value
		case strings.HasPrefix(arg, "--lang="):
		case arg == "doctor", arg == "--help", arg == "-h":
			asked++
		default:
			return false
		}
	}
	return asked == 2 && slices.Contains(args, "doctor")
}
