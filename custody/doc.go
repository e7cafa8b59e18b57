// Package custody keeps renewable credentials alive: it fetches, stores, renews and
// hands out a value that expires, once for every goroutine, process and host that
// shares a [Store].
//
// It was written for the access_token of WeChat accounts, where each program that
// fetches its own token invalidates the others', and it knows nothing of WeChat:
// package platform fetches there. Most programs want package middleware/wechat, which
// ties everything together for Gin. Use this package without Gin, or for a credential
// of your own:
//
//	keeper, err := custody.New(custody.Config{
//		Key:   api.Key(account.AppID, platform.Stable),
//		Kind:  api.AccessToken(account, platform.Stable), // or your own: a func that fetches
//		Store: store,                                     // sqlite.Open(…), or any other
//	})
//	defer keeper.Close()
//	token, err := keeper.Token(ctx) // an atomic load while a token lives
//
// # The life of a credential
//
// A [Keeper] loads the record; a valid one is used as it is, so a restart costs no
// fetch. 20 s are subtracted from its end. In a window of a few minutes before that,
// one process renews while all callers keep the live token. With no live token all
// callers wait for one flight, each with a ctx of its own.
//
// Processes agree in the store on the one that renews: [Store.Acquire] lends that right
// under a fence that only grows. The lease is short and extended while a fetch runs, so
// a holder that dies is noticed, and one that comes late is fenced off. A token that an
// API refused is handed to [Keeper.Reject], which renews only if it is still the
// current one and the issuer refuses it when asked directly.
//
// Failures are kept in the record, so that a fleet, and a program that is restarted in
// a loop, asks a failing issuer no more often than one process would. What is
// remembered limits probes and fetches, not reads: before a Keeper returns an error it
// looks at the store, unless it did so less than a second ago.
//
// What to do next is one pure function, decide. A flight carries its actions out. A
// [Trace] receives each step: for metrics, or to pass a renewal on at once.
//
// # Words
//
// Each of these has one meaning here:
//
//   - refuse: the issuer does not accept a value, in a call of its API or in a probe. A
//     refusal is about a value. A store does not refuse, it fails; nor does a Keeper,
//     it returns an error.
//   - renew: get a value that replaces the current one, by a fetch under the lease that
//     is counted and whose answer is saved, so once for everybody who shares the store;
//     or without the store, while it is unavailable. A fetch is one question to the
//     issuer; a renewal may take several.
//   - again: a call of the API whose value was refused is sent once more, with the same
//     value or with another one. What is done a second time elsewhere is repeated or
//     retried.
//   - cut: trust a value for its overlap only, because a fetch without an answer may
//     have superseded it. [Store.Shorten] writes the cut down.
package custody
