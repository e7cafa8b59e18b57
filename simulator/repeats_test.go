package simulator_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// TestLongRepetitions: a push that nobody answers is delivered as often, and so far
// apart, as WeChat documents for its event.
func TestLongRepetitions(t *testing.T) {
	for name, want := range map[string]struct {
		message simulator.Message
		most    int
		count   int
		took    time.Duration // from the first to the last
	}{
		"text":     {simulator.Text("a"), 0, 3, 10 * time.Second},
		"shop":     {simulator.Notice("channels_ec_order_pay"), 0, 10, 5*time.Second + 5*time.Second + 10*time.Second + 36*time.Minute + 3*time.Hour},
		"game":     {simulator.Notice("minigame_game_goods_deliver"), 0, 16, time.Minute + 33*time.Minute + 90*time.Minute + 22*time.Hour},
		"raw shop": {simulator.Message{Raw: "<xml><MsgType>event</MsgType><Event>channels_ec_x</Event></xml>"}, 4, 4, 20 * time.Second},
		"bounded":  {simulator.Notice("minigame_game_goods_deliver"), 2, 2, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wx := pusher(t)
				bodies := map[string]bool{}
				app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
				res, err := wx.Deliver(t.Context(), simulator.Push{Message: want.message, Handler: app, Mode: simulator.Plain, Deliveries: want.most})
				if err != nil || res.Verdict != simulator.Failed || len(res.Deliveries) != want.count {
					t.Fatalf("%v, %v after %d deliveries", res, err, len(res.Deliveries))
				}
				if took := res.Deliveries[want.count-1].At.Sub(res.Deliveries[0].At).Round(time.Second); took != want.took {
					t.Errorf("the deliveries took %s, want %s", took, want.took)
				}
				for _, d := range res.Deliveries {
					bodies[d.Request] = true
				}
				if len(bodies) != 1 {
					t.Errorf("%d different bodies", len(bodies))
				}
			})
		})
	}
}

// TestComposeAnything: events without a sample, and whole messages.
func TestComposeAnything(t *testing.T) {
	wx := pusher(t)
	m, err := simulator.Compose(
		"event",
		"user_get_card",
		map[string]string{"UserCardCode": "226009850808", "CardId": "pA", "CreateTime": "1472551036", "Code": "007"},
	)
	if err != nil {
		t.Fatal(err)
	}
	r, err := wx.NewRequest(t.Context(), simulator.Push{URL: "http://a/", Message: m, Mode: simulator.Plain})
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, r)
	for _, want := range []string{
		"<CreateTime>1472551036</CreateTime>", "<Event><![CDATA[user_get_card]]></Event>", "<CardId><![CDATA[pA]]></CardId>",
		"<Code><![CDATA[007]]></Code>", "<UserCardCode>226009850808</UserCardCode>",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	const whole = "<xml><Content><![CDATA[a]]>b]]></Content>\n</xml>"
	if m, err = simulator.Compose("raw", whole, nil); err != nil || m.Raw != whole {
		t.Errorf("raw: %+v, %v", m, err)
	}
	r, err = wx.NewRequest(t.Context(), simulator.Push{URL: "http://a/", Message: m, Mode: simulator.Compatible})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, r); !strings.HasPrefix(got, strings.TrimSuffix(whole, "</xml>")+"    <Encrypt><![CDATA[") ||
		!strings.HasSuffix(got, "]]></Encrypt>\n</xml>\n") {
		t.Errorf("raw in compatible mode: %s", got)
	}
	for name, wrong := range map[string]func() (simulator.Message, error){
		"event without a name": func() (simulator.Message, error) { return simulator.Compose("event", "", nil) },
		"raw without text":     func() (simulator.Message, error) { return simulator.Compose("raw", "", nil) },
		"raw with fields":      func() (simulator.Message, error) { return simulator.Compose("raw", "a", map[string]string{"a": "b"}) },
		"a field of two words": func() (simulator.Message, error) {
			return simulator.Compose("event", "a", map[string]string{"a b": "c"})
		},
	} {
		if m, err := wrong(); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// TestOtherAnswers: an event may be answered in a form of its own, a message may not.
func TestOtherAnswers(t *testing.T) {
	wx := pusher(t)
	answer := func(body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
	}
	for _, test := range []struct {
		message simulator.Message
		body    string
		verdict simulator.Verdict
		notes   int
	}{
		{simulator.Notice("xpay_goods_deliver_notify"), `{"ErrCode":0,"ErrMsg":"success"}`, simulator.Silent, 0},
		{simulator.Notice("xpay_goods_deliver_notify"), `{"ErrCode":1}`, simulator.Silent, 1},
		{simulator.Notice("get_quota"), "<xml><MsgType><![CDATA[event]]></MsgType><ResultCode>0</ResultCode></xml>", simulator.Silent, 0},
		{simulator.Text("a"), `{"ErrCode":0}`, simulator.Failed, 0},
		{simulator.Text("a"), "<xml><ResultCode>0</ResultCode></xml>", simulator.Failed, 0},
		{simulator.Click("a"), `{"MsgType":"text","Content":"a"}`, simulator.Failed, 0},
	} {
		res, err := wx.Deliver(t.Context(), simulator.Push{Message: test.message, Handler: answer(test.body), Mode: simulator.Plain})
		if err != nil || res.Verdict != test.verdict || len(res.Notes) != test.notes {
			t.Errorf("%s: %v, %v, notes %q", test.body, res, err, res.Notes)
		}
	}
}

func read(t *testing.T, r *http.Request) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
