package wechat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
)

// closeTime is what Close gives to the handlers of messages.
const closeTime = 5 * time.Second

// Messages hands what WeChat pushes to a bot, which answers it once and in time:
//
//	bot := callback.NewRouter()
//	bot.Text("天气*", func(c *callback.Context) error { return c.ReplyText("晴, 26°C") })
//	r.POST("/", wechat.Messages(bot))
//
// Register it behind [Middleware] or [Client.Callback], which have verified and
// opened the message; [callback.Endpoint] says what happens to it
// then. [From] finds the client in a handler's Context, a store of this module is
// what makes all processes handle a message once, and what is replied too late
// leaves through [Client.Send].
//
// With Config.Messages no route is needed, and messages that a crashed process
// left are taken up from the start. Here that begins with the first message. A
// client has one bot: another one panics.
//
// An order that WeChat repeats with an old timestamp is taken where the handler that
// Messages returns is one of the route's, or where a handler that calls it has handed on
// every push so far, at least one: the call is not visible before.
//
//go:noinline
func Messages(bot *callback.Router) gin.HandlerFunc {
	if bot == nil {
		panic("wechat.Messages: the bot is nil")
	}
	return messagesHandler(bot)
}

// messagesHandler is not inlined, so that what it returns has one name wherever it is
// called.
//
//go:noinline
func messagesHandler(bot *callback.Router) gin.HandlerFunc {
	return func(ctx *gin.Context) {
		value, _ := ctx.Get(openedKey{})
		client, ok := value.(*Client)
		if !ok {
			panic("wechat.Messages: this request brought no message that was verified: register it with POST at Config.CallbackPath, " +
				"behind r.Use(wechat.Middleware(cfg)), or behind client.Callback()")
		}
		client.handle(ctx, bot)
	}
}

// messagesName is what Gin calls the handlers that Messages returns.
var messagesName = runtime.FuncForPC(reflect.ValueOf(messagesHandler(nil)).Pointer()).Name()

// handlesMessages reports whether one of the handlers of a route is of Messages, which
// knows what was handled. Gin does not see one that another handler calls.
func (c *Client) handlesMessages(ctx *gin.Context) bool {
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

// A handler of the program's own may call what Messages returned, and Gin does not show
// that. What a route does with fresh pushes shows it: where all of them came to Messages, a
// late one is let through as well, and only Messages sees it. learn notes where a fresh
// push came to.
func (c *Client) learn(route string, handled bool) {
	switch {
	case route == "":
	case handled:
		c.wrapped.LoadOrStore(route, true)
	default:
		c.wrapped.Store(route, false) // for good
	}
}

// wraps reports whether a route hands on to Messages what it is given, as far as is known.
func (c *Client) wraps(route string) bool {
	wraps, _ := c.wrapped.Load(route)
	return wraps == true
}

// handledKey is where a request notes that it came to Messages, and lateKey where it keeps
// a push with an old timestamp until then.
type (
	handledKey struct{ client *Client }
	lateKey    struct{ client *Client }
)

// hiddenBody stands in for the body of a late push.
type hiddenBody struct{}

func (hiddenBody) Close() error { return nil }

func (hiddenBody) Read([]byte) (int, error) {
	return 0, errors.New("wechat: this push has an old timestamp: only wechat.Messages, which knows what was handled, may read it")
}

// reveal gives a late push to Messages.
func (c *Client) reveal(ctx *gin.Context) {
	value, _ := ctx.Get(lateKey{c})
	if push, ok := value.(*Push); ok {
		ctx.Request.Body = io.NopCloser(bytes.NewReader(push.Message))
		ctx.Set(pushKey{c}, push)
	}
	ctx.Set(handledKey{c}, true)
}

// openedKey is where a request keeps the client that opened its message.
type openedKey struct{}

// messages is a client's bot at work.
type messages struct {
	config  callback.EndpointConfig // with everything but the Router
	forgets bool                    // nobody chose a store that outlives the process

	mu       sync.Mutex // guards what follows
	endpoint *callback.Endpoint
	bot      *callback.Router // of endpoint
	closed   bool
}

var errClosed = errors.New("wechat: the client is closed")

// begin returns the endpoint for a bot, the same each time.
func (m *messages) begin(bot *callback.Router) (*callback.Endpoint, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, errClosed
	case m.endpoint != nil && m.bot != bot:
		panic(fmt.Sprintf("wechat: the account %s has a bot already: Config.Messages and wechat.Messages are for one and the same; "+
			"use its Group and Use", m.config.Account))
	case m.endpoint == nil:
		config := m.config
		config.Router = bot
		endpoint, err := callback.NewEndpoint(config)
		if err != nil {
			return nil, err
		}
		if m.forgets {
			config.Logger.Warn("messages are remembered by this process alone, so that another one, or this one after a restart, may answer a message again: set ZHONGKONG_STORE (Config.StoreURL)",
				"log_code", "wechat_messages_in_memory")
		}
		m.endpoint, m.bot = endpoint, bot
	}
	return m.endpoint, nil
}

// end waits for the handlers, for closeTime.
func (m *messages) end() error {
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
		return fmt.Errorf("wechat: a handler of messages did not end within %s: %w", closeTime, err)
	}
	return nil
}

// handle answers a request's message through the bot.
func (c *Client) handle(ctx *gin.Context, bot *callback.Router) {
	c.reveal(ctx)
	push, _ := c.Push(ctx)
	ctx.Abort()
	endpoint, err := c.messages.begin(bot)
	if err != nil {
		answer(ctx, http.StatusServiceUnavailable, "wrong") // WeChat asks again, and perhaps another process
		return
	}
	if push.sealing != nil {
		push.sealing.through = true // the Endpoint seals
	}
	ctx.Status(http.StatusOK) // Gin's is 404 where no route is
	endpoint.Serve(ctx.Writer, ctx.Request, push.Query, push.Pair, push.Message)
}

// endpointConfig fills in what Config.Endpoint leaves to the client.
func (c Config) endpointConfig(client *Client, store any) callback.EndpointConfig {
	e := c.Endpoint
	e.Verifier = client.verifier
	if e.Once == nil {
		e.Once, _ = store.(callback.Once)
	}
	if e.Account == "" {
		e.Account = c.AppID
	}
	if e.Sender == nil {
		e.Sender = client
	}
	if e.SealKeys == nil {
		for _, key := range c.SealKeys {
			e.SealKeys = append(e.SealKeys, key)
		}
	}
	if e.Logger == nil {
		e.Logger = c.Logger.With("appid", c.AppID)
	}
	if e.Context == nil {
		e.Context = context.Background()
	}
	e.Context = context.WithValue(e.Context, clientKey{}, client)
	return e
}

// clientKey is where a message's Context has the client.
type clientKey struct{}

// Send sends a message of the customer service to a follower, who has to have
// written within the last 48 hours: POST /cgi-bin/message/custom/send. It
// implements [callback.Sender], for replies that come too late. A
// callback.TypeTransfer is no message and an error; other errors are those of
// [Client.Post].
func (c *Client) Send(ctx context.Context, openid string, reply *callback.Reply) error {
	body, err := customMessage(openid, reply)
	if err != nil {
		return err
	}
	return c.Post(ctx, "/cgi-bin/message/custom/send", body, nil)
}

type fields = map[string]string

// object leaves out what is empty.
func object(f fields) fields {
	maps.DeleteFunc(f, func(_, value string) bool { return value == "" })
	return f
}

// customMessage is a reply as the API of the customer service has it.
// WeChat: 客服接口-发消息.
func customMessage(openid string, reply *callback.Reply) (map[string]any, error) {
	if openid == "" || reply == nil {
		return nil, errors.New("wechat: Send needs an openid and a reply")
	}
	var content any
	switch reply.Type {
	case callback.TypeText:
		content = object(fields{"content": reply.Content})
	case callback.TypeImage, callback.TypeVoice:
		content = object(fields{"media_id": reply.MediaID})
	case callback.TypeVideo:
		content = object(fields{
			"media_id": reply.MediaID, "thumb_media_id": reply.ThumbMediaID,
			"title": reply.Title, "description": reply.Description,
		})
	case callback.TypeMusic:
		content = object(fields{
			"title": reply.Title, "description": reply.Description,
			"musicurl": reply.MusicURL, "hqmusicurl": reply.HQMusicURL, "thumb_media_id": reply.ThumbMediaID,
		})
	case callback.TypeNews:
		articles := make([]fields, len(reply.Articles))
		for i, article := range reply.Articles {
			articles[i] = object(fields{"title": article.Title, "description": article.Description, "url": article.URL, "picurl": article.PicURL})
		}
		content = map[string]any{"articles": articles}
	default: // transfer_customer_service and raw are none
		return nil, fmt.Errorf("wechat: a reply of the type %s cannot be sent after WeChat was answered: reply with it within 5 seconds, "+
			"or with a text", reply.Type)
	}
	return map[string]any{"touser": openid, "msgtype": string(reply.Type), string(reply.Type): content}, nil
}
