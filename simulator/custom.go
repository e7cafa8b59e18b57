package simulator

import "slices"

// toFollower reads the openid in the body's touser and returns the errcode to
// refuse the call with.
func (c *call) toFollower(into any, openid *string) int {
	if !c.decode(into) {
		return dataFormat
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if !c.account.follows(*openid) {
		return invalidOpenID
	}
	return 0
}

// messageTypes are what a customer service message may be.
var messageTypes = []string{
	"text", "image", "voice", "video", "music", "news", "mpnews", "mpnewsarticle", "msgmenu", "wxcard", "miniprogrampage", "link",
}

// serveCustomSend carries out POST /cgi-bin/message/custom/send. What was sent is
// in Simulator.Events.
func serveCustomSend(c *call) answer {
	var in struct {
		To   string `json:"touser"`
		Type string `json:"msgtype"`
		Text struct {
			Content string `json:"content"`
		} `json:"text"`
	}
	if errcode := c.toFollower(&in, &in.To); errcode != 0 {
		return c.refuse(errcode)
	}
	if !slices.Contains(messageTypes, in.Type) {
		return c.refuse(invalidMessageType)
	}
	if in.Type == "text" && in.Text.Content == "" {
		return c.refuse(emptyContent)
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if errcode := c.account.say(in.To, c.now); errcode != 0 {
		return c.refuse(errcode)
	}
	return ok(`{"errcode":0,"errmsg":"ok"}`)
}

// serveTyping carries out POST /cgi-bin/message/custom/typing.
func serveTyping(c *call) answer {
	var in struct {
		To      string `json:"touser"`
		Command string `json:"command"`
	}
	if errcode := c.toFollower(&in, &in.To); errcode != 0 {
		return c.refuse(errcode)
	}
	if in.Command != "Typing" && in.Command != "CancelTyping" {
		return c.refuse(invalidCommand)
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if last := c.account.conversations[in.To].last; last.IsZero() || c.now.Sub(last) > typingAfter {
		return c.refuse(typingTooLate)
	}
	return ok(`{"errcode":0,"errmsg":"ok"}`)
}
