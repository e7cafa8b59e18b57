package simulator

import (
	"fmt"
	"regexp"
	"time"
)

// rid returns a request id: the Unix time and two groups that make it unique, in
// hex.
func (s *Simulator) rid() string {
	n := mix(s.options.Seed + s.ridCount.Add(1)*0x9e3779b97f4a7c15)
	return fmt.Sprintf("%08x-%08x-%08x", uint32(s.wall().Unix()), uint32(n>>32), uint32(n))
}

// ridRecord is what openapi/rid/get tells about a call.
type ridRecord struct {
	rid     string
	invoked int64 // as the rid states it
	event   Event
}

const (
	maxRIDs = 1024               // whatever a test calls, memory stays bounded
	ridLife = 7 * 24 * time.Hour // WeChat: a rid is good for 7 days
)

func (s *Simulator) keepRID(c *call, e Event) {
	if c.rid == "" {
		return
	}
	var invoked int64
	_, _ = fmt.Sscanf(c.rid, "%08x", &invoked)
	s.rids.add(ridRecord{rid: c.rid, invoked: invoked, event: e})
}

var ridPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$`)

// serveRIDGet carries out POST /cgi-bin/openapi/rid/get.
func serveRIDGet(c *call) answer {
	var in struct {
		RID string `json:"rid"`
	}
	switch {
	case !c.decode(&in):
		return c.refuse(dataFormat)
	case !ridPattern.MatchString(in.RID):
		return c.refuse(ridMalformed)
	}
	record, found := c.sim.rids.find(func(r *ridRecord) bool { return r.rid == in.RID })
	e := record.event
	switch {
	case !found:
		return c.refuse(ridUnknown)
	case e.AppID != c.account.appid:
		return c.refuse(ridForeign)
	case c.now.Sub(e.Time) > ridLife:
		return c.refuse(ridTooOld)
	}
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","request":{"invoke_time":%d,"cost_in_ms":%d,"request_url":%s,"request_body":%s,"response_body":%s,"client_ip":%s}}`,
		record.invoked, e.Latency.Milliseconds(), quote(e.Query), quote(e.Request), quote(e.Response), quote(e.Caller)))
}
