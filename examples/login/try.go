package main

import (
	"fmt"

	"github.com/zhongkong-go/zhongkong/examples/internal/example"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// miniAppID is the simulated mini program's.
const (
	miniAppID  = "wx00000000000000aa"
	miniSecret = "00000000000000000000000000000000"
)

// accounts are those of the simulated WeChat: an official account and a mini program.
func accounts() []simulator.Account {
	return []simulator.Account{simulator.MakeUpAccount(0), {AppID: miniAppID, Secret: miniSecret, Kind: simulator.MiniProgram}}
}

// newMini is the client of the simulated mini program, on the same store.
func newMini(cfg wechat.Config) (*wechat.Client, error) {
	cfg.AppID, cfg.AppSecret = miniAppID, wechat.Secret(miniSecret)
	return wechat.New(cfg)
}

// try prints what to try: the page needs a browser, and so does the consent.
func try(app *example.App, _ simulator.Account) {
	fmt.Print(example.Say(`
Open %[1]s/me in a browser: WeChat's page asks who you are and whether it may tell.

The mini program, in another terminal (the first line plays its front end):

  code=$(curl -sS -X POST %[2]s/simulator/accounts/%[3]s/code | grep -o '[A-Za-z0-9]\{32\}')
  token=$(curl -sS %[1]s/mini/login -d "{\"code\":\"$code\"}" | cut -d '"' -f 6)
  curl -sS -H "Authorization: Bearer $token" %[1]s/mini/me
  curl %[1]s/healthz

`, `
请用浏览器打开 %[1]s/me：模拟的微信页面会询问你是谁、是否同意授权。

小程序登录，请在另一个终端里执行（第一行相当于小程序前端）：

  code=$(curl -sS -X POST %[2]s/simulator/accounts/%[3]s/code | grep -o '[A-Za-z0-9]\{32\}')
  token=$(curl -sS %[1]s/mini/login -d "{\"code\":\"$code\"}" | cut -d '"' -f 6)
  curl -sS -H "Authorization: Bearer $token" %[1]s/mini/me
  curl %[1]s/healthz

`, app.URL, app.Config.APIBase, miniAppID))
}
