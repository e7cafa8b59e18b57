// Package errcode knows the error codes of WeChat's APIs: what each one means, what
// to do about it, where that is known from, and what it means for the custody of a
// token.
//
//	if info, ok := errcode.Lookup(40164); ok {
//		fmt.Println(info.Cause, info.Remedy)
//		fmt.Println(info.CauseZH, info.RemedyZH)
//	}
//
// It has the codes that official accounts, mini programs, third-party platforms and
// WeCom meet, over six hundred. WeChat's hosts use the same numbers for different
// things: 40078 is about a coupon on one and about an authorization on another, so
// a code has a meaning only together with its [Host]. [Lookup] and [All] are about
// api.weixin.qq.com.
package errcode

//go:generate go run ../../internal/docs/generate ../..

import (
	"cmp"
	"slices"
	"time"
)

// Host is one of WeChat's servers.
type Host string

// The hosts.
const (
	API   Host = "api.weixin.qq.com"   // official accounts, mini programs, third-party platforms
	WeCom Host = "qyapi.weixin.qq.com" // WeCom (企业微信)
	Pages Host = "open.weixin.qq.com"  // the authorize pages of web logins, which show a number
)

// Hosts returns the hosts whose codes are known here.
func Hosts() []Host {
	all := make([]Host, len(hosts))
	for i, h := range hosts {
		all[i] = h.host
	}
	return all
}

// Class says what a code means for a program that keeps a token alive.
type Class string

// The classes of codes.
const (
	// Transient passes by itself. Codes that are not in the table count as this.
	Transient Class = "transient"

	// Blocked lasts until somebody acts or Info.Retry has passed.
	Blocked Class = "blocked"

	// Quota lasts until the day ends (UTC+8).
	Quota Class = "quota"

	// Fatal means that the request for a token was built wrongly; the same
	// request fails for ever.
	Fatal Class = "fatal"

	// Refused means that the API does not take the token with which it was
	// called: a newer one helps.
	Refused Class = "refused"

	// Call concerns one API call alone: no other token helps, and the one in use
	// is fine.
	Call Class = "call"
)

// Info is what is known about one code.
type Info struct {
	Code int
	Host Host // "" for a code that is not known

	// Text is errmsg as WeChat sends it, without the rid; as its tables print it
	// where nobody has seen it on the wire, which may be in Chinese; "" where the
	// tables are silent.
	Text string

	Class Class

	// Retry is how long nothing changes; 0 where no such time is known.
	Retry time.Duration

	// PerHost says that the cause is the caller's IP address: the same call may
	// succeed from another machine.
	PerHost bool

	Cause, CauseZH   string // why WeChat answers this
	Remedy, RemedyZH string // who does what about it

	Source Source // where the code is known from; "" for a code that is not known
}

// Lookup returns what is known about a code of api.weixin.qq.com. For a code that is
// not in the table, and for 0, which means success, it reports false and returns a
// [Transient] Info that says where to look further.
func Lookup(code int) (Info, bool) { return LookupOn(API, code) }

// LookupOn is Lookup for a code of any of WeChat's hosts.
func LookupOn(host Host, code int) (Info, bool) {
	table := tables()[host]
	i, found := slices.BinarySearchFunc(table, code, func(info Info, code int) int {
		return cmp.Compare(info.Code, code)
	})
	if found {
		return table[i], true
	}
	unknown := unknown
	unknown.Code = code
	return unknown, false
}

// AtTokenEndpoint returns what code means when an endpoint that hands out tokens
// answers it (/cgi-bin/token, /cgi-bin/stable_token). Those are called with the
// AppSecret and without a token, so no code of theirs is [Refused]: 40001 says
// there that the AppSecret is wrong.
func AtTokenEndpoint(code int) Info {
	info, _ := Lookup(code)
	switch {
	case code == 40001:
		info, _ = Lookup(40125)
		info.Code, info.Text = 40001, "invalid credential"
	case info.Class == Refused:
		info.Class = Transient
	}
	return info
}

// All returns every known code of api.weixin.qq.com in ascending order. The slice is
// the caller's own.
func All() []Info { return AllOn(API) }

// AllOn is All for any of WeChat's hosts.
func AllOn(host Host) []Info { return slices.Clone(tables()[host]) }
