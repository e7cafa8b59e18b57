package fanout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
)

// Some events want an answer of their own, and WeChat asks for it for hours: a payment
// wants {"ErrCode":0}. "success" instead of an answer that is late would be the last
// word. So such an event is answered 503 until the first subscriber has answered it, from
// the queue if need be, and then with that answer. Which events want one WeChat's pages do
// not say in one place; those are meant that it repeats for more than 15 s, as far as is
// known. That it asks again after a 503 is an assumption.

// pending is recorded instead of an answer that is to come. A sealed answer holds a space.
var pending = []byte("pending")

// errPending is for WeChat to ask again: the push is kept, and its answer is not there yet.
var errPending = errors.New("its subscriber has not answered yet")

// insists reports whether WeChat asks for the answer of its own for longer than a follower
// waits.
func insists(m *callback.Message) bool { return m.Repeats() > 15*time.Second }

// pend records that the answer of the push is to come.
func (p *push) pend(owner string) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime/2)
	defer cancel()
	if _, _, err := p.f.store.Finish(ctx, p.key, owner, pending, p.message.Remember()); err != nil {
		return fmt.Errorf("that its answer is to come cannot be recorded: %w", err)
	}
	return nil
}

// record keeps what the first subscriber answered to a push that came from the queue.
func (f *Fanout) record(appID, id string, m *callback.Message, reply []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	var sealed []byte
	var err error
	if len(reply) > 0 {
		if sealed, err = f.seal(sealName("answer", appID, id), string(reply)); err != nil {
			return err
		}
	}
	key, owner := digest("answer", appID, id), callback.NewOwner(m.FromUserName)
	attempt, _, _, err := f.store.Claim(ctx, appID, key, owner, claimTime, m.Remember())
	if err == nil && attempt == 0 { // there is one already, or somebody is about to record one
		attempt, _, err = f.store.Wait(ctx, key, owner, claimTime)
		if callback.IsAnswerGone(err) {
			return nil
		}
	}
	if err != nil || attempt == 0 {
		return err
	}
	if _, _, err = f.store.Finish(ctx, key, owner, sealed, m.Remember()); err != nil {
		short, done := context.WithTimeout(context.Background(), storeTime)
		defer done()
		_, _, _ = f.store.Hold(short, key, owner, 0) // for the next attempt
	}
	return err
}

// recorded waits for what record keeps, until this delivery of WeChat's has to be answered.
func (p *push) recorded(ctx context.Context) (reply []byte, err error) {
	ctx, cancel := context.WithDeadline(ctx, p.began.Add(askTime))
	defer cancel()
	key, owner := digest("answer", p.rc.appID, p.key), callback.NewOwner(p.message.FromUserName)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		attempt, sealed, err := p.f.store.Wait(ctx, key, owner, claimTime)
		switch {
		case callback.IsAnswerGone(err):
			p.answerGone()
			return nil, nil
		case err == nil && attempt == 0:
			return p.known(sealed), nil
		case err == nil: // who was about to record it is gone
			_, _, _ = p.f.store.Hold(ctx, key, owner, 0)
		}
		if !wait(ctx, jitter(pause)) {
			return nil, errPending
		}
	}
}

// answering reports whether a subscriber is the one whose answer to a push WeChat still
// asks for.
func (f *Fanout) answering(sub *subscriber, appID string, m *callback.Message) bool {
	rc := (*f.receivers.Load())[appID]
	if rc == nil || !insists(m) {
		return false
	}
	for _, s := range rc.subscribers {
		if s.wants(m) {
			return s.line == sub.line
		}
	}
	return false
}
