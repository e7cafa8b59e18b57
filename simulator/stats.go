package simulator

import "maps"

// Stats counts what happened to an account since New.
type Stats struct {
	Classic  PoolStats
	Stable   PoolStats
	JSAPI    PoolStats   // tickets of that type; only Calls that got that far, and Issued
	Card     PoolStats   // likewise
	Pushes   int         // requests sent to the app
	APICalls int         // calls to other paths that arrived with a token of the account, dead or alive
	Errcodes map[int]int // answers by errcode, 0 left out; injected ones are among them
}

// PoolStats counts the use of one token endpoint.
type PoolStats struct {
	Calls   int // fetch calls that arrived, refused and lost ones among them
	Issued  int // new tokens issued to callers; a token answered again is not one
	Forced  int // of Issued, those issued by a forced refresh
	Outside int // new tokens issued to others: Supersede and SupersedeStable
}

// Stats returns the counts of an account. The appid "" stands for the calls that
// belong to none: an unknown appid, an unknown token, an unknown path.
func (s *Simulator) Stats(appid string) Stats {
	a := s.nobody
	if appid != "" {
		a = s.find(appid)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{
		Classic:  a.classic.stats,
		Stable:   a.stable.stats,
		JSAPI:    a.tickets[JSAPI].stats,
		Card:     a.tickets[Card].stats,
		Pushes:   a.pushes,
		APICalls: a.apiCalls,
		Errcodes: maps.Clone(a.errcodes),
	}
}
