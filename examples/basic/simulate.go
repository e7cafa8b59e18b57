package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

// token is the one of the console, made up.
const token = "zhongkong"

// simulate starts WeChat on loopback and a database in a temporary folder, says
// so, and prints what to try at the app's address. end undoes it.
func simulate(ctx context.Context, address net.Addr) (cfg wechat.Config, end func(), err error) {
	folder, err := os.MkdirTemp("", "zhongkong-")
	if err != nil {
		return cfg, nil, err
	}
	// The store is this program's, so that it can be closed before its folder goes.
	store, err := sqlite.Open(ctx, filepath.Join(folder, "zhongkong.db"), sqlite.Options{Logger: slog.Default()})
	if err != nil {
		return cfg, nil, errors.Join(err, os.RemoveAll(folder))
	}
	wx, err := simulator.New(simulator.Options{})
	if err != nil {
		return cfg, nil, errors.Join(err, store.Close(), os.RemoveAll(folder))
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return cfg, nil, errors.Join(err, store.Close(), os.RemoveAll(folder))
	}
	server := &http.Server{Handler: wx, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()

	account := wx.Accounts()[0]
	fmt.Printf("WECHAT_APPID is not set: this is %s, of a simulated WeChat on http://%s, with a database in %s (both end with this program)\n",
		account.AppID, listener.Addr(), folder)
	fmt.Printf("\nTry\n\n  curl '%[1]s'\n  curl %[2]s/status\n  curl %[2]s/ip\n  curl %[2]s/healthz\n\n",
		verificationURL(localURL(address)), localURL(address))
	cfg = wechat.Config{
		AppID:     account.AppID,
		AppSecret: wechat.Secret(account.Secret),
		Token:     wechat.Secret(token),
		APIBase:   "http://" + listener.Addr().String(),
		Store:     store,
		Logger:    slog.Default(),
	}
	return cfg, func() {
		_ = server.Close()
		_ = store.Close()
		_ = os.RemoveAll(folder)
	}, nil
}

// verificationURL is what WeChat asks for when the address is entered in its
// console. The answer is the echostr.
func verificationURL(base string) string {
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), "1514711492"
	return base + "/?" + url.Values{
		"signature": {callback.Signature(token, timestamp, nonce)},
		"timestamp": {timestamp}, "nonce": {nonce}, "echostr": {"4375120948345356249"},
	}.Encode()
}
