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
// It knows official accounts, mini programs and website applications, several at once:
//
//   - GET /cgi-bin/token: every call issues a token and supersedes the one before,
//     which works on for the overlap. POST /cgi-bin/stable_token: normal mode and
//     force_refresh, in a pool of its own.
//   - Tickets (jsapi, wx_card), get_api_domain_ip, getcallbackip, clear_quota and
//     its v2, openapi/quota/get and clear, openapi/rid/get, callback/check.
//   - message/custom/send and typing, message/template/send, menu/create, get and
//     delete, user/info and get, media/upload and get, qrcode/create and showqrcode.
//   - The pages connect/oauth2/authorize and connect/qrconnect, with a person who
//     consents, refuses or sees a snapshot; sns/oauth2/access_token and refresh_token,
//     sns/userinfo and auth. See [Simulator.Authorize].
//   - sns/jscode2session, wxa/checksession, resetusersessionkey and
//     business/getuserphonenumber. See [Simulator.MiniCode] and [Simulator.UserData].
//   - Any other path of WeChat's families (/cgi-bin/, /wxa/, /card/, /datacube/,
//     /customservice/ and so on): {"errcode":0,"errmsg":"ok"} after the check of
//     the token. [Simulator.Events] shows what was sent.
//
// Errcodes, texts, rids and the order of checks are WeChat's where they are known.
// It does not play WeCom, third-party platforms' own API, and signed or encrypted API
// calls.
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
// it is dead at once with a negative Options.Overlap, after Clock.Advance by the
// overlap, or when Supersede is called twice.
//
// # Assumptions
//
// WeChat documents its errcodes, texts and rules only in part. Where neither its
// documentation nor an answer that somebody captured says what happens, the
// simulator does the following. A program should not depend on any of it. The same
// list, with the reasons, is docs/simulator-assumptions.md.
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
//   - A new token works on every host from the moment at which it was issued.
//
// stable_token:
//
//   - It renews by itself when the first call comes within the overlap before the
//     end, not at that moment. The token before lives to its own end.
//   - A forced refresh less than 30 s after another answers the current token. The
//     30 s and the 20 a day count forced refreshes, not other renewals. One that
//     finds no token alive counts as forced too.
//   - The 21st forced refresh of a day is refused with 45009; normal mode goes on,
//     and clear_quota does not bring the forced ones back.
//   - It refuses for the same reasons and in the same order as /cgi-bin/token. Its
//     body is checked before: an empty one is 44002, one that is not JSON or has
//     wrong types is 47001.
//
// Tickets:
//
//   - A ticket belongs to the account and its type, not to the token with which it
//     was fetched, and supersedes nothing.
//   - While it lives, fetching it again answers the same value with the whole
//     expires_in, and its life begins anew. Otherwise a new one is issued.
//   - An unknown type is refused with 40035. Fetching has no daily limit.
//
// Order of checks:
//
//   - Fetching: method (43001, 43002), appid present (41002), appid known (40013),
//     grant_type (40002), secret present (41004), secret frozen (40243), secret
//     right (40125), account (50004, 50007, 61024), whitelist (40164), risk control
//     (89501, 89503, 89506, 89507), minute limit (45011), day limit (45009).
//   - APIs: token missing (41001), unknown, malformed, superseded or killed (40001),
//     at its end (42001), of the wrong kind of account (40001), minute limit (45011),
//     day limit (45009), whitelist (40164; official accounts only), method (43001,
//     43002), empty body (44002), \uXXXX in it (40033), not a JSON object (47001),
//     then what the API itself refuses.
//   - clear_quota/v2: method (43002), body (47001), appid (41002, 40013), secret and
//     all that follows it as in fetching up to the risk control, then 48006.
//   - A token of the wrong kind of account is that of a mini program at menus,
//     followers, templates, tickets and QR codes, and that of an official account
//     below /wxa/.
//
// Limits:
//
//   - Only calls that pass the checks up to the whitelist use quota. A day and a
//     month change at midnight in Beijing, a minute with the clock's.
//   - /cgi-bin/token and the APIs have no minute limit, as WeChat does not publish
//     its own; 45011 needs Account.MinuteFetches or Account.MinuteCalls.
//   - Daily limits of APIs are those that WeChat documents; others have none, which
//     openapi/quota/get shows as daily_limit 0.
//   - clear_quota empties all counts of the account, of the day and of the minute.
//     The 51st openapi/quota/clear of a month is refused with 48006, as the 11th
//     clear_quota is.
//   - An empty whitelist lets everybody in, and a change takes effect at once.
//     Risk control looks at the account, not at the caller's IP.
//
// APIs:
//
//   - A call that is answered 40001, 40014 or 42001 had no effect: nothing was sent,
//     created, changed or counted.
//   - touser, openid and next_openid have to be followers of the account, else 40003.
//     Nobody has to have written in the last 48 hours.
//   - menu/get answers the bytes that menu/create took; before it is 46003. Any JSON object
//     is a menu, and it takes effect at once.
//   - Media live 3 days, the last 64 and at most 32 MiB of an account; a video is
//     answered as an address behind which nothing is.
//   - A QR code's picture belongs to its ticket, but no scanner reads it. An unknown
//     or expired ticket is 404.
//   - callback/check looks up and pings nobody: it answers as if all were well, and
//     40201 while the account has no CallbackURL.
//   - openapi/rid/get knows the last 1,024 rids: 76002 for what is none, 76001 for an
//     unknown one, 76003 for another account's, 76004 after 7 days.
//   - 40004, 40007, 40035, 40037, 41005 and 46003 have the texts of WeChat's code
//     table.
//
// Logins:
//
//   - The authorize page wants its five parameters in the documented order, others
//     anywhere, a state of letters and digits and #wechat_redirect. It shows errors
//     with HTTP status 400 and a number: 10003 to 10005 as WeChat documents them; which of
//     10010 to 10016 belongs to which mistake is UNCONFIRMED. It does not look at the
//     User-Agent.
//   - The browser is sent back with the parameters code and state behind those that the
//     address has. A person who refuses is sent back with the state alone.
//   - A code belongs to its account. It is looked up after the AppSecret was checked, and
//     a wrong one leaves it usable. The last 1,024 codes of an account are remembered: 40163 for a
//     used one, 42003 for an old one of web authorization; any other is 40029, an old one
//     of a mini program among them, and a used one of a phone number.
//   - refresh_token stays the same, and its 30 days are those from the login. Before its
//     end the access_token stays the same with 7200 s again; afterwards there is another
//     one, and the old one says 40001.
//   - A snapshot's user has a made-up openid and unionid, which are the same each time,
//     and userinfo refuses the token with 48001, as it does one of snsapi_base.
//   - userinfo knows no picture and no place, as of users who have set none; names are
//     made up.
//   - The n-th followers of accounts with the same Account.OpenPlatform are one person.
//     unionid is there with snsapi_userinfo and snsapi_login, and in mini programs.
//   - jscode2session makes another session_key each time, which lives for 3 days. The
//     101st call for a user in a minute is refused with 45011, and uses the code up.
//   - 41008, 87008 and 87009 have the texts of WeChat's code table.
//   - A signed call (服务端 API 签名加密) of a known token is verified and decrypted before the
//     API's own checks, with a timestamp that may differ by 300 s. Its answer is signed
//     and encrypted, refusals included. 40230 and 40239 are never answered.
//
// On the wire:
//
//   - Every errmsg ends in " rid: ", below /sns/ in ", rid: ", and a rid, those included of which no capture
//     shows one: 40243, 41004, 43001, 43002, 44002, 45011, 50004, 50007, 61024 and
//     895xx. 40243, 50007 and 895xx have the Chinese text of the code table.
//   - 40164 for an IPv6 caller names the same address twice.
//   - Every JSON answer is "application/json; encoding=utf-8", which was captured
//     for errors of the token endpoints, and below /sns/ "text/plain".
//   - A path that is not played is answered 404 with an empty body.
//   - A request body without Content-Length is always answered 412 with an empty
//     body; users met that some of the time. See Options.AcceptChunked.
//
// Deliveries:
//
//   - A status other than 200, 503 among them, a redirect, a connection that fails
//     and no answer within 5 s are the same: the next delivery begins 5 s after the
//     one before.
//   - Events whose names begin with channels_ec_, and minigame_ ones about deliveries,
//     are repeated with the pauses that their pages list: ten times in 3.6 h and
//     sixteen times in 24.1 h. All other events are repeated like messages.
//   - A repetition says the same as the first delivery, byte for byte.
//   - An answer with status 200 that WeChat cannot read is not asked for again: the
//     follower sees the failure line at once.
//   - Later deliveries have a new timestamp, nonce, random prefix and signatures, and
//     the same message inside. See Push.SameNonce.
//   - timestamp is CreateTime in the first delivery.
//   - The URL's own query stays in front of WeChat's parameters.
//   - The verification of an address is not repeated, and takes status 200 alone.
//
// Messages:
//
//   - Elements inside of others have the form of those outside: a newline after each,
//     none after the opening tag. In compatible mode only the outermost are indented.
//   - A ]]> that a follower types is not escaped and ends no CDATA section, as reports
//     about Content show; other elements are the same.
//   - In JSON, an element that repeats is an array when there are several and an
//     object when there is one. Strings are escaped where JSON has to, and no more.
//   - Messages in JSON are as possible for official accounts as for mini programs.
//   - user_enter_tempsession, miniprogrampage, file, wxa_media_check and the events
//     of reviews and verifications have the fields that SDKs read, in their order.
//   - menuanswer, the sample, puts bizmsgmenuid last.
//
// Answers:
//
//   - success is these seven bytes; with white space, quotes or capitals it is no
//     success, and no reply either.
//   - A reply is read as XML that begins with <xml>, whatever its Content-Type; a BOM
//     and white space around it are let pass, and so are CDATA in pieces.
//   - ToUserName and FromUserName have to be those of the message, swapped;
//     CreateTime has to be there, and is noted where it is no number. A text needs
//     Content, media need their MediaId, music its ThumbMediaId; ArticleCount has to
//     be right, 1 to 8.
//   - In safe mode a reply in plain text cannot be read, in compatible mode it can,
//     and in plain mode an encrypted one cannot.
//   - The reply's own TimeStamp and Nonce may be any; the encrypted appid has to be
//     the one to which WeChat encrypts.
//   - A mini program's reply is transfer_customer_service, or a JSON object without
//     MsgType, of which nobody sees anything. XML may answer JSON, but not JSON XML.
//   - An event may be answered with a JSON object without MsgType, such as
//     {"ErrCode":0}, or with MsgType event, in the mode of all answers: payments, games
//     and logistics want that, and no page says whether it is encrypted.
//   - A reply to unsubscribe reaches nobody and is no failure.
package simulator
