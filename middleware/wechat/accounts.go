package wechat

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
)

// AccountsKey is where handlers find the accounts: c.MustGet(AccountsKey).
const AccountsKey = "wechat.accounts"

// Accounts are the clients of many WeChat accounts behind one middleware, which costs a
// request the same for 3 accounts as for 3,000. It is safe for concurrent use:
//
//	accounts, err := wechat.NewAccounts(shop, news)
//	if err != nil {
//		return err
//	}
//	defer accounts.Close()
//	r.Use(accounts.Middleware())
//	r.GET("/menu/:appid", func(c *gin.Context) {
//		wx, ok := accounts.Client(c.Param("appid"))
//		...
//	})
//
// Accounts that name the same store share it. Each has a CallbackPath of its own; a
// handler or a bot on one of them gets its account's client, by [From] or
// c.MustGet("wechat"). Which account any other request is about only the program knows.
type Accounts struct {
	order   []*Client
	clients map[string]*Client // by AppID
	paths   map[string]*Client // by CallbackPath without a slash at the end

	misplaced sync.Once
}

// NewAccounts makes the client of each Config as [New] does. An error says which account
// cannot work, or which two exclude one another by their AppID or CallbackPath; no client
// is left open then.
func NewAccounts(configs ...Config) (*Accounts, error) {
	a := &Accounts{clients: map[string]*Client{}, paths: map[string]*Client{}}
	for i, cfg := range configs {
		c, err := New(cfg)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("account %d of %d, %s: %w", i+1, len(configs), shape.Show(cfg.AppID), err), a.Close())
		}
		path := strings.TrimSuffix(c.door.Path, "/")
		a.order = append(a.order, c)
		switch other := a.paths[path]; {
		case a.clients[c.appID] != nil:
			return nil, errors.Join(fmt.Errorf("wechat: the account %s appears twice: give each AppID one Config", c.appID), a.Close())
		case other != nil:
			return nil, errors.Join(fmt.Errorf("wechat: the accounts %s and %s both have the CallbackPath %q: give each a Config.CallbackPath of its own, such as %q",
				other.appID, c.appID, c.door.Path, "/wechat/"+c.appID), a.Close())
		}
		a.clients[c.appID], a.paths[path] = c, c
	}
	return a, nil
}

// Middleware puts the Accounts into the context of every request, as AccountsKey, and
// answers for WeChat's at each CallbackPath as [Client.Middleware] does.
func (a *Accounts) Middleware() gin.HandlerFunc {
	return func(ctx *gin.Context) {
		ctx.Set(AccountsKey, a)
		if c := a.calledBack(ctx); c != nil {
			if c.door.Enter(ctx) {
				c.door.Serve(ctx)
			}
			return
		}
		if len(a.order) > 0 && door.LooksLikeWeChat(ctx.Request) {
			a.misplaced.Do(func() {
				a.order[0].log.Warn("a request that looks like WeChat's came to the CallbackPath of no account, and is not verified: "+
					"compare the URL in the account's console with its Config.CallbackPath (in a group, the whole path)",
					"log_code", "wechat_callback_of_no_account",
					"path", ctx.Request.URL.Path)
			})
		}
	}
}

// calledBack returns the client at whose CallbackPath a request came.
func (a *Accounts) calledBack(ctx *gin.Context) *Client {
	for _, path := range []string{ctx.Request.URL.Path, ctx.FullPath()} {
		if c := a.paths[strings.TrimSuffix(path, "/")]; c != nil && c.door.CalledBack(ctx) {
			return c
		}
	}
	return nil
}

// Client returns the client of an account, and false for an appid that is not one of them.
func (a *Accounts) Client(appID string) (*Client, bool) {
	c, ok := a.clients[appID]
	return c, ok
}

// All goes through the clients in the order of their Configs.
func (a *Accounts) All() iter.Seq[*Client] { return slices.Values(a.order) }

// Close closes all clients at once; see [Client.Close].
func (a *Accounts) Close() error {
	errs := make([]error, len(a.order))
	var wg sync.WaitGroup
	for i, c := range a.order {
		wg.Go(func() { errs[i] = c.Close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// AccountsFrom returns the Accounts of a *gin.Context whose request went through
// [Accounts.Middleware]. It panics when there are none, as c.MustGet does.
func AccountsFrom(ctx context.Context) *Accounts {
	a, ok := ctx.Value(AccountsKey).(*Accounts)
	if !ok {
		panic("wechat: this request has no accounts: call r.Use(accounts.Middleware()) before the route is registered")
	}
	return a
}
