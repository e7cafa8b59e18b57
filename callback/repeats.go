package callback

import (
	"slices"
	"strings"
	"time"
)

// How long after the first delivery WeChat may deliver a push again, and how long is
// remembered that it was handled.
const (
	briefly  = 15 * time.Second // messages and events of official accounts: three requests, 5 s apart
	shops    = 4 * time.Hour    // 微信小店: ten requests in about 3.6 h
	games    = 25 * time.Hour   // 小游戏 道具直购: sixteen requests in about 24.1 h
	anything = 48 * time.Hour   // what no page gives a schedule for

	rememberBrief = 24 * time.Hour
	rememberLong  = 2 * anything // a repetition is taken, by its own timestamp, for as long as the first delivery was
)

// brief are the events of which WeChat's documents say what they say of messages:
// three requests in total.
var brief = []Event{
	Subscribe, Unsubscribe, Scan, Location, Click, View, ViewMiniProgram,
	ScanCodePush, ScanCodeWaitMsg, PicSysPhoto, PicPhotoOrAlbum, PicWeixin, LocationSelect,
	TemplateSent, MassSent, Published, SubscribeMsgPopup, SubscribeMsgChange, SubscribeMsgSent,
	ServiceBegun, ServiceEnded, ServiceSwitched, TempSession,
}

// Repeats returns how long after the first delivery WeChat may deliver this message
// again: 15 s for what followers send and the events of official accounts, hours for
// events of shops and games, whose pages say so, and 48 h for events of which nothing
// is known.
func (m *Message) Repeats() time.Duration {
	if m.Type != TypeEvent && m.Type != "" {
		return briefly
	}
	if slices.ContainsFunc(brief, m.Event.is) {
		return briefly
	}
	switch name := strings.ToLower(string(m.Event)); {
	case strings.HasPrefix(name, "channels_ec_"):
		return shops
	case strings.HasPrefix(name, "minigame_") && strings.Contains(name, "deliver"):
		return games
	default:
		return anything
	}
}

// Remember returns how long a [Once] should know that this message was handled: longer
// than it is repeated, as a late delivery that is taken for a new message does harm.
func (m *Message) Remember() time.Duration {
	if m.Repeats() == briefly {
		return rememberBrief
	}
	return rememberLong
}

// insists reports whether WeChat delivers the message again and again until it is
// handled, while no follower waits for an answer.
func (m *Message) insists() bool { return m.Repeats() != briefly }
