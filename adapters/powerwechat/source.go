// Package powerwechat lets github.com/ArtisanCloud/PowerWeChat/v3 take its
// access_token from zhongkong: official accounts and mini programs.
//
//	client, err := wechat.New(wechat.Config{AppID: appID, AppSecret: secret}) // middleware/wechat
//	app, err := officialAccount.NewOfficialAccount(&officialAccount.UserConfig{AppID: appID, …})
//	source := &powerwechat.Source{Tokens: client}
//	app.AccessToken.GetCustomToken = source.CustomToken
//
// The SDK uses neither its AppSecret nor its cache for tokens then. It reports a
// refused token (40001, 40014, 42001), which is rejected by its value, and makes
// the call once more.
package powerwechat

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ArtisanCloud/PowerLibs/v3/object"

	"github.com/zhongkong-go/zhongkong/custody"
)

// Tokens is what this package needs of a [custody.Keeper].
type Tokens interface {
	// Token returns the live token.
	Token(ctx context.Context) (custody.Token, error)

	// Reject reports that WeChat refused the value refused, and returns the token
	// to use instead.
	Reject(ctx context.Context, refused string) (custody.Token, error)
}

// Source hands out the tokens of a Keeper. It is safe for concurrent use; each app
// has its own.
type Source struct {
	// Tokens is a *custody.Keeper or a *wechat.Client. Required.
	Tokens Tokens

	// Timeout bounds the wait for a token, as the SDK passes no context on. Zero
	// means 15 s. There is no wait while a token lives.
	Timeout time.Duration

	// OnError hears why there is no token; the SDK tells its caller only that there
	// is none. The error is context.DeadlineExceeded, custody.ErrClosed or a
	// *custody.Error. Nil drops it.
	OnError func(error)

	last atomic.Pointer[string] // what was handed out last
}

// CustomToken is for the field GetCustomToken of the SDK's AccessToken. The key,
// the name in the SDK's cache, does not matter.
//
// With refresh the SDK says that WeChat refused a token, and not which: the one
// that was handed out last is rejected. Where that is a newer one already, WeChat
// accepts it when it is asked directly, nothing is renewed, and the SDK repeats its call
// with it.
func (s *Source) CustomToken(_ string, refresh bool) object.HashMap {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = 15 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()

	if refused := s.last.Load(); refresh && refused != nil {
		if token, err := s.Tokens.Reject(ctx, *refused); err == nil {
			return s.hand(token.Value(), token.Left())
		}
		// There is no other one now. The SDK calls again with what there is, and
		// its caller gets WeChat's own answer.
	}
	token, err := s.Tokens.Token(ctx)
	if err != nil {
		if s.OnError != nil {
			s.OnError(err)
		}
		return object.HashMap{"expires_in": 0.0} // without a token, an error of the SDK's own
	}
	return s.hand(token.Value(), token.Left())
}

func (s *Source) hand(value string, left time.Duration) object.HashMap {
	s.last.Store(&value)
	return object.HashMap{"access_token": value, "expires_in": left.Seconds()}
}
