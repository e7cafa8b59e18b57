package simulator

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// whitelist is an IP whitelist (IP白名单). An empty one lets everybody in.
type whitelist []netip.Prefix

func parseWhitelist(kind Kind, entries []string) (whitelist, error) {
	if kind == MiniProgram && len(entries) > 10 {
		return nil, fmt.Errorf("%d entries, but a mini program has at most 10", len(entries))
	}
	list := make(whitelist, 0, len(entries))
	for _, entry := range entries {
		prefix, err := parseEntry(kind, entry)
		if err != nil {
			return nil, err
		}
		list = append(list, prefix)
	}
	return list, nil
}

func parseEntry(kind Kind, entry string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(entry); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if prefix, err := netip.ParsePrefix(entry); err == nil {
		return prefix.Masked(), nil
	}
	if network, ok := strings.CutSuffix(entry, ".*"); ok {
		prefix, err := netip.ParsePrefix(network + ".0/24")
		if err == nil && kind == MiniProgram {
			return prefix, nil
		}
		if err == nil {
			return netip.Prefix{}, fmt.Errorf("%q: only a mini program may use this form; write %s", entry, prefix)
		}
	}
	return netip.Prefix{}, fmt.Errorf("%q is neither an IP nor a CIDR", entry)
}

func (l whitelist) allows(caller string) bool {
	if len(l) == 0 {
		return true
	}
	addr, err := netip.ParseAddr(caller)
	if err != nil {
		return false
	}
	for _, prefix := range l {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// callerOf returns the address a request comes from, without port, zone and the
// IPv6 form of an IPv4 address.
func callerOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	return addr.Unmap().WithZone("").String()
}
