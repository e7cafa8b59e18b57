// Command zhongkong gets a token with a Keeper.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/zhongkong-go/zhongkong"
	"github.com/zhongkong-go/zhongkong/platform"
)

func main() {
	appID, secret := os.Getenv("WECHAT_APPID"), zhongkong.NewSecret(os.Getenv("WECHAT_APPSECRET"))
	api, err := platform.New(platform.Config{})
	if err != nil {
		panic(err)
	}
	keeper, err := zhongkong.New(zhongkong.Config{
		Key:    api.Key(appID, platform.Stable),
		Kind:   api.AccessToken(platform.Account{AppID: appID, Secret: secret}, platform.Stable),
		Secret: secret,
		Store: zhongkong.StoreFunc(
			func(context.Context, zhongkong.Key) ([]byte, error) { return os.ReadFile("wechat.json") },
			func(_ context.Context, _ zhongkong.Key, data []byte) error {
				return os.WriteFile("wechat.json", data, 0o600)
			},
		),
	})
	if err != nil {
		panic(err)
	}
	token, err := keeper.Token(context.Background())
	fmt.Println(token, err, keeper.Close())
}
