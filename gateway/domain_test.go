package gateway

import (
	"os"
	"strings"
	"testing"
)

// TestDomain: what a certificate over ACME needs, and what it cannot go with.
func TestDomain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ tls, want string }{
		"a name":                  {"{domain: wx.example.com}", ""},
		"all of it":               {"{domain: wx.example.com, email: a@example.com, authority: 'https://ca.example/dir', folder: /var/lib/x}", ""},
		"capital letters":         {"{domain: WX.example.com}", "line 1: tls.domain is"},
		"an address":              {"{domain: 192.0.2.1}", "line 1: tls.domain is"},
		"one word":                {"{domain: localhost}", "line 1: tls.domain is"},
		"a URL":                   {"{domain: 'https://wx.example.com'}", "line 1: tls.domain is"},
		"files as well":           {"{domain: wx.example.com, cert: a, key: b}", "exclude one another"},
		"client certificates":     {"{domain: wx.example.com, cert: a, key: b, client_ca: c}", "exclude one another"},
		"no name":                 {"{email: a@example.com}", "tls.domain, which is missing"},
		"an authority over HTTP":  {"{domain: wx.example.com, authority: 'http://ca.example/dir'}", "tls.authority must be"},
		"an authority that is no": {"{domain: wx.example.com, authority: letsencrypt}", "tls.authority must be"},
	} {
		settings, err := ParseSettings([]byte("tls: "+c.tls+"\n"), t.TempDir(), os.LookupEnv)
		switch {
		case c.want == "" && (err != nil || !settings.TLS.On() || settings.TLS.Folder == ""):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
