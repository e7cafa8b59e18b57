package gate

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Local lets programs on this machine through to next, and pages that next itself has
// served. It refuses other machines, names that a web page may have made point here, what
// a page from elsewhere posts, and bodies of more than most bytes.
func Local(most int64, next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	refuse := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // a caller who is gone misses nothing
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var visit Visit
		r, fits := visit.Enter(w, r, most)
		defer visit.Leave()
		if !fits {
			refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", most))
			return
		}
		host := hostOf(r.Host)
		_, err := netip.ParseAddr(strings.Trim(host, "[]"))
		named := host == "localhost" || err == nil
		if caller, err := netip.ParseAddr(hostOf(r.RemoteAddr)); err != nil || !caller.Unmap().IsLoopback() || !named {
			refuse(w, http.StatusForbidden, "the admin API answers programs on this machine only: call it by 127.0.0.1")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf is an address without its port.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
