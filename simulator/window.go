package simulator

import "time"

// What a follower's action allows (客服消息下发条数与时限).
type allowance struct {
	messages int
	lasts    time.Duration
}

const typingAfter = 30 * time.Second // WeChat: the typing state is shown only so soon after a message

var (
	afterMessage = allowance{5, 48 * time.Hour}
	afterAction  = allowance{3, time.Minute} // official accounts
	afterEntry   = allowance{2, time.Minute} // mini programs
)

// allowances are those of events. What is not here allows nothing.
var allowances = map[Kind]map[string]allowance{
	OfficialAccount: {
		"subscribe": afterAction, "SCAN": afterAction,
		"CLICK": afterAction, "scancode_push": afterAction, "scancode_waitmsg": afterAction,
	},
	MiniProgram: {"user_enter_tempsession": afterEntry},
}

// conversation is what an account may still send to a follower.
type conversation struct {
	left int       // messages
	end  time.Time // no more after it
	last time.Time // when the last message went to or fro
}

// hear opens or prolongs a conversation with a follower. The account's mutex is held.
func (a *account) hear(m Message, now time.Time) {
	allowed, event := afterMessage, m.event()
	if event != "" || m.Type == "event" {
		allowed = allowances[a.conf.Kind][event]
	}
	if allowed.messages == 0 {
		return
	}
	c := a.conversations[m.From]
	if !now.Before(c.end) {
		c.left = 0
	}
	// WeChat: what is left is not added up, the larger number and the later end count.
	c.left = max(c.left, allowed.messages)
	if end := now.Add(allowed.lasts); end.After(c.end) {
		c.end = end
	}
	if event == "" {
		c.last = now
	}
	a.conversations[m.From] = c
}

// say takes one message out of a conversation and returns the errcode to refuse it
// with. The account's mutex is held.
func (a *account) say(openid string, now time.Time) int {
	c := a.conversations[openid]
	switch {
	case !now.Before(c.end):
		return outOfTime
	case c.left == 0:
		return outOfCount
	}
	c.left--
	c.last = now
	a.conversations[openid] = c
	return 0
}
