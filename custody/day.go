package custody

import "time"

// beijing is the zone in which WeChat's days begin and end.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// BeijingDay numbers the days of UTC+8 from 1970-01-01 on. WeChat counts its daily
// quotas by them, and so do the stores.
func BeijingDay(t time.Time) int {
	_, offset := t.In(beijing).Zone()
	return int((t.Unix() + int64(offset)) / (24 * 60 * 60))
}

// nextBeijingMidnight is when WeChat's daily quotas begin anew.
func nextBeijingMidnight(t time.Time) time.Time {
	y, m, d := t.In(beijing).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, beijing)
}
