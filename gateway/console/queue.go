package console

import (
	"context"
	"strings"

	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/internal/lang"
)

// maxQueues is how many subscribers are shown.
const maxQueues = 200

// queues is what is known of the subscribers.
type queues struct {
	list  []fanout.Status
	known bool // the store told what waits
}

// queues returns what waits for each subscriber. What this gateway knows comes also
// while the store does not answer.
func (d *data) queues() queues {
	now, _, _ := d.waiting.get(usesAge, asked(func(ctx context.Context) (queues, error) {
		list, err := d.gateway.Queues(ctx) // the journal's error says the same
		return queues{list, err == nil}, nil
	}))
	return now
}

// queueRow is a subscriber as the page shows it.
type queueRow struct {
	v     *view
	q     fanout.Status
	known bool // what waits
}

// The parts of a subscriber, for the templates.
func (q queueRow) Name() string                      { return q.q.Subscriber }
func (q queueRow) Title() string                     { return q.q.Title }
func (q queueRow) AppID() string                     { return q.q.AppID }
func (q queueRow) Account() string                   { return q.v.called(q.q.AppID) }
func (q queueRow) Link() string                      { return accountPath(q.q.AppID) }
func (q queueRow) T(text string, args ...any) string { return q.v.T(text, args...) }

// Waiting is how many pushes it has not taken, as far as that is known.
func (q queueRow) Waiting() string {
	if !q.known {
		return "–"
	}
	return lang.Number(q.q.Waiting)
}

// Failure is the last one, as far as it goes in the view's language.
func (q queueRow) Failure() string {
	what, more, found := strings.Cut(q.q.Failure, ": ")
	if translated := q.T(what); found && translated != what {
		return translated + q.T(": ") + q.T(more)
	}
	if code, found := strings.CutPrefix(q.q.Failure, "it answered "); found && q.v.Lang == lang.Chinese {
		return q.T("it answered ") + code
	}
	return sentence(q.T(q.q.Failure))
}

// Level says how it goes, State says it in words.
func (q queueRow) Level() string {
	switch {
	case q.q.Down:
		return "bad"
	case !q.q.Configured || q.q.Failure != "":
		return "warn"
	default:
		return "ok"
	}
}

// State is the level in words.
func (q queueRow) State() string {
	switch {
	case q.q.Down:
		return q.T("Not responding")
	case !q.q.Configured:
		return q.T("Not configured")
	case q.q.Failure != "":
		return q.T("Partly delivered")
	default:
		return q.T("Receiving")
	}
}

// Oldest says how long the first push has waited.
func (q queueRow) Oldest() string {
	if !q.known || q.q.Waiting == 0 {
		return ""
	}
	return q.T("for %s", q.v.span(q.q.Oldest))
}

// Delivered is what it took of this gateway since its start.
func (q queueRow) Delivered() string { return lang.Number(int(q.q.Delivered)) }

// Lost says what was dropped, and what came too late for the follower.
func (q queueRow) Lost() []string {
	var all []string
	if n := q.q.Late; n > 0 {
		all = append(all, q.T("%s answered too late", lang.Number(int(n))))
	}
	if n := q.q.Dropped; n > 0 {
		all = append(all, q.T("%s dropped", lang.Number(int(n))))
	}
	return all
}

// Queues are the subscribers, in the order of appids and names.
func (v *view) Queues() []queueRow { return v.queues }

func (v *view) readQueues() {
	v.queues, v.down = nil, 0
	now := v.page.data.queues()
	for _, q := range now.list {
		if q.Down {
			v.down++
		}
		if len(v.queues) < maxQueues {
			v.queues = append(v.queues, queueRow{v, q, now.known})
		}
	}
}
