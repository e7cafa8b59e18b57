package login_test

import (
	"fmt"

	"github.com/zhongkong-go/zhongkong/gateway/login"
)

// Which paths a gateway hands to the relay. Config.Login of package gateway sets it up.
func ExampleServes() {
	for _, path := range []string{login.Path + "shop", login.AuthorizePath, "/cgi-bin/token"} {
		fmt.Println(path, login.Serves(path))
	}
	// Output:
	// /login/shop true
	// /connect/oauth2/authorize true
	// /cgi-bin/token false
}
