// Package callback receives what WeChat sends to an account's server: the address
// verification (echostr), messages and events. It imports the standard library
// only and knows no HTTP framework.
//
//	bot := callback.NewRouter()
//	bot.Use(callback.Logger(logger), callback.Recover()) // before and after the others, as in Koa
//	bot.Text("天气*", func(c *callback.Context) error { return c.ReplyText("晴, 26°C") })
//	bot.Event(callback.Subscribe, welcome)
//	bot.Default(func(c *callback.Context) error { return c.ReplyNothing() })
//
//	endpoint, err := callback.NewEndpoint(callback.EndpointConfig{
//		Verifier: verifier, Router: bot,
//		Once:   store,  // of this module: all processes together handle a message once
//		Sender: sender, // for replies that come too late
//	})
//	http.Handle("/", endpoint)
//
// # Once, and in time
//
// WeChat waits 5 seconds for an answer and asks three times, about some events for
// hours (see [Message.Repeats]). An [Endpoint] runs a message's handler once, wherever
// its deliveries arrive, and gives its answer to each of them. When no time is left it
// answers "success", writes the message to the inbox of its [Once], and lets the handler
// continue; an event that WeChat delivers for hours is answered with 503 instead, and its
// next delivery gets the handler's answer. A message is handled when its handler has
// returned and its answer is recorded. If a process dies before that, another one begins anew: at least once. So a
// handler that pays or orders something has to check whether it did already; or
// EndpointConfig.AtMostOnce gives up messages rather than begin them again.
//
// # When a handler fails
//
// A handler fails by its error, a panic or the end of its goroutine. What happens then
// is what loses least. Of a message, and of an event that WeChat repeats for 15 seconds,
// the answer is "success": three failures would show the follower that the account is
// out of order, and what failed now rarely works 5 seconds later. Any other event is
// answered with 503, and its next delivery runs the handler again: no follower waits,
// and what would be lost may be an order. [Again] asks for that with any message; a
// reply set in [Router.OnError] is an answer, and ends the matter.
//
// # Texts as they were typed
//
// WeChat does not escape what followers type: a ]]> and tags arrive as they are, inside
// of a CDATA section. A text is read up to the last end tag of its element, so that the
// handler gets it as it was typed and no other field depends on it. What WeChat sent and
// nobody can read is answered with "success" and told in the log.
//
// # Verifying without an Endpoint
//
// The parts can be used without an Endpoint:
//
//	verifier, err := callback.NewVerifier(callback.Config{
//		AppID:     "wx0123456789abcdef",
//		Token:     custody.NewSecret(os.Getenv("WECHAT_TOKEN")),
//		AESKey:    custody.NewSecret(os.Getenv("WECHAT_AES_KEY")), // unset: plain mode
//		Freshness: 5 * time.Minute,
//	})
//	...
//	query, err := callback.ParseQuery(request.URL.RawQuery)
//	echo, err := verifier.VerifyURL(query)              // GET: answer echo, byte for byte
//	message, pair, err := verifier.OpenRequest(query, request) // POST: handle message
//	envelope, err := verifier.Seal(pair, timestamp, nonce, reply)
//
// Every refusal is an [*Error] whose Reason names the step that failed and whose
// text says what to do about it. It is for the log: the sender of a refused
// request learns nothing but 403.
//
// # What a signature is worth
//
// WeChat's plain signature covers the Token, the timestamp and the nonce, and
// nothing else: anyone who has seen one can send another echostr or another body
// under it. In safe mode msg_signature covers the body as well. The values are
// joined without separators before they are hashed, so that bytes may move from
// the end of one to the beginning of its neighbour unseen. Freshness stops the
// plain repetition of an old push, remembering what came under a signature stops
// another body under it, and only remembering what was handled stops everything.
package callback
