// Package chanxuehong lets github.com/chanxuehong/wechat take its access_token from
// zhongkong.
//
//	client, err := wechat.New(wechat.Config{AppID: appID, AppSecret: secret}) // middleware/wechat
//	sdk := core.NewClient(&chanxuehong.Server{Tokens: client}, nil)
//
// The SDK then needs no AppSecret, and any number of processes may use it. A token
// that WeChat refuses (40001, 42001) is rejected by its value, and the SDK makes
// the call once more.
package chanxuehong

import (
	"context"
	"time"

	"github.com/chanxuehong/wechat/mp/core"

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

// Server is a core.AccessTokenServer that hands out the tokens of a Keeper. It is
// safe for concurrent use.
type Server struct {
	// Tokens is a *custody.Keeper or a *wechat.Client. Required.
	Tokens Tokens

	// Timeout bounds the wait for a token, as the SDK passes no context on. Zero
	// means 15 s. There is no wait while a token lives.
	Timeout time.Duration
}

var _ core.AccessTokenServer = (*Server)(nil)

// Token implements core.AccessTokenServer. Its error is context.DeadlineExceeded,
// custody.ErrClosed or a *custody.Error.
func (s *Server) Token() (string, error) {
	ctx, cancel := s.context()
	defer cancel()
	token, err := s.Tokens.Token(ctx)
	if err != nil {
		return "", err
	}
	return token.Value(), nil
}

// RefreshToken implements core.AccessTokenServer: it rejects refused, which renews
// the token if refused is still the current one and WeChat refuses it again, and
// returns the token to repeat the call with: another one, or the same one if WeChat
// accepts it when it is asked directly. When there is none, its error wraps
// custody.ErrRefused. An empty refused asks for the current token.
func (s *Server) RefreshToken(refused string) (string, error) {
	if refused == "" {
		return s.Token()
	}
	ctx, cancel := s.context()
	defer cancel()
	token, err := s.Tokens.Reject(ctx, refused)
	if err != nil {
		return "", err
	}
	return token.Value(), nil
}

// IID01332E16DF5011E5A9D5A4DB30FED8E1 marks a core.AccessTokenServer.
func (*Server) IID01332E16DF5011E5A9D5A4DB30FED8E1() {}

func (s *Server) context() (context.Context, context.CancelFunc) {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = 15 * time.Second
	}
	return context.WithTimeout(context.Background(), timeout)
}
