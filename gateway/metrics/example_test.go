package metrics_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/gateway/metrics"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func ExampleHandler() {
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

	key := custody.NewSecret("what Prometheus sends as a bearer token")
	handler := g.Guard(metrics.Handler(g, metrics.Config{}), key) // at /metrics of the admin listener
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+key.Reveal())
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code, strings.Contains(w.Body.String(), "zhongkong_accounts 0"))
	// Output: 200 true
}
