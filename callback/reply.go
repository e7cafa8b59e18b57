package callback

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The types of replies besides those that messages have too.
const (
	TypeMusic    Type = "music"                     // 音乐
	TypeNews     Type = "news"                      // 图文: a list of Articles
	TypeTransfer Type = "transfer_customer_service" // hands the follower to a person
	TypeRaw      Type = "raw"                       // Raw as it is, see [Context.ReplyRaw]; WeChat has no such MsgType
)

// Reply is the answer to a message: in the HTTP response, while WeChat waits, or
// afterwards through a [Sender]. Which fields it needs depends on its Type.
type Reply struct {
	Type         Type      // decides which fields count
	Content      string    // text: needed; \n begins a line
	MediaID      string    // image, voice, video: needed
	Title        string    // video, music
	Description  string    // video, music
	MusicURL     string    // music: what is played
	HQMusicURL   string    // music, for Wi-Fi
	ThumbMediaID string    // music: needed
	Articles     []Article // news: at least one
	KfAccount    string    // transfer_customer_service: to whom, such as test1@test; "" = to anybody
	Raw          []byte    // raw: needed
	ContentType  string    // raw, in plain mode; "" = by what Raw looks like
}

// Article is one of a [Reply] of [TypeNews].
type Article struct {
	Title       string // the first line
	Description string // below it
	PicURL      string // of the picture next to it
	URL         string // of the page that it opens
}

// Limits bound what a [Reply] may hold.
type Limits struct {
	// TextBytes of a text's Content in UTF-8. 0: 2,048, above which WeChat was
	// seen to show nothing. Negative: not checked.
	TextBytes int

	// Articles of news. 0: 1, which WeChat takes in answer to anything; it is said
	// to take 8 in answer to an event. Negative: not checked.
	Articles int
}

func (l Limits) withDefaults() Limits {
	if l.TextBytes == 0 {
		l.TextBytes = 2048
	}
	if l.Articles == 0 {
		l.Articles = 1
	}
	return l
}

// ErrReply is what [Context.Reply] and its relatives return, wrapped with what to
// do about it, when WeChat would not take the reply.
var ErrReply = errors.New("callback: WeChat would not take this reply")

// check says whether WeChat takes the reply. limits are those withDefaults.
func (r *Reply) check(limits Limits) error {
	lacks := func(field string) error {
		return fmt.Errorf("%w: a reply of the type %s needs a %s", ErrReply, r.Type, field)
	}
	switch r.Type {
	case TypeText:
		switch n := len(r.Content); {
		case n == 0:
			return lacks("Content; ReplyNothing answers nothing")
		case limits.TextBytes > 0 && n > limits.TextBytes:
			return fmt.Errorf("%w: the text has %d bytes, the limit is %d: shorten it, or raise Limits.TextBytes", ErrReply, n, limits.TextBytes)
		}
	case TypeImage, TypeVoice, TypeVideo:
		if r.MediaID == "" {
			return lacks("MediaID")
		}
	case TypeMusic:
		if r.ThumbMediaID == "" {
			return lacks("ThumbMediaID")
		}
	case TypeNews:
		switch n := len(r.Articles); {
		case n == 0:
			return lacks("Article")
		case limits.Articles > 0 && n > limits.Articles:
			return fmt.Errorf("%w: there are %d articles, the limit is %d: send fewer, or raise Limits.Articles", ErrReply, n, limits.Articles)
		}
	case TypeTransfer:
	case TypeRaw:
		switch n := len(r.Raw); {
		case n == 0:
			return lacks("Raw; ReplyNothing answers nothing")
		case n > MaxBody:
			return fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrReply, n, MaxBody)
		case strings.ContainsFunc(r.ContentType, unicode.IsControl):
			return fmt.Errorf("%w: its Content-Type holds a control character", ErrReply)
		}
	default:
		return fmt.Errorf("%w: %q is no type of a reply", ErrReply, r.Type)
	}
	return nil
}

// render writes the reply as the answer to m, XML or JSON as m was, in the form in
// which a [Once] keeps it.
func (r *Reply) render(m *Message, now time.Time) []byte {
	if r.Type == TypeRaw {
		return slices.Concat(rawMark, []byte(r.ContentType+"\n"), r.Raw)
	}
	w := newWriter(m.JSON, make([]byte, 0, 384+len(r.Content)+512*len(r.Articles)))
	w.text("ToUserName", m.FromUserName)
	w.text("FromUserName", m.ToUserName)
	w.number("CreateTime", now.Unix())
	w.text("MsgType", string(r.Type))
	switch r.Type {
	case TypeText:
		w.text("Content", r.Content)
	case TypeImage:
		w.inside("Image", func() { w.text("MediaId", r.MediaID) })
	case TypeVoice:
		w.inside("Voice", func() { w.text("MediaId", r.MediaID) })
	case TypeVideo:
		w.inside("Video", func() {
			w.text("MediaId", r.MediaID)
			w.optional("Title", r.Title)
			w.optional("Description", r.Description)
		})
	case TypeMusic:
		w.inside("Music", func() {
			w.optional("Title", r.Title)
			w.optional("Description", r.Description)
			w.optional("MusicUrl", r.MusicURL)
			w.optional("HQMusicUrl", r.HQMusicURL)
			w.text("ThumbMediaId", r.ThumbMediaID)
		})
	case TypeNews:
		w.number("ArticleCount", int64(len(r.Articles)))
		w.inside("Articles", func() {
			w.items(len(r.Articles), func(i int) {
				w.text("Title", r.Articles[i].Title)
				w.text("Description", r.Articles[i].Description)
				w.text("PicUrl", r.Articles[i].PicURL)
				w.text("Url", r.Articles[i].URL)
			})
		})
	case TypeTransfer:
		if r.KfAccount != "" {
			w.inside("TransInfo", func() { w.text("KfAccount", r.KfAccount) })
		}
	}
	return w.end()
}

// rawMark begins a raw answer where answers are kept, then comes a line with its
// Content-Type. No XML or JSON begins so.
var rawMark = []byte("\x00raw ")

// unrendered returns what is sent of an answer, and its Content-Type.
func unrendered(answer []byte) (contentType string, body []byte) {
	if rest, ok := bytes.CutPrefix(answer, rawMark); ok {
		line, rest, _ := bytes.Cut(rest, []byte("\n"))
		contentType, answer = string(line), rest
	}
	if contentType == "" {
		contentType = contentTypeOf(answer)
	}
	return contentType, answer
}

// contentTypeOf goes by the first byte, as everything here does.
func contentTypeOf(body []byte) string {
	switch trimmed := bytes.TrimLeft(body, space); {
	case bytes.HasPrefix(trimmed, []byte("<")):
		return "text/xml; charset=utf-8"
	case bytes.HasPrefix(trimmed, []byte("{")), bytes.HasPrefix(trimmed, []byte("[")):
		return "application/json; charset=utf-8"
	default:
		return "text/plain; charset=utf-8"
	}
}

// XML is the envelope as the body of an answer to an XML message.
func (e Envelope) XML() []byte { return e.body(false) }

// JSON is the envelope as the body of an answer to a JSON message.
func (e Envelope) JSON() []byte { return e.body(true) }

func (e Envelope) body(asJSON bool) []byte {
	w := newWriter(asJSON, make([]byte, 0, 256+len(e.Encrypt)))
	names := envelopeNames(e.weCom && asJSON)
	w.text(names[0], e.Encrypt)
	w.text(names[1], e.MsgSignature)
	if seconds, err := strconv.ParseInt(e.TimeStamp, 10, 64); err == nil {
		w.number(names[2], seconds)
	} else {
		w.text(names[2], e.TimeStamp)
	}
	w.text(names[3], e.Nonce)
	return w.end()
}

// envelopeNames are the names of an envelope's fields; a bot of WeCom's (智能机器人) has its own.
func envelopeNames(bot bool) [4]string {
	if bot {
		return [4]string{"encrypt", "msgsignature", "timestamp", "nonce"}
	}
	return [4]string{"Encrypt", "MsgSignature", "TimeStamp", "Nonce"}
}
