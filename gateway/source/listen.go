package source

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
)

const (
	firstPause  = time.Second      // before a stream that ended is begun again; doubles
	lastPause   = 30 * time.Second // the longest of these
	settled     = 10 * time.Second // a stream that lasted so long is begun again soon
	refusedWait = time.Minute      // where a gateway refuses one
	beginTime   = 5 * time.Second  // for a gateway to begin a stream
	silence     = 45 * time.Second // of a stream; three of the gateway's signs of life
	maxSpread   = 10 * time.Second // over which programs come back after a gateway ended, so that they do not come at once
	maxLine     = 16 << 10         // bytes of an event: what is longer is from no gateway
)

// listen receives notices of renewals until ctx ends. Nothing depends on it: without a
// stream the Keeper asks for the next token ahead of the end of the one that it has.
func (s *Source) listen(ctx context.Context) {
	log := s.cfg.Logger.With("appid", s.cfg.AppID)
	told := false
	for pause := firstPause; ctx.Err() == nil; {
		s.unsigned()
		if _, err := s.kept.keeper.Load().Token(ctx); err != nil { // a program without a token needs no notice of another
			if none, ok := errors.AsType[*custody.Error](err); ok {
				pause = max(pause, none.RetryAfter)
			}
			if s.pause(ctx, min(pause, refusedWait)) {
				pause = firstPause
			}
			continue
		}
		start := time.Now()
		began, err := s.stream(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case began:
			told = false
			if time.Since(start) > settled {
				pause = firstPause
			}
			log.Debug("the stream of events ended, and is begun again")
		case !told:
			told = true
			log.Warn("the gateway does not notify of renewals: new tokens are asked for ahead of the end of old ones",
				"log_code", "source_no_notifications", "error", err)
		}
		var r *refusal
		if errors.As(err, &r) && !r.passing() {
			pause = refusedWait
		}
		if s.pause(ctx, pause) {
			pause = firstPause
			continue
		}
		pause = min(2*pause, lastPause)
	}
}

// pause waits about d, or for a sign that a gateway takes the key, which it reports; not
// less than firstPause, half of it at the least.
func (s *Source) pause(ctx context.Context, d time.Duration) (signed bool) {
	sleep(ctx, jitter(firstPause))
	if d <= firstPause {
		return false
	}
	timer := time.NewTimer(jitter(d))
	defer timer.Stop()
	select {
	case <-s.signs:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// unsigned forgets a sign that came before.
func (s *Source) unsigned() {
	select {
	case <-s.signs:
	default:
	}
}

// stream listens to one stream until its end, and reports whether there was one.
func (s *Source) stream(ctx context.Context) (began bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(beginTime, cancel)
	defer silent.Stop()
	var resp *http.Response
	var errs []error
	s.gateways.inTurn(func(base *url.URL, _ int) bool {
		part, stop := context.WithCancel(ctx)
		late := time.AfterFunc(beginTime, stop)
		silent.Reset(2 * beginTime)
		answer, err := s.gateways.send(part, base, http.MethodGet, s.eventsPath(), nil)
		if !late.Stop() && err == nil {
			_ = answer.Body.Close()
			err = noAnswer(base, context.DeadlineExceeded)
		}
		if err != nil {
			stop()
			errs = append(errs, err)
			return false
		}
		answer.Body = &stopping{answer.Body, stop}
		resp = answer
		return true
	})
	if resp == nil {
		return false, together(errs)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 512), maxLine)
	event := ""
	for silent.Reset(silence); lines.Scan(); silent.Reset(silence) {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "event":
			event = value
		case field == "data" && event == "token":
			s.heard(ctx, value)
		case field == "":
			event = ""
		}
	}
	return true, lines.Err()
}

// stopping is a body that frees what was needed to read it.
type stopping struct {
	io.ReadCloser

	stop context.CancelFunc
}

func (s *stopping) Close() error {
	defer s.stop()
	return s.ReadCloser.Close()
}

func (s *Source) eventsPath() string { return apiPath + url.PathEscape(s.cfg.AppID) + "/events" }

// heard looks at an event, and has the token fetched if the gateway has another one,
// or one that ends earlier than is known here. A gateway token stays good whatever
// happens behind it.
func (s *Source) heard(ctx context.Context, data string) {
	var e struct {
		Fence   int64 `json:"fence"`
		Seconds int64 `json:"expires_in"`
		Spread  int64 `json:"spread_ms"`
	}
	if json.Unmarshal([]byte(data), &e) != nil || e.Fence == 0 {
		return
	}
	mine := s.kept.issuer.current(ctx)
	stored := mine.value() == "" // the token came from the store: nobody knows which one it is
	if mine.value() != "" && !mine.Real || !stored && e.Fence == mine.Fence && time.Duration(e.Seconds+1)*time.Second >= s.Status().Left {
		return
	}
	if most := min(time.Duration(e.Spread)*time.Millisecond, maxSpread); most > 1 {
		sleep(ctx, rand.N(most))
	}
	s.kept.keeper.Load().Renew()
}

// jitter is between half of d and d, so that many do not come at the same time.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// sleep waits for d, or for ctx's end.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
