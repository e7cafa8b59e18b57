// Command fastwego gets a token with fastwego/offiaccount.
package main

import (
	"fmt"
	"os"

	"github.com/fastwego/offiaccount"
)

func main() {
	app := offiaccount.New(offiaccount.Config{Appid: os.Getenv("WECHAT_APPID"), Secret: os.Getenv("WECHAT_APPSECRET")})
	token, err := app.AccessToken.GetAccessTokenHandler(app)
	fmt.Println(token != "", err)
}
