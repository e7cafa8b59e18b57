// Package door is the callbacks of one account on Gin: what the middlewares of official
// accounts and of WeCom have in common. It verifies and opens what is pushed, has it handled
// once, and seals answers.
package door

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
)

// Door is one account's. Its exported fields are set before the first request.
type Door struct {
	Package   string       // whose errors and panics these are: "wechat"
	Product   string       // who calls back: "WeChat"
	AppID     string       // names the account
	Path      string       // of callbacks
	Key       any          // of the context; an interface once and not for each request
	Owner     any          // what handlers find under Key: a client, which says whose it is
	Log       *slog.Logger // names the account and the product
	Verifier  *callback.Verifier
	Envelopes *callback.Verifier    // the same, for answers: of any age
	Refused   func(*callback.Error) // nil: nothing is called
	Bot       *callback.Router      // nil without
	Messages  Messages

	botRoutes            sync.Map             // route → whether a handler of Messages is there
	wrapped              sync.Map             // by route, whether its fresh pushes all came to Messages, see learn
	misplaced, unhandled sync.Once            // what was logged about callbacks
	suspect, rival       atomic.Pointer[Door] // another account with the same CallbackPath: in this process, and on this engine
	complained           atomic.Int64         // when the log was last told what is broken, in seconds
}

// Middleware puts the client into the context of every request and answers for the product's
// on CallbackPath. It belongs before the routes: r.Use(client.Middleware()).
//
// A slash at the end of the path does not matter. Gin runs the middlewares of an engine,
// and not those of a group, for paths without a route. In a group, register
// [Door.Callback] instead, for GET and POST.
//
// Two accounts of one engine need a CallbackPath and a ContextKey each. Which engine a
// middleware belongs to is known when its first request comes; until then a program that
// has two accounts with one CallbackPath gets a Warn, and from then on every request is
// answered 500, with the reason in the log.
func (c *Door) Middleware() gin.HandlerFunc {
	if other := used.add(c); other != nil {
		c.Log.Warn("two accounts of this program have one CallbackPath: on one engine the first one would refuse the other one's messages; "+
			"give each a Config.CallbackPath of its own",
			"log_code", c.Package+"_callback_path_shared", "other_appid", other.AppID, "callback_path", c.Path)
	}
	return func(ctx *gin.Context) {
		if c.suspect.Load() != nil && !c.alone(ctx) || !c.Enter(ctx) {
			return
		}
		switch {
		case c.CalledBack(ctx):
			c.Serve(ctx)
		case LooksLikeWeChat(ctx.Request) && !used.has(ctx.Request.URL.Path):
			c.misplaced.Do(func() {
				c.Log.Warn("a request that looks like "+c.Product+"'s came to another path than CallbackPath, and is not verified: "+
					"set Config.CallbackPath to the path of the URL in the console (in a group, the whole path), "+
					"or register client.Callback() at this route", "log_code", c.Package+"_callback_elsewhere",
					"path", ctx.Request.URL.Path, "callback_path", c.Path)
			})
		}
	}
}

// CalledBack reports whether a request came to CallbackPath: by its route too, as an
// engine may be told to route //wx to /wx.
func (c *Door) CalledBack(ctx *gin.Context) bool {
	path, route := ctx.Request.URL.Path, ctx.FullPath()
	return path == c.Path || samePath(route, c.Path) || route == "" && samePath(path, c.Path)
}

// used are the open clients of this process whose Middleware was made. Which engine it
// belongs to, nobody can tell before a request comes.
var used registry

type registry struct {
	mu      sync.Mutex
	clients []*Door
}

// add returns the client of another account that has the same CallbackPath, nil for none.
// From now on both look whether they meet.
func (r *registry) add(c *Door) (other *Door) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.clients {
		if o.AppID != c.AppID && samePath(o.Path, c.Path) {
			other = o
			o.suspect.Store(c)
			c.suspect.Store(o)
		}
	}
	r.clients = append(r.clients, c)
	return other
}

// has reports whether a path is some client's CallbackPath.
func (r *registry) has(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.clients, func(c *Door) bool { return samePath(c.Path, path) })
}

func (r *registry) remove(c *Door) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = slices.DeleteFunc(r.clients, func(o *Door) bool { return o == c })
	for _, o := range r.clients {
		o.suspect.CompareAndSwap(c, nil)
	}
}

// samePath compares paths, but for a slash at the end.
func samePath(a, b string) bool {
	return a == b || a != "" && strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/")
}

// LooksLikeWeChat goes by what WeChat's queries have, without proof.
func LooksLikeWeChat(r *http.Request) bool {
	query := r.URL.RawQuery
	return query != "" && strings.Contains(query, "signature=") && strings.Contains(query, "timestamp=") && strings.Contains(query, "nonce=")
}

// pathsKey is where a request keeps the clients whose Middleware it went through, of those
// that are not alone with their CallbackPath in this process.
type pathsKey struct{}

// alone answers a request that went through the Middleware of a second account with the
// same CallbackPath, or one that comes after such a request: the other account would
// never see a push, as the first one refuses them.
func (c *Door) alone(ctx *gin.Context) bool {
	value, _ := ctx.Get(pathsKey{})
	others, _ := value.([]*Door)
	for _, other := range others {
		if other.AppID != c.AppID && samePath(other.Path, c.Path) {
			other.rival.Store(c)
			c.rival.Store(other)
		}
	}
	if other := c.rival.Load(); other != nil {
		c.broken(ctx, fmt.Sprintf("the accounts %s and %s both have the CallbackPath %q: give each a Config.CallbackPath of its own",
			other.AppID, c.AppID, c.Path))
		return false
	}
	ctx.Set(pathsKey{}, append(slices.Clip(others), c))
	return true
}

// broken answers a request that this program cannot serve, and says why once a minute.
func (c *Door) broken(ctx *gin.Context, why string) {
	if now, last := time.Now().Unix(), c.complained.Load(); now-last >= 60 && c.complained.CompareAndSwap(last, now) {
		c.Log.Error("every request is answered 500 until the program's configuration is corrected",
			"log_code", c.Package+"_program_broken", "error", why)
	}
	answer(ctx, http.StatusInternalServerError, "wrong")
}

// Callback does for the routes it is registered at what Middleware does for
// CallbackPath, which does not matter here:
//
//	group.GET("/wx", client.Callback())
//	group.POST("/wx", client.Callback(), handler)
func (c *Door) Callback() gin.HandlerFunc {
	return func(ctx *gin.Context) {
		if c.Enter(ctx) {
			c.Serve(ctx)
		}
	}
}

// Enter puts the client into the context. Two accounts under one key would make
// calls in each other's name: then the request is answered.
func (c *Door) Enter(ctx *gin.Context) bool {
	if value, taken := ctx.Get(c.Key); taken && value != c.Owner {
		c.broken(ctx, c.clash(value))
		return false
	}
	ctx.Set(c.Key, c.Owner)
	return true
}

func (c *Door) clash(value any) string {
	if _, client := value.(fmt.Formatter); client {
		return fmt.Sprintf("%v and the account %s are both under the context key %q: give each a Config.ContextKey of its own",
			value, c.AppID, c.Key)
	}
	return fmt.Sprintf("the context key %q of the account %s holds a %T already: choose another Config.ContextKey", c.Key, c.AppID, value)
}

// Push is a message that was verified.
type Push struct {
	Message []byte         // XML or JSON, in plain text; the request's body holds the same
	Query   callback.Query // what the sender put into the query
	Pair    callback.Pair  // what it was verified and opened with, and an answer is sealed with

	sealing *sealingWriter // of an encrypted push without Config.Messages
	late    error          // the refusal of an old timestamp, if only Messages may see the push
}

// pushKey is where a request keeps the Push of a client.
type pushKey struct{ client *Door }

// Push returns the message that a request brought to this client's callback, and
// false for any other request.
func (c *Door) Push(ctx *gin.Context) (*Push, bool) {
	value, _ := ctx.Get(pushKey{c})
	push, ok := value.(*Push)
	return push, ok
}

// Serve answers for the product's requests and turns away those of others.
func (c *Door) Serve(ctx *gin.Context) {
	switch ctx.Request.Method {
	case http.MethodGet:
		c.echo(ctx)
	case http.MethodPost:
		c.push(ctx)
	}
}

// echo answers an address verification.
func (c *Door) echo(ctx *gin.Context) {
	query, err := callback.ParseQuery(ctx.Request.URL.RawQuery)
	var echo string
	if err == nil {
		echo, err = c.Verifier.VerifyURL(query)
	}
	if err != nil {
		c.refuse(ctx, err)
		return
	}
	c.Log.Info(c.Product + " verified the callback address")
	answer(ctx, http.StatusOK, echo)
}

// push opens a message and lets the handlers see it.
func (c *Door) push(ctx *gin.Context) {
	_, open := c.Push(ctx)
	if _, late := ctx.Get(lateKey{c}); open || late {
		return // Middleware did it before Callback
	}
	push, err := c.open(ctx)
	if err != nil {
		c.refuse(ctx, err)
		return
	}
	c.Log.Debug(c.Product+" pushed a message",
		"encrypted", push.Pair.Encrypted, "token_previous", push.Pair.TokenPrevious, "key_previous", push.Pair.KeyPrevious)
	if c.Bot != nil {
		ctx.Set(pushKey{c}, push)
		c.handle(ctx, c.Bot)
		return
	}
	ctx.Set(openedKey{}, c)
	if push.late == nil {
		ctx.Set(pushKey{c}, push)
	} else {
		ctx.Set(lateKey{c}, push)
		ctx.Request.Body = hiddenBody{c.Package}
	}
	var sealing *sealingWriter
	if push.Pair.Encrypted {
		sealing = &sealingWriter{ResponseWriter: ctx.Writer}
		push.sealing, ctx.Writer = sealing, sealing
		defer func() { ctx.Writer = sealing.ResponseWriter }() // also for a Recovery in front
	}
	ctx.Next()
	if _, handled := ctx.Get(handledKey{c}); push.late != nil && !handled {
		ctx.Writer = sealing.ResponseWriter // without what was kept
		ctx.Writer.Header().Del("Content-Length")
		ctx.Writer.Header().Del("Content-Encoding")
		c.refuse(ctx, push.late)
		return
	} else if push.late == nil {
		c.learn(ctx.FullPath(), handled)
	}
	c.complete(ctx, push)
}

// complete answers what handlers left without an answer, and seals what they answered.
func (c *Door) complete(ctx *gin.Context, push *Push) {
	// Without an answer WeChat sends the message twice more and then tells the user
	// that the account is out of order. A handler that chose another status meant it.
	if !ctx.Writer.Written() && (ctx.Writer.Status() == http.StatusOK || ctx.FullPath() == "" && noRoute(ctx.Writer.Status())) {
		if ctx.FullPath() == "" {
			c.unhandled.Do(func() {
				c.Log.Warn("messages are answered with success and nobody handles them: "+
					"set Config.Messages, or register a route for POST at CallbackPath",
					"log_code", c.Package+"_messages_unhandled", "callback_path", c.Path)
			})
		}
		answer(ctx, http.StatusOK, "success")
	}
	if sealing := push.sealing; sealing != nil && !sealing.through {
		if err := sealing.finish(c, push); err != nil {
			c.Log.Error("a handler's answer to an encrypted push was not sent", "log_code", c.Package+"_answer_not_sent", "error", err)
		}
	}
}

// noRoute reports whether a status is Gin's own where nothing is registered.
func noRoute(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed
}

// open verifies a push and puts the message in plain text in the body's place.
func (c *Door) open(ctx *gin.Context) (*Push, error) {
	r := ctx.Request
	query, err := callback.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	// Gin's ShouldBindBodyWith of an earlier middleware reads the body and keeps it.
	value, bound := ctx.Get(gin.BodyBytesKey)
	if bound {
		if body, ok := value.([]byte); ok && len(body) > 0 {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
	}
	open := c.Verifier.OpenRequest
	direct := c.Bot != nil || c.handlesMessages(ctx)
	if direct || c.wraps(ctx.FullPath()) {
		open = c.Verifier.OpenLate // the Endpoint looks at the timestamp
	}
	message, pair, err := open(query, r)
	var refusal *callback.Error
	switch {
	case err == nil:
	case errors.As(err, &refusal):
		return nil, err
	default:
		return nil, fmt.Errorf("the body could not be read to its end: %w", err)
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(message)), int64(len(message)), nil
	r.Header.Set("Content-Length", strconv.Itoa(len(message)))
	if bound {
		ctx.Set(gin.BodyBytesKey, message) // a later one finds the message, too
	}
	push := &Push{Message: message, Query: query, Pair: pair}
	if !direct && pair.Encrypted {
		push.late = c.Verifier.Fresh(query)
	}
	return push, nil
}

// refuse turns a request away. Its sender learns nothing, the log why.
func (c *Door) refuse(ctx *gin.Context, err error) {
	level := slog.LevelWarn
	attrs := []slog.Attr{slog.String("method", ctx.Request.Method), slog.String("client_ip", ctx.ClientIP())}
	status := http.StatusForbidden
	if refusal, ok := errors.AsType[*callback.Error](err); ok {
		if status = refusal.Status(); status != http.StatusForbidden {
			level = slog.LevelError
		}
		attrs = append(attrs, slog.String("reason", string(refusal.Reason)), slog.String("parameter", refusal.Parameter))
		if c.Refused != nil {
			c.Refused(refusal)
		}
		if ctx.Request.Method == http.MethodGet && refusal.Reason == callback.ReasonMissing && refusal.Parameter == "signature" {
			level = slog.LevelDebug // somebody's browser, not an attempt
		}
	}
	if other := c.suspect.Load(); other != nil {
		attrs = append(attrs, slog.String("same_callback_path", other.AppID)) // whose push it may have been
	}
	c.Log.LogAttrs(ctx.Request.Context(), level, "a callback was refused",
		append(attrs, slog.String("log_code", c.Package+"_callback_refused"), slog.String("error", err.Error()))...)
	answer(ctx, status, "wrong")
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

// Leave forgets a client that is closed.
func (c *Door) Leave() { used.remove(c) }
