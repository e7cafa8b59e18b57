// Package wecom is a Gin middleware that keeps the access_token of a WeCom (企业微信) app alive
// and answers WeCom's callbacks:
//
//	r := gin.New()
//	r.Use(gin.LoggerWithFormatter(wecom.LogFormatter), gin.Recovery())
//	r.Use(wecom.Middleware(wecom.Config{
//		CorpID:  "ww0123456789abcdef",
//		AgentID: "1000002",
//		Secret:  wecom.Secret(os.Getenv("WECOM_SECRET")),
//		Token:   wecom.Secret(os.Getenv("WECOM_TOKEN")), // these two of the app's 接收消息
//		AESKey:  wecom.Secret(os.Getenv("WECOM_AES_KEY")),
//	}))
//	r.POST("/notify", func(c *gin.Context) {
//		wx := c.MustGet("wecom").(*wecom.Client)
//		err := wx.Post(c.Request.Context(), "/cgi-bin/message/send", gin.H{
//			"touser": "zhangsan", "agentid": 1000002, "msgtype": "text", "text": gin.H{"content": "你好"},
//		}, nil)
//		...
//	})
//
// It is to an app what package wechat is to an official account, and what that package's
// documentation says of constructors, stores, requests and errors holds here too. Several apps
// of one corp, and official accounts next to them, live on one engine when each has a
// ContextKey and a CallbackPath of its own; those that name one store share it.
//
// # What is different from official accounts
//
// Each app has a secret and a token of its own. A token is renewed when WeCom refuses it with
// 40014 or 42001, and for no other reason: 60020 says that this machine's address is not among
// the app's 企业可信IP, and its platform.Error names the address; 45009 that an API was called
// too often in a minute or an hour.
//
// Everything that WeCom sends is encrypted, the echostr of an address verification too, and is
// for somebody: the corp, a suite, or nobody. What is for nobody in [Config.ReceiveIDs] is
// refused.
//
//	GET, right msg_signature    answered with what was inside of the echostr
//	POST, right msg_signature   passed on to the handlers, in plain text; "success" when none answers
//	other GETs and POSTs        403 "wrong", and a line in the log that says why
//
// # Pages
//
// [Client.JSConfig] is for wx.config, with the corp's ticket, and [Client.AgentConfig] for
// wx.agentConfig, with the app's. [Client.Login] in front of a page logs members in, inside of
// WeCom without a question and outside of it by a QR code; a handler finds them by [UserOf].
package wecom
