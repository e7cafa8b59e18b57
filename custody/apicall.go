package custody

import (
	"context"
	"time"
)

// Call is a call of the issuer's API whose refusal is reported to [Keeper.Reject]. It
// travels in the call's context, the same one when the call is repeated:
//
//	ctx = custody.WithCall(ctx, &custody.Call{Path: "/cgi-bin/menu/create"})
//
// A Keeper needs it to tell a path that is always refused, for reasons of its own,
// from an invalid token. Without it each refusal counts as the first one of its path.
type Call struct {
	// Path names the API that was called.
	Path string

	// Worked is when the value that was refused last worked on Path, Lived when it last
	// worked at all; zero: never, as far as the caller knows.
	Worked, Lived time.Time

	resent   bool // once, without a probe of its own
	accepted int  // probes that this call asked for and that accepted the value
}

type callKey struct{}

// WithCall returns a copy of ctx that carries call.
func WithCall(ctx context.Context, call *Call) context.Context {
	return context.WithValue(ctx, callKey{}, call)
}

// callOf returns the call that ctx carries, or one of no path.
func callOf(ctx context.Context) *Call {
	if call, ok := ctx.Value(callKey{}).(*Call); ok && call != nil {
		return call
	}
	return &Call{}
}
