// Command chanxuehong gets a token with chanxuehong/wechat.
package main

import (
	"fmt"
	"os"

	"github.com/chanxuehong/wechat/mp/core"
)

func main() {
	token, err := core.NewDefaultAccessTokenServer(os.Getenv("WECHAT_APPID"), os.Getenv("WECHAT_APPSECRET"), nil).Token()
	fmt.Println(token != "", err)
}
