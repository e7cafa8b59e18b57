package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// clientCmd manages the programs that may use the gateway, in its store. Running
// gateways follow within five seconds.
type clientCmd struct {
	Add    clientAddCmd    `cmd:"" help:"Add a program, and show its key this once."`
	List   clientListCmd   `cmd:"" help:"List the programs."`
	Revoke clientRevokeCmd `cmd:"" help:"End a program's key and its tokens, everywhere within five seconds."`
	Rotate clientRotateCmd `cmd:"" help:"Give a program another key, and show it this once."`
	Title  clientTitleCmd  `cmd:"" help:"Change what people read of a program. Its key and everything else stay."`
	Sites  clientSitesCmd  `cmd:"" help:"Say where a program's users are sent back to after a login, and whose pages it has signed."`
}

// storeFlags say where the clients are.
type storeFlags struct {
	Config string `help:"The gateway's configuration, which names the store." placeholder:"FILE" short:"c"`
	Store  string `help:"The store, instead of the configuration's and of ZHONGKONG_STORE; sqlite:zhongkong.db unless told." placeholder:"URL"`
}

// with opens the store, does something with its clients, and closes it.
func (f storeFlags) with(ctx context.Context, t *terminal, do func(*gateway.Clients) error) (err error) {
	url := f.Store
	if url == "" && f.Config != "" {
		settings, err := gateway.Parts{}.Read(f.Config)
		if err != nil {
			return usageError{err}
		}
		url = settings.Store
	}
	if url == "" {
		url = storeOf(t.env)
	}
	if url == "memory:" {
		return mistake("memory: is the running gateway's own; its admin API adds clients there")
	}
	waiting := waitFor(t, "the store")
	defer waiting.end()
	store, err := open.Open(ctx, url, open.Options{Logger: slog.New(waiting)})
	if err != nil {
		return usageError{err}
	}
	defer func() { _ = store.Close() }()
	return do(gateway.NewClients(store, actor()))
}

// actor names the person who runs the program, for the journal.
func actor() string {
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return "command " + name + "@" + host
}

type clientAddCmd struct {
	Name    string    `arg:"" help:"Letters, digits, '-', '_' and '.'."`
	Title   string    `help:"What people read, such as Billing; at most 64 characters." placeholder:"TEXT"`
	Account []string  `help:"An appid that it may use; * is all. May be repeated." required:"" placeholder:"APPID"`
	Path    []string  `help:"A path that it may call, such as /cgi-bin/menu/get or /cgi-bin/message/*. May be repeated; without it, all." placeholder:"PATH"`
	Rate    float64   `help:"How many calls per second it may make at each gateway; without it, any number." placeholder:"NUMBER"`
	Return  []string  `help:"Where users whom it logs in are sent back to: https://shop.example/back, or https://shop.example/* for all of a site. May be repeated; without it, it logs nobody in." placeholder:"URL"`
	Origin  []string  `help:"A site whose pages get a JS-SDK configuration without a key, such as https://shop.example. May be repeated." placeholder:"URL"`
	Ends    time.Time `help:"When its key ends, such as 2030-01-31; without it, never." format:"2006-01-02" placeholder:"DAY"`
	Real    bool      `help:"Hand out the real token, for a program that calls WeChat itself."`

	storeFlags `embed:""`
}

// Run adds a client.
func (c *clientAddCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, t, func(clients *gateway.Clients) error {
		key, err := clients.Add(ctx, gateway.Client{
			Name: c.Name, Title: c.Title, Accounts: c.Account, Paths: c.Path, Rate: c.Rate, Ends: c.Ends, Real: c.Real,
			Returns: c.Return, Origins: c.Origin,
		})
		if err != nil {
			return err
		}
		t.show(key.Reveal())
		return nil
	})
}

// show prints a key by itself, to be piped, and says around it, to the person, that
// it comes once.
func (t *terminal) show(key string) {
	t.mu.Lock()
	_, _ = fmt.Fprintln(t.err, t.T("Its key, shown this once. The program gives it where the AppSecret would go:"))
	t.mu.Unlock()
	t.say("%s", key)
}

type clientListCmd struct {
	storeFlags `embed:""`
	jsonFlag   `embed:""`
}

// Run lists the clients.
func (c *clientListCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, t, func(clients *gateway.Clients) error {
		list, err := clients.List(ctx)
		if err != nil {
			return err
		}
		return listClients(t, list, c.JSON)
	})
}

type clientRevokeCmd struct {
	Name string `arg:""`

	storeFlags `embed:""`
}

// Run revokes a client.
func (c *clientRevokeCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, t, func(clients *gateway.Clients) error {
		if err := clients.Revoke(ctx, c.Name); err != nil {
			return err
		}
		t.say("%s is revoked. Gateways that run know within five seconds.", c.Name)
		return nil
	})
}

type clientTitleCmd struct {
	Name  string `arg:""`
	Title string `arg:"" help:"What people read, such as Billing; an empty one takes it away."`

	storeFlags `embed:""`
}

// Run changes the title of a client.
func (c *clientTitleCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, t, func(clients *gateway.Clients) error {
		if err := clients.SetTitle(ctx, c.Name, c.Title); err != nil {
			return err
		}
		t.say("%s has another title. Gateways that run know within five seconds.", c.Name)
		return nil
	})
}

type clientSitesCmd struct {
	Name      string   `arg:""`
	Return    []string `help:"Where users whom it logs in are sent back to, instead of what was said before: https://shop.example/back, or https://shop.example/* for all of a site. May be repeated." placeholder:"URL"`
	Origin    []string `help:"A site whose pages get a JS-SDK configuration without a key, instead of those before. May be repeated." placeholder:"URL"`
	NoReturns bool     `help:"From now on it logs nobody in."`
	NoOrigins bool     `help:"From now on no page is signed without a key."`

	storeFlags `embed:""`
}

// Run changes the sites of a client.
func (c *clientSitesCmd) Run(ctx context.Context, t *terminal) error {
	switch {
	case c.NoReturns && len(c.Return) > 0, c.NoOrigins && len(c.Origin) > 0:
		return mistake("name sites or take them away: not both at once")
	case c.NoReturns:
		c.Return = []string{}
	case len(c.Return) == 0:
		c.Return = nil
	}
	switch {
	case c.NoOrigins:
		c.Origin = []string{}
	case len(c.Origin) == 0:
		c.Origin = nil
	}
	if c.Return == nil && c.Origin == nil {
		return mistake("say what changes: --return, --origin, --no-returns or --no-origins")
	}
	return c.with(ctx, t, func(clients *gateway.Clients) error {
		if err := clients.SetSites(ctx, c.Name, c.Return, c.Origin); err != nil {
			return err
		}
		t.say("%s has other sites. Gateways that run know within five seconds.", c.Name)
		return nil
	})
}

type clientRotateCmd struct {
	Name  string        `arg:""`
	Grace time.Duration `help:"For how long the key before works on, such as 24h; without it, not at all."`

	storeFlags `embed:""`
}

// Run gives a client another key.
func (c *clientRotateCmd) Run(ctx context.Context, t *terminal) error {
	if c.Grace < 0 {
		return mistake("--grace %s: it must not be negative", c.Grace)
	}
	return c.with(ctx, t, func(clients *gateway.Clients) error {
		key, err := clients.Rotate(ctx, c.Name, c.Grace)
		if err != nil {
			return err
		}
		t.show(key.Reveal())
		return nil
	})
}
