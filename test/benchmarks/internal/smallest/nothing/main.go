// Command nothing gets a token with the standard library: the floor.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

func main() {
	res, err := http.Get("https://api.weixin.qq.com/cgi-bin/token?grant_type=client_credential&appid=" + os.Getenv("WECHAT_APPID") + "&secret=" + os.Getenv("WECHAT_APPSECRET"))
	if err != nil {
		panic(err)
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	fmt.Println(json.NewDecoder(res.Body).Decode(&answer), answer.AccessToken != "")
}
