package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
)

// Two functions keep the token in a file that other programs read too.
func ExampleFunc() {
	folder, err := os.MkdirTemp("", "zhongkong")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "wechat.json")
	tokens := store.Func(
		func(context.Context, custody.Key) ([]byte, error) { return os.ReadFile(file) },
		func(_ context.Context, _ custody.Key, data []byte) error { return os.WriteFile(file, data, 0o600) },
	)
	defer func() { _ = tokens.Close() }()

	// A program after the tutorial has saved a token, with its end in milliseconds.
	end := time.Now().Add(time.Hour).UnixMilli()
	saved := fmt.Sprintf(`{"access_token":"a made-up token","expires_in":%d}`, end)
	if err := os.WriteFile(file, []byte(saved), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	record, err := tokens.Load(context.Background(), custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"})
	fmt.Println(record.Value == "a made-up token", record.End.UnixMilli() == end, err)
	// Output: true true <nil>
}

// An engine reads a row, applies a rule to it and writes it back. Of two processes that
// want to renew, one gets the lease.
func ExampleRow() {
	var row store.Row
	now := time.Now()
	key := custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"}

	lease, err := row.Acquire(now, key, "attempt of process 1", 5*time.Second)
	fmt.Println(lease.Fence > 0, err)
	_, err = row.Acquire(now, key, "attempt of process 2", 5*time.Second)
	fmt.Println(err != nil)
	// Output:
	// true <nil>
	// true
}
