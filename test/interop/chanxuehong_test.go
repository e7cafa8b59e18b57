package interop

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/chanxuehong/wechat/mp/base"
	"github.com/chanxuehong/wechat/mp/core"
	"github.com/chanxuehong/wechat/mp/message/callback/request"
	"github.com/chanxuehong/wechat/mp/message/callback/response"
)

// chanxuehong renews by a timer, some time before the end, and fetches and calls
// once more after 40001 and 42001. It takes no life of a minute or less.
func chanxuehong() sdk {
	return sdk{
		name: "github.com/chanxuehong/wechat@v0.0.0-20251219080029-3ccc67d5e12d",
		life: 61 * time.Second, clocked: true, heals: true,
		open: func(tb testing.TB, at target) client {
			tb.Helper()
			host, err := url.Parse(at.URL)
			if err != nil {
				tb.Fatal(err)
			}
			h := &http.Client{Transport: elsewhere{host}}
			return chanxuehongClient{core.NewClient(core.NewDefaultAccessTokenServer(at.AppID, at.Secret, h), h)}
		},
		server: func(tb testing.TB, at target) http.Handler {
			tb.Helper()
			server := core.NewServer("", at.AppID, at.Token, at.AESKey,
				core.HandlerFunc(func(c *core.Context) {
					text := request.GetText(c.MixedMsg)
					reply := response.NewText(text.FromUserName, text.ToUserName, time.Now().Unix(), echo(text.Content))
					var err error
					if c.EncryptType == "aes" {
						err = c.AESResponse(reply, 0, "", nil)
					} else {
						err = c.RawResponse(reply)
					}
					if err != nil {
						tb.Error(err)
					}
				}),
				core.ErrorHandlerFunc(func(w http.ResponseWriter, _ *http.Request, err error) {
					http.Error(w, err.Error(), http.StatusForbidden)
				}))
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r, nil) })
		},
	}
}

type chanxuehongClient struct{ *core.Client }

func (c chanxuehongClient) token(context.Context) (string, error) { return c.Token() }

func (c chanxuehongClient) call(context.Context) error {
	_, err := base.GetCallbackIP(c.Client)
	return err
}
