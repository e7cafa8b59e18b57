package callback

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestReplyForm holds a reply to the form of the documents, byte for byte.
func TestReplyForm(t *testing.T) {
	m := &Message{ToUserName: account, FromUserName: follower}
	reply := &Reply{Type: TypeText, Content: "hello"}
	const want = `<xml>
<ToUserName><![CDATA[oAbCd0123456789EfGhIjKlMnOpQ]]></ToUserName>
<FromUserName><![CDATA[gh_0123456789ab]]></FromUserName>
<CreateTime>1668869542</CreateTime>
<MsgType><![CDATA[text]]></MsgType>
<Content><![CDATA[hello]]></Content>
</xml>`
	if got := reply.render(m, time.Unix(1668869542, 0)); string(got) != want {
		t.Errorf("render = %s", got)
	}
	m.JSON = true
	const wantJSON = `{"ToUserName":"oAbCd0123456789EfGhIjKlMnOpQ","FromUserName":"gh_0123456789ab","CreateTime":1668869542,"MsgType":"text","Content":"hello"}`
	if got := reply.render(m, time.Unix(1668869542, 0)); string(got) != wantJSON {
		t.Errorf("render = %s", got)
	}
	e := Envelope{Encrypt: "BASE64+/=", MsgSignature: "0f9d", TimeStamp: "1713424427", Nonce: "415670741"}
	const wantEnvelope = `<xml>
<Encrypt><![CDATA[BASE64+/=]]></Encrypt>
<MsgSignature><![CDATA[0f9d]]></MsgSignature>
<TimeStamp>1713424427</TimeStamp>
<Nonce><![CDATA[415670741]]></Nonce>
</xml>`
	if got := string(e.XML()); got != wantEnvelope {
		t.Errorf("XML = %s", got)
	}
	if got := string(e.JSON()); got != `{"Encrypt":"BASE64+/=","MsgSignature":"0f9d","TimeStamp":1713424427,"Nonce":"415670741"}` {
		t.Errorf("JSON = %s", got)
	}
	e.TimeStamp = "]]></x>"
	if fields, wrong := decodeXML(string(e.XML()), nil); wrong != "" || fields.Get("TimeStamp") != e.TimeStamp {
		t.Errorf("XML = %s, %s", e.XML(), wrong)
	}
}

// TestReplies has every type, read again as XML and as JSON.
func TestReplies(t *testing.T) {
	const evil = "]]>]]]]><a>&amp;\"\\\n\t \u2028\U0001F600</xml>"
	for _, test := range []struct {
		reply Reply
		want  Fields
	}{
		{Reply{Type: TypeText, Content: evil}, Fields{{Name: "Content", Value: evil}}},
		{Reply{Type: TypeText, Content: "a\x00\x1b\xff\uFFFEb"}, Fields{{Name: "Content", Value: "a  \uFFFD b"}}},
		{Reply{Type: TypeImage, MediaID: evil}, Fields{{Name: "Image", Fields: Fields{{Name: "MediaId", Value: evil}}}}},
		{Reply{Type: TypeVoice, MediaID: "m"}, Fields{{Name: "Voice", Fields: Fields{{Name: "MediaId", Value: "m"}}}}},
		{Reply{Type: TypeVideo, MediaID: "m"}, Fields{{Name: "Video", Fields: Fields{{Name: "MediaId", Value: "m"}}}}},
		{
			Reply{Type: TypeVideo, MediaID: "m", Title: "t", Description: "d"},
			Fields{{Name: "Video", Fields: Fields{{Name: "MediaId", Value: "m"}, {Name: "Title", Value: "t"}, {Name: "Description", Value: "d"}}}},
		},
		{Reply{Type: TypeMusic, ThumbMediaID: "m"}, Fields{{Name: "Music", Fields: Fields{{Name: "ThumbMediaId", Value: "m"}}}}},
		{
			Reply{Type: TypeMusic, Title: "t", Description: "d", MusicURL: "u", HQMusicURL: "h", ThumbMediaID: "m"},
			Fields{{Name: "Music", Fields: Fields{
				{Name: "Title", Value: "t"},
				{Name: "Description", Value: "d"},
				{Name: "MusicUrl", Value: "u"},
				{Name: "HQMusicUrl", Value: "h"},
				{Name: "ThumbMediaId", Value: "m"},
			}}},
		},
		{
			Reply{Type: TypeNews, Articles: []Article{{"t", "d", "p", "u"}, {URL: evil}}},
			Fields{{Name: "ArticleCount", Value: "2"}, {Name: "Articles", Fields: Fields{
				{Name: "item", Fields: Fields{{Name: "Title", Value: "t"}, {Name: "Description", Value: "d"}, {Name: "PicUrl", Value: "p"}, {Name: "Url", Value: "u"}}},
				{Name: "item", Fields: Fields{{Name: "Title"}, {Name: "Description"}, {Name: "PicUrl"}, {Name: "Url", Value: evil}}},
			}}},
		},
		{Reply{Type: TypeTransfer}, nil},
		{Reply{Type: TypeTransfer, KfAccount: "test1@test"}, Fields{{Name: "TransInfo", Fields: Fields{{Name: "KfAccount", Value: "test1@test"}}}}},
	} {
		want := append(Fields{
			{Name: "ToUserName", Value: follower},
			{Name: "FromUserName", Value: account},
			{Name: "CreateTime", Value: "1668869542"},
			{Name: "MsgType", Value: string(test.reply.Type)},
		}, test.want...)
		for _, m := range []*Message{
			{ToUserName: account, FromUserName: follower},
			{ToUserName: account, FromUserName: follower, JSON: true},
		} {
			body := test.reply.render(m, time.Unix(1668869542, 0))
			got, isJSON, wrong := readAnswer(string(body))
			if wrong != "" || isJSON != m.JSON || !reflect.DeepEqual(got, want) {
				t.Errorf("%s\ngot  %q, %s\nwant %q", body, got, wrong, want)
			}
			if m.JSON && !json.Valid(body) {
				t.Errorf("no JSON: %s", body)
			}
			if strings.Contains(string(body), `\u`) {
				t.Errorf("escapes that WeChat refuses: %s", body)
			}
		}
		if err := test.reply.check(Limits{Articles: 8}.withDefaults()); err != nil {
			t.Errorf("%+v: %v", test.reply, err)
		}
	}
}

func TestReplyLimits(t *testing.T) {
	long := Reply{Type: TypeText, Content: strings.Repeat("天", 683)} // 2,049 bytes
	for name, test := range map[string]struct {
		reply  Reply
		limits Limits
		ok     bool
	}{
		"2,048 bytes":        {Reply{Type: TypeText, Content: long.Content[:2048]}, Limits{}, true},
		"2,049 bytes":        {long, Limits{}, false},
		"raised":             {long, Limits{TextBytes: 2049}, true},
		"switched off":       {Reply{Type: TypeText, Content: strings.Repeat("a", 1<<20)}, Limits{TextBytes: -1}, true},
		"empty text":         {Reply{Type: TypeText}, Limits{}, false},
		"image of nothing":   {Reply{Type: TypeImage}, Limits{}, false},
		"voice of nothing":   {Reply{Type: TypeVoice}, Limits{}, false},
		"video of nothing":   {Reply{Type: TypeVideo, Title: "t"}, Limits{}, false},
		"music without":      {Reply{Type: TypeMusic, MusicURL: "u"}, Limits{}, false},
		"no article":         {Reply{Type: TypeNews}, Limits{}, false},
		"one article":        {Reply{Type: TypeNews, Articles: make([]Article, 1)}, Limits{}, true},
		"two articles":       {Reply{Type: TypeNews, Articles: make([]Article, 2)}, Limits{}, false},
		"eight are allowed":  {Reply{Type: TypeNews, Articles: make([]Article, 8)}, Limits{Articles: 8}, true},
		"no limit":           {Reply{Type: TypeNews, Articles: make([]Article, 11)}, Limits{Articles: -1}, true},
		"no type":            {Reply{Content: "a"}, Limits{}, false},
		"a type of messages": {Reply{Type: TypeLink}, Limits{}, false},
	} {
		err := test.reply.check(test.limits.withDefaults())
		if (err == nil) != test.ok || err != nil && !errors.Is(err, ErrReply) {
			t.Errorf("%s: check = %v", name, err)
		}
	}
}

// FuzzReply: whatever a handler answers is read again as it was meant.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"a", "]]>", "]]]>", "]]", "<![CDATA[", `"\`, "\r\n", "\x00", "\xff", "\uFFFE"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, openid, content string) {
		reply := &Reply{Type: TypeText, Content: content}
		for _, m := range []*Message{{FromUserName: openid}, {FromUserName: openid, JSON: true}} {
			fields, _, wrong := readAnswer(string(reply.render(m, time.Unix(1, 0))))
			to, got := clean(openid), clean(content)
			if !m.JSON { // XML has one kind of line end
				to, got = lines(to), lines(got)
			}
			if wrong != "" || fields.Get("Content") != got || fields.Get("ToUserName") != to || len(fields) != 5 {
				t.Errorf("%q to %q is read as %q, %s", content, openid, fields, wrong)
			}
		}
	})
}

func lines(s string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}
