// Package errcode knows WeChat's error codes: what each one means, who has to
// do what about it, and what it means for the custody of a token.
//
//	if info, ok := errcode.Lookup(40164); ok {
//		fmt.Println(info.Cause, info.Remedy)
//		fmt.Println(info.CauseZH, info.RemedyZH)
//	}
//
// It holds the codes of the token endpoints, of bad tokens, of quotas and
// diagnosis, and those of a malformed or forbidden call: what a program may meet
// whatever API it calls. Codes that belong to one API alone (a menu too long, a
// media id unknown) are in WeChat's documentation of that API.
package errcode

//go:generate go run ../../internal/docs/generate ../..

import (
	"cmp"
	"slices"
	"time"
)

// Class says what a code means for whoever keeps a token alive.
type Class string

// The classes of codes.
const (
	// Transient passes by itself. Codes that are not in the table count as this.
	Transient Class = "transient"

	// Blocked lasts until somebody acts or Info.Retry is over.
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
}

// Lookup returns what is known about code. For a code that is not in the table,
// and for 0, which means success, it reports false and returns a [Transient] Info
// that says where to look further.
func Lookup(code int) (Info, bool) {
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

// All returns every code of the table in ascending order. The slice is the
// caller's own.
func All() []Info { return slices.Clone(table) }
