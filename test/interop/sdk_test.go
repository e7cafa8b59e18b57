package interop

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// target is where an SDK sends its calls, and as whom: the simulator, or whatever
// else speaks WeChat's API.
type target struct {
	URL    string // without a slash at its end
	AppID  string
	Secret string
	Token  string // of the console's message push
	AESKey string // "" in plain mode
}

// client is an SDK that was pointed at a target.
type client interface {
	// token returns the token that the SDK uses now.
	token(ctx context.Context) (string, error)

	// call calls an API that needs a token and changes nothing.
	call(ctx context.Context) error
}

// sdk is a client that we did not write.
type sdk struct {
	name string // module or package @ version

	// open points one at a target.
	open func(tb testing.TB, at target) client

	// life is the shortest life of a token that the SDK keeps for a moment, and
	// hold how long it keeps that.
	life, hold time.Duration

	// stable tells that it fetches by stable_token.
	stable bool

	// heals tells that a call which WeChat refuses because of its token (40001,
	// 42001) is made again with a new one, by the SDK itself. Otherwise its caller
	// gets the errcode until the SDK's own time for the token is over.
	heals bool

	// clocked tells that it renews when the token's time is over, without a call.
	// Its clock cannot be moved, so that the end is met on WeChat's side alone.
	clocked bool

	// server is the SDK's own handler of callbacks, which echoes texts. Nil when it
	// has none.
	server func(tb testing.TB, at target) http.Handler
}

// sdks are all of them.
func sdks(tb testing.TB) []sdk {
	tb.Helper()
	all := []sdk{
		silenceper(false), silenceper(true),
		powerWeChat(false), powerWeChat(true),
		chanxuehong(), fastwego(),
	}
	if npmMissing(tb) == "" {
		all = append(all, coWechat())
	}
	return all
}

// echo is what the handlers of all SDKs answer to a text.
func echo(content string) string { return "收到: " + content }
