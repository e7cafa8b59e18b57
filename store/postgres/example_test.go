package postgres_test

import (
	"context"
	"log"
	"os"

	"github.com/zhongkong-go/zhongkong/store/postgres"
)

// The tables are made at the first start.
func ExampleOpen() {
	url := os.Getenv("ZHONGKONG_STORE") // postgres://app@10.0.0.5/app
	store, err := postgres.Open(context.Background(), url, postgres.Options{})
	if err != nil {
		log.Fatal(err) // a server that is unavailable is no error: every call tries again
	}
	defer func() { _ = store.Close() }()
	// cfg.Store = store
}
