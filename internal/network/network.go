// Package network makes the transports of clients, and says what to do when a connection
// fails for a reason that a person can remove: a proxy that refuses or cannot be reached, an
// authority that this machine does not know, a clock that is off.
package network

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// Steps bound the steps of a connection; 0 is no bound.
type Steps struct {
	Dial, TLS   time.Duration
	Header      time.Duration // from the request's last byte to the answer's first
	Idle        time.Duration // that a connection is kept
	IdlePerHost int
}

// New returns a transport that obeys HTTPS_PROXY. A proxy that refuses a connection is a
// [*RefusedError] there.
func New(s Steps) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: Connected,
		DialContext:            (&net.Dialer{Timeout: s.Dial}).DialContext,
		TLSHandshakeTimeout:    s.TLS,
		ResponseHeaderTimeout:  s.Header,
		IdleConnTimeout:        s.Idle,
		MaxIdleConnsPerHost:    s.IdlePerHost,
		ForceAttemptHTTP2:      true,
	}
}

// ToGateway returns a transport to a gateway. ca is a file of certificates in PEM whose
// signatures count besides those of the system's authorities; "" for none. An error says what
// is wrong with the file.
func ToGateway(ca string) (*http.Transport, error) {
	t := New(Steps{
		Dial: 2 * time.Second, TLS: 5 * time.Second,
		Header:      70 * time.Second, // of a call that a gateway carries to WeChat; its own answers are bounded by a ctx
		Idle:        50 * time.Second, // less than gateways, and what is usually in front of them, keep a connection
		IdlePerHost: 64,
	})
	if ca == "" {
		return t, nil
	}
	if err := shape.Path("it", ca); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", ca)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// RefusedError is a proxy's refusal to connect to a host.
type RefusedError struct {
	Proxy  string // host:port
	Host   string // host:port
	Status int
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the proxy %s answers HTTP %d to CONNECT %s", e.Proxy, e.Status, e.Host)
}

// Connected is for [http.Transport.OnProxyConnectResponse]; net/http's own error has no
// more than the words behind the status.
func Connected(_ context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &RefusedError{Proxy: proxy.Host, Host: req.Host, Status: resp.StatusCode}
}

// Issuer returns who signed the certificate that was not trusted, "" where err is about
// something else or the certificate does not say.
func Issuer(err error) string {
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(verify.UnverifiedCertificates) > 0 {
		issuer := verify.UnverifiedCertificates[0].Issuer
		for _, name := range append([]string{issuer.CommonName}, issuer.Organization...) {
			if name != "" {
				return name
			}
		}
	}
	return ""
}

// Remedy says what to do about err, which a connection to host ended in: a sentence, or "" where
// nothing better is known than to look at the network. get returns the value of a variable
// of the environment.
func Remedy(err error, host string, get func(name string) string) string {
	name := host
	if h, _, cut := net.SplitHostPort(host); cut == nil {
		name = h
	}
	var (
		refused *RefusedError
		op      *net.OpError
		unknown x509.UnknownAuthorityError
		other   x509.HostnameError
		invalid x509.CertificateInvalidError
		dns     *net.DNSError
	)
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusProxyAuthRequired:
		return fmt.Sprintf("The proxy wants a password: HTTPS_PROXY=http://user:password@%s. NO_PROXY=%s goes around it", refused.Proxy, name)
	case errors.As(err, &refused):
		return fmt.Sprintf("The proxy of HTTPS_PROXY does not let this program through: have it allow CONNECT to %s, or set NO_PROXY=%s to go around it", refused.Host, name)
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return fmt.Sprintf("The proxy of HTTPS_PROXY cannot be reached: see whether it runs and whether the address is right, or set NO_PROXY=%s to go around it", name)
	case errors.As(err, &unknown):
		issuer := Issuer(err)
		if issuer != "" {
			issuer = fmt.Sprintf(" (%q)", issuer)
		}
		return fmt.Sprintf("This machine does not know the authority%s that signed the certificate which %s shows. A proxy that inspects TLS shows its own: "+
			"install its authority (on Linux SSL_CERT_FILE names a file), or let %[2]s around it. A bare image knows no authority: install ca-certificates", issuer, name)
	case errors.As(err, &other):
		return fmt.Sprintf("Another host's certificate is shown for %s: look for a login page of the network, a proxy, or a wrong entry in DNS or the hosts file", name)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "By this machine's clock the certificate is not valid now: set the clock first. If it is right, a proxy shows a certificate of its own"
	case errors.As(err, &op) && op.Op == "dial", errors.As(err, &dns):
		if text := shape.Proxy(get); text != "" {
			return strings.ToUpper(text[:1]) + text[1:]
		}
	}
	return ""
}
