package wecom

import (
	"context"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
)

// Events that WeCom pushes to an app, in addition to those of official accounts
// (callback.Subscribe, Click, View, Location and the others of menus). Others reach the
// handlers as well. Members send the types of messages that package callback has: text,
// image, voice, video, location and link.
const (
	EnterAgent            callback.Event = "enter_agent"             // a member opens the app
	BatchJobResult        callback.Event = "batch_job_result"        // an import of the contacts is done
	ChangeContact         callback.Event = "change_contact"          // a member, department or tag changed
	ChangeExternalContact callback.Event = "change_external_contact" // a customer was added, changed or lost
	ChangeExternalChat    callback.Event = "change_external_chat"    // likewise a group of customers
	OpenApprovalChange    callback.Event = "open_approval_change"    // of an approval that the app began
	TemplateCardEvent     callback.Event = "template_card_event"     // a button of a card was pressed
	ServiceMessage        callback.Event = "kf_msg_or_event"         // 微信客服 has messages to fetch
)

// Messages hands what WeCom pushes to a bot, which answers it once and in time:
//
//	bot := callback.NewRouter()
//	bot.Text("天气*", func(c *callback.Context) error { return c.ReplyText("晴, 26°C") })
//	bot.Event(wecom.EnterAgent, welcome)
//	r.POST("/wecom", wecom.Messages(bot))
//
// Register it behind [Middleware] or [Client.Callback]. What is replied too late leaves
// through [Client.Send]. With Config.Messages no route is needed. A bot (智能机器人) answers by
// callback.Context.ReplyJSON.
func Messages(bot *callback.Router) gin.HandlerFunc {
	if bot == nil {
		panic("wecom.Messages: the bot is nil")
	}
	return door.Handler("wecom", bot)
}

// Send sends a message of the app to a member: POST /cgi-bin/message/send. It implements
// [callback.Sender], for replies that come too late. Errors are those of [Client.Post].
func (c *Client) Send(ctx context.Context, userID string, reply *callback.Reply) error {
	body, err := c.message(userID, reply)
	if err != nil {
		return err
	}
	return c.Post(ctx, "/cgi-bin/message/send", body, nil)
}

var _ callback.Sender = (*Client)(nil)

// message is a reply as message/send has it.
// WeCom: 发送应用消息.
func (c *Client) message(userID string, reply *callback.Reply) (map[string]any, error) {
	agent, err := strconv.ParseInt(c.app.AgentID, 10, 64)
	switch {
	case userID == "" || reply == nil:
		return nil, named.Errorf("wecom", "Send needs a userid and a reply")
	case err != nil:
		return nil, named.Errorf("wecom", "%s has no AgentID, and so sends no messages", c.id)
	}
	content := door.Content(reply)
	if content == nil {
		return nil, named.Errorf("wecom", "a reply of the type %s cannot be sent after WeCom was answered: reply with it within 5 seconds, "+
			"or with a text", reply.Type)
	}
	return map[string]any{"touser": userID, "agentid": agent, "msgtype": string(reply.Type), string(reply.Type): content}, nil
}
