package main

import (
	"fmt"

	"github.com/zhongkong-go/zhongkong/examples/internal/example"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// try prints commands that push messages to the bot. They need to know the account, and
// a follower to whom a late answer can be sent: one of whom the simulated WeChat, which
// they tell, has heard.
func try(app *example.App, account simulator.Account) {
	fmt.Println(example.Say("\nTry in another terminal\n", "\n请在另一个终端里试试\n"))
	fmt.Printf("  export WECHAT_APPID=%s WECHAT_TOKEN=%s WECHAT_AES_KEY=%s WECHAT_API_BASE=%s\n",
		account.AppID, account.Token, account.AESKey, app.Config.APIBase)
	for _, message := range []string{"verify", "text ping", "text 你好", "text 慢", "text 很慢", "click " + keyTime, "subscribe", "image"} {
		from := " --from " + account.Followers[0]
		if message == "verify" {
			from = ""
		}
		fmt.Printf("  go run ./cmd/zhongkong push %s --to %s/%s\n", message, app.URL, from)
	}
	fmt.Printf("  curl %s/healthz\n\n", app.URL)
}

// showLate prints what the follower gets after WeChat was answered.
func showLate(e simulator.Event) {
	if e.Path == "/cgi-bin/message/custom/send" && e.Errcode == 0 {
		fmt.Println(example.Say("The follower gets later: %s", "粉丝随后收到：%s", e.Request))
	}
}
