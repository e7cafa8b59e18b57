package clients_test

import (
	"context"
	"fmt"

	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func ExampleBook() {
	store := memory.New() // of the gateways
	defer func() { _ = store.Close() }()

	book := clients.NewBook(store, "admin zhang@host") // the actor in the journal
	key, err := book.Add(context.Background(), clients.Client{Name: "shop", Accounts: []string{"wx0123456789abcdef"}, Rate: 50})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key) // the key is key.Reveal(), this once

	all, err := book.List(context.Background())
	fmt.Println(all[0].Name, all[0].Accounts, err)
	// Output:
	// [secret]
	// shop [wx0123456789abcdef] <nil>
}
