package interop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/ArtisanCloud/PowerWeChat/v3/src/kernel/contract"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/kernel/messages"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/officialAccount"
	"github.com/ArtisanCloud/PowerWeChat/v3/src/officialAccount/server/handlers/models"
)

// powerWeChat keeps a token in its cache for the whole of expires_in, and fetches
// and calls once more after 40001, 40014 and 42001.
func powerWeChat(stable bool) sdk {
	s := sdk{
		name: "github.com/ArtisanCloud/PowerWeChat/v3@v3.4.43",
		life: 2 * time.Second, hold: 2 * time.Second, stable: stable, heals: true,
		open: func(tb testing.TB, at target) client {
			tb.Helper()
			return powerWeChatClient{openPowerWeChat(tb, at, stable)}
		},
	}
	if stable {
		s.name += " (stable)"
		return s
	}
	s.server = func(tb testing.TB, at target) http.Handler {
		tb.Helper()
		app := openPowerWeChat(tb, at, false)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			res, err := servePowerWeChat(app, r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			defer func() { _ = res.Body.Close() }()
			if _, err := io.Copy(w, res.Body); err != nil {
				tb.Error(err)
			}
		})
	}
	return s
}

func openPowerWeChat(tb testing.TB, at target, stable bool) *officialAccount.OfficialAccount {
	tb.Helper()
	logs := tb.TempDir()
	app, err := officialAccount.NewOfficialAccount(&officialAccount.UserConfig{
		AppID: at.AppID, Secret: at.Secret, Token: at.Token, AESKey: at.AESKey, StableTokenMode: stable,
		Http: officialAccount.Http{BaseURI: at.URL + "/"},
		Log:  officialAccount.Log{Level: "error", File: filepath.Join(logs, "info.log"), Error: filepath.Join(logs, "error.log")},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return app
}

func servePowerWeChat(app *officialAccount.OfficialAccount, r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return app.Server.VerifyURL(r)
	}
	return app.Server.Notify(r, func(event contract.EventInterface) any {
		text := models.MessageText{}
		if err := event.ReadMessage(&text); err != nil {
			return messages.NewText(err.Error())
		}
		return messages.NewText(echo(text.Content))
	})
}

type powerWeChatClient struct {
	*officialAccount.OfficialAccount
}

func (c powerWeChatClient) token(ctx context.Context) (string, error) {
	token, err := c.AccessToken.GetToken(ctx, false)
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func (c powerWeChatClient) call(ctx context.Context) error {
	answer, err := c.Base.GetCallbackIP(ctx)
	if err != nil {
		return err
	}
	if len(answer.IPList) == 0 {
		return errors.New("the answer has no addresses")
	}
	return nil
}
