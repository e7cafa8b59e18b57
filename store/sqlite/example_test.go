package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

func Example() {
	folder, err := os.MkdirTemp("", "zhongkong")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()

	store, err := sqlite.Open(context.Background(), filepath.Join(folder, "zhongkong.db"), sqlite.Options{})
	if err != nil {
		fmt.Println(err) // the configuration is wrong; the text says what to change
		return
	}
	defer func() { _ = store.Close() }()

	_, err = store.Load(context.Background(), custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"})
	fmt.Println(errors.Is(err, custody.ErrNotFound))
	// Output: true
}

// A mistake that waiting cannot repair is an error at the start.
func ExampleOpen() {
	_, err := sqlite.Open(context.Background(), "", sqlite.Options{})
	fmt.Println(err != nil)
	// Output: true
}
