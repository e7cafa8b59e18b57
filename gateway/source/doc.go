// Package source takes an account's access_token from a gateway (package gateway,
// zhongkong serve): for Go programs that have a client key and no AppSecret.
//
//	src, err := source.New(source.Config{
//		Gateway: os.Getenv("ZHONGKONG_GATEWAY"), // https://zhongkong:8300, several separated by commas
//		Key:     custody.NewSecret(os.Getenv("ZHONGKONG_GATEWAY_KEY")),
//		AppID:   "wx0123456789abcdef",
//	})
//	…
//	defer src.Close()
//	token, err := src.Token(ctx)
//
// A [Source] has the methods of a [custody.Keeper] and stands where one does:
// api.Client(src, appID) of package platform makes calls with it. Programs with Gin
// take middleware/wechat, which does all this when Config.Gateway is set.
//
// # What it promises
//
// Token costs an atomic load while the token lives, as a Keeper's. What the gateway
// renews is here at once: the gateway says so over a stream of events, and the token
// at hand goes on until the new one is there. Reject names the value that was
// refused, and the gateway renews it only if WeChat refuses it too, once for all
// programs.
//
// When no gateway answers, the last token is used until its end, which may be two
// hours. Only then do callers get an error, which says what is wrong. Before that a
// gateway is asked, at most once a second for all callers, so that one that is back, or
// a key that was corrected, is noticed at once. With Config.Store the token outlives the process, so that it may even
// start while the gateway is away.
//
// # Which token
//
// A client with the right to real tokens (zhongkong client add --real) gets WeChat's
// own, and calls WeChat itself, from a whitelisted address, also while the gateway is
// away. Any other client gets a gateway token, which the gateway alone takes: send
// calls through [Source.Route], which takes each token where it belongs.
//
// # How it is made
//
// A Source is a Keeper of a [custody.Kind] whose Fetch asks the gateway, and whose
// Probe, which a Keeper uses before it believes a refusal, is the gateway's reject.
// So the windows, the one flight for all callers, the back-off, the memory of
// failures, and the store that keeps the last token are the Keeper's, and have no
// second copy here. What is added is the way to several gateways, and push:
// [custody.Keeper.Renew] at each event that tells of another token.
package source
