package wechat

import (
	"net/http"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/source"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/network"
	"github.com/zhongkong-go/zhongkong/platform"
)

// keepFromGateway makes the Source of an account whose AppSecret a gateway has.
func (c *Client) keepFromGateway(cfg Config, timing custody.Timing, store custody.Store) error {
	src, err := source.New(source.Config{
		Gateway: cfg.Gateway, Key: cfg.GatewayKey, AppID: cfg.AppID, Transport: cfg.GatewayTransport,
		Store: store, SealKeys: cfg.SealKeys, Timing: timing, Scheduler: cfg.Scheduler, Logger: cfg.Logger, Trace: cfg.Trace,
	})
	if err != nil {
		text := named.Plain(err).Error()
		return named.Errorf("wechat", "%s", strings.ReplaceAll(text, "Config.Key ", "Config.GatewayKey "))
	}
	transport := cfg.Transport
	if transport == nil {
		transport = newTransport()
	}
	api, err := platform.New(platform.Config{Base: cfg.APIBase, Transport: src.Route(transport), Timeout: cfg.CallTimeout, Logger: cfg.Logger})
	if err != nil {
		_ = src.Close()
		return named.Errorf("wechat", "%w", err)
	}
	c.keeper, c.source, c.calls = src, src, api.Client(src, cfg.AppID)
	if own := c.idle; cfg.Transport == nil {
		c.idle = func() { api.CloseIdleConnections(); own() }
	}
	return nil
}

// reachGateway makes the transport to a gateway whose certificate GatewayCA has signed.
// leave closes its connections.
func (c *Config) reachGateway() (leave func(), err error) {
	if c.GatewayCA == "" {
		return func() {}, nil
	}
	transport, err := network.ToGateway(c.GatewayCA)
	if err != nil {
		return nil, named.Errorf("wechat", "Config.GatewayCA (ZHONGKONG_GATEWAY_CA): %w", err)
	}
	c.GatewayTransport = transport
	return transport.CloseIdleConnections, nil
}

// newTransport is like the one that package platform makes, for what does not go
// through the gateway.
func newTransport() http.RoundTripper {
	return platform.KeepAlive(network.New(network.Steps{
		Dial: 5 * time.Second, TLS: 5 * time.Second, Idle: 90 * time.Second, IdlePerHost: 64,
	}))
}
