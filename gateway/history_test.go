package gateway

import (
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// TestHistoryTurns: quarters that are over are forgotten, however long nothing
// happened, and neither a clock that is set back nor many moments break it.
func TestHistoryTurns(t *testing.T) {
	start := time.Date(2026, 3, 1, 8, 7, 0, 0, time.UTC)
	sum := func(h *history, now time.Time) (n int) {
		for _, b := range h.at(now) {
			n += b.Renewals
		}
		return n
	}
	var h history
	for i := range 200 { // 50 hours
		h.add(momentRenewal, start.Add(time.Duration(i)*bucketTime))
		if got, want := sum(&h, start.Add(time.Duration(i)*bucketTime)), min(i+1, buckets); got != want {
			t.Fatalf("after %d quarters: %d renewals, want %d", i+1, got, want)
		}
	}
	now := start.Add(199 * bucketTime)
	h.add(momentRenewal, now.Add(-time.Hour)) // the clock was set back
	if last := h.at(now)[buckets-1]; last.Renewals != 2 || !last.Start.Equal(now.Truncate(bucketTime)) {
		t.Errorf("a clock that was set back: %+v", last)
	}
	if got := sum(&h, now.Add(12*time.Hour)); got != buckets/2+1 {
		t.Errorf("half a day later: %d renewals, want %d", got, buckets/2+1)
	}
	if got := sum(&h, now.Add(365*24*time.Hour)); got != 0 {
		t.Errorf("a year later: %d renewals", got)
	}
	for range math.MaxUint16 + 5 {
		h.add(momentFailure, now.Add(400*24*time.Hour))
	}
	if last := h.at(now.Add(400 * 24 * time.Hour))[buckets-1]; last.Failures != math.MaxUint16 {
		t.Errorf("too many failures count as %d", last.Failures)
	}
	if size := unsafe.Sizeof(h); size > 600 {
		t.Errorf("a history takes %d bytes, more than its comment says", size)
	}
}

func TestErrcode(t *testing.T) {
	for body, want := range map[string]int{
		`{"errcode":40001,"errmsg":"invalid credential"}`:               40001,
		` {"errcode": -1 ,"errmsg":"system error"}`:                     -1,
		`{"errcode":0,"errmsg":"ok"}`:                                   0,
		`{"errcode":"40001"}`:                                           0, // no number
		`{"errcode":`:                                                   0,
		`{"errcode":99999999999999999999}`:                              OtherErrcode,
		`{"list":[{"errcode":40001}]}`:                                  0,
		`<html>`:                                                        0,
		`{"msgid":1,"errcode":45009,"errmsg":"limit"}`:                  45009,
		`{"msgid":1,"errcode":3000000000}`:                              OtherErrcode,
		`{"text":"\"errcode\":1"}`:                                      0,
		`{"msgid":1,"errcode":45009,`:                                   0, // not whole
		`{"text":"` + strings.Repeat("x", 5<<10) + `","errcode":45009}`: 0, // long
		``: 0,
	} {
		if got := wechatErrcode([]byte(body)); got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
	}
}
