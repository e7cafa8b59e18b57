package platform_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
)

func ExampleAPI_AccessToken() {
	// Answers as WeChat does a machine that is not in the IP whitelist.
	wechat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"errcode":40164,"errmsg":"invalid ip 114.221.21.30 ipv6 ::ffff:114.221.21.30, not in whitelist rid: 658cff8e-7783352d-44cb33e5"}`)
	}))
	defer wechat.Close()

	api, err := platform.New(platform.Config{Base: wechat.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	account := platform.Account{AppID: "wx0123456789abcdef", Secret: custody.NewSecret("from the console")}
	_, err = api.AccessToken(account, platform.Stable).Fetch(context.Background(), custody.Normal)

	if failure, ok := errors.AsType[*custody.FetchError](err); ok {
		fmt.Println(failure.Class, failure.RetryAfter)
	}
	if refusal, ok := errors.AsType[*platform.Error](err); ok {
		fmt.Println(refusal.Code, refusal.IP, refusal.RID)
		fmt.Println(refusal.Remedy())
		fmt.Println(refusal.RemedyZH())
	}
	// Output:
	// blocked 10m0s
	// 40164 114.221.21.30 658cff8e-7783352d-44cb33e5
	// The address is 114.221.21.30. Add the address to the whitelist: 微信公众平台 → 设置与开发 → 基本配置 (or 微信开发者平台) → IP白名单. The change takes about 5 minutes.
	// 本机出口 IP 为 114.221.21.30。请把该 IP 加入白名单：微信公众平台 → 设置与开发 → 基本配置（或微信开发者平台）→ IP白名单，约 5 分钟后生效。
}
