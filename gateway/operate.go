package gateway

import (
	"context"
	"fmt"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/store"
)

// ErrNoAccount is returned for an appid that the gateway does not have.
var ErrNoAccount = named.Errorf("gateway", "there is no such account")

// Accounts returns the state of every account, in the order of the appids.
func (g *Gateway) Accounts() []AccountState { return g.desk.accounts.states() }

// Clients returns the clients of the gateway's store in the name of actor. What it
// changes this gateway knows after [Gateway.Look], the others within five seconds.
func (g *Gateway) Clients(actor string) *Clients {
	return clients.NewBook(g.desk.journal.Ledger(), actor)
}

// Uses returns the newest lines of the journal, newest first: who did what.
func (g *Gateway) Uses(ctx context.Context, limit int) ([]store.Use, error) {
	uses, err := g.ledger.Uses(ctx, limit)
	if err != nil {
		return nil, named.Errorf("gateway", "cannot read the journal: %w", err)
	}
	return uses, nil
}

// Fetches returns the newest lines about an account's token, newest first, at most
// limit: when which gateway fetched it, and what came of that. It returns
// ErrNoAccount.
func (g *Gateway) Fetches(ctx context.Context, appID string, limit int) ([]custody.Entry, error) {
	a := g.desk.accounts.find(appID)
	if a == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoAccount, appID)
	}
	entries, err := g.cfg.Store.Journal(ctx, a.keeper.Status().Key, limit)
	if err != nil {
		return nil, named.Errorf("gateway", "cannot read the journal of %s: %w", appID, err)
	}
	return entries, nil
}

// Refreshed is what came of [Gateway.Refresh].
type Refreshed string

// What Refresh can come to.
const (
	RefreshFetched Refreshed = "fetched" // there was no token, and now there is one
	RefreshKept    Refreshed = "kept"    // WeChat accepts the token, so it was kept
	RefreshRenewed Refreshed = "renewed" // WeChat refused the token, and there is a new one
)

// Refresh makes sure that an account has a token that WeChat accepts, in the name of
// actor and in the journal before it is done. A token that WeChat accepts is kept: a
// new one would only invalidate it for the programs that use it. The error of an account without
// a token is the Keeper's, which says what is wrong and when the next attempt is due.
func (g *Gateway) Refresh(ctx context.Context, actor, appID string) (Refreshed, error) {
	a := g.desk.accounts.find(appID)
	if a == nil {
		return "", fmt.Errorf("%w: %s", ErrNoAccount, appID)
	}
	if err := g.desk.mustNote(ctx, actor, "refresh token", appID, ""); err != nil {
		return "", named.Errorf("gateway", "%w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, waitForToken)
	defer cancel()
	lived := a.keeper.Status().Live
	tokens := g.desk.current(appID)
	token, err := tokens.Token(ctx)
	switch {
	case err != nil:
		return "", err
	case !lived:
		return RefreshFetched, nil
	}
	switch a.kind.Probe(ctx, token.Value()) {
	case custody.Accepted:
		return RefreshKept, nil
	case custody.Rejected:
		next, err := tokens.Reject(ctx, token.Value())
		switch {
		case err != nil:
			return "", err
		case next.Value() == token.Value():
			return RefreshKept, nil // when the Keeper asked, WeChat accepted it
		}
		return RefreshRenewed, nil
	default:
		return "", named.Errorf("gateway", "WeChat does not say whether it accepts the token of %s: it is busy, or cannot be reached. Nothing was changed; try again in a minute", appID)
	}
}

// Note writes a line into the journal. Write it before the act, and leave the act
// alone when it fails.
func (g *Gateway) Note(ctx context.Context, use store.Use) error {
	if err := g.desk.mustNote(ctx, use.Actor, use.Act, use.Subject, use.Detail); err != nil {
		return named.Errorf("gateway", "%w", err)
	}
	return nil
}

// WrongKey counts an attempt with a wrong admin key, and reports whether this address
// has made so few of them that it is looked at. It logs those.
func (g *Gateway) WrongKey(remote string) bool {
	if !g.desk.attempt(remote) {
		return false
	}
	g.cfg.Logger.Warn("refused an admin call", "log_code", "gateway_admin_call_refused", "remote", remote)
	if g.desk.ctx.Err() != nil {
		return true
	}
	g.desk.background.Go(func() { // the stranger is not kept, nor is a store that is away a reason to
		_ = g.desk.note(g.desk.ctx, "stranger "+gate.Address(remote).String(), "wrong admin key", "", "")
	})
	return true
}
