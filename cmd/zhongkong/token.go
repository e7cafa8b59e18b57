package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/environ"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/internal/storeurl"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// tokenCmd works on the token that the programs of a store share.
type tokenCmd struct {
	Status  tokenStatusCmd  `cmd:"" help:"Show how the token is doing. Nothing is fetched, and the token is not shown."`
	Get     tokenGetCmd     `cmd:"" help:"Print the token, alone, on standard output. It is fetched when none lives."`
	Refresh tokenRefreshCmd `cmd:"" help:"Fetch a token when none lives. With --force, a new one instead of the one that lives. With --ticket, a ticket."`
}

// Help is what is below the flags' list.
func (*tokenCmd) Help() string {
	return `With ZHONGKONG_GATEWAY set, get and status ask that gateway with ZHONGKONG_GATEWAY_KEY. With --config, account and store
are those of a gateway's configuration. Otherwise they come from the environment, as a program's with wechat.ConfigFromEnv:
WECHAT_APPID, WECHAT_APPSECRET (status needs none), WECHAT_TOKEN_API, WECHAT_API_BASE, ZHONGKONG_STORE (any store's URL),
ZHONGKONG_SEAL_KEY, ZHONGKONG_FETCH_TIMEOUT and its kin. Without WECHAT_APPID, WECOM_CORPID, WECOM_AGENTID, WECOM_SECRET
and WECOM_API_BASE are an app of WeCom. Use the program's own values, and its working
directory where ZHONGKONG_STORE is relative.
ZHONGKONG_LOG_LEVEL=debug shows on standard error what is done.

The exit code is 0 when all is well, 1 when there is no token, 2 when the command or its configuration is wrong.`
}

// custodian is the account of the environment and the store of its token.
type custodian struct {
	cfg   environ.Account
	name  string // of the account, for people; "" when it has none
	api   *platform.API
	corp  *company // nil unless it is an app of WeCom
	store custody.Store
	place string // the store's, for people

	report *statusJSON // what is shown goes there instead; nil for people

	waiting *waiting
}

// accountFlags say whose token is meant.
type accountFlags struct {
	Config  string `help:"A gateway's configuration: the account and the store are in it." placeholder:"FILE" short:"c"`
	Account string `help:"The account of the configuration; needed where it has several." placeholder:"APPID"`
}

// unneeded is an AppSecret that nothing is done with.
const unneeded = "not-needed"

// variables returns what replaces the environment: with --config, the file's values are
// over it. For a look the AppSecret need not be there.
func (f accountFlags) variables(t *terminal, look bool) (func(name string) string, error) {
	env := func(name string) string { value, _ := t.env(name); return value }
	over := map[string]string{}
	switch {
	case f.Config != "":
		settings, account, err := f.read(look)
		if err != nil {
			return nil, err
		}
		over["WECHAT_NAME"] = account.Name
		if corp, agent, isApp := shape.App(account.AppID); isApp {
			over["WECHAT_APPID"], over["WECOM_CORPID"], over["WECOM_AGENTID"] = "", corp, agent
			over["WECOM_SECRET"] = account.Secret.Reveal()
			over["WECOM_API_BASE"] = corpBase(settings)
		} else {
			over["WECHAT_APPID"], over["WECHAT_TOKEN_API"], over["WECHAT_API_BASE"] = account.AppID, string(account.TokenAPI), settings.APIBase
			over["WECHAT_APPSECRET"] = account.Secret.Reveal()
		}
		for _, name := range []string{
			"ZHONGKONG_GATEWAY", "ZHONGKONG_GATEWAY_KEY", "ZHONGKONG_GATEWAY_CA",
			"WECHAT_TOKEN", "WECHAT_AES_KEY", "WECHAT_TOKEN_PREVIOUS", "WECHAT_AES_KEY_PREVIOUS",
		} {
			over[name] = "" // of another program
		}
		if settings.Store != "" {
			over["ZHONGKONG_STORE"] = settings.Store
		}
	case f.Account != "":
		return nil, mistake("--account goes with --config: without it the account is that of WECHAT_APPID")
	}
	return func(name string) string {
		value, there := over[name]
		if !there {
			value = env(name)
		}
		if name == "WECHAT_APPSECRET" && value == "" && look {
			return unneeded
		}
		return value
	}, nil
}

// read returns the configuration and the account that is meant, which is the only one
// whose AppSecret has to be there.
func (f accountFlags) read(look bool) (*gateway.Settings, gateway.Account, error) {
	meant := f.Account
	parts := gateway.Parts{Secret: func(appID string) bool { return appID == meant && !look }}
	for {
		settings, err := parts.Read(f.Config)
		switch {
		case err != nil:
			return nil, gateway.Account{}, usageError{named.Plain(err)}
		case meant == "" && len(settings.Accounts) != 1:
			accounts := count(len(settings.Accounts), "account", "accounts")
			return nil, gateway.Account{}, mistake("--config names %s: say which with --account", accounts)
		case meant == "":
			meant = settings.Accounts[0].AppID
			continue
		}
		for _, a := range settings.Accounts {
			if a.AppID == meant {
				return settings, a, nil
			}
		}
		return nil, gateway.Account{}, mistake("--account %s: the configuration has no such account", argument(meant))
	}
}

// open opens the store of the account. For a look, one that is not there is an error,
// and nothing is made or migrated.
func (f accountFlags) open(ctx context.Context, t *terminal, look bool) (_ *custodian, err error) {
	get, err := f.variables(t, look)
	if err != nil {
		return nil, err
	}
	var cfg environ.Account
	var corp *company
	if isCorp(get) {
		cfg, corp, err = readCorp(get, look)
	} else if cfg, err = environ.Checked(get); err != nil {
		err = mistake("%v", err)
	}
	if err != nil {
		return nil, err
	}
	name := strings.TrimSpace(get("WECHAT_NAME"))
	if err := shape.Name("WECHAT_NAME", name); err != nil {
		return nil, usageError{err}
	}
	c := &custodian{cfg: cfg, corp: corp, name: name, waiting: waitFor(t, "the store and a token")}
	if get("ZHONGKONG_LOG_LEVEL") == "" {
		c.cfg.Logger = slog.New(c.waiting) // what fails in the end is said once, at the end
	}
	defer func() {
		if err != nil {
			c.waiting.end()
		}
	}()
	if c.api, err = platform.New(platform.Config{Base: cfg.APIBase, Logger: c.cfg.Logger}); err != nil {
		return nil, mistake("WECHAT_API_BASE: %v", err)
	}
	address := get("ZHONGKONG_STORE")
	if address == "" {
		address = "sqlite:zhongkong.db"
	}
	if c.place, err = placeOf(address, look); err != nil {
		return nil, err
	}
	if c.store, err = open.Open(ctx, address, open.Options{Logger: c.cfg.Logger, NoMigrate: look}); err != nil {
		return nil, mistake("ZHONGKONG_STORE: %s", named.Plain(err).Error())
	}
	return c, nil
}

// placeOf says where a store is, without the password that its URL may hold. With
// mustExist a file that is not there is an error.
func placeOf(address string, mustExist bool) (string, error) {
	switch storeurl.Of(address) {
	case storeurl.Memory:
		return "", mistake("ZHONGKONG_STORE is memory:, which other programs do not share: nothing of theirs can be seen or changed")
	case storeurl.SQLite:
		path, err := storeurl.Path(address)
		if err != nil {
			return "", mistake("ZHONGKONG_STORE: %s", named.Plain(err).Error())
		}
		if path, err = filepath.Abs(path); err != nil {
			return "", err
		}
		if _, err := os.Stat(path); mustExist && errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("there is no database %s: set ZHONGKONG_STORE to your program's, or run this in its working directory", path)
		}
		return path, nil
	default:
		scheme, _, _ := strings.Cut(address, ":")
		return cmp.Or(storeurl.Place(address), scheme), nil // the store that opens it says what is wrong
	}
}

func (c *custodian) close() {
	c.waiting.end()
	_ = c.store.Close()
	c.api.CloseIdleConnections()
}

// keep starts a Keeper of the token, as a program has it. A trusting one believes that
// the token was refused without asking WeChat.
func (c *custodian) keep(trusting bool) (*custody.Keeper, error) {
	kind := c.kind()
	if trusting {
		kind.Probe = nil
	}
	return c.start(c.key(), kind)
}

func (c *custodian) start(key custody.Key, kind custody.Kind) (*custody.Keeper, error) {
	return custody.New(custody.Config{
		Key: key, Kind: kind, Store: c.store, Secret: c.cfg.AppSecret,
		SealKeys: c.cfg.SealKeys, Timing: c.cfg.Timing, Logger: c.cfg.Logger,
	})
}

// failure makes an error of a Keeper a command's, with what to do next.
func failure(ctx context.Context, err error) error {
	var none *custody.Error
	switch {
	case errors.As(err, &none):
		text := named.Plain(err).Error()
		if none.Code != 0 {
			text += fmt.Sprintf("\nzhongkong explain %d says more, also in Chinese", none.Code)
		}
		return errors.New(text)
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("there was no token in time: WeChat or the store does not answer, or another process is about to renew. zhongkong token status shows what was tried; --wait waits longer")
	case ctx.Err() != nil:
		return errors.New("given up")
	default:
		return err
	}
}

// tokenGetCmd prints the token.
type tokenGetCmd struct {
	Wait time.Duration `help:"How long to wait for a token." default:"30s"`

	accountFlags `embed:""`
	jsonFlag     `embed:""`
}

// print prints the token.
func (c *tokenGetCmd) print(t *terminal, token custody.Token) error {
	if !c.JSON {
		_, err := fmt.Fprintln(t.out, token.Value())
		return err
	}
	return t.json(struct {
		Token     string `json:"access_token"`
		ExpiresIn int64  `json:"expires_in"`
	}{token.Value(), int64(token.Left() / time.Second)})
}

// Run prints.
func (c *tokenGetCmd) Run(ctx context.Context, t *terminal) error {
	if c.Wait <= 0 {
		return mistake("--wait %s: it has to be positive", c.Wait)
	}
	if c.Config == "" {
		if remote, err := viaSource(t); remote != nil || err != nil {
			return firstOf(err, func() error {
				return remote.get(ctx, t, c.Wait, func(token custody.Token) error { return c.print(t, token) })
			})
		}
	}
	return c.withToken(ctx, t, c.Wait, false, func(_ context.Context, _ *custody.Keeper, token custody.Token) error {
		return c.print(t, token)
	})
}

// firstOf is err, or what do returns without one.
func firstOf(err error, do func() error) error {
	if err != nil {
		return err
	}
	return do()
}

// withToken gives do the live token and its Keeper.
func (f accountFlags) withToken(
	ctx context.Context,
	t *terminal,
	wait time.Duration,
	trusting bool,
	do func(context.Context, *custody.Keeper, custody.Token) error,
) error {
	return f.withAccount(ctx, t, wait, func(limited context.Context, c *custodian) error {
		keeper, err := c.keep(trusting)
		if err != nil {
			return err
		}
		defer func() { _ = keeper.Close() }()
		token, err := patiently(limited, keeper)
		c.waiting.end()
		if err != nil {
			return failure(ctx, err)
		}
		return do(limited, keeper, token)
	})
}

// withTicket gives do a live ticket and its Keeper, which fetches with the token of
// another one.
func (f accountFlags) withTicket(
	ctx context.Context,
	t *terminal,
	wait time.Duration,
	kind platform.TicketType,
	do func(context.Context, *custody.Keeper, custody.Token) error,
) error {
	return f.withAccount(ctx, t, wait, func(limited context.Context, c *custodian) error {
		if c.corp != nil {
			return mistake("--ticket is for official accounts: an app of WeCom's tickets are renewed by the program that asks for them")
		}
		tokens, err := c.keep(false)
		if err != nil {
			return err
		}
		defer func() { _ = tokens.Close() }()
		keeper, err := c.start(c.api.TicketKey(c.cfg.AppID, kind), c.api.Ticket(tokens, c.cfg.AppID, kind))
		if err != nil {
			return err
		}
		defer func() { _ = keeper.Close() }()
		ticket, err := patiently(limited, keeper)
		c.waiting.end()
		if err != nil {
			return failure(ctx, err)
		}
		return do(limited, keeper, ticket)
	})
}

// withAccount gives do the account of the environment, for no longer than wait.
func (f accountFlags) withAccount(ctx context.Context, t *terminal, wait time.Duration, do func(context.Context, *custodian) error) error {
	if wait <= 0 {
		return mistake("--wait %s: it has to be positive", wait)
	}
	c, err := f.open(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.close()
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return do(limited, c)
}

// patiently asks again after failures that pass, as long as ctx has time for it: a
// program would do so too.
func patiently(ctx context.Context, keeper *custody.Keeper) (custody.Token, error) {
	end, _ := ctx.Deadline()
	var last error
	for {
		token, err := keeper.Token(ctx)
		var none *custody.Error
		if last != nil && errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &none) {
			return token, last // an attempt that was cut off knows less than the one before
		}
		last = err
		if !errors.As(err, &none) || none.Class != custody.ClassTransient || time.Until(end) < none.RetryAfter {
			return token, err
		}
		select {
		case <-time.After(none.RetryAfter + 10*time.Millisecond):
		case <-ctx.Done():
			return token, err
		}
	}
}

// tokenRefreshCmd renews the token, or a ticket.
type tokenRefreshCmd struct {
	Force  bool          `help:"Have WeChat issue a new token although one lives. For a token that leaked."`
	Ticket string        `help:"Renew the account's ticket and not its token: jsapi or wx_card. With --force, although one lives: for a ticket that a page finds invalid." placeholder:"TYPE"`
	Wait   time.Duration `help:"How long to wait for a token." default:"30s"`

	accountFlags `embed:""`
}

// Run renews. A forced renewal is that of a token which was refused: under the
// lease, within the fleet's budget of forced fetches, seen by every process.
func (c *tokenRefreshCmd) Run(ctx context.Context, t *terminal) error {
	if c.Ticket != "" {
		return c.ticket(ctx, t)
	}
	return c.withToken(ctx, t, c.Wait, c.Force, func(limited context.Context, keeper *custody.Keeper, token custody.Token) error {
		switch {
		case token.Origin() == custody.OriginFetched:
			t.say("%s There was no token; the new one lives for %s.", t.tick(true), lasting(token.Left()))
			return nil
		case !c.Force:
			t.say("%s The token lives for %s more: nothing was fetched.", t.tick(true), lasting(token.Left()))
			t.say("  Programs on this store renew it automatically. A new one now would only invalidate it for those that still use it.")
			t.say("  If it leaked: %s", t.bold("zhongkong token refresh --force"))
			return nil
		}
		next, err := keeper.Reject(limited, token.Value())
		var none *custody.Error
		if errors.Is(err, custody.ErrRefused) && errors.As(err, &none) {
			return fmt.Errorf("WeChat gives no other token now: two forced refreshes are at least 30 s apart, and all programs on this store make at most 18 a day. Try again in %s", lasting(none.RetryAfter))
		}
		if err != nil {
			return failure(ctx, err)
		}
		if next.Value() == token.Value() {
			return errors.New("WeChat gave the same token again: nothing was renewed. Try again in a minute")
		}
		t.say("%s A new token lives for %s.", t.tick(true), lasting(next.Left()))
		t.say("  WeChat lets the one before work for up to 5 minutes. Programs on this store take the new one when they look next,")
		t.say("  or when WeChat refuses the old one.")
		return nil
	})
}

// ticket renews a ticket.
func (c *tokenRefreshCmd) ticket(ctx context.Context, t *terminal) error {
	kind, err := platform.ParseTicketType(c.Ticket)
	if err != nil {
		return mistake("--ticket %q: it has to be jsapi or wx_card", c.Ticket)
	}
	return c.withTicket(ctx, t, c.Wait, kind, func(limited context.Context, keeper *custody.Keeper, ticket custody.Token) error {
		switch {
		case ticket.Origin() == custody.OriginFetched:
			t.say("%s There was no %s ticket; the new one lives for %s.", t.tick(true), kind, lasting(ticket.Left()))
			return nil
		case !c.Force:
			t.say("%s The %s ticket lives for %s more: nothing was fetched.", t.tick(true), kind, lasting(ticket.Left()))
			t.say("  A page that calls the signature invalid usually has another URL than was signed, or a domain that the console does not list.")
			t.say("  If it is the ticket: %s", t.bold("zhongkong token refresh --ticket "+string(kind)+" --force"))
			return nil
		}
		next, err := keeper.Reject(limited, ticket.Value())
		same := err == nil && next.Value() == ticket.Value()
		if same || errors.Is(err, custody.ErrRefused) {
			return fmt.Errorf("WeChat gives the same %s ticket again, so it is the valid one: look at the URL that was signed, and at the domains in the console (JS接口安全域名)", kind)
		}
		if err != nil {
			return failure(ctx, err)
		}
		t.say("%s A new %s ticket lives for %s.", t.tick(true), kind, lasting(next.Left()))
		t.say("  Programs on this store take it when they look next, at once on Redis and PostgreSQL; with client.RejectTicket, or after a restart, at once on all.")
		return nil
	})
}

// lasting is a duration as people say it: 1h52m, 2h, 4m30s.
func lasting(d time.Duration) string {
	unit := time.Second
	if d >= 10*time.Minute {
		unit = time.Minute
	}
	text := d.Round(unit).String()
	if short, found := strings.CutSuffix(text, "m0s"); found {
		text = short + "m"
	}
	if short, found := strings.CutSuffix(text, "h0m"); found {
		text = short + "h"
	}
	return text
}

// tokenStatusCmd shows what the store has.
type tokenStatusCmd struct {
	Lines int `help:"How many lines of the journal to show." default:"5" placeholder:"NUMBER"`

	accountFlags `embed:""`
	jsonFlag     `embed:""`
}

// Run shows.
func (c *tokenStatusCmd) Run(ctx context.Context, t *terminal) error {
	if c.Lines < 0 {
		return mistake("--lines %d: it must not be negative", c.Lines)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second) // a server may hang
	defer cancel()
	if c.Config == "" {
		if remote, err := viaSource(t); remote != nil || err != nil {
			return firstOf(err, func() error { return remote.status(ctx, t, c.JSON) })
		}
	}
	account, err := c.open(ctx, t, true)
	if err != nil {
		return err
	}
	defer account.close()
	if c.JSON {
		account.report = &statusJSON{Name: account.name, AppID: account.cfg.AppID, Place: account.place}
		return account.report.end(t, c.look(ctx, t, account))
	}
	return c.look(ctx, t, account)
}

// look shows the token, its tickets and its journal. The error says why a program has none.
func (c *tokenStatusCmd) look(ctx context.Context, t *terminal, account *custodian) error {
	key := account.key()
	live, foreign, err := account.show(ctx, t, key)
	if err != nil {
		return err
	}
	for _, ticket := range account.tickets() {
		if _, err := account.store.Load(ctx, ticket); err == nil {
			if _, _, err := account.show(ctx, t, ticket); err != nil {
				return err
			}
		}
	}
	if account.report == nil {
		t.say("%s", t.dim(t.T("in %s", account.place)))
	}
	last, err := c.journal(ctx, t, account, key)
	switch {
	case err != nil:
		return err
	case foreign != nil:
		return fmt.Errorf("a token lives, and a program with this environment cannot open it: %w. It gets an error, or, once in 10 minutes for all programs, fetches another token, which those with the other key cannot open", foreign)
	case live:
		return nil
	case last.Event == custody.EventRelease && last.Detail != "":
		return fmt.Errorf("no token lives, and the last attempt, %s ago, failed: %s", lasting(time.Since(last.At)), last.Detail)
	default:
		return errors.New("no token lives: a program on this store fetches one when it starts, and so does zhongkong token get")
	}
}

// show shows a record without its value, and reports whether it lives, and why this
// process cannot open it if it does.
func (c *custodian) show(ctx context.Context, t *terminal, key custody.Key) (live bool, foreign, err error) {
	record, err := c.store.Load(ctx, key)
	if err != nil && !errors.Is(err, custody.ErrNotFound) {
		return false, nil, fmt.Errorf("the store cannot be read: %w", err)
	}
	left := record.End.Sub(record.Now)
	live = record.Value != "" && left > 0
	if live {
		_, foreign = custody.UnsealRecord(c.cfg.SealKeys, key, record)
	}
	if c.report != nil {
		c.report.add(key.String(), record)
		return live, foreign, nil
	}
	t.say("%s %s", t.tick(live && foreign == nil), t.bold(both(c.name, key.String())))
	switch {
	case record.Value == "":
		t.say("  none was stored")
		return false, nil, nil
	case live:
		t.say("  lives for %s of %s, until %s", lasting(left), lasting(record.Life), record.End.Local().Format(time.DateTime))
	default:
		t.say("  %s", t.red("ended "+lasting(-left)+" ago, at "+record.End.Local().Format(time.DateTime)))
	}
	sealed := "in the clear"
	if record.SealKey != "" {
		sealed = "sealed with key " + record.SealKey
	}
	t.say("  renewal %d, %s", record.Fence, sealed)
	switch {
	case foreign == nil:
	case record.SealKey == "":
		t.say("  %s", t.red("programs with a ZHONGKONG_SEAL_KEY do not use it, but replace it"))
	default:
		t.say("  %s", t.red("this process cannot open it: see ZHONGKONG_SEAL_KEY"))
	}
	return live, foreign, nil
}

// journal shows the newest lines and returns the last one.
func (c *tokenStatusCmd) journal(ctx context.Context, t *terminal, account *custodian, key custody.Key) (last custody.Entry, err error) {
	journal, ok := account.store.(custody.Journal)
	if !ok {
		return last, nil
	}
	entries, err := journal.Journal(ctx, key, max(1, c.Lines))
	if err != nil {
		return last, fmt.Errorf("the journal cannot be read: %w", err)
	}
	if len(entries) > 0 {
		last = entries[0]
	}
	var rows [][]string
	for _, e := range entries[:min(len(entries), c.Lines)] {
		detail := printable(e.Detail)
		if account.report != nil {
			account.report.Journal = append(account.report.Journal, entryJSON{e.At.UTC(), string(e.Event), detail})
			continue
		}
		detail = t.T("%s", detail)
		if e.Event == custody.EventRelease {
			detail = t.red(detail)
		}
		rows = append(rows, []string{e.At.Local().Format(time.DateTime), pad(t.T(string(e.Event)), 7), detail})
	}
	if len(rows) > 0 {
		t.table("  ", []string{"WHEN", "EVENT", "DETAIL"}, rows)
	}
	return last, nil
}
