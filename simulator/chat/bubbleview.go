package chat

import (
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// bubbleView is a bubble in a language.
type bubbleView struct {
	b bubble
	v *view
}

// The parts of a bubble, for the template.
func (b bubbleView) ID() string           { return "bubble-" + strconv.FormatUint(b.b.number, 10) }
func (b bubbleView) Side() side           { return b.b.side }
func (b bubbleView) Kind() string         { return b.b.kind }
func (b bubbleView) Title() string        { return b.b.title }
func (b bubbleView) Text() string         { return b.b.text }
func (b bubbleView) Rows() [][2]string    { return b.b.rows }
func (b bubbleView) Cards() []card        { return b.b.cards }
func (b bubbleView) At() string           { return b.b.at.Format("15:04") }
func (b bubbleView) ISO() string          { return b.b.at.Format(time.RFC3339) }
func (b bubbleView) Failed() bool         { return b.b.kind == "failure" }
func (b bubbleView) T(text string) string { return b.v.T(text) }

// Who says it, for a screen reader too.
func (b bubbleView) Who() string {
	switch {
	case b.b.side == theirs:
		return b.v.Me().Name
	case b.Failed():
		return b.T("WeChat")
	default:
		return b.T("Your app")
	}
}

// Way is how the app sent it.
func (b bubbleView) Way() string {
	return b.T(map[string]string{
		"reply": "passive reply", "custom": "customer service message", "template": "template message", "app": "message/send",
	}[b.b.way])
}

// Label is the kind of what is not plain text.
func (b bubbleView) Label() string {
	if b.b.kind == "text" || b.b.side == nobody || b.Failed() {
		return ""
	}
	labels := map[string]string{
		"image": "Image", "voice": "Voice", "video": "Video", "shortvideo": "Video", "location": "Location", "link": "Link", "music": "Music",
		"news": "News", "mpnews": "News", "textcard": "Card", "template_card": "Card", "markdown": "Markdown",
		"miniprogram_notice": "Mini program",
		"template":           "Template", "msgmenu": "Choice", "file": "File", "miniprogrampage": "Mini program",
	}
	if label := labels[b.b.kind]; label != "" {
		return b.T(label)
	}
	return b.b.kind
}

// Event is an event in words.
func (b bubbleView) Event() string {
	key := b.b.text
	scene := strings.TrimPrefix(key, "qrscene_")
	switch strings.ToLower(b.b.event) {
	case enterAgent:
		return b.T("Opened the app")
	case "subscribe":
		if key != "" {
			return b.v.T("Follows the account, by the QR code %s", scene)
		}
		return b.T("Follows the account")
	case "unsubscribe":
		return b.T("Has left the account")
	case "scan":
		return b.v.T("Scanned the QR code %s", scene)
	case "click":
		return b.v.T("Tapped a menu button: %s", key)
	case "view":
		return b.v.T("Opened a menu link: %s", key)
	case "note":
		return b.T(key)
	default:
		return strings.TrimSpace(b.b.event + " " + key)
	}
}

// Level and Status say what became of what the follower sent.
func (b bubbleView) Level() string {
	switch {
	case b.b.msgID == 0 || b.b.end == simulator.Replied:
		return ""
	case b.b.end == "" && b.b.tries == 0:
		return "busy"
	case b.b.end == "":
		return "warn"
	case b.b.end == simulator.Failed || b.b.end == simulator.Accepted:
		return "bad"
	default:
		return "ok"
	}
}

// Status says it in words.
func (b bubbleView) Status() string {
	switch {
	case b.Level() == "":
		return ""
	case b.Level() == "busy":
		return b.T("Waiting for your app…")
	case b.Level() == "warn":
		return b.v.T("Delivery %d went wrong; WeChat tries again…", b.b.tries)
	default:
		return b.v.verdict(b.b.end, b.b.reason)
	}
}

// verdict is a push's verdict in words.
func (v *view) verdict(end simulator.Verdict, reason string) string {
	words := map[simulator.Verdict]string{
		simulator.Replied: "Replied", simulator.Silent: "Fine, and the follower sees nothing", simulator.Failed: "Your app failed",
		simulator.Verified: "Verified", simulator.Refused: "Your app refused the forgery", simulator.Accepted: "Your app fell for a forgery",
	}
	if v.Corp() && end == simulator.Silent {
		words[end] = "Fine, and the member sees nothing"
	}
	separator := ": "
	if v.Lang == lang.Chinese {
		separator = "："
	}
	return v.T(words[end]) + separator + because(v.Lang, reason)
}
