package simulator

import "github.com/zhongkong-go/zhongkong/internal/named"

// MiniCode is what wx.login gives to the front end of a mini program while the follower
// openid uses it, "" meaning the first one: a code for jscode2session, good once and for
// 5 minutes.
func (s *Simulator) MiniCode(appid, openid string) string {
	return s.mustFrontCode(miniCode, appid, openid)
}

// PhoneCode is what a front end gets when the follower openid, "" meaning the first one,
// gives away the phone number: a code for getuserphonenumber.
func (s *Simulator) PhoneCode(appid, openid string) string {
	return s.mustFrontCode(phoneCode, appid, openid)
}

// PhoneNumber returns the number that a follower has, without the country code: compare it
// with what your app got for a code of [Simulator.PhoneCode].
func (s *Simulator) PhoneNumber(openid string) string { return phoneNumber(openid) }

func (s *Simulator) mustFrontCode(kind codeKind, appid, openid string) string {
	code, err := s.frontCode(kind, appid, openid)
	if err != nil {
		panic(err)
	}
	return code
}

func (s *Simulator) frontCode(kind codeKind, appid, openid string) (string, error) {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conf.Kind != MiniProgram {
		return "", named.Errorf("simulator", "%s is no mini program, so that it has no front end that gets a code", appid)
	}
	openid, err := a.person(openid)
	if err != nil {
		return "", err
	}
	return a.logins.addCode(loginCode{kind: kind, openid: openid, made: s.Clock.Now()}).value, nil
}

// Revoke ends what a user has granted, as when the user changes the password: the tokens
// of web authorization are refused with 42007 from then on.
func (s *Simulator) Revoke(appid, openid string) {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.logins.grants {
		if g.openid == openid {
			g.revoked = true
		}
	}
}
