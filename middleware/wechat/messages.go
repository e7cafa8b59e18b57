package wechat

import (
	"context"
	"errors"
	"fmt"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
)

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
func Messages(bot *callback.Router) gin.HandlerFunc {
	if bot == nil {
		panic("wechat.Messages: the bot is nil")
	}
	return door.Handler("wechat", bot)
}

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

// customMessage is a reply as the API of the customer service has it.
// WeChat: 客服接口-发消息.
func customMessage(openid string, reply *callback.Reply) (map[string]any, error) {
	if openid == "" || reply == nil {
		return nil, errors.New("wechat: Send needs an openid and a reply")
	}
	content := door.Content(reply)
	switch video, _ := content.(door.Fields); {
	case reply.Type == callback.TypeVideo && reply.ThumbMediaID != "":
		video["thumb_media_id"] = reply.ThumbMediaID
	case reply.Type == callback.TypeMusic:
		content = door.Filled(door.Fields{
			"title": reply.Title, "description": reply.Description,
			"musicurl": reply.MusicURL, "hqmusicurl": reply.HQMusicURL, "thumb_media_id": reply.ThumbMediaID,
		})
	case content == nil: // transfer_customer_service and raw are none
		return nil, fmt.Errorf("wechat: a reply of the type %s cannot be sent after WeChat was answered: reply with it within 5 seconds, "+
			"or with a text", reply.Type)
	}
	return map[string]any{"touser": openid, "msgtype": string(reply.Type), string(reply.Type): content}, nil
}
