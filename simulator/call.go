package simulator

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// What is read of a request into memory.
const (
	maxBody   = 1 << 20
	maxUpload = 12 << 20 // media/upload; WeChat: a picture or video has at most 10 MB
)

// call is one request on its way through the simulator.
type call struct {
	sim      *Simulator
	req      *http.Request
	endpoint endpoint
	query    url.Values
	body     []byte
	caller   string
	account  *account   // whose call it is, or Simulator.nobody
	fetch    fetch      // what a token endpoint was asked
	token    *token     // what an API was called with; nil when it is none of ours
	grant    *userGrant // likewise, with a user's token
	now      time.Time
	rid      string // of the answer; "" when it has none
	wecom    bool   // it is for qyapi.weixin.qq.com
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// fetch is what a token endpoint was asked.
type fetch struct {
	GrantType string `json:"grant_type"`
	AppID     string `json:"appid"`
	Secret    string `json:"secret"`
	Force     bool   `json:"force_refresh"`

	err error // the body could not be read as JSON
}
