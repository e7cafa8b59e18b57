package simulator

import (
	"slices"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// follows reports whether openid is one of the account's followers. The account's
// mutex is held.
func (a *account) follows(openid string) bool { return slices.Contains(a.conf.Followers, openid) }

// person returns the openid that a choice means. The account's mutex is held.
func (a *account) person(openid string) (string, error) {
	switch {
	case openid == "":
		return a.conf.Followers[0], nil
	case !a.follows(openid):
		return "", named.Errorf("simulator", "%s is no follower of %s", openid, a.appid)
	default:
		return openid, nil
	}
}
