package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// healthTime is how long a gateway on this machine may take to answer.
const healthTime = 3 * time.Second

// healthcheckCmd asks a gateway on this machine how it is, for containers without curl.
type healthcheckCmd struct {
	Address string `arg:"" optional:"" help:"Where the gateway listens on this machine. Default: the configuration's address, else 127.0.0.1:8300." placeholder:"HOST:PORT"`
	Config  string `help:"The gateway's configuration, which says where it listens." placeholder:"FILE" short:"c"`
	Ready   bool   `help:"Ask whether every account has a token (/readyz) instead of whether the process serves (/healthz)."`
}

// Help is what is below the flags' list.
func (*healthcheckCmd) Help() string {
	return `The exit code is 0 when the gateway answers that it is well, else 1. The image's HEALTHCHECK is this command.`
}

// Run asks.
func (c *healthcheckCmd) Run(ctx context.Context, t *terminal) error {
	at, secured, err := c.where()
	if err != nil {
		return err
	}
	path := "/healthz"
	if c.Ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	var status int
	var body string
	if !secured {
		status, body, err = askHealth(ctx, "http://"+at+path)
		// A server that speaks TLS answers plain HTTP with 400.
		secured = err == nil && status == http.StatusBadRequest || errors.Is(err, io.EOF)
	}
	if secured {
		status, body, err = askHealth(ctx, "https://"+at+path)
	}
	switch {
	case !c.Ready && refusedByTLS(err):
		status, body = http.StatusOK, `{"healthy":true}`
	case err != nil:
		return fmt.Errorf("the gateway at %s does not answer: %w", at, err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("the gateway at %s answers %d to %s: %s", at, status, path, strings.TrimSpace(body))
	}
	t.say("%s", strings.TrimSpace(body))
	return nil
}

// where returns the address to ask, the argument's, the configuration's or the usual one, and
// whether it is known to speak TLS. One that stands for all addresses of the machine becomes
// loopback's.
func (c *healthcheckCmd) where() (at string, secured bool, err error) {
	address, foreign := c.Address, false
	if address == "" && c.Config != "" {
		settings, err := gateway.Parts{}.Read(c.Config)
		if err != nil {
			return "", false, usageError{err}
		}
		address, foreign, secured = settings.Listen, true, settings.TLS.On() // whichever it is, it is this machine's
	}
	if address == "" {
		address = defaultListen
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", false, mistake("the address is %s: it has to be one such as %s", address, defaultListen)
	}
	ip := net.ParseIP(host)
	switch {
	case host == "" || ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip.Equal(net.IPv6unspecified):
		host = "::1"
	case !foreign && !shape.Loopback(host):
		return "", false, mistake("%s is not on this machine: ask /healthz there instead", address)
	}
	return net.JoinHostPort(host, port), secured, nil
}

// askHealth sends one request to this machine. The certificate is for the gateway's public
// name and is not looked at; nothing secret is sent.
func askHealth(ctx context.Context, url string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}
	res, err := transport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	return res.StatusCode, string(content), err
}

// refusedByTLS reports whether a server ended the handshake: it serves, and wants a
// certificate of programs, or another name.
func refusedByTLS(err error) bool {
	e, is := errors.AsType[*net.OpError](err)
	return is && e.Op == "remote error"
}
