package open_test

import (
	"context"
	"fmt"
	"log"

	"github.com/zhongkong-go/zhongkong/store/open"
)

func Example() {
	store, err := open.Open(context.Background(), "memory:", open.Options{}) // or $ZHONGKONG_STORE
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()

	fmt.Println(open.Check("redis://10.0.0.5:6379")) // connects to nothing
	fmt.Println(open.Check("oracle://10.0.0.5") != nil)
	// Output:
	// <nil>
	// true
}
