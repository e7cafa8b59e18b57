package callback

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
)

// Context is a message on its way through the handlers, and back. It is itself a
// [context.Context], which ends when a [Timeout] or the shutdown says so, and not
// when WeChat gives up waiting. It belongs to one goroutine at a time.
type Context struct {
	context.Context
	Message *Message

	// Matches is what the pattern or expression of the route found in the text or
	// key: the whole first, then what stood for each * and ? or in each group.
	Matches []string

	chain  []Handler // what Next has still to run
	reply  *Reply
	limits Limits
	late   func() bool
	logged bool // the chain's error is in a log already
	values map[string]any
}

// Next runs the rest of the chain, and returns its error. A handler that works
// before and after the others calls it in between, once; one that does not call
// it ends the chain.
func (c *Context) Next() error {
	if len(c.chain) == 0 {
		return nil
	}
	next := c.chain[0]
	c.chain = c.chain[1:]
	return next(c)
}

// Reply sets the answer, instead of one that was set before; nil answers
// nothing. It leaves when the chain has come to its end: in the HTTP response if
// WeChat still waits, through the [Sender] if not, and not at all if the chain
// returns an error. Its own error is an [ErrReply].
func (c *Context) Reply(reply *Reply) error {
	if reply != nil {
		if err := reply.check(c.limits); err != nil {
			return err
		}
		r := *reply
		reply = &r
	}
	c.reply = reply
	return nil
}

// Replied returns the answer that was set, nil if there is none. Handlers that
// run after others look here at what those said.
func (c *Context) Replied() *Reply { return c.reply }

// ReplyText answers with a text.
func (c *Context) ReplyText(content string) error {
	return c.Reply(&Reply{Type: TypeText, Content: content})
}

// ReplyImage answers with an uploaded image.
func (c *Context) ReplyImage(mediaID string) error {
	return c.Reply(&Reply{Type: TypeImage, MediaID: mediaID})
}

// ReplyVoice answers with an uploaded recording.
func (c *Context) ReplyVoice(mediaID string) error {
	return c.Reply(&Reply{Type: TypeVoice, MediaID: mediaID})
}

// ReplyVideo answers with an uploaded video; title and description may be "".
func (c *Context) ReplyVideo(mediaID, title, description string) error {
	return c.Reply(&Reply{Type: TypeVideo, MediaID: mediaID, Title: title, Description: description})
}

// ReplyMusic answers with music; reply needs a ThumbMediaID and has no other Type.
func (c *Context) ReplyMusic(reply Reply) error {
	reply.Type = TypeMusic
	return c.Reply(&reply)
}

// ReplyNews answers with articles: one, unless [Limits] allow more.
func (c *Context) ReplyNews(articles ...Article) error {
	return c.Reply(&Reply{Type: TypeNews, Articles: articles})
}

// Transfer hands the follower to a person of the customer service: to kfAccount,
// such as test1@test, or to anybody if it is "".
func (c *Context) Transfer(kfAccount string) error {
	return c.Reply(&Reply{Type: TypeTransfer, KfAccount: kfAccount})
}

// ReplyRaw answers with a body of your own, for the events that want something else
// than a passive reply, such as {"ErrCode":0,"ErrMsg":"success"}. It is the answer in
// plain text: in safe mode it is sealed as every reply is, apart from "success".
// contentType is sent in plain mode; "" means what the body looks like. A raw answer
// leaves only while WeChat waits: no [Sender] can send it later.
func (c *Context) ReplyRaw(contentType string, body []byte) error {
	return c.Reply(&Reply{Type: TypeRaw, ContentType: contentType, Raw: bytes.Clone(body)})
}

// ReplyJSON is [Context.ReplyRaw] with v as JSON, without the \uXXXX that WeChat refuses
// elsewhere.
func (c *Context) ReplyJSON(v any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("callback: the reply cannot be written as JSON: %w", err)
	}
	return c.ReplyRaw("application/json; charset=utf-8", bytes.TrimSpace(body.Bytes()))
}

// ReplyNothing takes an answer back and answers nothing.
func (c *Context) ReplyNothing() error { return c.Reply(nil) }

// Late reports whether WeChat was answered already, because this took too long:
// what is replied now goes through the [Sender].
func (c *Context) Late() bool { return c.late != nil && c.late() }

// Set keeps a value for the handlers that come, and for those that come back.
func (c *Context) Set(key string, value any) {
	if c.values == nil {
		c.values = make(map[string]any)
	}
	c.values[key] = value
}

// Get returns what Set kept, nil if nothing.
func (c *Context) Get(key string) any { return c.values[key] }
