// Package weblogin is what every program needs that sends browsers to WeChat to log in
// (网页授权) and takes them back: a state that is sealed, bound to one browser and good for
// five minutes ([Site]), the exchange of a code once for all processes ([Once]), the pages
// for logins that fail ([Page]), and which addresses a browser may be sent to ([OwnPath],
// [Returns]).
package weblogin
