package chat

import (
	"encoding/json"
	"encoding/xml"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// bubble is one thing that is seen in a chat. What others wrote is in it as it came.
type bubble struct {
	seq    uint64 // of its last change
	number uint64 // of its first, which names it
	at     time.Time
	side   side
	way    string // how the app sent it: "reply", "custom", "template", "app"
	kind   string // WeChat's MsgType; "event"; "failure"
	event  string // of an event
	title  string
	text   string
	link   string
	rows   [][2]string // of a template message
	cards  []card      // of news

	// Of what the follower sent.
	msgID  int64
	tries  int // deliveries that went wrong
	end    simulator.Verdict
	reason string
}

// side is who says something.
type side string

const (
	theirs side = "follower"
	apps   side = "app"
	nobody side = "nobody"
)

// card is an article.
type card struct {
	Title string `xml:"Title"`
	Text  string `xml:"Description"`
	Link  string `xml:"Url"`
}

// sentBy is the bubble of what a follower sends, an event among them.
func sentBy(m *callback.Message) bubble {
	b := bubble{side: theirs, kind: string(m.Type)}
	switch m.Type {
	case callback.TypeText:
		b.text = m.Content
	case callback.TypeImage:
		b.text = m.PicURL
	case callback.TypeVoice:
		b.text = m.Recognition
	case callback.TypeLocation:
		b.title = m.Label
		b.text = strconv.FormatFloat(m.LocationX, 'f', -1, 64) + ", " + strconv.FormatFloat(m.LocationY, 'f', -1, 64)
	case callback.TypeLink:
		b.title, b.text, b.link = m.Title, m.Description, m.URL
	case callback.TypeEvent:
		b.side, b.event, b.text = nobody, string(m.Event), m.EventKey
	default:
		b.title, b.text = m.Title, m.MediaID
	}
	return b
}

// replied is the bubble of a passive reply, which the simulator has judged already.
func replied(raw string) (bubble, bool) {
	var in struct {
		Type     string `xml:"MsgType"`
		Content  string `xml:"Content"`
		Image    string `xml:"Image>MediaId"`
		Voice    string `xml:"Voice>MediaId"`
		Video    string `xml:"Video>MediaId"`
		Film     string `xml:"Video>Title"`
		Plot     string `xml:"Video>Description"`
		Song     string `xml:"Music>Title"`
		Singer   string `xml:"Music>Description"`
		Sound    string `xml:"Music>MusicUrl"`
		Articles []card `xml:"Articles>item"`
	}
	if xml.Unmarshal([]byte(strings.TrimPrefix(raw, "\uFEFF")), &in) != nil {
		return bubble{}, false
	}
	b := bubble{side: apps, way: "reply", kind: in.Type}
	switch in.Type {
	case "text":
		b.text = in.Content
	case "image":
		b.text = in.Image
	case "voice":
		b.text = in.Voice
	case "video":
		b.title, b.text = in.Film, strings.TrimSpace(in.Plot+" "+in.Video)
	case "music":
		b.title, b.text, b.link = in.Song, in.Singer, in.Sound
	case "news":
		b.cards = in.Articles
	}
	return b, true
}

// pushedBy is the bubble of a call by which the app sends something, and to whom.
func pushedBy(path, body string) (b bubble, openid string, found bool) {
	switch path {
	case "/cgi-bin/message/custom/send":
		return custom(body)
	case "/cgi-bin/message/template/send":
		return templated(body)
	}
	return bubble{}, "", false
}

func custom(body string) (b bubble, openid string, found bool) {
	type media struct {
		MediaID     string `json:"media_id"`
		Title       string `json:"title"`
		Description string `json:"description"`
		URL         string `json:"musicurl"`
	}
	var in struct {
		To      string                                 `json:"touser"`
		Type    string                                 `json:"msgtype"`
		Text    struct{ Content string }               `json:"text"`
		Image   media                                  `json:"image"`
		Voice   media                                  `json:"voice"`
		Video   media                                  `json:"video"`
		Music   media                                  `json:"music"`
		MPNews  media                                  `json:"mpnews"`
		Page    media                                  `json:"miniprogrampage"`
		News    struct{ Articles []map[string]string } `json:"news"`
		Choices struct {
			Head string `json:"head_content"`
			Tail string `json:"tail_content"`
			List []struct{ Content string }
		} `json:"msgmenu"`
	}
	if json.Unmarshal([]byte(body), &in) != nil {
		return bubble{}, "", false
	}
	b = bubble{side: apps, way: "custom", kind: in.Type}
	of := map[string]media{
		"image": in.Image, "voice": in.Voice, "video": in.Video, "music": in.Music, "mpnews": in.MPNews,
		"miniprogrampage": in.Page,
	}[in.Type]
	b.title, b.link = of.Title, of.URL
	b.text = strings.TrimSpace(of.Description + " " + of.MediaID)
	switch in.Type {
	case "text":
		b.text = in.Text.Content
	case "news":
		for _, a := range in.News.Articles {
			b.cards = append(b.cards, card{a["title"], a["description"], a["url"]})
		}
	case "msgmenu":
		b.text = in.Choices.Head
		for i, choice := range in.Choices.List {
			b.rows = append(b.rows, [2]string{strconv.Itoa(i + 1), choice.Content})
		}
		if in.Choices.Tail != "" {
			b.rows = append(b.rows, [2]string{"", in.Choices.Tail})
		}
	}
	return b, in.To, true
}

func templated(body string) (b bubble, openid string, found bool) {
	var in struct {
		To       string                                     `json:"touser"`
		Template string                                     `json:"template_id"`
		URL      string                                     `json:"url"`
		Data     map[string]struct{ Value json.RawMessage } `json:"data"`
	}
	if json.Unmarshal([]byte(body), &in) != nil {
		return bubble{}, "", false
	}
	b = bubble{side: apps, way: "template", kind: "template", title: in.Template, link: in.URL}
	for _, name := range slices.Sorted(maps.Keys(in.Data)) {
		value := string(in.Data[name].Value)
		var text string
		if json.Unmarshal(in.Data[name].Value, &text) == nil {
			value = text
		}
		b.rows = append(b.rows, [2]string{name, value})
	}
	return b, in.To, true
}
