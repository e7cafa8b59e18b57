package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/zhongkong-go/zhongkong/middleware/wechat"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// simulate starts WeChat on loopback and makes a folder for a database, and says
// so. end undoes it.
func simulate(ctx context.Context, out io.Writer) (cfg wechat.Config, end func(), err error) {
	wx, err := simulator.New(simulator.Options{})
	if err != nil {
		return cfg, nil, err
	}
	folder, err := os.MkdirTemp("", "zhongkong-")
	if err != nil {
		return cfg, nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return cfg, nil, errors.Join(err, os.RemoveAll(folder))
	}
	server := &http.Server{Handler: wx, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()

	account := wx.Accounts()[0]
	_, _ = fmt.Fprintf(out, "WECHAT_APPID is not set: this is %s, of a simulated WeChat on http://%s, with a database in %s (both end with this program)\n",
		account.AppID, listener.Addr(), folder)
	return wechat.Config{
			AppID:     account.AppID,
			AppSecret: wechat.Secret(account.Secret),
			Token:     wechat.Secret("zhongkong"), // of callbacks, which this program has none of
			APIBase:   "http://" + listener.Addr().String(),
			StoreURL:  "sqlite:" + filepath.Join(folder, "zhongkong.db"),
			Logger:    slog.Default(),
		}, func() {
			_ = server.Close()
			_ = os.RemoveAll(folder)
		}, nil
}
