// Package simulator is WeChat's server side on one's own machine: an
// [http.Handler] that plays api.weixin.qq.com, and the sender of what WeChat pushes
// to an app. A program can be developed and tested with it without a tunnel, a test
// account, a phone or quota.
//
//	wx := simtest.New(t, simulator.Options{})                     // listens on loopback until the test ends
//	app := startApp(wx.URL, wx.Account())                         // yours: API base, appid, secret, Token, AES key
//	res, err := wx.Push(ctx, app.URL, simulator.Text("你好"))       // signed, encrypted, repeated as WeChat does
//	fmt.Println(res.Verdict, res.Reason, res.Sees)                // what WeChat makes of the answer, in words
//	wx.Clock.Advance(2 * time.Hour)                               // tokens, tickets and quotas age
//	wx.Inject(simulator.Fault{Path: simulator.Fetches, Times: 3, Errcode: -1})
//	fmt.Println(wx.Stats(wx.AppID()).Stable.Issued)               // and what it cost
//
// [github.com/zhongkong-go/zhongkong/simulator/simtest] starts and stops it with a
// test. Inside a testing/synctest bubble, and wherever no socket is wanted,
// [Simulator.RoundTripper] reaches its API and [Push].Handler an app in memory.
// Programs in other languages run the command "zhongkong simulate", and do by HTTP
// what the methods do; see [Simulator.Admin].
//
// # The API
//
// It knows official accounts, mini programs, website applications and WeCom's apps, several at once:
//
//   - GET /cgi-bin/token: every call issues a token and supersedes the one before,
//     which works on for the overlap. POST /cgi-bin/stable_token: normal mode and
//     force_refresh, in a pool of its own.
//   - Tickets (jsapi, wx_card), get_api_domain_ip, getcallbackip, clear_quota and
//     its v2, openapi/quota/get and clear, openapi/rid/get, callback/check.
//   - message/custom/send and typing, within what followers allow by writing (see
//     [Simulator.Hear]); message/template/send and the account's templates; menu/create,
//     get and delete, user/info and get, media/upload and get, qrcode/create and
//     showqrcode.
//   - The pages connect/oauth2/authorize and connect/qrconnect, with a person who
//     consents, refuses or sees a snapshot; sns/oauth2/access_token and refresh_token,
//     sns/userinfo and auth. See [Simulator.Authorize].
//   - sns/jscode2session, wxa/checksession, resetusersessionkey and
//     business/getuserphonenumber. See [Simulator.MiniCode] and [Simulator.UserData].
//   - Any other path of WeChat's families (/cgi-bin/, /wxa/, /card/, /datacube/,
//     /customservice/ and so on): {"errcode":0,"errmsg":"ok"} after the check of
//     the token, with a field that says that it is not simulated. [Simulator.Events]
//     shows what was sent. All other paths are refused with 40066, and say so too.
//
// It is as strict as WeChat where that is known: a menu needs buttons, a template has to be
// the account's, an uploaded file a plain filename, JSON no BOM.
//
// Errcodes, texts, rids and the order of checks are WeChat's where they are known.
// It does not play third-party platforms' own API.
//
// # WeCom
//
// An account of the kind [WeCom] is an app of a corp (企业微信), next to official accounts or
// alone: gettoken, get_jsapi_ticket, ticket/get, message/send, user/get, agent/get,
// media/upload and get, getcallbackip, get_api_domain_ip, auth/getuserinfo and the pages of
// its logins; 60020 for addresses that the app does not trust, limits of minutes and hours; and pushes in
// WeCom's form, an encrypted echostr among them. A request is WeCom's by its token, its Host
// or a path that only WeCom has.
//
// # Pushes
//
// [Simulator.Push] delivers a message or an event: in plain, compatible or safe
// mode, in XML or JSON, up to three times with 5 s each, and judges the answer.
// [Simulator.Deliver] does so with all that can be chosen, the forgeries among it
// that an app has to refuse: see [Attack]. [Simulator.Verify] asks for the echostr,
// and [Simulator.NewRequest] only writes the request. [Samples] has one of every
// message and event.
//
// # What can be done to it
//
// [Clock.Advance] ages tokens, tickets and quotas; Options.Skew moves the time that
// pushes and rids carry. [Simulator.Supersede] is another program that fetches for
// the same account, [Simulator.Kill] ends tokens at once, [Simulator.Refuse] is a
// token that stable_token still believes in. [Simulator.Inject] delays, falsifies
// and loses answers, before or after the call was carried out.
// [Simulator.Spend] leaves little of a quota. [Simulator.Update] changes secret,
// whitelist, limits and state of an account. [Simulator.Stats] counts fetch calls
// and tokens issued.
//
// A caller's token that Supersede has just superseded still lives for the overlap:
// it is invalid at once with a negative Options.Overlap, after Clock.Advance by the
// overlap, or when Supersede is called twice.
//
// # Assumptions
//
// WeChat documents its errcodes, texts and rules only in part. What the simulator does
// where neither its documentation nor an answer that somebody captured says what
// happens is listed, with the reasons, in docs/simulator-assumptions.md. A program
// should not depend on any of it.
package simulator
