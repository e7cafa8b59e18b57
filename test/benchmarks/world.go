package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// at is where WeChat is, and who somebody is there.
type at struct {
	URL, AppID, Secret, Token, AESKey string
	Dir                               string // for files, of one program's restarts say
	Redis                             string // host:port; "" for the peer's own default of a cache
	Stable                            bool
}

// world is a WeChat of its own.
type world struct {
	*simulator.Simulator
	at
	server *httptest.Server
}

func (b *bench) newWorld(options simulator.Options) (*world, error) {
	wx, err := simulator.New(options)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "world-")
	if err != nil {
		return nil, err
	}
	w := &world{Simulator: wx, server: httptest.NewServer(wx)}
	a := wx.Accounts()[0]
	w.at = at{URL: w.server.URL, AppID: a.AppID, Secret: a.Secret, Token: a.Token, AESKey: a.AESKey, Dir: dir}
	return w, nil
}

func (w *world) Close() {
	w.server.CloseClientConnections()
	w.server.Close()
	http.DefaultClient.CloseIdleConnections()
}

// issued returns how many tokens went out to callers.
func (w *world) issued() float64 {
	stats := w.Stats(w.AppID)
	return float64(stats.Classic.Issued + stats.Stable.Issued)
}

// fetches returns how many token requests arrived.
func (w *world) fetches() float64 {
	stats := w.Stats(w.AppID)
	return float64(stats.Classic.Calls + stats.Stable.Calls)
}

// fetch is the floor of getting a token: one request.
func fetch(ctx context.Context, where at) (string, error) {
	r, err := http.NewRequestWithContext(
		ctx,
		http.MethodGet,
		where.URL+simulator.TokenPath+"?grant_type=client_credential&appid="+where.AppID+"&secret="+where.Secret,
		http.NoBody,
	)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return "", err
	}
	if answer.AccessToken == "" {
		return "", fmt.Errorf("status %d and no token", res.StatusCode)
	}
	return answer.AccessToken, nil
}
