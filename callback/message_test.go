package callback

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	account  = "gh_0123456789ab"
	follower = "oAbCd0123456789EfGhIjKlMnOpQ"
)

// push is a message as WeChat sends it: fields comes after the common ones.
func push(createTime int64, msgType Type, fields string) string {
	return "<xml><ToUserName><![CDATA[" + account + "]]></ToUserName>\n<FromUserName><![CDATA[" + follower +
		"]]></FromUserName>\n<CreateTime>" + strconv.FormatInt(createTime, 10) + "</CreateTime>\n<MsgType><![CDATA[" +
		string(msgType) + "]]></MsgType>\n" + fields + "\n</xml>"
}

// elements writes name, value, name, value as elements: numbers bare, the rest
// in CDATA.
func elements(pairs ...string) string {
	var lines []string
	for i := 0; i < len(pairs); i += 2 {
		name, value := pairs[i], pairs[i+1]
		if _, err := strconv.ParseFloat(value, 64); err != nil && !strings.HasPrefix(value, "<") {
			value = "<![CDATA[" + value + "]]>"
		}
		lines = append(lines, "<"+name+">"+value+"</"+name+">")
	}
	return strings.Join(lines, "\n")
}

// asJSON says what fields say in JSON: numbers bare, what is there several times
// as an array.
func asJSON(fields Fields) string {
	var members []string
	seen := make(map[string]bool)
	for _, f := range fields {
		if seen[f.Name] {
			continue
		}
		seen[f.Name] = true
		var values []string
		for _, f := range fields.All(f.Name) {
			value := asJSON(f.Fields)
			if len(f.Fields) == 0 {
				if value = f.Value; !isJSONNumber(value) {
					quoted, _ := json.Marshal(value)
					value = string(quoted)
				}
			}
			values = append(values, value)
		}
		value := values[0]
		if len(values) > 1 {
			value = "[" + strings.Join(values, ", ") + "]"
		}
		members = append(members, strconv.Quote(f.Name)+":"+value)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func mustParse(tb testing.TB, message string) *Message {
	tb.Helper()
	m, err := ParseMessage([]byte(message))
	if err != nil {
		tb.Fatalf("%v\n%s", err, message)
	}
	return m
}

// typed returns m without its Fields and JSON.
func typed(m *Message) Message {
	c := *m
	c.Fields, c.JSON, c.text = nil, false, ""
	return c
}

// TestMessages has every type and event that is known, as XML and as JSON.
func TestMessages(t *testing.T) {
	const sent = 1668869541
	event := func(event Event, pairs ...string) string {
		return push(sent, TypeEvent, elements(append([]string{"Event", string(event)}, pairs...)...))
	}
	ordinary := func(msgType Type, pairs ...string) string {
		return push(sent, msgType, elements(append(pairs, "MsgId", "23892468385179204")...))
	}
	item := func(pairs ...string) string { return "<item>" + elements(pairs...) + "\n</item>" }
	for _, test := range []struct {
		message string
		want    Message
	}{
		{ordinary(TypeText, "Content", " 天气 <b>&amp;\n", "bizmsgmenuid", "101"), Message{Type: TypeText, Content: " 天气 <b>&amp;\n", BizMsgMenuID: "101"}},
		{ordinary(TypeImage, "PicUrl", "http://mmbiz.qpic.cn/a?b=1&c=2", "MediaId", "media_id"), Message{Type: TypeImage, PicURL: "http://mmbiz.qpic.cn/a?b=1&c=2", MediaID: "media_id"}},
		{ordinary(TypeVoice, "MediaId", "m", "Format", "amr", "Recognition", "", "MediaId16K", "k"), Message{Type: TypeVoice, MediaID: "m", Format: "amr", MediaID16K: "k"}},
		{ordinary(TypeVoice, "MediaId", "m", "Recognition", "你好"), Message{Type: TypeVoice, MediaID: "m", Recognition: "你好"}},
		{ordinary(TypeVideo, "MediaId", "m", "ThumbMediaId", "t"), Message{Type: TypeVideo, MediaID: "m", ThumbMediaID: "t"}},
		{ordinary(TypeShortVideo, "MediaId", "m", "ThumbMediaId", "t"), Message{Type: TypeShortVideo, MediaID: "m", ThumbMediaID: "t"}},
		{ordinary(TypeLocation, "Location_X", "31.237238", "Location_Y", "121.666672", "Scale", "16", "Label", "浦东新区上丰路1270号"), Message{Type: TypeLocation, LocationX: 31.237238, LocationY: 121.666672, Scale: 16, Label: "浦东新区上丰路1270号"}},
		{ordinary(TypeLink, "Title", "t", "Description", "d", "Url", "u"), Message{Type: TypeLink, Title: "t", Description: "d", URL: "u"}},
		{ordinary(TypeFile, "Title", "t", "Description", "d", "FileKey", "k", "FileMd5", "a", "FileTotalLen", "5000000000"), Message{Type: TypeFile, Title: "t", Description: "d", FileKey: "k", FileMD5: "a", FileTotalLen: 5e9}},
		{ordinary(TypeMiniProgramPage, "Title", "t", "AppId", "wx1", "PagePath", "p", "ThumbUrl", "u", "ThumbMediaId", "m"), Message{Type: TypeMiniProgramPage, Title: "t", AppID: "wx1", PagePath: "p", ThumbURL: "u", ThumbMediaID: "m"}},
		{ordinary(TypeText, "Content", "c", "MsgDataId", "d", "Idx", "1"), Message{Type: TypeText, Content: "c", DataID: "d", Idx: 1}},
		{ordinary("tomorrow's", "Content", "c"), Message{Type: "tomorrow's", Content: "c"}},

		{event(Subscribe, "EventKey", ""), Message{}},
		{event(Subscribe, "EventKey", "qrscene_123", "Ticket", "t"), Message{EventKey: "qrscene_123", Ticket: "t"}},
		{event(Unsubscribe, "EventKey", ""), Message{}},
		{event(Scan, "EventKey", "123", "Ticket", "t"), Message{EventKey: "123", Ticket: "t"}},
		{event(Location, "Latitude", "23.137466", "Longitude", "113.352425", "Precision", "119.385040"), Message{Latitude: 23.137466, Longitude: 113.352425, Precision: 119.38504}},
		{event(Click, "EventKey", "V1001"), Message{EventKey: "V1001"}},
		{event(View, "EventKey", "https://example.com/", "MenuId", "419"), Message{EventKey: "https://example.com/", MenuID: "419"}},
		{event(ViewMiniProgram, "EventKey", "pages/index", "MenuId", "419"), Message{EventKey: "pages/index", MenuID: "419"}},
		{event(ScanCodePush, "EventKey", "6", "ScanCodeInfo", "<ScanType><![CDATA[qrcode]]></ScanType>\n<ScanResult><![CDATA[1]]></ScanResult>"), Message{EventKey: "6", ScanCodeInfo: &ScanCodeInfo{"qrcode", "1"}}},
		{event(ScanCodeWaitMsg, "EventKey", "6", "ScanCodeInfo", "<ScanType><![CDATA[barcode]]></ScanType>\n<ScanResult><![CDATA[EAN_13,1]]></ScanResult>"), Message{EventKey: "6", ScanCodeInfo: &ScanCodeInfo{"barcode", "EAN_13,1"}}},
		{event(PicSysPhoto, "EventKey", "6", "SendPicsInfo", "<Count>1</Count>\n<PicList>"+item("PicMd5Sum", "1b5f7c23")+"\n</PicList>"), Message{EventKey: "6", SendPicsInfo: &SendPicsInfo{1, []string{"1b5f7c23"}}}},
		{event(PicPhotoOrAlbum, "EventKey", "6", "SendPicsInfo", "<Count>2</Count>\n<PicList>"+item("PicMd5Sum", "1b5f7c23")+item("PicMd5Sum", "5a75aaca")+"\n</PicList>"), Message{EventKey: "6", SendPicsInfo: &SendPicsInfo{2, []string{"1b5f7c23", "5a75aaca"}}}},
		{event(PicWeixin, "EventKey", "6", "SendPicsInfo", "<Count>0</Count>\n<PicList></PicList>"), Message{EventKey: "6", SendPicsInfo: &SendPicsInfo{}}},
		{event(LocationSelect, "EventKey", "6", "SendLocationInfo", "<Location_X><![CDATA[23.5]]></Location_X>\n<Location_Y><![CDATA[113.25]]></Location_Y>\n<Scale><![CDATA[15]]></Scale>\n<Label><![CDATA[广州]]></Label>\n<Poiname><![CDATA[p]]></Poiname>"), Message{EventKey: "6", SendLocationInfo: &SendLocationInfo{23.5, 113.25, 15, "广州", "p"}}},
		{event(TemplateSent, "MsgID", "200163836", "Status", "failed:user block"), Message{JobID: 200163836, Status: "failed:user block"}},
		{
			event(
				MassSent, "MsgID", "1000001625", "Status", "err(30003)", "TotalCount", "5", "FilterCount", "4", "SentCount", "3", "ErrorCount", "1",
				"CopyrightCheckResult", "<Count>1</Count>\n<ResultList>"+item("ArticleIdx", "1", "UserDeclareState", "0", "AuditState", "2", "OriginalArticleUrl", "u1", "OriginalArticleType", "1", "CanReprint", "1", "NeedReplaceContent", "1", "NeedShowReprintSource", "1")+"</ResultList>\n<CheckState>2</CheckState>",
				"ArticleUrlResult", "<Count>2</Count>\n<ResultList>"+item("ArticleIdx", "1", "ArticleUrl", "u1")+item("ArticleIdx", "2", "ArticleUrl", "u2")+"</ResultList>",
			),
			Message{JobID: 1000001625, Status: "err(30003)", Mass: &MassResult{
				TotalCount: 5, FilterCount: 4, SentCount: 3, ErrorCount: 1, CheckState: 2,
				CopyrightChecks: []CopyrightCheck{{1, 0, 2, "u1", 1, 1, 1, 1}}, ArticleURLs: []ArticleURL{{1, "u1"}, {2, "u2"}},
			}},
		},
		{event(SubscribeMsgPopup, "SubscribeMsgPopupEvent", "<List>"+elements("TemplateId", "t1", "SubscribeStatusString", "accept", "PopupScene", "2")+"</List><List>"+elements("TemplateId", "t2", "SubscribeStatusString", "reject", "PopupScene", "2")+"</List>"), Message{SubscribeMsgs: []SubscribeMsg{{TemplateID: "t1", Status: "accept", PopupScene: "2"}, {TemplateID: "t2", Status: "reject", PopupScene: "2"}}}},
		{event(SubscribeMsgPopup, "List", "<TemplateId>t1</TemplateId><PopupScene>0</PopupScene>"), Message{SubscribeMsgs: []SubscribeMsg{{TemplateID: "t1", PopupScene: "0"}}}},
		{event(SubscribeMsgChange, "SubscribeMsgChangeEvent", "<List>"+elements("TemplateId", "t1", "SubscribeStatusString", "reject")+"</List>"), Message{SubscribeMsgs: []SubscribeMsg{{TemplateID: "t1", Status: "reject"}}}},
		{event(SubscribeMsgSent, "SubscribeMsgSentEvent", "<List>"+elements("TemplateId", "t1", "MsgID", "1700827132819554304", "ErrorCode", "0", "ErrorStatus", "success")+"</List>"), Message{SubscribeMsgs: []SubscribeMsg{{TemplateID: "t1", JobID: 1700827132819554304, ErrorStatus: "success"}}}},
		{event(Published, "PublishEventInfo", elements("publish_id", "2247503051", "publish_status", "2", "article_id", "b5O2", "article_detail", "<count>1</count>"+item("idx", "1", "article_url", "u"))+"<fail_idx>2</fail_idx><fail_idx>3</fail_idx>"), Message{Publication: &Publication{"2247503051", 2, "b5O2", []ArticleURL{{1, "u"}}, []int{2, 3}}}},
		{event(ServiceBegun, "KfAccount", "test1@test"), Message{KfAccount: "test1@test"}},
		{event(ServiceEnded, "KfAccount", "test1@test"), Message{KfAccount: "test1@test"}},
		{event(ServiceSwitched, "FromKfAccount", "a@test", "ToKfAccount", "b@test"), Message{FromKfAccount: "a@test", ToKfAccount: "b@test"}},
		{event(TempSession, "SessionFrom", "s"), Message{SessionFrom: "s"}},
		{event(AuditPassed, "SuccTime", "1488856741"), Message{SuccTime: time.Unix(1488856741, 0)}},
		{event(AuditFailed, "Reason", "r", "FailTime", "1488856591", "ScreenShot", "x|y"), Message{Reason: "r", FailTime: time.Unix(1488856591, 0), ScreenShot: "x|y"}},
		{event(AuditDelayed, "Reason", "r", "DelayTime", "1488856591"), Message{Reason: "r", DelayTime: time.Unix(1488856591, 0)}},
		{event(MediaChecked, "appid", "wx1", "trace_id", "60ae120f-371d5872", "result", "<suggest>pass</suggest>"), Message{AppID: "wx1", TraceID: "60ae120f-371d5872"}},
		{event(QualificationVerified, "ExpiredTime", "1442401156"), Message{ExpiredTime: time.Unix(1442401156, 0)}},
		{event(QualificationFailed, "FailTime", "1442401122", "FailReason", "by time"), Message{FailTime: time.Unix(1442401122, 0), FailReason: "by time"}},
		{event(NamingVerified, "ExpiredTime", "1442401156"), Message{ExpiredTime: time.Unix(1442401156, 0)}},
		{event(NamingFailed, "FailTime", "1442401122", "FailReason", "r"), Message{FailTime: time.Unix(1442401122, 0), FailReason: "r"}},
		{event(AnnualRenewal, "ExpiredTime", "1442401156"), Message{ExpiredTime: time.Unix(1442401156, 0)}},
		{event(VerificationExpired, "ExpiredTime", "1442401156"), Message{ExpiredTime: time.Unix(1442401156, 0)}},
		{event("tomorrow's", "EventKey", "k"), Message{EventKey: "k"}},
	} {
		m := mustParse(t, test.message)
		want := test.want
		want.ToUserName, want.FromUserName, want.CreateTime = account, follower, time.Unix(sent, 0)
		if want.Type == "" {
			want.Type, want.Event = TypeEvent, Event(m.Fields.Get("Event"))
		} else {
			want.ID = 23892468385179204
		}
		if got := typed(m); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", test.message, got, want)
		}
		if m.JSON {
			t.Errorf("XML is said to be JSON: %s", test.message)
		}
		if _, ok := scanXML(test.message); !ok {
			t.Errorf("the fast scanner leaves to the slow one: %s", test.message)
		}
		inJSON := mustParse(t, asJSON(m.Fields))
		if got := typed(inJSON); !reflect.DeepEqual(got, want) || !inJSON.JSON {
			t.Errorf("as JSON: %s\ngot  %+v\nwant %+v", asJSON(m.Fields), got, want)
		}
		if !reflect.DeepEqual(inJSON.Fields, m.Fields) {
			t.Errorf("as JSON: %s\ngot  %v\nwant %v", asJSON(m.Fields), inJSON.Fields, m.Fields)
		}
	}
}

// TestNothingIsLost: what has no place in Message stands in Fields.
func TestNothingIsLost(t *testing.T) {
	for _, message := range []string{
		push(1, "new", "<New a='1'>x<Inner>1</Inner><Inner><![CDATA[2]]></Inner></New><Encrypted/>"),
		`{"MsgType":"new","New":{"@a":1,"Inner":[1,"2"]},"Encrypted":null}`,
	} {
		m := mustParse(t, message)
		if got := m.Fields.Get("New", "@a"); got != "1" {
			t.Errorf("New/@a is %q, want 1: %s", got, message)
		}
		field, ok := m.Fields.Find("New")
		if inner := field.Fields.All("Inner"); !ok || len(inner) != 2 || inner[0].Value != "1" || inner[1].Value != "2" {
			t.Errorf("New/Inner is %v, want 1 and 2: %s", inner, message)
		}
		if _, ok := m.Fields.Find("Encrypted"); !ok {
			t.Errorf("there is no Encrypted: %s", message)
		}
		for _, path := range [][]string{{"new"}, {"New", "inner"}, {"Encrypted", "x"}, nil} {
			if f, ok := m.Fields.Find(path...); ok || m.Fields.Get(path...) != "" {
				t.Errorf("found %v at %q: %s", f, path, message)
			}
		}
	}
}

// TestUnusual has forms that WeChat does not send, or not often.
func TestUnusual(t *testing.T) {
	text := func(content string) string { return push(1, TypeText, "<Content>"+content+"</Content>") }
	for message, want := range map[string]string{
		text("a &lt;&amp;&gt;&quot;&apos;&#22825;&#x6c14; b"):                    `a <&>"'天气 b`,
		text("<![CDATA[a]]]]><![CDATA[>b]]>"):                                    "a]]]]><![CDATA[>b", // typed: WeChat splits nothing
		text("\n  <![CDATA[ a ]]>\n"):                                            " a ",
		text("\n  a\n"):                                                          "a",
		text("a<!-- no -->b"):                                                    "ab",
		text("<![CDATA[]]>"):                                                     "",
		text("<![CDATA[a\x00\x08\x1b\uFFFEb]]>"):                                 "a    b",
		text("<![CDATA[a\xff\xfeb]]>"):                                           "a\uFFFDb",
		text("<![CDATA[a\r\nb\rc]]>"):                                            "a\nb\nc",
		text("<![CDATA[\u2028\U0001F600]]>"):                                     "\u2028\U0001F600",
		"\uFEFF \n" + text("a") + "\n\n":                                         "a",
		`<?xml version="1.0" encoding="utf-8"?>` + text("a"):                     "a",
		"<Message ><Content\n>a</Content ></Message>":                            "a",
		`<xml xmlns="http://x"><Content>a</Content></xml>`:                       "a",
		"<xml><Content>a</Content><Content>b</Content></xml>":                    "a",
		`{"Content":"a","Content":"b","content":"c","CONTENT":"d"}`:              "a",
		` { "Content" : "\u5929\ud83d\ude00\/\"\\\n" , "e" : [ ] , "f" : { } } `: "天😀/\"\\\n",
		`{"Content":"a\u0000\u001db\uFFFEc"}`:                                    "a  b c",
		"{\"Content\":\"a\x00\tb\"}":                                             "a  b",
		"\uFEFF" + `{"Content":12}`:                                              "12",
		`{"Content":-1.50e+3,"a":true}`:                                          "-1.50e+3",
		`{"a":[[1,[2]],[]],"Content":"a"}`:                                       "a",
	} {
		if m := mustParse(t, message); m.Content != want {
			t.Errorf("Content is %q, want %q: %q", m.Content, want, message)
		}
	}
	if m := mustParse(t, `{"MsgId":"23892468385179204","CreateTime":"1620973045","MsgID":7}`); m.ID != 23892468385179204 || m.JobID != 7 || m.CreateTime.Unix() != 1620973045 {
		t.Errorf("numbers in quotes: %+v", m)
	}
	if m := mustParse(t, `{"MsgId":"1e3x","CreateTime":"now","Location_X":"x"}`); m.ID != 0 || !m.CreateTime.IsZero() || m.LocationX != 0 || m.Fields.Get("MsgId") != "1e3x" {
		t.Errorf("no numbers: %+v", m)
	}
	for text, want := range map[string]int64{
		"1e3": 1000, "2.3892468385179204e16": 23892468385179204, "-1.50e+1": -15, "7.0": 7, "5e-1": 0, "0.5": 0,
		"1e19": 0, "1e999999999": 0, "9223372036854775807": 1<<63 - 1, "9223372036854775808": 0, "92233720368547758070e-1": 1<<63 - 1,
	} {
		if m := mustParse(t, `{"MsgId":`+text+`}`); m.ID != want || m.Fields.Get("MsgId") != text {
			t.Errorf("MsgId %s is %d, want %d; Fields have %q", text, m.ID, want, m.Fields.Get("MsgId"))
		}
	}
}

// bomb has entities that would become ten million bytes.
func bomb() string {
	var b strings.Builder
	b.WriteString(`<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">`)
	for c := 'b'; c <= 'u'; c++ {
		_, _ = fmt.Fprintf(&b, `<!ENTITY %c "&%c;&%c;">`, c, c-1, c-1)
	}
	return b.String() + "]><xml><Content>&u;</Content></xml>"
}

func TestParseRefuses(t *testing.T) {
	for name, message := range map[string]string{
		"empty":               "",
		"blank":               " \n",
		"form":                "Content=a",
		"array":               `[{"Content":"a"}]`,
		"HTML":                "<html><br></html>",
		"entity bomb":         bomb(),
		"external entity":     `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml><Content>&a;</Content></xml>`,
		"entity":              "<xml><Content>&nbsp;</Content></xml>",
		"DOCTYPE":             "<!DOCTYPE xml><xml></xml>",
		"other encoding":      `<?xml version="1.0" encoding="gbk"?><xml></xml>`,
		"no element":          `<?xml version="1.0"?>`,
		"cut":                 "<xml><Content><![CDATA[a]]></Content>",
		"cut in CDATA":        "<xml><Content><![CDATA[a]",
		"crossed":             "<xml><a><b></a></b></xml>",
		"no slash at the end": "<xml><a><![CDATA[b]]><0a></xml>",
		"two roots":           "<xml></xml><xml></xml>",
		"text after":          "<xml></xml>a",
		"text before":         "<?xml version='1.0'?>a<xml></xml>",
		"bracket":             "<xml><a>]]></a></xml>",
		"100,000 elements":    "<xml>" + strings.Repeat("<a/>", 100_000) + "</xml>",
		"a few too many":      "<xml>" + strings.Repeat("<a>1</a>", maxFields) + "</xml>",
		"100,000 attributes":  "<xml><a " + strings.Repeat(`a="" `, 100_000) + "/></xml>",
		"deep":                strings.Repeat("<a>", maxDepth+1) + strings.Repeat("</a>", maxDepth+1),
		"100,000 deep":        strings.Repeat("<a>", 100_000) + strings.Repeat("</a>", 100_000),
		"JSON, 100,000":       `{"a":[` + strings.Repeat("1,", 100_000) + `1]}`,
		"JSON, arrays":        `{"a":[` + strings.Repeat("[],", 100_000) + `[]]}`,
		"JSON, deep":          strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1),
		"JSON, 100,000 deep":  `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}",
		"JSON, cut":           `{"a":1`,
		"JSON, cut in string": `{"a":"b`,
		"JSON, two":           `{}{}`,
		"JSON, no comma":      `{"a":1 "b":2}`,
		"JSON, comma":         `{"a":1,}`,
		"JSON, comma first":   `{,"a":1}`,
		"JSON, no name":       `{a:1}`,
		"JSON, no value":      `{"a":}`,
		"JSON, bad number":    `{"a":01}`,
		"JSON, bad fraction":  `{"a":1.}`,
		"JSON, bad exponent":  `{"a":1e}`,
		"JSON, bad word":      `{"a":nul}`,
		"JSON, bad escape":    `{"a":"\x"}`,
		"JSON, bad array":     `{"a":[1 2]}`,
		"JSON, array comma":   `{"a":[1,]}`,
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseMessage([]byte(message))
			var refusal *Error
			if m != nil || !errors.As(err, &refusal) || refusal.Reason != ReasonMessage {
				t.Fatalf("ParseMessage = %+v, %v; want a refusal", m, err)
			}
			if len(err.Error()) > 500 {
				t.Errorf("the refusal has %d bytes: %.600s", len(err.Error()), err)
			}
			if n := allocated(func() { _, _ = ParseMessage([]byte(message)) }); n > 2<<20 {
				t.Errorf("a message of %d bytes costs %d bytes of memory", len(message), n)
			}
		})
	}
}

// allocated returns how many bytes f allocates. No other test may run meanwhile.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestScene(t *testing.T) {
	for _, test := range []struct {
		event      Event
		key, scene string
	}{
		{Subscribe, "", ""},
		{Subscribe, "qrscene_123", "123"},
		{Subscribe, "qrscene_qrscene_", "qrscene_"},
		{Scan, "123", "123"},
		{Scan, "qrscene_1", "qrscene_1"},
		{Click, "123", ""},
	} {
		if got := (&Message{Event: test.event, EventKey: test.key}).Scene(); got != test.scene {
			t.Errorf("the scene of %s with %q is %q, want %q", test.event, test.key, got, test.scene)
		}
	}
}

// TestKey: deliveries of one message have one key, other messages others.
func TestKey(t *testing.T) {
	text := push(1668869541, TypeText, elements("Content", "a", "MsgId", "23892468385179204"))
	click := push(1668869541, TypeEvent, elements("Event", "CLICK", "EventKey", "a"))
	ticket := "<xml><AppId>wx1</AppId><CreateTime>1</CreateTime><InfoType>component_verify_ticket</InfoType><ComponentVerifyTicket>t1</ComponentVerifyTicket></xml>"
	sent := push(1668869541, TypeEvent, elements("Event", "TEMPLATESENDJOBFINISH", "MsgID", "1", "Status", "success"))
	list := push(1668869541, TypeEvent, elements("Event", "subscribe_msg_sent_event", "SubscribeMsgSentEvent", "<List><TemplateId>a</TemplateId><MsgID>1</MsgID></List>"))
	keys := make(map[string]string)
	for _, message := range []string{
		text, click, ticket, sent, list,
		strings.Replace(text, "9204", "9205", 1),
		strings.Replace(text, follower, "o"+follower[1:27]+"R", 1), // one MsgId for two followers
		strings.Replace(text, account, "gh_0123456789ac", 1),
		strings.Replace(click, "1668869541", "1668869542", 1),
		strings.Replace(click, "[a]", "[b]", 1),
		strings.Replace(click, "CLICK", "VIEW", 1),
		strings.Replace(click, "[CLICK]]></Event>\n<EventKey><![CDATA[a]", "[CLICKa]]></Event>\n<EventKey><![CDATA[]", 1),
		strings.Replace(ticket, "t1", "t2", 1),
		strings.Replace(sent, "<MsgID>1", "<MsgID>2", 1), // two templates in one second
		strings.Replace(list, "<MsgID>1", "<MsgID>2", 1),
		strings.Replace(click, "</xml>", "<New>1</New></xml>", 1),
		push(1668869541, TypeEvent, elements("Event", "CLICK", "EventKey", "a", "MsgId", "1")), // a MsgId identifies no event
		push(1668869541, TypeEvent, elements("Event", "CLICK", "EventKey", "b", "MsgId", "1")),
		strings.Replace(click, "</xml>", "<New></New></xml>", 1),
		strings.Replace(click, "</xml>", "<New/></xml>", 1),
		strings.Replace(click, "[a]", "[a\x01]", 1), // what XML forbids is a space to handlers
		strings.Replace(click, "[a]", "[a\x02]", 1),
		strings.Replace(click, "[a]", "[a ]", 1),
		click + "\n", "\n" + click, strings.ReplaceAll(click, "\n", "\r\n"), "\uFEFF" + click, strings.ReplaceAll(click, "\n", ""),
		`{"MsgType":"event","Event":"a"}`, `{"MsgType":"event","Event":"a","List":[]}`, `{"MsgType":"event","Event":"a","List":null}`,
		`{"MsgType":"event","Event":"a","List":""}`, `{"MsgType":"event","Event":"a","List":[[]]}`, `{"MsgType":"event","Event":"a","List":{}}`,
		`{"MsgType":"event","Event":"a","N":1}`, `{"MsgType":"event","Event":"a","N":"1"}`,
	} {
		key := mustParse(t, message).Key()
		if other, ok := keys[key]; ok {
			t.Errorf("one key for two messages:\n%s\n%s", message, other)
		}
		keys[key] = message
	}
	for again, message := range map[string]string{
		strings.ReplaceAll(text, "\n", ""):                       text, // a proxy's doing
		strings.Replace(text, "</xml>", "<New>1</New></xml>", 1): text,
	} {
		if mustParse(t, again).Key() != mustParse(t, message).Key() {
			t.Errorf("two keys for one message:\n%s\n%s", message, again)
		}
	}
}

// seeds gives a fuzz target the known messages.
func seeds(f *testing.F) []string {
	f.Helper()
	encrypted, _ := vectors(f)
	all := []string{
		push(1668869541, TypeText, elements("Content", "文本消息", "MsgId", "23892468385179204")),
		push(1668926536, TypeEvent, elements("Event", "subscribe", "EventKey", "")),
		push(1, TypeEvent, "<SendPicsInfo><Count>1</Count>\n<PicList><item><PicMd5Sum><![CDATA[1b]]></PicMd5Sum>\n</item>\n</PicList>\n</SendPicsInfo>"),
		`<?xml version="1.0"?><a b="c"><d>&lt;&#38;</d><e><![CDATA[<]]]]><![CDATA[>]]></e><!-- f --><g/></a>`,
		"<a>\r<b>\r\n</b>x</a>", "<a><b> ] </b></a>", "<a><b></b></a> <c/>",
		`{"a":[1,[2,{"b":null}],[]],"c":"\ud83d\ude00\/","d":-1.5e+3,"e":{}}`, `{"a":01}`, "{\"a\":\"\n\"}",
	}
	for _, v := range encrypted {
		all = append(all, v.Plaintext)
	}
	return all
}

// FuzzXML holds the fast scanner against encoding/xml: what it takes both read
// alike, whatever it is.
func FuzzXML(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.Trim(clean(s), space)
		fields, ok := scanXML(s)
		if !ok {
			return
		}
		want, wrong := decodeXML(s, nil)
		if strings.Contains(fmt.Sprint(fields), "]]>") {
			return // typed as it is, which encoding/xml reads otherwise or not at all
		}
		if wrong != "" || !reflect.DeepEqual(fields, want) {
			t.Errorf("scanned %q\ndecoded %q, %s\nof %q", fields, want, wrong, s)
		}
	})
}

// FuzzJSON holds the parser against encoding/json.
func FuzzJSON(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.Map(func(r rune) rune { return max(r, ' ') }, clean(s))
		fields, wrong := parseJSON(s)
		if wrong == wrongCount || wrong == wrongDepth {
			return
		}
		valid := json.Valid([]byte(s)) && strings.HasPrefix(strings.TrimLeft(s, space), "{")
		if valid != (wrong == "") {
			t.Fatalf("parsed %q, %q; valid: %t: %q", fields, wrong, valid, s)
		}
		if !valid {
			return
		}
		decoder := json.NewDecoder(strings.NewReader(s))
		decoder.UseNumber()
		want := decodeJSON(t, decoder, nil, "", false)
		if !reflect.DeepEqual(fields, want[0].Fields) {
			t.Errorf("parsed %q\ndecoded %q\nof %q", fields, want[0].Fields, s)
		}
	})
}

// decodeJSON reads a value with encoding/json and appends what it is.
func decodeJSON(t *testing.T, d *json.Decoder, fields Fields, name string, inArray bool) Fields {
	t.Helper()
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch token {
	case json.Delim('{'):
		var inside Fields
		for d.More() {
			name, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			inside = decodeJSON(t, d, inside, clean(name.(string)), false)
		}
		_, _ = d.Token()
		return append(fields, Field{Name: name, Fields: inside})
	case json.Delim('['):
		var inside Fields
		for d.More() {
			inside = decodeJSON(t, d, inside, name, true)
		}
		_, _ = d.Token()
		if inArray {
			return append(fields, Field{Name: name, Fields: inside})
		}
		return append(fields, inside...)
	case nil:
		return append(fields, Field{Name: name})
	default:
		return append(fields, Field{Name: name, Value: clean(fmt.Sprint(token))})
	}
}

// FuzzParseMessage: nothing makes ParseMessage panic or cost much, and what it
// takes has a key.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := ParseMessage(message)
		if (m == nil) == (err == nil) || m != nil && len(m.Key()) != 43 {
			t.Errorf("ParseMessage = %+v, %v", m, err)
		}
	})
}
