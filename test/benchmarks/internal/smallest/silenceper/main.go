// Command silenceper gets a token with silenceper/wechat.
package main

import (
	"fmt"
	"os"

	"github.com/silenceper/wechat/v2"
	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/officialaccount/config"
)

func main() {
	account := wechat.NewWechat().GetOfficialAccount(&config.Config{
		AppID: os.Getenv("WECHAT_APPID"), AppSecret: os.Getenv("WECHAT_APPSECRET"), Cache: cache.NewMemory(),
	})
	token, err := account.GetAccessToken()
	fmt.Println(token != "", err)
}
