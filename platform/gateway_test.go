package platform

import (
	"strings"
	"testing"
)

// TestGatewaySpoke: what a gateway refuses is not told as WeChat's, and no other program is
// blamed for a key that was revoked.
func TestGatewaySpoke(t *testing.T) {
	for _, row := range []struct {
		path    string
		code    int
		errmsg  string
		says    []string
		saysNot []string
	}{
		{
			"/cgi-bin/menu/get", 40001, "invalid credential, access_token is invalid or not latest (zhongkong) rid: 6aac005a-01bfdbee-79769285",
			[]string{"the gateway refuses", "this program's key", "rid 6aac005a"},
			[]string{"some other program", "WeChat refuses"},
		},
		{
			classicPath, 40125, "invalid appsecret (zhongkong) rid: 6aac005a-01bfdbee-79769285",
			[]string{"the gateway refuses", "this program's key", "client rotate"},
			[]string{"WeChat refuses"},
		},
		{
			classicPath, gatewayCode, "zhongkong has no token for this account: WeChat refuses the gateway, not you (zhongkong) rid: 6aac005a-01bfdbee-79769285",
			[]string{"the gateway refuses", "the gateway's own credentials", "not this program's"},
			[]string{"this program's key"},
		},
		{"/cgi-bin/menu/get", 40001, "invalid credential rid: 6aac005a-01bfdbee-79769285", []string{"WeChat refuses", "some other program"}, []string{"gateway refuses"}},
	} {
		text := newError(request{path: row.path, appID: "wx1"}, row.code, row.errmsg).Error()
		for _, want := range row.says {
			if !strings.Contains(text, want) {
				t.Errorf("%d: %s; want %q", row.code, text, want)
			}
		}
		for _, not := range row.saysNot {
			if strings.Contains(text, not) {
				t.Errorf("%d: %s; not %q", row.code, text, not)
			}
		}
	}
}
