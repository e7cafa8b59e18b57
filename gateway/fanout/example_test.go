package fanout_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// An account whose orders go to the ERP, and everything else to the shop. WeChat verifies
// its address.
func Example() {
	store := memory.New() // of the gateways
	defer func() { _ = store.Close() }()
	pushes := fanout.New(fanout.Config{
		Store:    store,
		SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("k", 32))}, // 32 random bytes
		Refused:  func(string) bool { return true },
		Logger:   slog.New(slog.DiscardHandler),
	})
	defer pushes.Close()
	set, err := pushes.Prepare([]fanout.Account{{AppID: "wx0123456789abcdef", Callback: &fanout.Callback{
		Token: custody.NewSecret("tokenOfTheConsole"),
		Subscribers: []fanout.Subscriber{
			{Name: "erp", URL: "http://127.0.0.1:8001/", Token: custody.NewSecret("tokenOfTheERP"), When: fanout.Rule{Key: "ORDER_*"}},
			{Name: "shop", URL: "http://127.0.0.1:8002/", Token: custody.NewSecret("tokenOfTheShop")},
		},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	set()

	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	w := httptest.NewRecorder()
	pushes.Serve(w, httptest.NewRequest(http.MethodGet, "/?echostr=4375120948345356249&nonce=1514711492&timestamp="+timestamp+
		"&signature="+callback.Signature("tokenOfTheConsole", timestamp, "1514711492"), http.NoBody), "wx0123456789abcdef", func() {})
	fmt.Println(w.Code, w.Body)
	// Output: 200 4375120948345356249
}
