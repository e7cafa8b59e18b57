// Package gateway is the 中控服务器: one place that holds the AppSecrets and the
// tokens of WeChat accounts, and that programs in any language call in place of
// https://api.weixin.qq.com, with a key of their own in place of the AppSecret.
//
//	file, err := gateway.ReadSettings("zhongkong.yaml")
//	…
//	g, err := gateway.New(ctx, gateway.Config{
//		Accounts: file.Accounts,
//		Store:    store, // sqlite.Open(…): it has to be a store.Ledger too
//		SealKeys: sealKeys,
//		Logger:   logger,
//	})
//	…
//	defer g.Close()
//	server := &http.Server{Handler: g}
//
// The command "zhongkong serve" is this with TLS, signals and an admin listener.
// Any number of gateways may run over one store: what one hands out, all accept.
//
// # What a program does
//
// It fetches a token as from WeChat, with GET /cgi-bin/token or POST
// /cgi-bin/stable_token, its client key being the secret, and calls any other path
// with it. The token it gets is a gateway token: it says 7,200 s and works for
// 7,500 s whatever happens behind it, at this gateway and those that share its
// store, and nowhere else. A call may also carry "Authorization: Bearer <client
// key>" and "X-WeChat-AppID: <appid>" and no token at all.
//
// The gateway puts the account's real token in, and when WeChat refuses that one
// (40001, 40014, 42001) it has it renewed and sends the call once more. What it
// refuses itself is said as WeChat says it: HTTP 200, errcode, errmsg, rid, the
// errmsg being marked with "(zhongkong)".
//
// # Callbacks
//
// An account's server address in WeChat's console can be the gateway's
// /callback/APPID, and that of an app of WeCom its /callback/corpid:agentid. Each [Subscriber] of its [Callback] whose [Rule] says so gets a
// push in WeChat's shape, signed and encrypted with keys of its own. The first of
// them answers the follower; each is given what it did not take until it does, in
// the order of each follower, from a queue in the store.
//
// # Its own API
//
// Below /zhongkong/v1/ programs fetch tokens, reject one by its value, and listen to a
// stream that tells of each renewal at once; package source does all three for Go
// programs. openapi.yaml describes it, and the API for admins.
//
// # What it keeps
//
// A [Client] has a name, accounts, paths, a rate, an end. Clients are in the store;
// every gateway looks for changes every two seconds, so that a revoked key is dead
// everywhere within five, and before it refuses a key that it does not know. While the
// store is unavailable, the clients that are known continue to work.
package gateway
