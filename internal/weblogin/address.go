package weblogin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Origin returns where browsers come back to: what is configured, and without it this
// machine's own address. What a request says about its host is believed of nothing else.
func Origin(r *http.Request, configured string) (origin string, known bool) {
	switch {
	case configured != "":
		return configured, true
	case !IsLoopback(hostname(r.Host)):
		return "", false
	case Secure(r, ""):
		return "https://" + r.Host, true
	default:
		return "http://" + r.Host, true
	}
}

// Secure reports whether browsers reach this program by TLS: as configured, or else by this
// connection, be it to a proxy on this machine that says so.
func Secure(r *http.Request, configured string) bool {
	if configured != "" {
		return strings.HasPrefix(configured, "https://")
	}
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" && IsLoopback(hostname(r.RemoteAddr))
}

// hostname returns a host without its port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.Trim(host, "[]")
}

// OpensPage reports whether a request is a browser's that would follow to WeChat and show
// what is there: no script, form or picture.
func OpensPage(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return r.Header.Get("X-Requested-With") != "XMLHttpRequest" && !strings.Contains(r.Header.Get("Accept"), "application/json")
}

// IsLoopback reports whether a host is this machine, without asking anybody.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// OpenBase returns where WeChat's pages for logins are: as configured, or on this machine if
// WeChat's API is there, which is a simulator.
func OpenBase(configured, apiBase string) string {
	if configured != "" {
		return configured
	}
	if u, err := url.Parse(apiBase); err == nil && IsLoopback(u.Hostname()) {
		return u.Scheme + "://" + u.Host
	}
	return "https://open.weixin.qq.com"
}

// CheckOrigin returns an error for what is not https:// or http:// and a host alone.
func CheckOrigin(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || text != u.Scheme+"://"+u.Host ||
		u.Host != strings.ToLower(u.Host) || usualPort(u) || strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("has to be https:// or http:// and a host in lower case, without the usual port and with nothing behind, such as https://shop.example")
	}
	return nil
}

// OwnPath returns target if it is a path of this program's own, with a query and fragment
// if it has these, and else fallback. Whatever a browser might read as another host's
// address is none.
func OwnPath(target, fallback string) string {
	if !strings.HasPrefix(target, "/") || strings.ContainsFunc(target, misread) {
		return fallback
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || !plainPath(u.Path) {
		return fallback
	}
	return target
}

// plainPath reports whether every program reads a decoded path in the same way.
func plainPath(path string) bool {
	if strings.Contains(path, "//") || strings.Contains(path, `\`) {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if name, _, _ := strings.Cut(segment, ";"); name == ".." || name == "." { // some servers cut there
			return false
		}
	}
	return true
}

// misread reports whether browsers do something else with a character of an address than
// send it: drop it, trim it, or take it for a slash.
func misread(r rune) bool {
	return r == '\\' || r == utf8.RuneError || unicode.IsSpace(r) || unicode.IsControl(r)
}

// maxReturns bounds the return addresses of one program.
const maxReturns = 100

// Returns are the addresses to which a program's users may be sent back, such as
// https://shop.example/back, with whatever query, and https://shop.example/* for all paths
// of a site.
type Returns struct{ all []returnTo }

type returnTo struct {
	scheme, host, path string
	below              bool // paths that begin with path, which ends in a slash
}

// ParseReturns reads return addresses. Plain http is for this machine only.
func ParseReturns(addresses []string) (Returns, error) {
	var r Returns
	if len(addresses) > maxReturns {
		return r, fmt.Errorf("there are %d return addresses, and %d can be", len(addresses), maxReturns)
	}
	for _, address := range addresses {
		exact, below := strings.CutSuffix(address, "/*")
		if below {
			exact += "/"
		}
		u, err := ParseReturn(exact)
		switch {
		case err != nil:
			return Returns{}, fmt.Errorf("the return address %q %w", address, err)
		case u.RawQuery != "" || u.ForceQuery || strings.ContainsAny(u.Path, "*?"):
			return Returns{}, fmt.Errorf("the return address %q has a query or a * inside: name the path alone, any query is good", address)
		}
		r.all = append(r.all, returnTo{u.Scheme, u.Host, u.Path, below})
	}
	return r, nil
}

// String returns the address as ParseReturns reads it.
func (t returnTo) String() string {
	address := t.scheme + "://" + t.host + t.path
	if t.below {
		address += "*"
	}
	return address
}

// covers reports whether t fits what other fits, or a part of it.
func (t returnTo) covers(other returnTo) bool {
	return t.scheme == other.scheme && t.host == other.host &&
		(t.path == other.path || t.below && strings.HasPrefix(other.path, t.path))
}

// Overlap returns one address of each that some return address fits both of, and whether
// there are such.
func (r Returns) Overlap(other Returns) (one, others string, found bool) {
	for _, a := range r.all {
		for _, b := range other.all {
			if a.covers(b) || b.covers(a) {
				return a.String(), b.String(), true
			}
		}
	}
	return "", "", false
}

// None reports whether there are none.
func (r Returns) None() bool { return len(r.all) == 0 }

// Match returns how many bytes of a path the most specific address that fits u names; 0 when
// none fits. u is ParseReturn's.
func (r Returns) Match(u *url.URL) (length int) {
	for _, to := range r.all {
		fits := to.path == u.Path || to.below && strings.HasPrefix(u.Path, to.path)
		if !fits || to.scheme != u.Scheme || to.host != u.Host {
			continue
		}
		n := 2 * len(to.path)
		if !to.below {
			n++ // an exact address is stronger than a folder of the same name
		}
		length = max(length, n)
	}
	return length
}

// ParseReturn reads an address to which a browser is to be sent back. It takes what every
// program reads in the same way, and nothing else: no user, no fragment, no port that is
// usual anyway, no dots or backslashes in the path, however they are written.
func ParseReturn(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || strings.ContainsFunc(address, misread) || u.Opaque != "":
		return nil, errors.New("is no address that every browser reads in the same way")
	case u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname())):
		return nil, errors.New("has to begin with https://; plain http is for this machine (127.0.0.1, localhost) only")
	case !strings.HasPrefix(address, u.Scheme+"://"+u.Host) || u.User != nil || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") ||
		u.Host != strings.ToLower(u.Host) || strings.ContainsFunc(u.Host, odd):
		return nil, errors.New("has no plain host: write it in lower case, without a user")
	case usualPort(u):
		return nil, errors.New("has the port that is usual anyway: leave it out, as browsers do")
	case strings.Contains(u.RawQuery, ";"):
		return nil, errors.New("has a semicolon in its query, which some programs read as an ampersand: write it as %3B")
	case strings.Contains(address, "#"):
		return nil, errors.New("has a fragment (#)")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	if !onePath(u) {
		return nil, errors.New("has a path that programs might read in two ways")
	}
	return u, nil
}

// onePath reports whether every program reads the path of an address in the same way.
func onePath(u *url.URL) bool {
	escaped := strings.ToLower(u.EscapedPath())
	for _, hidden := range []string{"%2f", "%5c", "%252f", "%255c", "%252e"} { // some programs decode twice
		if strings.Contains(escaped, hidden) {
			return false
		}
	}
	return plainPath(u.Path) && !strings.ContainsFunc(u.Path, unicode.IsControl)
}

// usualPort reports whether an address has the port that its scheme has without one.
func usualPort(u *url.URL) bool {
	return u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80"
}

// odd reports whether a character does not belong into a host with a port.
func odd(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != ':' && r != '[' && r != ']'
}

// SendBack adds parameters to a return address.
func SendBack(to *url.URL, parameters url.Values) string {
	back := *to
	if back.RawQuery != "" {
		back.RawQuery += "&"
	}
	back.RawQuery += parameters.Encode()
	return back.String()
}
