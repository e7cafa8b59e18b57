package custody_test

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// A credential of your own, such as the token of a partner's API, needs a function that
// fetches it. Package platform has those of WeChat.
func Example() {
	fetch := func(context.Context, custody.Mode) (custody.Grant, error) {
		return custody.Grant{Value: custody.NewSecret("a made-up token"), ExpiresIn: 2 * time.Hour}, nil
	}

	key := custody.Key{Kind: "access_token", AppID: "partner"}
	keeper, err := custody.New(custody.Config{Key: key, Kind: custody.Kind{Fetch: fetch}, Store: memory.New()})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = keeper.Close() }()
	token, err := keeper.Token(context.Background()) // fetches once, then an atomic load

	fmt.Println(token.Value(), token.Origin(), err)
	fmt.Println(token) // does not print
	// Output:
	// a made-up token fetched <nil>
	// [secret]
}

// A Trace counts what a Keeper does. With package middleware/wechat it goes into
// the Trace field of its Config.
func ExampleTrace() {
	var renewals, failures atomic.Int64
	trace := &custody.Trace{
		Renewed: func(i custody.RenewedInfo) {
			renewals.Add(1)
			fmt.Println(i.Key.Kind, "of", i.Key.AppID, "was renewed, reason:", i.Reason)
		},
		Failed: func(custody.FailedInfo) { failures.Add(1) },
	}
	keeper, err := custody.New(custody.Config{
		Key: custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"},
		Kind: custody.Kind{Fetch: func(context.Context, custody.Mode) (custody.Grant, error) { // platform has the real ones
			return custody.Grant{Value: custody.NewSecret("a made-up token"), ExpiresIn: 2 * time.Hour}, nil
		}},
		Store: memory.New(),
		Trace: trace,
	})
	if err != nil {
		log.Fatal(err)
	}
	_, _ = keeper.Token(context.Background())
	_ = keeper.Close()
	fmt.Println(renewals.Load(), "renewal,", failures.Load(), "failures")
	// Output:
	// access_token of wx0123456789abcdef was renewed, reason: missing
	// 1 renewal, 0 failures
}
