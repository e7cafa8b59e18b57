package wechat

import (
	"fmt"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
)

// Middleware is [New] and [Client.Middleware], for a client that lives as long
// as the process. It panics with the error of New when cfg cannot work: that is found
// when a program starts, or never. A program that would rather print one line calls New.
func Middleware(cfg Config) gin.HandlerFunc {
	client, err := New(cfg)
	if err != nil {
		panic(fmt.Errorf("wechat.Middleware: %w", err))
	}
	return client.Middleware()
}

// Middleware puts the client into the context of every request and answers for
// WeChat's on CallbackPath. It belongs before the routes: r.Use(client.Middleware()).
//
// A slash at the end of the path does not matter. Gin runs the middlewares of an engine,
// and not those of a group, for paths without a route. In a group, register
// [Client.Callback] instead, for GET and POST.
//
// Two accounts of one engine need a CallbackPath and a ContextKey each. Which engine a
// middleware belongs to is known when its first request comes; until then a program that
// has two accounts with one CallbackPath gets a Warn, and from then on every request is
// answered 500, with the reason in the log. [NewAccounts] returns an error instead.
func (c *Client) Middleware() gin.HandlerFunc { return c.door.Middleware() }

// Callback does for the routes it is registered at what Middleware does for
// CallbackPath, which does not matter here:
//
//	group.GET("/wx", client.Callback())
//	group.POST("/wx", client.Callback(), handler)
func (c *Client) Callback() gin.HandlerFunc { return c.door.Callback() }

// Push is a message of WeChat's that was verified: Message, XML or JSON in plain text, which
// the request's body holds too; Query, what WeChat put into the query; and Pair, what the
// message was verified and opened with, and an answer is sealed with.
type Push = door.Push

// Push returns the message that a request brought to this client's callback, and
// false for any other request.
func (c *Client) Push(ctx *gin.Context) (*Push, bool) { return c.door.Push(ctx) }

// Seal returns what to answer to a push, for handlers that write answers themselves:
// reply, encrypted in the form of the push, or as it is where the push was not
// encrypted, is answered with "success" or with nothing.
//
// Handlers behind [Middleware] or [Client.Callback] need no call of it: what they write
// with status 200 is sealed for them, and what Seal returned is left as it is.
func (c *Client) Seal(push *Push, reply []byte) ([]byte, error) { return c.door.Seal(push, reply) }
