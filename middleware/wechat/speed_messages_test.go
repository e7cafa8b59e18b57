package wechat_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// pushes returns n encrypted texts of 1 KiB, each another message.
func pushes(tb testing.TB, verifier *callback.Verifier, n int, seed int) []*http.Request {
	tb.Helper()
	now := strconv.FormatInt(time.Now().Unix(), 10)
	content := strings.Repeat("天", 280)
	all := make([]*http.Request, n)
	for i := range all {
		text := fmt.Sprintf("<xml><ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>\n<FromUserName><![CDATA[oAbCd0123456789EfGhIjKlMnOpQ]]></FromUserName>\n"+
			"<CreateTime>%s</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[%s]]></Content>\n<MsgId>%d</MsgId>\n</xml>", now, content, seed+i+1)
		e, err := verifier.Seal(callback.Pair{}, now, nonce, []byte(text))
		if err != nil {
			tb.Fatal(err)
		}
		body := "<xml>\n    <ToUserName><![CDATA[gh_0123456789ab]]></ToUserName>\n    <Encrypt><![CDATA[" + e.Encrypt + "]]></Encrypt>\n</xml>\n"
		all[i] = httptest.NewRequest(http.MethodPost, "/?"+signedQuery(testToken, time.Now())+"&encrypt_type=aes&msg_signature="+e.MsgSignature, strings.NewReader(body))
		all[i].Body = io.NopCloser(bytes.NewReader([]byte(body)))
	}
	return all
}

// TestSpeedMessages holds the way of a message through the middleware, its bot and
// back to that through a bare callback.Endpoint in Gin, which callback's own test
// holds to its floor.
func TestSpeedMessages(t *testing.T) {
	tier.Speed(t)
	const turns, calls, limit = 101, 20, 1.25
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // see callback's TestSpeedThrough
	bot := func() *callback.Router {
		bot := callback.NewRouter()
		answer := strings.Repeat("天", 280)
		bot.Text("*", func(c *callback.Context) error { return c.ReplyText(answer) })
		return bot
	}
	verifier, err := callback.NewVerifier(callback.Config{
		AppID: testAppID, Token: wechat.Secret(testToken), AESKey: wechat.Secret(testAESKey), Freshness: 5 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := callback.NewEndpoint(callback.EndpointConfig{Verifier: verifier, Router: bot()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = endpoint.Shutdown(context.Background()) }()
	floor := gin.New()
	floor.POST("/", gin.WrapH(endpoint))

	cfg, _ := inMemory(t, config(), simulatorOptions())
	cfg.AESKey = wechat.Secret(testAESKey)
	store := struct{ custody.Store }{storeOf(t)} // without its memory for messages, as the floor
	cfg.StoreURL, cfg.Store = "", store
	cfg.Messages = bot()
	ours := gin.New()
	ours.Use(newClient(t, cfg).Middleware())

	seed := 0
	patience.AtMost(t, "a message of 1 KiB through the middleware and its bot, to a bare Endpoint in Gin", limit, func() float64 {
		var times [2][]time.Duration
		for range turns {
			for i, engine := range []*gin.Engine{ours, floor} {
				requests := pushes(t, verifier, calls, seed)
				w := nowhere{http.Header{}}
				begun := time.Now()
				for _, r := range requests {
					engine.ServeHTTP(w, r)
				}
				times[i] = append(times[i], time.Since(begun))
			}
			seed += calls // both engines have their own memory of messages
		}
		slices.Sort(times[0])
		slices.Sort(times[1])
		return float64(times[0][turns/4]) / float64(times[1][turns/4])
	})
}

func storeOf(t *testing.T) custody.Store {
	t.Helper()
	store := memory.New()
	t.Cleanup(func() { _ = store.Close() })
	return store
}
