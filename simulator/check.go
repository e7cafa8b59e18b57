package simulator

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
)

// Events returns the last requests, oldest first, at most Options.Events.
func (s *Simulator) Events() []Event {
	all := []Event{}
	for _, r := range s.history.records.all() {
		all = append(all, r.Event)
	}
	return all
}

func (s *Simulator) note(e Event) {
	if s.options.Events > 0 {
		s.history.add(record{Event: e, At: time.Now(), Checks: s.checks(e)})
	}
	if s.options.Observe != nil {
		s.options.Observe(e)
	}
}

// checks says what WeChat, or the app, finds when it looks at who is calling.
func (s *Simulator) checks(e Event) []check {
	query, err := url.ParseQuery(e.Query)
	if e.Push {
		a := s.accounts[e.AppID]
		if a == nil || err != nil {
			return nil
		}
		a.mu.Lock()
		token, corp := a.conf.Token, a.corp != nil
		a.mu.Unlock()
		return signatures(e, query, token, corp)
	}
	switch e.Path {
	case TokenPath, StableTokenPath:
		var in struct {
			AppID  string `json:"appid"`
			Secret string `json:"secret"`
		}
		if e.Path == TokenPath {
			in.AppID, in.Secret = query.Get("appid"), query.Get("secret")
		} else {
			_ = json.Unmarshal([]byte(e.Request), &in) // what cannot be read is no credential
		}
		a, right := s.accounts[in.AppID], false
		if a != nil {
			a.mu.Lock()
			right = in.Secret == a.conf.Secret
			a.mu.Unlock()
		}
		return []check{{a != nil, "appid", onlyIf(a != nil, in.AppID)}, {right, "AppSecret", ""}}
	case corpTokenPath:
		corp := query.Get("corpid")
		known := s.corps[corp] != nil
		return []check{{known, "corpid", onlyIf(known, corp)}, {e.AppID != "", "corpsecret", ""}}
	}
	value := query.Get("access_token")
	if value == "" {
		return nil
	}
	info := s.Inspect(value)
	pool := string(info.Pool)
	if pool == "" {
		pool = "unknown"
	}
	return []check{{info.Errcode == 0, "access_token", pool + " …" + ending(value)}}
}

// onlyIf returns the name of an account that is known. Where a program sends its secret for a
// name, nobody may read it.
func onlyIf(known bool, name string) string {
	if !known {
		return ""
	}
	return name
}

// ending is by what one tells a token from another.
func ending(value string) string {
	if len(value) <= 8 {
		return ""
	}
	return value[len(value)-8:]
}

// encrypted finds Encrypt in XML or JSON as the simulator writes it.
var encrypted = regexp.MustCompile(`<Encrypt><!\[CDATA\[([^\]]*)|"[Ee]ncrypt":"([^"]*)`)

// signatures looks at a push as an app does, with what package callback knows: this package
// would be checking itself.
func signatures(e Event, query url.Values, token string, corp bool) []check {
	timestamp, nonce := query.Get("timestamp"), query.Get("nonce")
	var all []check
	if !corp { // WeCom sends none
		all = append(all, check{callback.CheckSignature(token, timestamp, nonce, query.Get("signature")), "signature", ""})
	}
	given, sealed := query.Get("msg_signature"), query.Get("echostr")
	if found := encrypted.FindStringSubmatch(e.Request); sealed == "" && found != nil {
		sealed = found[1] + found[2]
	}
	if given != "" && sealed != "" {
		all = append(all, check{callback.CheckMsgSignature(token, timestamp, nonce, sealed, given), "msg_signature", ""})
	}
	return slices.Clip(all)
}
