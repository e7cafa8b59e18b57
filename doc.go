// Package zhongkong (中控) keeps the credentials of WeChat accounts alive for every
// program that needs them. This package holds no code; it says where everything is.
//
// Start here:
//
//   - [github.com/zhongkong-go/zhongkong/middleware/wechat] is the Gin middleware: a
//     live access_token, API calls, tickets and WeChat's messages in one line,
//     r.Use(wechat.Middleware(cfg)).
//   - cmd/zhongkong serve is the gateway (中控服务器), which any SDK in any language
//     joins by changing its host name. [github.com/zhongkong-go/zhongkong/gateway] is
//     the same as a library, and [github.com/zhongkong-go/zhongkong/gateway/source]
//     takes an account's token from one.
//   - [github.com/zhongkong-go/zhongkong/simulator] is WeChat's server side on your own
//     machine, and [github.com/zhongkong-go/zhongkong/simulator/simtest] the same as a
//     test helper.
//
// What they are made of, for programs without Gin:
//
//   - [github.com/zhongkong-go/zhongkong/platform] calls WeChat's API.
//   - [github.com/zhongkong-go/zhongkong/callback] verifies, decrypts, parses, routes
//     and answers what WeChat sends to us.
//   - [github.com/zhongkong-go/zhongkong/custody] keeps any renewable credential alive.
//   - [github.com/zhongkong-go/zhongkong/store] is what the stores have in common;
//     [github.com/zhongkong-go/zhongkong/store/open] opens one by its URL.
package zhongkong
