package redis_test

import (
	"context"
	"log"
	"os"

	"github.com/zhongkong-go/zhongkong/store/redis"
)

// Several hosts share it, and a notice tells each of a renewal.
func ExampleOpen() {
	url := os.Getenv("ZHONGKONG_STORE") // redis://10.0.0.5:6379
	store, err := redis.Open(context.Background(), url, redis.Options{})
	if err != nil {
		log.Fatal(err) // a server that is unavailable is no error: every call tries again
	}
	defer func() { _ = store.Close() }()
	// cfg.Store = store
}
