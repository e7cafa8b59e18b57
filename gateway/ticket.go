package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/zhongkong-go/zhongkong/platform"
)

// serveTicket answers getticket from a Keeper, in WeChat's shape: programs may ask as
// often as they like, and WeChat is asked some twelve times a day.
func (f fetches) serveTicket(w *observed, r *http.Request, a *account) *refusal {
	if r.Method != http.MethodGet {
		return refuse(codeRequireGET, "the method is not GET")
	}
	t, err := platform.ParseTicketType(r.URL.Query().Get("type"))
	if err != nil {
		return refuse(codeParameter, "there is no such type of ticket: it is jsapi or wx_card")
	}
	return f.giveOut(w, r, a, t)
}

// giveOut answers with a ticket of a Keeper's.
func (f fetches) giveOut(w *observed, r *http.Request, a *account, t platform.TicketType) *refusal {
	ctx, cancel := context.WithTimeout(r.Context(), waitForToken)
	defer cancel()
	ticket, err := f.current(a.AppID).ticket(ctx, t)
	if err != nil {
		return noToken(err)
	}
	writeJSONLine(w, struct {
		Errcode   int    `json:"errcode"`
		Errmsg    string `json:"errmsg"`
		Ticket    string `json:"ticket"`
		ExpiresIn int    `json:"expires_in"`
	}{0, "ok", ticket.Value(), int(ticket.Left() / time.Second)})
	return nil
}
