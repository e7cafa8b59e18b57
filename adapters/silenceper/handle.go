// Package silenceper lets github.com/silenceper/wechat/v2 take its access_token
// from zhongkong: official accounts, mini programs and whatever else of it takes a
// credential.AccessTokenHandle.
//
//	client, err := wechat.New(wechat.Config{AppID: appID, AppSecret: secret}) // middleware/wechat
//	handle := &silenceper.Handle{Tokens: client}
//	account := sdk.NewWechat().GetOfficialAccount(&config.Config{AppID: appID, Cache: cache.NewMemory()})
//	account.SetAccessTokenHandle(handle)
//
// The SDK needs no AppSecret any more. Its constructor insists on a Cache, into
// which no token goes: every call asks the Keeper, which answers from memory.
package silenceper

import (
	"context"
	"errors"
	"time"

	"github.com/silenceper/wechat/v2/credential"
	"github.com/silenceper/wechat/v2/util"

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

// Handle is a credential.AccessTokenHandle that hands out the tokens of a Keeper.
// It is safe for concurrent use.
type Handle struct {
	// Tokens is a *custody.Keeper or a *wechat.Client. Required.
	Tokens Tokens

	// Timeout bounds the wait for a token where the SDK passes no context on. Zero
	// means 15 s. There is no wait while a token lives.
	Timeout time.Duration
}

var _ credential.AccessTokenContextHandle = (*Handle)(nil)

// GetAccessToken implements credential.AccessTokenHandle. Its error is
// context.DeadlineExceeded, custody.ErrClosed or a *custody.Error.
func (h *Handle) GetAccessToken() (string, error) {
	timeout := h.Timeout
	if timeout == 0 {
		timeout = 15 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return h.GetAccessTokenContext(ctx)
}

// GetAccessTokenContext implements credential.AccessTokenContextHandle.
func (h *Handle) GetAccessTokenContext(ctx context.Context) (string, error) {
	token, err := h.Tokens.Token(ctx)
	if err != nil {
		return "", err
	}
	return token.Value(), nil
}

// Do makes a call of the SDK, and once more when WeChat refused the token (40001,
// 40014, 42001), which the SDK reports to its caller alone: the token is rejected
// by its value, so that it is renewed if nobody has done that yet.
//
//	err := handle.Do(ctx, func() (err error) {
//		ips, err = account.GetBasic().GetAPIDomainIP()
//		return err
//	})
//
// It sees a refusal in errors that are a *util.CommonError. Where no other token
// is to be had, call's own error is returned; where WeChat accepts the token, call is repeated with it.
func (h *Handle) Do(ctx context.Context, call func() error) error {
	// What call uses is this token or a later one, and rejecting one that is no
	// longer the current one renews nothing.
	token, err := h.Tokens.Token(ctx)
	if err != nil {
		return err
	}
	refusal := call()
	if !refused(refusal) {
		return refusal
	}
	if _, err := h.Tokens.Reject(ctx, token.Value()); err != nil {
		return refusal // what WeChat said about the call tells its caller more
	}
	return call()
}

func refused(err error) bool {
	var answer *util.CommonError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.ErrCode {
	case 40001, 40014, 42001:
		return true
	}
	return false
}
