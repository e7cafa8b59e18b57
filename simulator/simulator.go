package simulator

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Simulator plays WeChat: as an [http.Handler] api.weixin.qq.com, and with Push the
// sender of messages. It keeps no goroutine and needs no closing. All methods are safe for concurrent use.
//
// Methods that name an account panic when it does not exist: in a test that is
// a mistake to report. [Simulator.Update] returns an error instead.
type Simulator struct {
	// Clock is the time by which tokens and quotas age.
	Clock *Clock

	world
	accounts  map[string]*account // never written after New
	order     []*account
	nobody    *account // calls that belong to no account are counted here
	faults    faults
	history   history
	rids      ring[ridRecord]
	ridCount  atomic.Uint64
	routes    map[string]endpoint // never written after New
	corps     map[string]*corp    // by corpid, likewise
	corpPaths map[string]endpoint // likewise
	onlyCorps bool                // there are WeCom apps alone
	scenes    scenes
	network   http.RoundTripper
	since     time.Time // when everybody began to follow
}

var _ http.Handler = (*Simulator)(nil)

// find returns the account or panics, for the methods that name one.
func (s *Simulator) find(appid string) *account {
	a := s.accounts[appid]
	if a == nil {
		panic("simulator: there is no account " + appid)
	}
	return a
}

func (s *Simulator) lookUp(value string) *token {
	if t, ok := s.tokens.Load(value); ok {
		return t.(*token)
	}
	return nil
}
