// Command gin is the Gin middleware on SQLite.
package main

import (
	"fmt"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/middleware/wechat"
)

func main() {
	cfg, err := wechat.ConfigFromEnv()
	if err != nil {
		panic(err)
	}
	r := gin.New()
	r.Use(wechat.Middleware(cfg))
	fmt.Println(r.Run())
}
