package storetest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store/memory"
	"github.com/zhongkong-go/zhongkong/store/storetest"
)

// The test of a store of your own, which here is store/memory.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestStore(t *testing.T)
		storetest.Run(t, func(*testing.T) custody.Store { return memory.New() })
	}
}

// What a program costs its store.
func ExampleCount() {
	store, counts := storetest.Count(memory.New())
	defer func() { _ = store.Close() }()
	_, _ = store.Load(context.Background(), custody.Key{Kind: "access_token", AppID: "wx0123456789abcdef"})
	fmt.Println(counts.Of("Load"), counts.Total())
	// Output: 1 1
}
