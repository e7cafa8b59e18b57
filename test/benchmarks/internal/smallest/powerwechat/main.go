// Command powerwechat gets a token with PowerWeChat.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/ArtisanCloud/PowerWeChat/v3/src/officialAccount"
)

func main() {
	app, err := officialAccount.NewOfficialAccount(&officialAccount.UserConfig{
		AppID: os.Getenv("WECHAT_APPID"), Secret: os.Getenv("WECHAT_APPSECRET"),
	})
	if err != nil {
		panic(err)
	}
	token, err := app.AccessToken.GetToken(context.Background(), false)
	fmt.Println(token != nil, err)
}
