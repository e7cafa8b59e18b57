package mysql_test

import (
	"context"
	"log"
	"os"

	"github.com/zhongkong-go/zhongkong/store/mysql"
)

// The tables are made at the first start.
func ExampleOpen() {
	url := os.Getenv("ZHONGKONG_STORE") // mysql://app@10.0.0.5/app
	store, err := mysql.Open(context.Background(), url, mysql.Options{})
	if err != nil {
		log.Fatal(err) // a server that is unavailable is no error: every call tries again
	}
	defer func() { _ = store.Close() }()
	// cfg.Store = store
}
