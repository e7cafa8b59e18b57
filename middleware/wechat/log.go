package wechat

import (
	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/middleware/internal/door"
)

// LogFormatter writes Gin's log as Gin does, without the queries of callbacks and of
// logins: with what they hold, an address verification can be repeated at any time, a
// push for as long as it is fresh, and a code may still be good.
//
//	r := gin.New()
//	r.Use(gin.LoggerWithFormatter(wechat.LogFormatter), gin.Recovery())
//
// It takes the place of the logger in gin.Default.
func LogFormatter(p gin.LogFormatterParams) string { return door.LogFormatter(p) }
