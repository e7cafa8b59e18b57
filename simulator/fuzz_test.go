package simulator_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// FuzzAnswer: whatever an app answers gets a verdict with a reason, and what counts
// as a reply is one for the standard library too.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"success", "", hello, `{"a":[1,{"b":null}]}`, "<xml></xml>", "<xml><a><![CDATA[]]></a></xml>", "\uFEFF<xml>",
		replyXML("news", "<ArticleCount>1</ArticleCount><Articles><item><Title>t</Title></item></Articles>"),
		"<xml><Encrypt>AAAA</Encrypt><MsgSignature>x</MsgSignature><TimeStamp>1</TimeStamp><Nonce>1</Nonce></xml>",
	} {
		f.Add(seed, byte(0))
		f.Add(seed, byte(5))
	}
	wx := pusher(f)
	f.Fuzz(func(t *testing.T, answer string, how byte) {
		p := simulator.Push{
			Handler: answering(200, answer), Message: simulator.Text("hi"),
			Mode:   []simulator.Mode{simulator.Plain, simulator.Compatible, simulator.Safe}[how%3],
			Format: []simulator.Format{simulator.XML, simulator.JSON}[how/3%2],
		}
		res, err := wx.Deliver(t.Context(), p)
		if err != nil || res.Reason == "" {
			t.Fatal(err, res)
		}
		if res.Verdict == simulator.Replied && p.Format == simulator.XML {
			var m struct{ ToUserName, MsgType string }
			body := strings.TrimPrefix(answer, "\uFEFF")
			if err := xml.Unmarshal([]byte(body), &m); err != nil || strings.TrimSpace(m.ToUserName) == "" || m.MsgType != res.Reply.Type {
				t.Errorf("%v %+v from %q", err, res.Reply, answer)
			}
		}
	})
}
