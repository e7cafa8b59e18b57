package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// Proxies are the reverse proxies in front of a gateway whose X-Forwarded-For is believed,
// such as netip.MustParsePrefix("10.0.0.0/8"). Addresses of IPv4 are written as IPv4.
type Proxies []netip.Prefix

// parseProxies reads addresses and networks, such as 192.0.2.1 and 10.0.0.0/8.
func parseProxies(list []string) (Proxies, error) {
	var all Proxies
	for _, text := range list {
		network, err := netip.ParsePrefix(text)
		if err == nil && network.Addr().Is4In6() && network.Bits() >= 96 { // callers have plain addresses
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		if addr, addrErr := netip.ParseAddr(text); err != nil && addrErr == nil {
			network, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
		}
		switch {
		case err != nil || network.Addr().Zone() != "" || network.Addr().Is4In6():
			return nil, fmt.Errorf("%s is no address such as 192.0.2.1, and no network such as 10.0.0.0/8", shape.Show(text))
		case network.Bits() == 0:
			return nil, fmt.Errorf("%s is everybody: whoever calls could say who they are", text)
		}
		all = append(all, network.Masked())
	}
	return all, nil
}

func (p Proxies) has(addr netip.Addr) bool {
	for _, network := range p {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// Handler returns next, which is given requests of these proxies with the address of
// whoever called them: attempts, the log and the journal are then about that one.
func (p Proxies) Handler(next http.Handler) http.Handler {
	if len(p) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from := p.caller(r); from != r.RemoteAddr {
			copied := *r
			copied.RemoteAddr = from
			r = &copied
		}
		next.ServeHTTP(w, r)
	})
}

// caller reads X-Forwarded-For from the right, where the nearest proxy has written: the
// first address that is none of these proxies' is the caller's. What stands to the left
// of it may be the caller's own invention.
func (p Proxies) caller(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.has(peer.Addr().Unmap()) {
		return r.RemoteAddr
	}
	from := r.RemoteAddr
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			return from
		}
		from = netip.AddrPortFrom(addr, 0).String()
		if !p.has(addr) {
			return from
		}
	}
	return from
}

// parseHop reads an address, which some proxies write with a port.
func parseHop(text string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if addr, err := netip.ParseAddrPort(text); err == nil {
		return addr.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}
