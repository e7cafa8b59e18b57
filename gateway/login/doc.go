// Package login is the gateway's login relay. WeChat sends browsers back to two domains of
// an account at most (网页授权域名), and a company may have twenty sites. The gateway is the
// one domain: it sends the browser to WeChat, exchanges the code, once, and sends the browser
// on to the site with something that only the site's own server can redeem, with its
// client's key.
//
//	/login/{client}?appid=…&redirect_uri=…&state=…            for new programs: a ticket comes back
//	/connect/oauth2/authorize?appid=…&redirect_uri=…&…        in WeChat's form, for SDKs: a code comes back, which is ours
//	/connect/qrconnect?…                                      likewise, for website applications
//
// Tickets and codes say nothing about the user, work once, for five minutes, and with the key
// of the client for which they were made.
package login
