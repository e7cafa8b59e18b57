package simulator

import (
	"math/rand/v2"
	"sync"
)

// account is an Account at work. mu guards everything in it, its tokens
// included, and is never held over a delay.
type account struct {
	world *world
	appid string
	corp  *corp  // nil unless it is a WeCom app
	agent string // of a WeCom app

	mu        sync.Mutex
	conf      Account
	whitelist whitelist
	classic   pool
	stable    stablePool
	quotas    map[string]*quota // by path
	clears    counter           // clear_quota this month
	resets    counter           // openapi/quota/clear this month
	tickets   map[TicketType]*ticket
	menu      string // JSON; "" when there is none

	conversations map[string]conversation // with followers, by openid

	media    []media
	logins   logins
	msgID    int64 // of the message that was pushed last
	random   *rand.Rand
	apiCalls int
	pushes   int
	errcodes map[int]int
}

func newAccount(w *world, conf Account, list whitelist) *account {
	a := &account{
		world: w, appid: conf.AppID, conf: conf.clone(), whitelist: list,
		quotas: map[string]*quota{}, errcodes: map[int]int{}, conversations: map[string]conversation{},
		random: rand.New(source(w.options.Seed, conf.AppID, "all else")),
	}
	a.tickets = newTickets(a)
	a.logins = newLogins(a)
	a.msgID = 23_000_000_000_000_000 + a.random.Int64N(900_000_000_000_000) // 17 digits, as WeChat's today
	a.classic = newPool(a, Classic)
	a.stable = stablePool{pool: newPool(a, Stable)}
	return a
}

// pool returns the pool of that name.
func (a *account) pool(p Pool) *pool {
	if p == Stable {
		return &a.stable.pool
	}
	return &a.classic
}

// nextMsgID returns the id of another message. The account's mutex is held.
func (a *account) nextMsgID() int64 {
	a.msgID += 1 + a.random.Int64N(1_000_000)
	return a.msgID
}
