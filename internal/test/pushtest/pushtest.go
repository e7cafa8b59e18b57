// Package pushtest draws pushes of WeChat and checks that whoever receives them takes two
// different ones for two messages, and each for one, however often it is delivered and
// under whatever nonce, signature and encryption.
//
// Drawn are events, known and made up, as XML and as JSON, with nested fields and lists.
// The second of two differs from the first in one place: a value, a field more or less,
// the order of a list, the case of the event's name, or how it is written: an empty list, a
// null, a control character, white space.
//
// Only tests import this package.
package pushtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
)

// Mode is how an account's pushes come.
type Mode string

// The modes of the console, 消息加解密方式.
const (
	Plain      Mode = "plain"
	Compatible Mode = "compatible"
	Safe       Mode = "safe"
)

// Modes are all of them.
var Modes = []Mode{Plain, Compatible, Safe}

// Receiver is what is tested.
type Receiver struct {
	Handler http.Handler
	Path    string          // of the callback
	Config  callback.Config // of the account, without its AESKey in plain mode
	Mode    Mode
	Handled func() int // how many messages reached the application
}

// Check draws pairs of pushes and has each delivered two or three times.
func Check(t *testing.T, r Receiver) {
	t.Helper()
	verifier, err := callback.NewVerifier(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{Receiver: r, verifier: verifier}
	pairs := 0
	rapid.Check(t, func(rt *rapid.T) {
		pairs++
		first := drawEvent(rt, pairs)
		second := change(rt, first)
		encode := first.xml
		again := second.xml
		if rapid.Bool().Draw(rt, "JSON") {
			encode, again = first.json, second.json
		}
		bodies := []string{encode(), again()}
		if rapid.IntRange(0, 3).Draw(rt, "written otherwise") == 0 {
			bodies[1] = rewrite(rt, bodies[0])
		}
		before := r.Handled()
		for _, i := range rapid.SampledFrom([][]int{{0, 1, 0, 1, 0}, {0, 0, 1, 1}, {1, 0, 0, 1, 1}}).Draw(rt, "order") {
			if got := s.deliver(rt, bodies[i]); got.Code != http.StatusOK {
				rt.Fatalf("answered with %d %s:\n%s", got.Code, got.Body, bodies[i])
			}
		}
		patience.Wait(func() bool { return r.Handled()-before >= 2 })
		if got := r.Handled() - before; got != 2 {
			rt.Fatalf("%d messages were handled, want 2:\n%s\n%s", got, bodies[0], bodies[1])
		}
	})
}

// Endpoint checks [callback.Endpoint] over once in all modes, for the tests of an engine.
func Endpoint(t *testing.T, once callback.Once) {
	t.Helper()
	for _, mode := range Modes {
		t.Run(string(mode), func(t *testing.T) {
			config := Account(mode)
			verifier, err := callback.NewVerifier(config)
			if err != nil {
				t.Fatal(err)
			}
			var handled atomic.Int64
			bot := callback.NewRouter()
			bot.Default(func(*callback.Context) error { handled.Add(1); return nil })
			endpoint, err := callback.NewEndpoint(callback.EndpointConfig{Verifier: verifier, Router: bot, Once: once})
			if err != nil {
				t.Fatal(err)
			}
			Check(t, Receiver{Handler: endpoint, Path: "/", Config: config, Mode: mode, Handled: func() int { return int(handled.Load()) }})
			if err := endpoint.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// secret is a value that is no secret.
type secret string

func (s secret) Reveal() string { return string(s) }

// Account returns the settings of a made-up account whose pushes come in mode.
func Account(mode Mode) callback.Config {
	config := callback.Config{AppID: "wx0123456789abcdef", Token: secret("T0kenOfTheConsole"), Freshness: 5 * time.Minute}
	if mode != Plain {
		config.AESKey = secret("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")
	}
	return config
}

// sender delivers as WeChat does.
type sender struct {
	Receiver

	verifier *callback.Verifier
	nonce    int // none is used twice
}

func (s *sender) deliver(rt *rapid.T, message string) *httptest.ResponseRecorder {
	s.nonce++
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), strconv.Itoa(s.nonce)
	query := "?signature=" + callback.Signature(s.Config.Token.Reveal(), timestamp, nonce) + "&timestamp=" + timestamp + "&nonce=" + nonce + "&openid=" + follower
	body := message
	if s.Mode != Plain {
		envelope, err := s.verifier.Seal(callback.Pair{}, timestamp, nonce, []byte(message))
		if err != nil {
			rt.Fatal(err)
		}
		query += "&encrypt_type=aes&msg_signature=" + envelope.MsgSignature
		body = wrap(envelope.Encrypt, message, s.Mode == Compatible)
	}
	recorder := httptest.NewRecorder()
	s.Handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, s.Path+query, strings.NewReader(body)))
	return recorder
}

// wrap puts the ciphertext into the form of the message, next to the message in the clear
// in compatible mode.
func wrap(encrypt, message string, both bool) string {
	inner := account
	if message[0] == '{' {
		element := `"Encrypt":"` + encrypt + `"}`
		if both {
			return strings.TrimSuffix(message, "}") + "," + element
		}
		return `{"ToUserName":"` + inner + `",` + element
	}
	element := "<Encrypt><![CDATA[" + encrypt + "]]></Encrypt>\n</xml>"
	if both {
		return strings.TrimSuffix(message, "</xml>") + element
	}
	return "<xml>\n<ToUserName><![CDATA[" + inner + "]]></ToUserName>\n" + element
}

const (
	account  = "gh_0123456789ab"
	follower = "oMadeUpFollowerOfTheTests000"
)

// Events are names that WeChat's pages have, of all its families.
var Events = []string{
	"subscribe", "unsubscribe", "SCAN", "LOCATION", "CLICK", "VIEW", "view_miniprogram", "scancode_push", "scancode_waitmsg",
	"pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select", "TEMPLATESENDJOBFINISH", "MASSSENDJOBFINISH",
	"PUBLISHJOBFINISH", "subscribe_msg_popup_event", "subscribe_msg_change_event", "subscribe_msg_sent_event",
	"kf_create_session", "kf_close_session", "kf_switch_session", "user_enter_tempsession", "card_pass_check",
	"user_get_card", "user_gifting_card", "user_del_card", "user_consume_card", "user_pay_from_pay_cell", "user_view_card",
	"submit_membercard_user_info", "poi_check_notify", "ShakearoundUserShake", "qualification_verify_success",
	"annual_renew", "weapp_audit_success", "weapp_audit_fail", "wxa_media_check", "channels_ec_order_pay",
	"channels_ec_order_cancel", "channels_ec_aftersale_update", "xpay_goods_deliver_notify", "xpay_coin_pay_notify",
	"xpay_subscribe_ios_refund_query_notify", "minigame_h5_goods_deliver_notify", "trade_manage_order_settlement",
	"add_express_path", "change_external_contact", "change_contact", "open_product_order_pay", "wxa_privacy_apply",
}

// fields of the drawn events: names that WeChat uses, and others.
var names = []string{
	"EventKey", "MsgID", "Status", "CardId", "UserCardCode", "OuterId", "UniqId", "PoiId", "result", "order_id", "trace_id",
	"pay_order_ids", "TotalCount", "ExternalUserIDs", "UserID", "ChangeType", "AuthCode", "suite_id", "isTrusted", "Latitude",
}

// item is a value, or nested fields.
type item struct {
	value  string
	fields []field
}

// field has one item, or a list of them.
type field struct {
	name  string
	items []item
}

type event []field

// drawEvent draws an event that no other of this run equals.
func drawEvent(rt *rapid.T, number int) event {
	name := rapid.OneOf(rapid.SampledFrom(Events), rapid.StringMatching(`[A-Za-z][A-Za-z0-9_']{0,24}`)).Draw(rt, "event")
	constant := rapid.SampledFrom([]string{follower, "sys", "oAnotherFollower"}).Draw(rt, "from") // in some families nobody's
	e := event{
		{"ToUserName", []item{{value: account}}},
		{"FromUserName", []item{{value: constant}}},
		{"CreateTime", []item{{value: strconv.FormatInt(time.Now().Unix(), 10)}}},
		{"MsgType", []item{{value: "event"}}},
		{"Event", []item{{value: name}}},
		{"Number", []item{{value: strconv.Itoa(number)}}},
	}
	return append(e, drawFields(rt, 2)...)
}

func drawFields(rt *rapid.T, depth int) []field {
	drawn := rapid.SliceOfNDistinct(
		rapid.OneOf(rapid.SampledFrom(names), rapid.StringMatching(`Z[A-Za-z0-9_]{0,12}`)), 1, 4, rapid.ID[string],
	).Draw(rt, "names")
	fields := make([]field, len(drawn))
	for i, name := range drawn {
		fields[i] = field{name, []item{drawItem(rt, depth)}}
		for range rapid.IntRange(0, 2).Draw(rt, "more") {
			if len(fields[i].items[0].fields) == 0 {
				fields[i].items = append(fields[i].items, item{value: drawValue(rt)})
			} else {
				fields[i].items = append(fields[i].items, item{fields: drawFields(rt, depth-1)})
			}
		}
	}
	return fields
}

func drawItem(rt *rapid.T, depth int) item {
	if depth > 0 && rapid.IntRange(0, 4).Draw(rt, "nested") == 0 {
		return item{fields: drawFields(rt, depth-1)}
	}
	return item{value: drawValue(rt)}
}

func drawValue(rt *rapid.T) string {
	return rapid.OneOf(
		rapid.StringMatching(`[0-9]{1,20}`),
		rapid.StringMatching(`[A-Za-z0-9_@\-+/=.]{1,28}`),
		rapid.StringMatching(`[a你好😀<>&"' \]]{1,12}`),
	).Draw(rt, "value")
}

// change returns e with a difference in one place.
func change(rt *rapid.T, e event) event {
	e = clone(e)
	leaves := e.leaves()
	switch rapid.IntRange(0, 5).Draw(rt, "difference") {
	case 0:
		return append(e, field{"Another", []item{{value: drawValue(rt)}}})
	case 1:
		return e[:len(e)-1]
	case 2: // the last field under another name
		e[len(e)-1].name += "2"
		return e
	case 3:
		for i := range e {
			if items := e[i].items; len(items) > 1 && fmt.Sprint(items[0]) != fmt.Sprint(items[len(items)-1]) {
				items[0], items[len(items)-1] = items[len(items)-1], items[0]
				return e
			}
		}
	case 4:
		if name := &e[4].items[0].value; *name != strings.ToUpper(*name) {
			*name = strings.ToUpper(*name)
			return e
		}
	}
	leaf := rapid.SampledFrom(leaves).Draw(rt, "leaf")
	*leaf += rapid.SampledFrom([]string{"0", "a", "的", " 1"}).Draw(rt, "addition")
	return e
}

// rewrite returns a body that reads as the same fields, or nearly, in other bytes.
func rewrite(rt *rapid.T, body string) string {
	end, additions := "</xml>", []string{"\n", " ", "<New></New>\n", "<New/>\n", "<New><![CDATA[\x01]]></New>\n", "<New><![CDATA[]]></New>\n", "<!-- -->"}
	if body[0] == '{' {
		end, additions = "}", []string{"\n", " ", `,"New":[]`, `,"New":null`, `,"New":""`, `,"New":{}`, `,"New":[[]]`, `,"New":"\u0001"`}
	}
	return strings.TrimSuffix(body, end) + rapid.SampledFrom(additions).Draw(rt, "addition") + end
}

func clone(fields []field) []field {
	fields = slices.Clone(fields)
	for i := range fields {
		fields[i].items = slices.Clone(fields[i].items)
		for j := range fields[i].items {
			if inner := fields[i].items[j].fields; inner != nil {
				fields[i].items[j].fields = clone(inner)
			}
		}
	}
	return fields
}

// leaves returns the values that may differ between two events: all after the event's
// name, and the follower.
func (e event) leaves() []*string {
	all := []*string{&e[1].items[0].value}
	var walk func(fields []field)
	walk = func(fields []field) {
		for i := range fields {
			for j := range fields[i].items {
				if it := &fields[i].items[j]; it.fields == nil {
					all = append(all, &it.value)
				} else {
					walk(it.fields)
				}
			}
		}
	}
	walk(e[5:])
	return all
}

func (e event) xml() string {
	var b strings.Builder
	b.WriteString("<xml>")
	writeXML(&b, e)
	b.WriteString("</xml>")
	return b.String()
}

func writeXML(b *strings.Builder, fields []field) {
	for _, f := range fields {
		for _, it := range f.items {
			b.WriteString("<" + f.name + ">")
			if it.fields == nil {
				b.WriteString("<![CDATA[" + it.value + "]]>")
			} else {
				writeXML(b, it.fields)
			}
			b.WriteString("</" + f.name + ">\n")
		}
	}
}

func (e event) json() string {
	var b bytes.Buffer
	writeJSON(&b, e)
	return b.String()
}

func writeJSON(b *bytes.Buffer, fields []field) {
	for i, f := range fields {
		b.WriteString(map[bool]string{true: "{", false: ","}[i == 0] + `"` + f.name + `":`)
		list := len(f.items) > 1
		for j, it := range f.items {
			switch {
			case list && j == 0:
				b.WriteByte('[')
			case list:
				b.WriteByte(',')
			}
			if it.fields == nil {
				value, _ := json.Marshal(it.value) // of a string, which does not fail
				b.Write(value)
			} else {
				writeJSON(b, it.fields)
			}
		}
		if list {
			b.WriteByte(']')
		}
	}
	b.WriteByte('}')
}
