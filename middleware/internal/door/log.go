package door

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// LogFormatter writes Gin's log as Gin does, without the queries of callbacks and of
// logins: with what they hold, an address verification can be repeated at any time, a
// push for as long as it is fresh, and a code may still be good.
func LogFormatter(p gin.LogFormatterParams) string {
	var status, method, reset string
	if p.IsOutputColor() {
		status, method, reset = p.StatusCodeColor(), p.MethodColor(), p.ResetColor()
	}
	return fmt.Sprintf("[GIN] %s |%s %3d %s| %13s | %15s |%s %-7s %s %q\n%s",
		p.TimeStamp.Format("2006/01/02 - 15:04:05"), status, p.StatusCode, reset,
		p.Latency.Round(time.Microsecond), p.ClientIP, method, p.Method, reset, withoutSignature(p.Path), p.ErrorMessage)
}

// withoutSignature cuts the query off a path when it holds a signature, or the code of
// a login, however its name is spelled.
func withoutSignature(path string) string {
	bare, query, _ := strings.Cut(path, "?")
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if strings.HasSuffix(name, "signature") || name == "code" {
			return bare
		}
	}
	return path
}
