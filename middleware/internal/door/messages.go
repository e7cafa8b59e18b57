package door

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
)

// closeTime is what End gives to the handlers of messages.
const closeTime = 5 * time.Second

// Handler hands what was pushed to a bot. It is not inlined, so that what it returns has one
// name wherever it is called.
//
//go:noinline
func Handler(pkg string, bot *callback.Router) gin.HandlerFunc {
	return func(ctx *gin.Context) {
		value, _ := ctx.Get(openedKey{})
		door, ok := value.(*Door)
		if !ok || door.Package != pkg {
			panic(pkg + ".Messages: this request brought no message that was verified: register it with POST at Config.CallbackPath, " +
				"behind r.Use(" + pkg + ".Middleware(cfg)), or behind client.Callback()")
		}
		door.handle(ctx, bot)
	}
}

// messagesName is what Gin calls the handlers that Messages returns.
var messagesName = runtime.FuncForPC(reflect.ValueOf(Handler("", nil)).Pointer()).Name()

// handlesMessages reports whether one of the handlers of a route is of Messages, which
// knows what was handled. Gin does not see one that another handler calls.
func (c *Door) handlesMessages(ctx *gin.Context) bool {
	route := ctx.FullPath()
	if handles, ok := c.botRoutes.Load(route); ok {
		return handles.(bool)
	}
	handles := slices.Contains(ctx.HandlerNames(), messagesName)
	if route != "" {
		c.botRoutes.Store(route, handles)
	}
	return handles
}

// A handler of the program's own may call what Handler returned, and Gin does not show
// that. What a route does with fresh pushes shows it: where all of them came to Messages, a
// late one is let through as well, and only Messages sees it. learn notes where a fresh
// push came to.
func (c *Door) learn(route string, handled bool) {
	switch {
	case route == "":
	case handled:
		c.wrapped.LoadOrStore(route, true)
	default:
		c.wrapped.Store(route, false) // for good
	}
}

// wraps reports whether a route hands on to Messages what it is given, as far as is known.
func (c *Door) wraps(route string) bool {
	wraps, _ := c.wrapped.Load(route)
	return wraps == true
}

// handledKey is where a request notes that it came to Messages, and lateKey where it keeps
// a push with an old timestamp until then.
type (
	handledKey struct{ client *Door }
	lateKey    struct{ client *Door }
)

// hiddenBody is in for the body of a late push.
type hiddenBody struct{ pkg string }

func (hiddenBody) Close() error { return nil }

func (b hiddenBody) Read([]byte) (int, error) {
	return 0, errors.New(b.pkg + ": this push has an old timestamp: only " + b.pkg + ".Messages, which knows what was handled, may read it")
}

// reveal gives a late push to Messages.
func (c *Door) reveal(ctx *gin.Context) {
	value, _ := ctx.Get(lateKey{c})
	if push, ok := value.(*Push); ok {
		ctx.Request.Body = io.NopCloser(bytes.NewReader(push.Message))
		ctx.Set(pushKey{c}, push)
	}
	ctx.Set(handledKey{c}, true)
}

// Endpoint fills in what a Config.Endpoint leaves to the client.
func (c *Door) Endpoint(e callback.EndpointConfig, store any, sender callback.Sender, keys []custody.Secret) callback.EndpointConfig {
	e.Verifier = c.Verifier
	if e.Once == nil {
		e.Once, _ = store.(callback.Once)
	}
	if e.Account == "" {
		e.Account = c.AppID
	}
	if e.Sender == nil {
		e.Sender = sender
	}
	if e.SealKeys == nil {
		for _, key := range keys {
			e.SealKeys = append(e.SealKeys, key)
		}
	}
	if e.Logger == nil {
		e.Logger = c.Log
	}
	if e.Context == nil {
		e.Context = context.Background()
	}
	e.Context = context.WithValue(e.Context, ownerKey{}, c.Owner)
	return e
}

// ownerKey is where a message's Context has the client.
type ownerKey struct{}

// Owner returns the client of a message's Context, or of a *gin.Context under key. A message
// may belong to another product's client.
func Owner[T any](ctx context.Context, key any) (owner T, ok bool) {
	if owner, ok = ctx.Value(ownerKey{}).(T); !ok {
		owner, ok = ctx.Value(key).(T)
	}
	return owner, ok
}

// openedKey is where a request keeps the client that opened its message.
type openedKey struct{}

// Messages is a client's bot at work.
type Messages struct {
	Config  callback.EndpointConfig // with everything but the Router
	Forgets bool                    // nobody chose a store that outlives the process

	mu       sync.Mutex // guards what follows
	endpoint *callback.Endpoint
	bot      *callback.Router // of endpoint
	closed   bool
}

// Begin returns the endpoint for a bot, the same each time.
func (c *Door) Begin(bot *callback.Router) (*callback.Endpoint, error) {
	m := &c.Messages
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, named.Errorf(c.Package, "the client is closed")
	case m.endpoint != nil && m.bot != bot:
		panic(fmt.Sprintf("%s: the account %s has a bot already: Config.Messages and Messages are for one and the same; "+
			"use its Group and Use", c.Package, m.Config.Account))
	case m.endpoint == nil:
		config := m.Config
		config.Router = bot
		endpoint, err := callback.NewEndpoint(config)
		if err != nil {
			return nil, named.Errorf(c.Package, "Config.Endpoint: %w", err)
		}
		if m.Forgets {
			config.Logger.Warn("messages are remembered by this process alone, so that another one, or this one after a restart, may answer a message again: set ZHONGKONG_STORE (Config.StoreURL)",
				"log_code", c.Package+"_messages_in_memory")
		}
		m.endpoint, m.bot = endpoint, bot
	}
	return m.endpoint, nil
}

// End waits for the handlers of messages, for closeTime.
func (c *Door) End() error {
	m := &c.Messages
	m.mu.Lock()
	m.closed = true
	endpoint := m.endpoint
	m.mu.Unlock()
	if endpoint == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := endpoint.Shutdown(ctx); err != nil {
		return named.Errorf(c.Package, "a handler of messages did not end within %s: %w", closeTime, err)
	}
	return nil
}

// handle answers a request's message through the bot.
func (c *Door) handle(ctx *gin.Context, bot *callback.Router) {
	c.reveal(ctx)
	push, _ := c.Push(ctx)
	ctx.Abort()
	endpoint, err := c.Begin(bot)
	if err != nil {
		answer(ctx, http.StatusServiceUnavailable, "wrong") // the message comes again, and perhaps another process
		return
	}
	if push.sealing != nil {
		push.sealing.through = true // the Endpoint seals
	}
	ctx.Status(http.StatusOK) // Gin's is 404 where no route is
	endpoint.Serve(ctx.Writer, ctx.Request, push.Query, push.Pair, push.Message)
}
