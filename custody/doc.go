// Package zhongkong (中控) keeps renewable credentials alive: it fetches, stores,
// renews and hands out a value that has an end, once for every goroutine, process
// and host that shares a [Store].
//
// It was made for the access_token of WeChat accounts, where each program that
// fetches its own token ends the others', and knows nothing of WeChat: package
// platform says how to fetch there. Most programs want package
// middleware/wechat, which ties everything together for Gin. Use this package
// for a credential of your own, or without Gin:
//
//	api, err := platform.New(platform.Config{})
//	…
//	keeper, err := custody.New(custody.Config{
//		Key:    api.Key(appID, platform.Stable),
//		Kind:   api.AccessToken(platform.Account{AppID: appID, Secret: secret}, platform.Stable),
//		Store:  store, // sqlite.Open(…)
//		Secret: secret,
//	})
//	…
//	defer keeper.Close()
//	token, err := keeper.Token(ctx) // an atomic load while a token lives
//
// # The life of a credential
//
// A [Keeper] loads the record; a valid one is used as it is, so a restart costs
// no fetch. 20 s are taken off its end. In a window of a few minutes before that,
// one process renews while everybody keeps the live token. With no live token all
// callers wait for one flight, each with a ctx of its own.
//
// Who renews is agreed on in the store: [Store.Acquire] lends the right to one
// process under a fence that only grows, and late holders are refused. A token
// that an API refused is handed to [Keeper.Reject], which renews only if it is
// still the current one and the issuer refuses it when asked directly.
//
// Failures are kept in the record, so that a fleet, and a program that is
// restarted again and again, asks a failing issuer no more than one process
// would.
//
// A [Trace] is told of each step: for metrics, or to pass a renewal on at once.
package custody
