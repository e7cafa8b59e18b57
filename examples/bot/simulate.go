package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

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
	wx, err := simulator.New(simulator.Options{Observe: showLate})
	if err != nil {
		return cfg, nil, errors.Join(err, store.Close(), os.RemoveAll(folder))
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return cfg, nil, errors.Join(err, store.Close(), os.RemoveAll(folder))
	}
	server := &http.Server{Handler: wx, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()

	account := wx.Accounts()[0] // made up, in safe mode
	fmt.Printf("WECHAT_APPID is not set: this is %s, of a simulated WeChat on http://%s, with a database in %s (both end with this program)\n",
		account.AppID, listener.Addr(), folder)
	// The command that pushes needs to know the account, and the follower whom a late
	// answer can reach.
	fmt.Printf("\nTry in another terminal\n\n  export WECHAT_APPID=%s WECHAT_TOKEN=%s WECHAT_AES_KEY=%s\n", account.AppID, account.Token, account.AESKey)
	for _, message := range []string{"verify", "text ping", "text 你好", "text 慢", "text 很慢", "click " + keyTime, "subscribe", "image"} {
		from := " --from " + account.Followers[0]
		if message == "verify" {
			from = ""
		}
		fmt.Printf("  go run ./cmd/zhongkong push %s --to %s/%s\n", message, localURL(address), from)
	}
	fmt.Printf("  curl %s/healthz\n\n", localURL(address))
	cfg = wechat.Config{
		AppID:     account.AppID,
		AppSecret: wechat.Secret(account.Secret),
		Token:     wechat.Secret(account.Token),
		AESKey:    wechat.Secret(account.AESKey),
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

// showLate shows what reaches the follower after WeChat was answered.
func showLate(e simulator.Event) {
	if e.Path == "/cgi-bin/message/custom/send" && e.Errcode == 0 {
		fmt.Printf("The follower gets later: %s\n", e.Request)
	}
}
