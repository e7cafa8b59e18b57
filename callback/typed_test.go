package callback

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// typedPieces are what drawn texts are made of: whatever breaks XML when it stands in
// a CDATA section unescaped, and what a follower who knows that would write.
var typedPieces = []string{
	"]]>", "]]", ">", "<", "&", "&amp;", "&#60;", "\n", "\t", "\x00", "\x02", "\x1d", "你好", "😀", "'", `"`, `\`, "a", " ",
	"<![CDATA[", "]]]]><![CDATA[>", "</xml>", "<xml>", "<a>", "</Content>", "<Content>", "]]></Content>", "]]></Content>\n", "<Content><![CDATA[",
	"<Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event>", "<MsgID>1</MsgID>", "<MsgId>1</MsgId>", "<MsgType><![CDATA[event]]></MsgType>",
	"<Encrypt><![CDATA[AAAA]]></Encrypt>", "]]></Title>\n<Description><![CDATA[", "]]></status>", "<?xml?>", "<!-- ", "-->", "<!DOCTYPE a>", "\uFEFF",
}

func drawTyped(t *rapid.T, name string) string {
	pieces := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(typedPieces), rapid.String()), 0, 8).Draw(t, name)
	return strings.Join(pieces, "")
}

// asTyped is what a handler gets of a text.
func asTyped(s string, inJSON bool) string {
	s = clean(s)
	if !inJSON {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	return s
}

// raw writes elements as WeChat does: each in a line of its own, texts unescaped.
func raw(pairs ...string) string {
	var b strings.Builder
	b.WriteString("<xml>")
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString("<" + pairs[i] + ">" + pairs[i+1] + "</" + pairs[i] + ">\n")
	}
	return b.String() + "</xml>"
}

func cdata(s string) string { return "<![CDATA[" + s + "]]>" }

func rawText(id int64, content string) string {
	return raw("ToUserName", cdata(account), "FromUserName", cdata(follower), "CreateTime", "1668869541",
		"MsgType", cdata("text"), "Content", cdata(content), "MsgId", strconv.FormatInt(id, 10))
}

// TestTyped: whatever a follower types, the handler gets it, and no other field depends
// on it.
func TestTyped(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, content string) {
		m, err := ParseMessage([]byte(rawText(7, content)))
		if err != nil {
			t.Errorf("%v: %q", err, content)
			return
		}
		want := Message{
			ToUserName: account, FromUserName: follower, CreateTime: time.Unix(1668869541, 0), Type: TypeText, ID: 7,
			Content: asTyped(content, false),
		}
		if got := typed(m); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || len(m.Fields) != 6 {
			t.Errorf("typed %q\ngot  %+v\nwant %+v", content, got, want)
		}
		for how, message := range unusually(rawText(7, content)) {
			m, err := ParseMessage([]byte(message))
			if err != nil {
				t.Errorf("%s: %v: %q", how, err, content)
			} else if got := typed(m); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("%s: typed %q\ngot  %+v\nwant %+v", how, content, got, want)
			}
		}
	}
	for _, content := range []string{
		"<xml><a><![CDATA[hi]]></a></xml>", "a]]>b", "x]]></status>", "]]>", "]]>]]>", "a]]>\r\n", "]]></Content>", "]]]]><![CDATA[>", "a]]]]><![CDATA[>b]]>",
		"x]]></Content><Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event><MsgID>1</MsgID><Status><![CDATA[success]]></Status><Content><![CDATA[y",
		"x]]></Content>\n<MsgId>1</MsgId>\n<Content><![CDATA[y",
	} {
		check(t, content)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, drawTyped(t, "content")) })
}

// unusually writes a text message in forms that WeChat was not seen to use, and that XML
// allows.
func unusually(message string) map[string]string {
	end := func(s string) string { return strings.TrimSuffix(message, "</xml>") + s + "</xml>" }
	begin := func(s string) string { return s + strings.TrimPrefix(message, "<xml>") }
	return map[string]string{
		"prolog":          `<?xml version="1.0" encoding="utf-8"?>` + "\n" + message,
		"comment before":  "<!-- ]]> <Content><![CDATA[ --><!---->" + message,
		"comment inside":  begin("<xml>\n<!-- ]]> <Content><![CDATA[ -->\n"),
		"namespace":       begin(`<xml xmlns="urn:a" xmlns:b='urn:b>'>`),
		"white space":     begin("<xml>\n    "),
		"instruction":     begin("<xml><?a <Content>?>"),
		"empty element":   end("<Remark/>\n"),
		"empty attribute": end("<Remark a='1' b=\"/>\" />\n"),
		"attribute":       end("<Remark a=\"]]>\">x</Remark>\n"),
		"reference":       end("<Remark>x &amp; &#20320;</Remark>\n"),
		"pieces":          end("<Remark><![CDATA[x]]>y<![CDATA[z]]></Remark>\n"),
		"]]> elsewhere":   end("<Remark><![CDATA[x]]>y]]></Remark>\n"),
		"tag":             strings.Replace(message, "<MsgType>", "<MsgType >\n", 1),
	}
}

// TestTypedElsewhere: the other elements that followers fill have the same rule.
func TestTypedElsewhere(t *testing.T) {
	common := func(kind string, pairs ...string) string {
		return raw(append([]string{"ToUserName", cdata(account), "FromUserName", cdata(follower), "CreateTime", "1", "MsgType", cdata(kind)}, pairs...)...)
	}
	for message, got := range map[string]func(*Message) string{
		common("link", "Title", cdata("a]]>b"), "Description", cdata("c]]></Title>d"), "Url", cdata("u"), "MsgId", "1"): func(m *Message) string {
			return m.Title + "|" + m.Description + "|" + m.URL
		},
		common("location", "Location_X", "1.5", "Label", cdata("a]]>b"), "MsgId", "1"): func(m *Message) string { return m.Label },
		common("voice", "MediaId", cdata("m"), "MsgId", "1", "Recognition", cdata("a]]></Recognition><Event><![CDATA[x]]></Event>")): func(m *Message) string {
			return m.Recognition + string(m.Event)
		},
		common("event", "Event", cdata("scancode_waitmsg"), "EventKey", cdata("k"), "ScanCodeInfo",
			raw2("ScanType", cdata("qrcode"), "ScanResult", cdata("]]></ScanResult></ScanCodeInfo><EventKey>x</EventKey>"))): func(m *Message) string {
			return m.ScanCodeInfo.ScanResult + "|" + m.EventKey
		},
		common("event", "Event", cdata("new"), "Remark", cdata("a]]>b"), "Other", cdata("c")): func(m *Message) string {
			return m.Fields.Get("Remark") + "|" + m.Fields.Get("Other")
		},
		common("new", "Content", cdata("a]]></Content><Status>x</Status>"), "Other", cdata("b]]>")): func(m *Message) string {
			return m.Content + "|" + m.Fields.Get("Other") + m.Status
		},
	} {
		want := map[string]string{
			"link": "a]]>b|c]]></Title>d|u", "location": "a]]>b", "voice": "a]]></Recognition><Event><![CDATA[x]]></Event>",
			"new": "a]]></Content><Status>x</Status>|b]]>",
		}
		m := mustParse(t, message)
		expect := want[string(m.Type)]
		switch m.Event {
		case ScanCodeWaitMsg:
			expect = "]]></ScanResult></ScanCodeInfo><EventKey>x</EventKey>|k"
		case "new":
			expect = "a]]>b|c"
		}
		if got(m) != expect {
			t.Errorf("%s\ngot  %q\nwant %q", message, got(m), expect)
		}
	}
}

// raw2 is raw for what is inside of an element.
func raw2(pairs ...string) string {
	return strings.TrimSuffix(strings.TrimPrefix(raw(pairs...), "<xml>"), "</xml>")
}

// compatibly is a push in compatible mode, the plain half as it is typed.
func compatibly(tb testing.TB, message string) *http.Request {
	tb.Helper()
	r := sentAs(tb, true, message)
	sealed, err := readBody(r, nil)
	if err != nil {
		tb.Fatal(err)
	}
	encrypt, err := findEncrypt(sealed)
	if err != nil {
		tb.Fatal(err)
	}
	body := "<xml>\n" + strings.TrimSuffix(strings.TrimPrefix(message, "<xml>"), "</xml>") + "    <Encrypt>" + cdata(string(encrypt)) + "</Encrypt>\n</xml>\n"
	return httptest.NewRequest(http.MethodPost, r.URL.String(), strings.NewReader(body))
}

// TestTypedThrough: in all modes the handler gets a text as it was typed, and an
// ordinary text of the same second too.
func TestTypedThrough(t *testing.T) {
	modes := map[string]func(tb testing.TB, message string) *http.Request{
		"plain":      func(tb testing.TB, message string) *http.Request { tb.Helper(); return sentAs(tb, false, message) },
		"compatible": compatibly,
		"safe":       func(tb testing.TB, message string) *http.Request { tb.Helper(); return sentAs(tb, true, message) },
	}
	for mode, request := range modes {
		t.Run(mode, func(t *testing.T) {
			config := safeConfig()
			if mode == "plain" {
				config = plainConfig()
			}
			var mu sync.Mutex
			got := map[int64]string{}
			bot := NewRouter()
			bot.Default(func(c *Context) error {
				mu.Lock()
				defer mu.Unlock()
				got[c.Message.ID] = c.Message.Content
				return nil
			})
			e := mustEndpoint(t, EndpointConfig{Verifier: newVerifier(t, config), Router: bot})
			defer mustShutdown(t, e)
			id := int64(0)
			rapid.Check(t, func(rt *rapid.T) {
				content := drawTyped(rt, "content")
				for _, text := range []string{content, "ordinary"} {
					id++
					recorder := httptest.NewRecorder()
					e.ServeHTTP(recorder, request(t, rawText(id, text)))
					if recorder.Code != http.StatusOK || recorder.Body.String() != "success" {
						rt.Fatalf("%q is answered with %d %s", text, recorder.Code, recorder.Body)
					}
					mu.Lock()
					if seen, ok := got[id]; !ok || seen != asTyped(text, false) {
						rt.Fatalf("%q reaches the handler as %q, %t", text, seen, ok)
					}
					mu.Unlock()
				}
			})
		})
	}
}

// TestDrawnEvents: two events that differ anywhere are two messages, and one event is
// one, in XML and in JSON, known and made up.
func TestDrawnEvents(t *testing.T) {
	var bodies []string
	for _, name := range append([]Event{"user_get_card", "poi_check_notify", "xpay_goods_deliver_notify", "change_external_contact", "tomorrow's"}, brief...) {
		bodies = append(bodies, push(1472551036, TypeEvent, elements("Event", string(name), "EventKey", "k", "UserCardCode", "226009850808",
			"Info", "<List><Id>1</Id></List><List><Id>2</Id></List>")))
	}
	var runs atomic.Int64
	bot := NewRouter()
	bot.Default(func(*Context) error { runs.Add(1); return nil })
	e := mustEndpoint(t, EndpointConfig{Router: bot})
	defer mustShutdown(t, e)
	drawn := 0
	rapid.Check(t, func(rt *rapid.T) {
		drawn++
		first := strings.Replace(rapid.SampledFrom(bodies).Draw(rt, "event"), "226009850808", fmt.Sprintf("1%09d%s", drawn, rapid.StringMatching(`[0-9]{0,9}`).Draw(rt, "code")), 1)
		change := rapid.SampledFrom([][2]string{{"</UserCardCode>", "9</UserCardCode>"}, {"<Id>1</Id>", "<Id>3</Id>"}, {"<Id>2</Id>", "<Id>1</Id>"}, {"\n</xml>", "<New>1</New>\n</xml>"}, {"[event]", "[evenT]"}, {"[k]", "[k\x02]"}}).Draw(rt, "change")
		second := strings.Replace(first, change[0], change[1], 1)
		if rapid.Bool().Draw(rt, "JSON") {
			first, second = asJSON(mustParse(t, first).Fields), asJSON(mustParse(t, second).Fields)
			if emptied := rapid.SampledFrom([]string{"", "[]", "null", `""`, "{}", "[[]]"}).Draw(rt, "emptied"); emptied != "" || first == second {
				second = strings.TrimSuffix(first, "}") + `,"New":` + cmp.Or(emptied, "0") + "}"
			}
		}
		before := runs.Load()
		for _, message := range []string{first, second, first, second, first} {
			if got := answered(t, serve(t, e, true, message)); got != nil {
				rt.Fatalf("answered %v", got)
			}
		}
		if seen := runs.Load() - before; seen != 2 {
			rt.Fatalf("handlers ran %d times for 2 messages, 5 deliveries:\n%s\n%s", seen, first, second)
		}
	})
}
