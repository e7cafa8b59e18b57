// Package callback verifies and opens what WeChat sends to an account's server:
// the address verification (echostr) and the pushes, in plain text or encrypted.
// It imports the standard library only and knows no HTTP framework.
//
//	verifier, err := callback.NewVerifier(callback.Config{
//		AppID:     "wx0123456789abcdef",
//		Token:     zhongkong.NewSecret(os.Getenv("WECHAT_TOKEN")),
//		AESKey:    zhongkong.NewSecret(os.Getenv("WECHAT_AES_KEY")), // unset: plain mode
//		Freshness: 5 * time.Minute,
//	})
//	...
//	query, err := callback.ParseQuery(request.URL.RawQuery)
//	echo, err := verifier.VerifyURL(query)              // GET: answer echo, byte for byte
//	message, pair, err := verifier.Open(query, body)    // POST: handle message
//	envelope, err := verifier.Seal(pair, timestamp, nonce, reply)
//
// Every refusal is an [*Error] whose Reason names the step that failed and whose
// text says what to do about it. It is for the log: the sender of a refused
// request learns nothing but 403.
//
// # What a signature is worth
//
// WeChat's plain signature covers the Token, the timestamp and the nonce, and
// nothing else: whoever has seen one can send another echostr or another body
// under it. In safe mode msg_signature covers the body as well. The values are
// joined without separators before they are hashed, so that bytes may move from
// the end of one to the beginning of its neighbour unseen. Freshness stops the
// plain repetition of an old push, remembering what came under a signature stops
// another body under it, and only remembering what was handled stops everything.
package callback
