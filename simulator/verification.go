package simulator

import (
	"context"
	"fmt"
	"net/http"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// Verify asks an app for the echostr, as the console does when its address is
// saved. Of p, the Message, Mode and Format do not matter, as the verification is
// in plain text in every mode; of the attacks only WrongSignature can be chosen. WeCom
// encrypts the echostr, so that there ForeignAppID can be chosen too.
func (s *Simulator) Verify(ctx context.Context, p Push) (Result, error) {
	a, err := s.pushing(p.AppID)
	if err != nil {
		return Result{}, err
	}
	encrypted := a.corp != nil
	switch {
	case p.Attack == "", p.Attack == WrongSignature, p.Attack == ForeignAppID && encrypted:
	default:
		return Result{}, named.Errorf("simulator", "a verification knows the attack %s alone, and of WeCom %s", WrongSignature, ForeignAppID)
	}
	p.Message = Text("")
	if !encrypted {
		p.Mode, p.Format = Plain, XML
	}
	out, err := s.settle(p)
	if err != nil {
		return Result{}, err
	}
	content, echo := out.composeVerification()
	var r Result
	d := out.send(ctx, content)
	r.Deliveries = append(r.Deliveries, d)
	err = ctx.Err()
	switch {
	case err != nil:
		r.fail("", "the verification was given up")
	case p.Attack == "":
		judgeVerification(&r, d, echo, encrypted)
	case d.Err != nil || d.Status != http.StatusOK || d.Body != echo:
		r.Verdict, r.Reason = Refused, "the app did not echo the echostr of a stranger"
	default:
		r.Verdict, r.Reason = Accepted, "the app echoes whatever comes, also with a wrong signature: check it first, "+
			"or anybody can put text under your address"
	}
	out.note(content, d, &r)
	return r, err
}

// composeVerification writes the request of a verification.
func (p *sending) composeVerification() (content parcel, echo string) {
	timestamp, nonce, _ := p.stamps()
	a := p.sim.accounts[p.account.AppID]
	a.mu.Lock()
	echo = fmt.Sprintf("%019d", a.random.Int64N(1e18)+1e18) // about 19 digits
	a.mu.Unlock()
	if p.account.Kind == WeCom {
		return p.composeCorpVerification(echo), echo
	}
	token := p.account.Token
	if p.Attack == WrongSignature {
		token = "not" + token
	}
	q := newQuery(sign(token, timestamp, nonce), timestamp, nonce)
	q.add("echostr", echo)
	return parcel{method: http.MethodGet, target: p.target, query: q.behind(p.target.RawQuery)}, echo
}
