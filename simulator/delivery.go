package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const maxAnswer = 1 << 20 // what is read of an app's answer

// The pauses between the deliveries of a push that is not answered, as far as WeChat
// documents them: of messages and most events three requests in total, of some events
// more, for hours.
var (
	briefly = []time.Duration{0, 0} // the next one when the patience with this one has ended
	shops   = []time.Duration{      // 微信小店
		0, 0, 10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour, time.Hour, time.Hour,
	}
	games = []time.Duration{ // 小游戏 道具直购
		15 * time.Second, 15 * time.Second, 30 * time.Second, 3 * time.Minute, 10 * time.Minute, 20 * time.Minute,
		30 * time.Minute, 30 * time.Minute, 30 * time.Minute, time.Hour,
		3 * time.Hour, 3 * time.Hour, 3 * time.Hour, 6 * time.Hour, 6 * time.Hour,
	}
)

// pauses returns those of this push; there is one delivery more than pauses.
func (p *sending) pauses() []time.Duration {
	all := briefly
	switch name := strings.ToLower(p.message.event()); {
	case p.Attack != "":
		return nil
	case strings.HasPrefix(name, "channels_ec_"):
		all = shops
	case strings.HasPrefix(name, "minigame_") && strings.Contains(name, "deliver"):
		all = games
	}
	if n := p.Deliveries; n > 0 && n <= len(all) {
		all = all[:n-1]
	}
	return all
}

// Push sends a message of the first account's first follower to an app, as WeChat
// does: signed and encrypted, up to three times, and judges the answer. The error
// says why nothing could be sent, or is the context's; what an app does wrong is
// in the Result.
func (s *Simulator) Push(ctx context.Context, address string, m Message) (Result, error) {
	return s.Deliver(ctx, Push{URL: address, Message: m})
}

// Deliver is [Simulator.Push] with everything that can be chosen.
func (s *Simulator) Deliver(ctx context.Context, p Push) (Result, error) {
	out, err := s.settle(p)
	if err != nil {
		return Result{}, err
	}
	out.hear()
	if out.Attack == Replay {
		return out.replay(ctx)
	}
	return out.deliver(ctx, out.compose, out.pauses())
}

// replay delivers the same bytes twice and judges the second answer.
func (p *sending) replay(ctx context.Context) (Result, error) {
	same := p.compose()
	first, err := p.deliver(ctx, func() parcel { return same }, nil)
	if err != nil {
		return first, err
	}
	second, err := p.deliver(ctx, func() parcel { return same }, nil)
	second.Deliveries = append(first.Deliveries, second.Deliveries...)
	switch {
	case err != nil:
	case !first.OK():
		second.Verdict, second.Reason = first.Verdict, "already the genuine push went wrong: "+first.Reason
		second.Sees = first.Sees
	case second.Verdict == Failed:
		second.Reason = "the app does not take the same push twice, which WeChat may send when an answer got lost: " + second.Reason
	default:
		second.Reason += ". It was the second time: look whether your app handled the message once"
	}
	return second, err
}

// deliver sends what next composes until there is an answer, and once more after each
// pause.
func (p *sending) deliver(ctx context.Context, next func() parcel, pauses []time.Duration) (Result, error) {
	var result Result
	var content parcel
	for n := range len(pauses) + 1 {
		if n == 0 || !p.SameNonce {
			content = next()
		}
		d := p.send(ctx, content)
		result.Deliveries = append(result.Deliveries, d)
		err := ctx.Err()
		switch {
		case err != nil:
			result.Verdict, result.Reason = Failed, "the push was given up"
		case d.Err == nil && d.Status == http.StatusOK:
			p.judge(&result, d)
		case n == len(pauses):
			p.unanswered(&result)
		}
		if err == nil && result.Verdict != "" && p.Attack != "" && p.Attack != Replay {
			p.resisted(&result)
		}
		p.note(content, d, &result)
		if result.Verdict != "" {
			return result, err
		}
		if !sleep(ctx, max(pauses[n], p.sim.options.Patience-time.Since(d.At))) {
			result.Verdict, result.Reason = Failed, "the push was given up"
			return result, ctx.Err()
		}
	}
	return result, nil // the last one had a verdict
}

// send sends one delivery and waits for its answer.
func (p *sending) send(ctx context.Context, content parcel) Delivery {
	r, err := content.request(ctx)
	if err != nil {
		return Delivery{At: time.Now(), Err: err}
	}
	d := p.sim.exchange(r, p.Handler)
	d.Request = content.body
	return d
}

// note counts a delivery and writes it down, with the verdict if there is one.
func (p *sending) note(content parcel, d Delivery, result *Result) {
	if d.URL == "" {
		return // it could not even be written
	}
	s, a := p.sim, p.sim.accounts[p.account.AppID]
	a.mu.Lock()
	a.pushes++
	a.mu.Unlock()
	e := Event{
		Time: s.Clock.Now().Add(-d.Took), AppID: a.appid, Push: true, Caller: content.target.Host,
		Method: content.method, Path: content.target.Path, Query: content.query,
		Request: excerpt(d.Request), Status: d.Status, Response: excerpt(d.Body), Lost: d.Err != nil, Latency: d.Took,
		Mode: p.Mode, Attack: p.Attack, Verdict: result.Verdict, Reason: result.Reason, Sees: result.Sees,
	}
	if content.method == http.MethodPost {
		e.MsgID, e.Message = p.message.ID, excerpt(p.plain)
	}
	if result.Reply != nil {
		e.Reply = excerpt(result.Reply.Raw)
	}
	s.note(e)
}

// exchange sends a request to a handler of this process or over the network.
func (s *Simulator) exchange(r *http.Request, h http.Handler) Delivery {
	d := Delivery{URL: r.URL.String(), At: time.Now()}
	ctx, cancel := context.WithTimeoutCause(r.Context(), s.options.Patience, errSlow)
	defer cancel()
	r = r.WithContext(ctx)
	var res *http.Response
	if h != nil {
		res, d.Err = inMemory(h, r)
	} else {
		res, d.Err = s.network.RoundTrip(r) // follows no redirect
	}
	if d.Err == nil {
		var body []byte
		body, d.Err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		_ = res.Body.Close()
		d.Status, d.Header, d.Body = res.StatusCode, res.Header, string(body)
	}
	d.Took = time.Since(d.At)
	if d.Err != nil {
		d.Status, d.Err = 0, cause(ctx, d.Err)
	}
	return d
}

// cause says in words why there was no answer.
func cause(ctx context.Context, err error) error {
	var refused *net.OpError
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &dns):
		return fmt.Errorf("the name %s cannot be looked up (%w)", dns.Name, dns)
	case errors.As(err, &refused) && refused.Op == "dial":
		return fmt.Errorf("nothing listens at %s (%w)", refused.Addr, refused.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended before the answer did")
	default:
		return err
	}
}
