package wechat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
)

// Middleware is [New] and [Client.Middleware], for a client that lives as long
// as the process. It panics when cfg cannot work: that is found when a program
// starts, or never.
func Middleware(cfg Config) gin.HandlerFunc {
	client, err := New(cfg)
	if err != nil {
		panic("wechat.Middleware: the configuration cannot work: " + err.Error())
	}
	return client.Middleware()
}

// Middleware puts the client into the context of every request and answers for
// WeChat's on CallbackPath. It belongs before the routes: r.Use(client.Middleware()).
//
// Gin runs the middlewares of an engine, and not those of a group, for paths
// without a route. In a group, register [Client.Callback] as well.
func (c *Client) Middleware() gin.HandlerFunc {
	return func(ctx *gin.Context) {
		c.enter(ctx)
		// FullPath too: an engine may be told to route //wx to /wx.
		if ctx.Request.URL.Path == c.path || ctx.FullPath() == c.path {
			c.serve(ctx)
		}
	}
}

// Callback does for the routes it is registered at what Middleware does for
// CallbackPath, which does not matter here:
//
//	group.GET("/wx", client.Callback())
//	group.POST("/wx", client.Callback(), handler)
func (c *Client) Callback() gin.HandlerFunc {
	return func(ctx *gin.Context) {
		c.enter(ctx)
		c.serve(ctx)
	}
}

// enter puts the client into the context. Two accounts under one key would make
// calls in each other's name.
func (c *Client) enter(ctx *gin.Context) {
	if value, taken := ctx.Get(c.key); taken && value != any(c) {
		panic(c.clash(value))
	}
	ctx.Set(c.key, c)
}

func (c *Client) clash(value any) string {
	if other, ok := value.(*Client); ok {
		return fmt.Sprintf("wechat: the accounts %s and %s are both under the context key %q: give each a Config.ContextKey of its own",
			other.appID, c.appID, c.key)
	}
	return fmt.Sprintf("wechat: the context key %q of the account %s holds a %T already: choose another Config.ContextKey", c.key, c.appID, value)
}

// Push is a message of WeChat's that was verified.
type Push struct {
	Message []byte         // XML or JSON, in plain text; the request's body holds the same
	Query   callback.Query // what WeChat put into the query
	Pair    callback.Pair  // what it was verified and opened with, and an answer is sealed with
}

// pushKey is where a request keeps the Push of a client.
type pushKey struct{ client *Client }

// Push returns the message that a request brought to this client's callback, and
// false for any other request.
func (c *Client) Push(ctx *gin.Context) (*Push, bool) {
	value, _ := ctx.Get(pushKey{c})
	push, ok := value.(*Push)
	return push, ok
}

// serve answers for WeChat's requests and turns away those of others.
func (c *Client) serve(ctx *gin.Context) {
	switch ctx.Request.Method {
	case http.MethodGet:
		c.echo(ctx)
	case http.MethodPost:
		c.push(ctx)
	}
}

// echo answers an address verification.
func (c *Client) echo(ctx *gin.Context) {
	query, err := callback.ParseQuery(ctx.Request.URL.RawQuery)
	var echo string
	if err == nil {
		echo, err = c.verifier.VerifyURL(query)
	}
	if err != nil {
		c.refuse(ctx, err)
		return
	}
	c.log.Info("WeChat verified the callback address", "appid", c.appID)
	answer(ctx, http.StatusOK, echo)
}

// push opens a message and lets the handlers see it.
func (c *Client) push(ctx *gin.Context) {
	if _, open := c.Push(ctx); open {
		return // Middleware did it before Callback
	}
	push, err := c.open(ctx.Request)
	if err != nil {
		c.refuse(ctx, err)
		return
	}
	c.log.Debug("WeChat pushed a message", "appid", c.appID,
		"encrypted", push.Pair.Encrypted, "token_previous", push.Pair.TokenPrevious, "key_previous", push.Pair.KeyPrevious)
	ctx.Set(pushKey{c}, push)
	if c.bot != nil {
		c.handle(ctx, c.bot)
		return
	}
	ctx.Set(openedKey{}, c)
	ctx.Next()

	// Without an answer WeChat sends the message twice more and then tells the user
	// that the account is out of order. A handler that chose another status meant it.
	if !ctx.Writer.Written() && (ctx.FullPath() == "" || ctx.Writer.Status() == http.StatusOK) {
		answer(ctx, http.StatusOK, "success")
	}
}

// usualBody is room that a request gets for its word alone: most messages fit.
const usualBody = 16 << 10

// open verifies a push and puts the message in plain text in the body's place.
func (c *Client) open(r *http.Request) (*Push, error) {
	query, err := callback.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	if r.Body != nil { // a request that no server made
		body.Grow(int(min(max(r.ContentLength, 0), usualBody)) + bytes.MinRead)
		if _, err = body.ReadFrom(io.LimitReader(r.Body, callback.MaxBody+1)); err != nil {
			return nil, fmt.Errorf("the body could not be read to its end: %w", err)
		}
	}
	message, pair, err := c.verifier.Open(query, body.Bytes())
	if err != nil {
		return nil, err
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(message)), int64(len(message)), nil
	r.Header.Set("Content-Length", strconv.Itoa(len(message)))
	return &Push{Message: message, Query: query, Pair: pair}, nil
}

// refuse turns a request away. Its sender learns nothing, the log why.
func (c *Client) refuse(ctx *gin.Context, err error) {
	level := slog.LevelWarn
	attrs := []slog.Attr{
		slog.String("appid", c.appID), slog.String("method", ctx.Request.Method), slog.String("client_ip", ctx.ClientIP()),
	}
	var refusal *callback.Error
	if errors.As(err, &refusal) {
		attrs = append(attrs, slog.String("reason", string(refusal.Reason)), slog.String("parameter", refusal.Parameter))
		if c.refused != nil {
			c.refused(refusal)
		}
		if ctx.Request.Method == http.MethodGet && refusal.Reason == callback.ReasonMissing && refusal.Parameter == "signature" {
			level = slog.LevelDebug // somebody's browser, not an attempt
		}
	}
	c.log.LogAttrs(ctx.Request.Context(), level, "a callback was refused", append(attrs, slog.String("error", err.Error()))...)
	answer(ctx, http.StatusForbidden, "wrong")
}

// answer writes text and nothing else, and keeps the handlers that follow from
// writing more.
func answer(ctx *gin.Context, status int, text string) {
	header := ctx.Writer.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff") // the echostr is whatever the sender likes
	ctx.Abort()
	ctx.Status(status)
	_, _ = ctx.Writer.WriteString(text) // a sender who is gone misses nothing
}
