package memory_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func Example() {
	store := memory.New() // into wechat.Config.Store, custody.Config.Store or gateway.Config.Store
	defer func() { _ = store.Close() }()

	_, err := store.Load(context.Background(), custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"})
	fmt.Println(errors.Is(err, custody.ErrNotFound))
	// Output: true
}
