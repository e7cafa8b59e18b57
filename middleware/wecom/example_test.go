package wecom_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/gin-gonic/gin"

	"github.com/zhongkong-go/zhongkong/middleware/wecom"
	"github.com/zhongkong-go/zhongkong/simulator"
)

func Example() {
	account := simulator.Account{
		Kind: simulator.WeCom, AppID: "ww0123456789abcdef:1000002", Secret: "madeUpSecretOfAgent000000000000000001000002", Followers: []string{"zhangsan"},
	}
	wx, err := simulator.New(simulator.Options{Accounts: []simulator.Account{account}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := wecom.New(wecom.Config{
		CorpID: "ww0123456789abcdef", AgentID: "1000002", Secret: wecom.Secret(account.Secret),
		StoreURL:  "memory:",
		Transport: wx.RoundTripper(), // leave it out to reach WeCom
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	r := gin.New()
	r.Use(client.Middleware())
	r.GET("/notify", func(c *gin.Context) {
		message := map[string]any{"touser": "zhangsan", "msgtype": "text", "agentid": 1000002, "text": map[string]string{"content": "done"}}
		if err := wecom.From(c).Post(c.Request.Context(), "/cgi-bin/message/send", message, nil); err != nil {
			c.String(http.StatusBadGateway, err.Error())
			return
		}
		c.String(http.StatusOK, "sent")
	})
	answer := httptest.NewRecorder()
	r.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/notify", http.NoBody))
	fmt.Println(answer.Code, answer.Body)
	// Output: 200 sent
}
