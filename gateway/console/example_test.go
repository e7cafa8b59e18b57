package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/console"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

// The admin listener with the page, which asks a browser for the key.
func Example() {
	store := memory.New()
	defer func() { _ = store.Close() }()
	g, err := gateway.New(context.Background(), gateway.Config{
		Store:    store,
		SealKeys: []custody.Secret{custody.NewSecret(strings.Repeat("k", 32))}, // 32 random bytes
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = g.Close() }()

	key := custody.NewSecret("an admin key of at least 32 characters")
	page, err := console.New(console.Options{Gateway: g, Key: key})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer page.Close()

	handler := page.Handler(g.Admin(key, nil)) // the admin API stays where it is
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8301/", http.NoBody))
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output: 303 /page/
}
