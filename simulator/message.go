package simulator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Message is what a follower sends to an account, or an event that WeChat tells
// it. The functions of this package make them with made-up contents; With changes
// a field, and a literal makes what is not there:
//
//	simulator.Text("你好")
//	simulator.Click("V1001").With("EventKey", "V1002")
//	simulator.Message{Type: "event", Fields: []simulator.Field{{"Event", "debug_demo"}, {"debug_str", "hello world"}}}
type Message struct {
	To      string    // ToUserName: "" means the account's original id (gh_…)
	From    string    // FromUserName: "" means the account's first follower
	Created time.Time // CreateTime; zero means now
	ID      int64     // MsgId; 0 means a new one where the message has one
	Type    string    // MsgType
	Fields  []Field   // what follows MsgType, in the order of the wire

	// Raw, if not "", is the whole message as it is, and all the rest is ignored
	// but From, which the query names too.
	Raw string
}

// Field is one element of a message, for messages and events that have no function here.
type Field struct {
	Name string // of the element, or the JSON key; WeChat's spelling, case included

	// Value is a string (CDATA in XML), a Number or an integer (bare), a []Field
	// (elements inside), or nil for the message's ID. A field that repeats stands
	// several times in its list; in JSON it is an array then.
	Value any
}

// Number is a value that is written without CDATA and quotes, digit for digit.
type Number string

// msgID is the field of an ordinary message's ID.
var msgID = Field{Name: "MsgId"}

// With returns the message with another value in the field of that name, which is
// added at the end if it is not there.
func (m Message) With(name string, value any) Message {
	m.Fields = slices.Clone(m.Fields)
	i := slices.IndexFunc(m.Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		i = len(m.Fields)
		m.Fields = append(m.Fields, Field{Name: name})
	}
	m.Fields[i].Value = value
	return m
}

// By returns the message as another follower sends it.
func (m Message) By(openid string) Message {
	m.From = openid
	return m
}

// event returns the Event of an event, or "".
func (m Message) event() string {
	if m.Raw != "" {
		return rawEvent(m.Raw)
	}
	if m.Type != "event" {
		return ""
	}
	for _, f := range m.Fields {
		if name, ok := f.Value.(string); ok && f.Name == "Event" {
			return name
		}
	}
	return ""
}

// rawEvent reads the Event of a message that is given as a whole, "" if it has none.
func rawEvent(raw string) string {
	root, _, err := parseAnswer(raw)
	if err != nil || root.text("MsgType") != "event" {
		return ""
	}
	return root.text("Event")
}

// check says whether the message can be written.
func (m Message) check() error {
	if m.Raw != "" {
		return nil
	}
	if m.Type == "" {
		return fmt.Errorf("the message has no Type")
	}
	return checkFields(m.Fields)
}

func checkFields(fields []Field) error {
	for _, f := range fields {
		if !isName(f.Name) {
			return fmt.Errorf("%q cannot be a field's name: letters, digits and _ can", f.Name)
		}
		switch v := f.Value.(type) {
		case nil, string, int, int64:
		case Number:
			if _, err := strconv.ParseFloat(string(v), 64); err != nil {
				return fmt.Errorf("the field %s is a Number, but %q is none", f.Name, string(v))
			}
		case []Field:
			if err := checkFields(v); err != nil {
				return err
			}
		default:
			return fmt.Errorf("the field %s has a %T: string, Number, int, int64, []Field and nil can be written", f.Name, v)
		}
	}
	return nil
}

func isName(s string) bool {
	if s == "" || ('0' <= s[0] && s[0] <= '9') {
		return false
	}
	return strings.Trim(s, alphabet+"_") == ""
}

// Text is a text message that a follower sends, for most tests the only one.
func Text(content string) Message {
	return Message{Type: "text", Fields: []Field{{"Content", content}, msgID}}
}

// menuAnswer is the text that a follower sends by choosing from a menu message.
func menuAnswer(content, id string) Message {
	return Message{Type: "text", Fields: []Field{{"Content", content}, msgID, {"bizmsgmenuid", id}}}
}

// Image is a picture that a follower sends.
func Image(picURL, mediaID string) Message {
	return Message{Type: "image", Fields: []Field{{"PicUrl", picURL}, msgID, {"MediaId", mediaID}}}
}

// Voice is a voice message. recognition is its text, where speech recognition is
// on, and may be "".
func Voice(mediaID, recognition string) Message {
	return Message{Type: "voice", Fields: []Field{{"MediaId", mediaID}, {"Format", "amr"}, msgID, {"Recognition", recognition}}}
}

// videoMessage is a video.
func videoMessage(mediaID, thumbMediaID string) Message {
	return Message{Type: "video", Fields: []Field{{"MediaId", mediaID}, {"ThumbMediaId", thumbMediaID}, msgID}}
}

// shortVideo is a short video.
func shortVideo(mediaID, thumbMediaID string) Message {
	m := videoMessage(mediaID, thumbMediaID)
	m.Type = "shortvideo"
	return m
}

// Location is a place that a follower sends, in degrees. The sample "LOCATION" is the
// event by which WeChat reports where a follower is.
func Location(latitude, longitude float64, scale int, label string) Message {
	return Message{Type: "location", Fields: []Field{
		{"Location_X", degrees(latitude)}, {"Location_Y", degrees(longitude)}, {"Scale", scale}, {"Label", label}, msgID,
	}}
}

func degrees(d float64) Number { return Number(strconv.FormatFloat(d, 'f', 6, 64)) }

// linkMessage is a link.
func linkMessage(title, description, url string) Message {
	return Message{Type: "link", Fields: []Field{{"Title", title}, {"Description", description}, {"Url", url}, msgID}}
}

// fileMessage is a file, which WeChat pushes but does not document.
func fileMessage(title, description, key, md5 string, length int64) Message {
	return Message{Type: "file", Fields: []Field{
		{"Title", title}, {"Description", description}, {"FileKey", key}, {"FileMd5", md5}, {"FileTotalLen", length}, msgID,
	}}
}

// miniProgramPage is the card of a mini program's page, sent to its customer
// service.
func miniProgramPage(title, appid, pagePath, thumbURL, thumbMediaID string) Message {
	return Message{Type: "miniprogrampage", Fields: []Field{
		{"Title", title}, {"AppId", appid}, {"PagePath", pagePath}, {"ThumbUrl", thumbURL}, {"ThumbMediaId", thumbMediaID}, msgID,
	}}
}
