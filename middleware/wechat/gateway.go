package wechat

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/source"
	"github.com/zhongkong-go/zhongkong/platform"
)

// keepFromGateway makes the Source of an account whose AppSecret a gateway has.
func (c *Client) keepFromGateway(cfg Config, timing custody.Timing, store custody.Store) error {
	src, err := source.New(source.Config{
		Gateway: cfg.Gateway, Key: cfg.GatewayKey, AppID: cfg.AppID, Transport: cfg.GatewayTransport,
		Store: store, SealKeys: cfg.SealKeys, Timing: timing, Scheduler: cfg.Scheduler, Logger: cfg.Logger, Trace: cfg.Trace,
	})
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "source: ")
		return fmt.Errorf("wechat: %s", strings.ReplaceAll(text, "Config.Key ", "Config.GatewayKey "))
	}
	transport := cfg.Transport
	if transport == nil {
		transport = newTransport()
	}
	api, err := platform.New(platform.Config{Base: cfg.APIBase, Transport: src.Route(transport), Timeout: cfg.CallTimeout, Logger: cfg.Logger})
	if err != nil {
		_ = src.Close()
		return fmt.Errorf("wechat: %w", err)
	}
	c.keeper, c.source, c.calls = src, src, api.Client(src, cfg.AppID)
	if cfg.Transport == nil {
		c.idle = api.CloseIdleConnections
	}
	return nil
}

// newTransport is like the one that package platform makes, for what does not go
// through the gateway.
func newTransport() http.RoundTripper {
	return platform.KeepAlive(&http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: 64,
		ForceAttemptHTTP2:   true,
	})
}
