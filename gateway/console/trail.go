package console

import (
	"fmt"
	"hash/fnv"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
)

// maxLines is how many lines of the journal a page shows.
const maxLines = 60

// reasonRefused is what the journal of a token says of a renewal after a refusal.
const reasonRefused = "the token was refused"

// line is a line of the journal as the page shows it.
type line struct {
	At      time.Time
	Level   string // "ok", "warn", "bad" or ""
	What    string
	Subject string // an account, a client
	Link    string // to the account
	Detail  string
	Who     string
	name    string
}

// ID is the line's on the page. A line that comes again has the same one.
func (l line) ID() string { return "line-" + l.name }

// Key orders the lines.
func (l line) Key() string { return fmt.Sprintf("%016x", l.At.UnixMicro()) }

// ISO is when it was, and Clock that on this machine's clock: the script tells it on
// the browser's.
func (l line) ISO() string { return l.At.UTC().Format(time.RFC3339) }

// Clock is the time, with the day where it is not today's.
func (l line) Clock() string { return clock(l.At) }

func clock(t time.Time) string {
	local, now := t.Local(), time.Now()
	if local.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return local.Format(time.TimeOnly)
	}
	return local.Format("01-02 15:04")
}

// named gives a line the name of what it tells.
func (l line) named(parts ...string) line {
	h := fnv.New64a()
	for _, part := range parts {
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0})
	}
	l.name = strconv.FormatUint(h.Sum64(), 36)
	return l
}

// acts are those of the gateway's journal, as the page says them.
var acts = map[string]struct{ text, level string }{
	"add client":    {"Client added", "ok"},
	"revoke client": {"Client revoked", "warn"},
	"rotate client": {"Client's key rotated", "warn"},

	"set sites of client": {"Client's addresses changed", "warn"},
	"set title of client": {"Client renamed", ""},

	"replace accounts": {"Accounts of the admin API replaced", "warn"},
	"reload":           {"Configuration reloaded", ""},
	"refresh token":    {"Token checked manually", ""},
	"hand out token":   {"Real token handed out", ""},
	"use AppSecret":    {"AppSecret used for a client", ""},
	"log in":           {"Logged in to the page", ""},
}

// numbering is how package journal ends a line: its number, and of which gateway it is.
var numbering = regexp.MustCompile(`(?:^| )#\d+ of [0-9a-f]+$`)

// used is a line of the gateways' journal.
func (v *view) used(u store.Use) line {
	l := line{At: u.At, What: u.Act, Subject: u.Subject, Who: v.who(u.Actor)}
	detail := u.Detail
	if numbered := numbering.FindStringIndex(detail); numbered != nil { // it proves that no line is missing, and is nothing to read first
		l.Who += " · " + strings.TrimSpace(detail[numbered[0]:])
		detail = detail[:numbered[0]]
	}
	parts := strings.Split(detail, ", ")
	for i, part := range parts {
		first, rest, found := strings.Cut(part, " ")
		if found && slices.Contains([]string{"accounts", "grace", "returns", "origins"}, first) {
			if grace, err := time.ParseDuration(rest); err == nil {
				rest = v.span(grace)
			}
			parts[i] = v.T(first) + " " + rest
		}
	}
	l.Detail = strings.Join(parts, ", ")
	if act, known := acts[u.Act]; known {
		l.What, l.Level = v.T(act.text), act.level
	}
	if a, found := v.find(u.Subject); found {
		l.Subject, l.Link = called(a), accountPath(u.Subject)
	} else if strings.HasSuffix(u.Act, " client") {
		l.Subject = both(v.titles[u.Subject], u.Subject)
	}
	return l.named("use", strconv.FormatInt(u.At.UnixMicro(), 36), u.Actor, u.Act, u.Subject, u.Detail)
}

// who is an actor in the view's language.
func (v *view) who(actor string) string {
	kind, name, found := strings.Cut(actor, " ")
	if !found {
		return actor
	}
	if !slices.Contains([]string{"client", "admin", "page"}, kind) {
		return actor
	}
	return v.T(kind) + " " + name
}

// refusedCode finds WeChat's errcode in what the journal of a token says.
var refusedCode = regexp.MustCompile(`\berrcode (-?\d+)\b`)

// fetched is what became of an account's fetches: a line for each attempt, and one for
// the beginning of what has no end.
func (v *view) fetched(appID string, entries []custody.Entry) []line {
	var all []line
	ended := map[string]bool{}  // attempts
	for _, e := range entries { // newest first, so that the end comes before the beginning
		l := line{At: e.At, Who: v.holder(e.Attempt)}
		if v.AppID == "" { // else everything is about it
			l.Subject, l.Link = v.called(appID), accountPath(appID)
		}
		switch {
		case e.Event == custody.EventSave:
			l.What, l.Level, l.Detail = v.T("Token renewed"), "ok", v.reason(e.Detail)
		case e.Event == custody.EventRelease && e.Detail != "":
			l.What, l.Level, l.Detail = v.T("Token not fetched"), "bad", v.failed(appID, e.Detail)
		case e.Event == custody.EventRelease:
			ended[e.Attempt] = true
			continue // the lease was not needed
		case ended[e.Attempt]:
			continue
		default:
			l.What, l.Level, l.Detail = v.T("Fetching a token"), "", v.reason(e.Detail)
		}
		ended[e.Attempt] = true
		all = append(all, l.named("fetch", appID, e.Attempt, string(e.Event), strconv.FormatInt(e.At.UnixMicro(), 36)))
	}
	return all
}

// holder is the gateway of an attempt, whose id is "host/pid/…".
func (v *view) holder(attempt string) string {
	parts := strings.SplitN(attempt, "/", 3)
	switch {
	case len(parts) < 3:
		return ""
	case parts[0] == v.page.host && parts[1] == strconv.Itoa(os.Getpid()):
		return v.T("this gateway")
	default:
		return parts[0] + "/" + parts[1]
	}
}

// reason says why a token was renewed, in the view's language.
func (v *view) reason(detail string) string {
	reason, forced := strings.CutSuffix(detail, "; forced")
	reason = v.T(reason)
	if forced {
		reason += v.T("; forced")
	}
	return reason
}

// maxDetail is how much of a failure's own words a line shows among others, in bytes.
const maxDetail = 160

// failed says what went wrong with an account, in the view's language if it is WeChat's. What to do
// stands in the account's row, and on its own page.
func (v *view) failed(appID, detail string) string {
	found := refusedCode.FindStringSubmatch(detail)
	if found == nil {
		if v.AppID == "" && len(detail) > maxDetail {
			detail = strings.ToValidUTF8(detail[:maxDetail], "") + "…"
		}
		return sentence(detail)
	}
	code, err := strconv.Atoi(found[1])
	if err != nil {
		return detail
	}
	ip := ""
	if address := addressed.FindStringSubmatch(detail); address != nil {
		ip = address[1]
	}
	cause, remedy := v.meaning(appID, code, ip)
	if now := v.rows; v.AppID != "" && now[0].Code() != code { // else it is above already
		cause += v.space() + remedy
	}
	return cause
}

// newest sorts lines and leaves out those that are too many, or there twice.
func newest(lines []line) []line {
	slices.SortStableFunc(lines, func(a, b line) int { return b.At.Compare(a.At) })
	seen := map[string]int{}
	for i := range slices.Backward(lines) { // the oldest keeps its name
		name := lines[i].name
		if seen[name]++; seen[name] > 1 {
			lines[i].name += "-" + strconv.Itoa(seen[name])
		}
	}
	return lines[:min(len(lines), maxLines)]
}
