package interop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/faabiosr/cachego/file"
	"github.com/fastwego/offiaccount"
	apis "github.com/fastwego/offiaccount/apis/util"
	"github.com/fastwego/offiaccount/type/type_message"
)

// fastwego keeps a token in a file for the whole of expires_in, and fetches and
// calls once more after 40001 and 42001.
func fastwego() sdk {
	return sdk{
		name: "github.com/fastwego/offiaccount@v1.0.1",
		life: 2 * time.Second, hold: 2 * time.Second, heals: true,
		open: func(tb testing.TB, at target) client {
			tb.Helper()
			return fastwegoClient{openFastwego(tb, at)}
		},
		server: func(tb testing.TB, at target) http.Handler {
			tb.Helper()
			app := openFastwego(tb, at)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					app.Server.EchoStr(w, r)
					return
				}
				if err := serveFastwego(app, w, r); err != nil {
					http.Error(w, err.Error(), http.StatusForbidden)
				}
			})
		},
	}
}

func openFastwego(tb testing.TB, at target) *offiaccount.OffiAccount {
	tb.Helper()
	before := offiaccount.WXServerUrl
	offiaccount.WXServerUrl = at.URL
	tb.Cleanup(func() { offiaccount.WXServerUrl = before })
	app := offiaccount.New(offiaccount.Config{Appid: at.AppID, Secret: at.Secret, Token: at.Token, EncodingAESKey: at.AESKey})
	app.AccessToken.Cache = file.New(tb.TempDir())
	app.Logger = nil
	return app
}

func serveFastwego(app *offiaccount.OffiAccount, w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	message, err := app.Server.ParseXML(body)
	if err != nil {
		return err
	}
	text, ok := message.(type_message.MessageText)
	if !ok {
		return fmt.Errorf("%T is no text", message)
	}
	return app.Server.Response(w, r, type_message.ReplyMessageText{
		ReplyMessage: type_message.ReplyMessage{
			ToUserName:   type_message.CDATA(text.FromUserName),
			FromUserName: type_message.CDATA(text.ToUserName),
			CreateTime:   strconv.FormatInt(time.Now().Unix(), 10),
			MsgType:      type_message.ReplyMsgTypeText,
		},
		Content: type_message.CDATA(echo(text.Content)),
	})
}

type fastwegoClient struct{ *offiaccount.OffiAccount }

func (c fastwegoClient) token(context.Context) (string, error) {
	return c.AccessToken.GetAccessTokenHandler(c.OffiAccount)
}

func (c fastwegoClient) call(context.Context) error {
	_, err := apis.GetApiDomainIp(c.OffiAccount)
	return err
}
