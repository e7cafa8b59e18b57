// Package simulator is WeChat's server side on one's own machine: an
// [http.Handler] that plays api.weixin.qq.com, so that a program can be developed
// and tested without a tunnel, a test account or quota.
//
//	wx, err := simulator.New(simulator.Options{}) // one account is made up
//	if err != nil {
//		log.Fatal(err)
//	}
//	account := wx.Accounts()[0]
//	fmt.Println(account.AppID, account.Secret)
//	log.Fatal(http.ListenAndServe("127.0.0.1:3200", wx)) // the API base of any SDK
//
// Tests use [github.com/zhongkong-go/zhongkong/simulator/simtest], which starts
// and stops it with the test. Inside a testing/synctest bubble, and wherever no
// socket is wanted, [Simulator.RoundTripper] reaches it in memory.
//
// # What it plays
//
//   - GET /cgi-bin/token: every call issues a token and supersedes the one before,
//     which works on for the overlap.
//   - POST /cgi-bin/stable_token: normal mode and force_refresh, in a pool of its
//     own.
//   - GET /cgi-bin/get_api_domain_ip.
//   - Any other path of WeChat's families (/cgi-bin/, /wxa/, /card/, /datacube/,
//     /customservice/ and so on): {"errcode":0,"errmsg":"ok"} after the check of
//     the token. [Simulator.Events] shows what was sent.
//
// It does not play /sns/ (web authorization, whose tokens are others), WeCom,
// third-party platforms, tickets and the push of messages.
//
// # What can be done to it
//
// [Clock.Advance] ages tokens and quotas. [Simulator.Supersede] is another program
// that fetches for the same account, [Simulator.Kill] ends tokens at once,
// [Simulator.Refuse] is a token that stable_token still believes in.
// [Simulator.Inject] delays, falsifies and loses answers, before or after the call
// was carried out. [Simulator.Update] changes secret, whitelist, limits and state
// of an account. [Simulator.Stats] counts fetch calls and tokens issued.
//
// A caller's token that Supersede has just superseded still lives for the overlap:
// it is dead at once with a negative Options.Overlap, after Clock.Advance by the
// overlap, or when Supersede is called twice.
//
// # Assumptions
//
// WeChat documents its errcodes, texts and rules only in part. Where neither its
// documentation nor an answer that somebody captured says what happens, the
// simulator does the following. A program should not lean on any of it.
//
// Tokens:
//
//   - Of each pool exactly two tokens can be alive: the current one and the one
//     before, which dies when the overlap is over or a third is issued.
//   - A dead token says for ever what killed it first: 40001 when it was superseded
//     or killed, 42001 when it reached its end. The last 64 tokens of a pool are
//     remembered; older ones say 40001.
//   - Resetting or freezing the AppSecret and freezing the account leave tokens
//     that are out alive.
//   - An access_token in a header or body counts as missing; of several in the query
//     the first counts.
//   - expires_in is rounded down to whole seconds.
//
// stable_token:
//
//   - It renews by itself when the first call comes within the overlap before the
//     end, not at that moment. The token before lives to its own end.
//   - A forced refresh less than 30 s after another answers the current token. The
//     30 s and the 20 a day count forced refreshes, not other renewals. One that
//     finds no token alive counts as forced too.
//   - The 21st forced refresh of a day is refused with 45009; normal mode goes on.
//   - It refuses for the same reasons and in the same order as /cgi-bin/token. Its
//     body is checked before: an empty one is 44002, one that is not JSON or has
//     wrong types is 47001.
//
// Order of checks:
//
//   - Fetching: method (43001, 43002), appid present (41002), appid known (40013),
//     grant_type (40002), secret present (41004), secret frozen (40243), secret
//     right (40125), account (50004, 50007, 61024), whitelist (40164), risk control
//     (89501, 89503, 89506, 89507), minute limit (45011), day limit (45009).
//   - APIs: token missing (41001), unknown, malformed, superseded or killed (40001),
//     at its end (42001), whitelist (40164; official accounts only).
//
// Limits:
//
//   - Only calls that pass every check use quota. A day changes at midnight in
//     Beijing, a minute with the clock's.
//   - /cgi-bin/token has no minute limit, as WeChat does not publish its own.
//   - The APIs have no limits.
//   - An empty whitelist lets everybody in, and a change takes effect at once.
//     Risk control looks at the account, not at the caller's IP.
//
// On the wire:
//
//   - Every errmsg ends in " rid: " and a rid, those included of which no capture
//     shows one: 40243, 41004, 43001, 43002, 44002, 45011, 50004, 50007, 61024 and
//     895xx. 40243, 50007 and 895xx have the Chinese text of the code table.
//   - 40164 for an IPv6 caller names the same address twice.
//   - Every JSON answer is "application/json; encoding=utf-8", which was captured
//     for errors of the token endpoints.
//   - A path that is not played is answered 404 with an empty body.
//   - A request body without Content-Length is always answered 412 with an empty
//     body; users met that some of the time. See Options.AcceptChunked.
package simulator
