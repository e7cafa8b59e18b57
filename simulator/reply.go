package simulator

import (
	"fmt"
	"strings"
)

// Reply is a passive reply (被动回复), opened and read: a test compares it with what its app
// should say.
type Reply struct {
	Type    string // MsgType
	To      string // ToUserName: the follower
	From    string // FromUserName: the account
	Created int64  // CreateTime, Unix seconds; 0 when it was no number

	Content     string // text
	MediaID     string // image, voice, video; of music that of the thumb
	Title       string // video, music
	Description string // likewise
	URL         string // music
	Articles    []Article
	KfAccount   string // transfer_customer_service

	Raw string // the reply in plain text
}

// Article is one article of a news reply, for a test that looks at what its app answered.
type Article struct{ Title, Description, PicURL, URL string }

// String is what the follower sees.
func (reply Reply) String() string {
	switch reply.Type {
	case "text":
		return reply.Content
	case "news":
		titles := make([]string, len(reply.Articles))
		for i, a := range reply.Articles {
			titles[i] = a.Title
		}
		return "[news] " + strings.Join(titles, " | ")
	case "video", "music":
		return strings.TrimSpace(fmt.Sprintf("[%s] %s %s", reply.Type, reply.Title, reply.Description))
	case "":
		return ""
	default:
		return "[" + reply.Type + "] " + reply.MediaID
	}
}

const (
	transfer = "transfer_customer_service"
	bom      = "\uFEFF"

	maxText     = 2048 // bytes; users report that longer texts do not arrive
	maxArticles = 8    // of an answer to an event; see the assumptions
	maxNesting  = 16   // of elements; replies need four levels
)
