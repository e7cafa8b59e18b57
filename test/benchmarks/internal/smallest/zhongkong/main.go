// Command zhongkong gets a token with a Keeper.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/store"
)

func main() {
	appID, secret := os.Getenv("WECHAT_APPID"), custody.NewSecret(os.Getenv("WECHAT_APPSECRET"))
	api, err := platform.New(platform.Config{})
	if err != nil {
		panic(err)
	}
	keeper, err := custody.New(custody.Config{
		Key:    api.Key(appID, platform.Stable),
		Kind:   api.AccessToken(platform.Account{AppID: appID, Secret: secret}, platform.Stable),
		Secret: secret,
		Store: store.Func(
			func(context.Context, custody.Key) ([]byte, error) { return os.ReadFile("wechat.json") },
			func(_ context.Context, _ custody.Key, data []byte) error {
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
