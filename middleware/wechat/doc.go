// Package wechat is a Gin middleware that keeps the access_token of a WeChat
// account alive and answers WeChat's address verification:
//
//	r := gin.New()
//	r.Use(gin.LoggerWithFormatter(wechat.LogFormatter), gin.Recovery())
//	r.Use(wechat.Middleware(wechat.Config{
//		AppID:     "wx0123456789abcdef",
//		AppSecret: wechat.Secret(os.Getenv("WECHAT_APPSECRET")),
//		Token:     wechat.Secret(os.Getenv("WECHAT_TOKEN")), // of the console's message push
//	}))
//	r.GET("/menu", func(c *gin.Context) {
//		wx := c.MustGet("wechat").(*wechat.Client)
//		var menu json.RawMessage
//		if err := wx.Get(c.Request.Context(), "/cgi-bin/menu/get", nil, &menu); err != nil {
//			c.String(http.StatusBadGateway, err.Error())
//			return
//		}
//		c.JSON(http.StatusOK, menu)
//	})
//	r.Run(":3100")
//
// No handler ever fetches, stores or renews a token. It is loaded from SQLite (or
// [Config.Store]) at the start, renewed ahead of its end and after a refusal,
// saved, and shared with every other process on the same database, so that one of
// them fetches and a restart fetches nothing. A call that WeChat refuses because
// of its token is made once more with a new one.
//
// # Which constructor
//
// [Middleware] is for a client that lives as long as the process: it panics, in
// plain words, on a configuration that cannot work. [New] returns that as an
// error, and a [Client] that other code uses too: a job, another router, a
// gin.RouterGroup with [Client.Callback]. Neither waits for WeChat or a token; the
// first call of a handler does, with its own context. [ConfigFromEnv] takes the
// configuration from the environment.
//
// # What happens to requests
//
// Every request finds the client in its context: c.MustGet("wechat"), or [From].
// Those on [Config.CallbackPath] come from WeChat or are turned away:
//
//	GET, right signature    answered with echostr, byte for byte
//	POST, right signature   passed on to the handlers, in plain text also when WeChat
//	                        encrypted it; "success" when none of them answers
//	other GETs and POSTs    403 "wrong", and a line in the log that says why
//	other methods           passed on to the handlers
//
// [Client.Push] tells a handler what was verified. Two or three accounts live on one
// engine when each has a ContextKey and a CallbackPath of its own; for more there is
// [Accounts], one middleware for all of them.
//
// # Messages
//
// A bot answers them, once and in time, whatever process they reach:
//
//	bot := callback.NewRouter()
//	bot.Text("天气*", func(c *callback.Context) error { return c.ReplyText("晴, 26°C") })
//	r.POST("/", wechat.Messages(bot)) // or Config.Messages: bot
//
// See [Messages], and package callback for what a bot can do. [Config.Endpoint]
// has its options.
//
// # Pages
//
// [Client.JSConfig] signs a page for the JS-SDK with the account's jsapi_ticket,
// which is kept like the token from the first call on; [Client.Ticket] gives the
// tickets themselves to programs.
//
// # Logins
//
// [Client.Login] in front of a page logs its visitors in with WeChat, and a handler finds
// them by [UserOf]:
//
//	r.GET("/me", client.Login(wechat.LoginConfig{}), func(c *gin.Context) {
//		c.String(http.StatusOK, "Your openid is %s.", wechat.UserOf(c).OpenID)
//	})
//
// It needs [Config.Origin], the address of the site. For mini programs there are
// [Client.MiniLoginHandler] and [Client.MiniUser].
//
// # From a gateway
//
// Where a gateway (zhongkong serve) has the AppSecret, this program needs none: its
// address goes into [Config.Gateway], or ZHONGKONG_GATEWAY, and a key of its own into
// GatewayKey, or ZHONGKONG_GATEWAY_KEY. Nothing else changes. What the gateway renews
// is here at once, and while it is unavailable the last token is used.
//
// # Files
//
// [Client.Upload] sends a file, [Client.Download] returns one; for other libraries and other
// requests there is [Client.HTTPClient], whose URLs begin with [Client.Base]:
//
//	answer, err := wx.Upload(ctx, "/cgi-bin/media/upload?type=image", "media", "cat.png", file)
//	body, header, err := wx.Download(ctx, "/cgi-bin/media/get", url.Values{"media_id": {id}})
//
// A call takes 30 s at most, one with a file 2 minutes ([Config.CallTimeout]);
// [WithTimeLimit] gives one call another limit.
//
// # Errors of calls
//
// [Client.Get], Post, Upload and Download return a *[custody.Error] when there is no token
// to call with: answer 503 and its RetryAfter. Everything else is about this one
// call: a *[platform.Error] with WeChat's errcode and what to do about it, a
// *[platform.AnswerError], a *[platform.ConnError]. Look for the first one first,
// since it wraps what made the fetch fail:
//
//	var none *custody.Error
//	if errors.As(err, &none) { ... }
//
// No error, log line or print of a Config or Client holds a secret. Gin's own log
// prints the queries of callbacks, with which an old verification can be repeated:
// [LogFormatter] leaves them out.
package wechat
