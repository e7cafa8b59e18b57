package errcode_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

func ExampleLookup() {
	info, _ := errcode.Lookup(45011)
	fmt.Println(info.Class, info.Retry)
	fmt.Println(info.Cause, info.Remedy)
	fmt.Println(info.CauseZH, info.RemedyZH)
	// Output:
	// blocked 1m0s
	// This API was called too often within a minute. Try again in a minute, and call it less often.
	// 接口调用过于频繁，超过了每分钟的次数限制。 请一分钟后再试，并降低调用频率。
}

// The classes that custody depends on, code by code.
var custody = []struct {
	class   errcode.Class
	retry   time.Duration
	perHost bool
	codes   []int
}{
	{errcode.Transient, 0, false, []int{-1}},
	{errcode.Blocked, 10 * time.Minute, false, []int{40013, 40125, 40243, 50004, 50007, 61024}},
	{errcode.Blocked, 10 * time.Minute, true, []int{40164, 89501, 89502, 89503, 89504, 89505}},
	{errcode.Blocked, time.Hour, true, []int{89507}},
	{errcode.Blocked, 24 * time.Hour, true, []int{89506}},
	{errcode.Blocked, time.Minute, false, []int{45011}},
	{errcode.Quota, 0, false, []int{45009}},
	{errcode.Fatal, 0, false, []int{40002, 41002, 41004, 43002}},
}

func TestCustody(t *testing.T) {
	for _, row := range custody {
		for _, code := range row.codes {
			info, found := errcode.Lookup(code)
			if !found || info.Class != row.class || info.Retry != row.retry || info.PerHost != row.perHost {
				t.Errorf("Lookup(%d) = %+v, %v, want %s, %s, per host %v", code, info, found, row.class, row.retry, row.perHost)
			}
			if at := errcode.AtTokenEndpoint(code); at != info {
				t.Errorf("AtTokenEndpoint(%d) = %+v, want %+v", code, at, info)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	var refused []int
	for _, info := range errcode.All() {
		if info.Class == errcode.Refused {
			refused = append(refused, info.Code)
		}
		if at := errcode.AtTokenEndpoint(info.Code); at.Class == errcode.Refused {
			t.Errorf("AtTokenEndpoint(%d) is %s: no token was sent that could be refused", info.Code, at.Class)
		}
	}
	if want := []int{40001, 40014, 42001}; !slices.Equal(refused, want) {
		t.Errorf("refused = %v, want %v", refused, want)
	}
}

func TestWrongSecretAtTokenEndpoint(t *testing.T) {
	old, now := errcode.AtTokenEndpoint(40001), errcode.AtTokenEndpoint(40125)
	if old.Code != 40001 || old.Class != errcode.Blocked || old.Retry != 10*time.Minute || old.Remedy != now.Remedy {
		t.Errorf("AtTokenEndpoint(40001) = %+v, want the meaning of 40125", old)
	}
}

func TestUnknown(t *testing.T) {
	for _, code := range []int{0, 1, -2, 40000, 99999} {
		if info, found := errcode.Lookup(code); found || info.Code != code || info.Class != errcode.Transient || info.Remedy == "" {
			t.Errorf("Lookup(%d) = %+v, %v", code, info, found)
		}
		if info, _ := errcode.Lookup(code); errcode.AtTokenEndpoint(code) != info {
			t.Errorf("AtTokenEndpoint(%d) = %+v, want %+v", code, errcode.AtTokenEndpoint(code), info)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	classes := []errcode.Class{errcode.Transient, errcode.Blocked, errcode.Quota, errcode.Fatal, errcode.Refused, errcode.Call}
	last := -2
	for _, info := range errcode.All() {
		if info.Code <= last || info.Code == 0 {
			t.Errorf("%d stands after %d", info.Code, last)
		}
		last = info.Code
		if found, ok := errcode.Lookup(info.Code); !ok || found != info {
			t.Errorf("Lookup(%d) = %+v, %v", info.Code, found, ok)
		}
		if !slices.Contains(classes, info.Class) {
			t.Errorf("%d has class %q", info.Code, info.Class)
		}
		if (info.Class == errcode.Blocked) != (info.Retry > 0) {
			t.Errorf("%d is %s and says to retry after %s", info.Code, info.Class, info.Retry)
		}
		for _, text := range []string{info.Cause, info.Remedy} {
			if !strings.HasSuffix(text, ".") {
				t.Errorf("%d: %q is no sentence", info.Code, text)
			}
		}
		for _, text := range []string{info.CauseZH, info.RemedyZH} {
			if !strings.HasSuffix(text, "。") || !strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
				t.Errorf("%d: %q is no Chinese sentence", info.Code, text)
			}
		}
	}
}

func TestAllIsACopy(t *testing.T) {
	errcode.All()[0].Text = "changed"
	if info, _ := errcode.Lookup(-1); info.Text != "system error" {
		t.Errorf("Lookup(-1).Text = %q after a change to All's slice", info.Text)
	}
}

// TestCustodyInWords: both languages say when a fetch comes again, and where.
func TestCustodyInWords(t *testing.T) {
	for code, want := range map[int][2]string{
		-1:    {"at least every minute", "最长 1 分钟"},
		40001: {"renews it once for everybody", "统一刷新一次"},
		40013: {"in 10 minutes", "10 分钟后"},
		42001: {"the call is repeated with it once", "用它重发一次"},
		40164: {"after 3 s, over a new connection; if that is refused too, then fetches again in 10 minutes; another machine may at once", "3 秒后换新连接再试一次，仍被拒绝则 10 分钟后再获取；其他机器不受影响"},
		45009: {"after midnight in Beijing", "北京时间零点之后"},
		45011: {"in 1 minute", "1 分钟后"},
		41002: {"before the program is restarted", "重启之前"},
		47001: {"the token is fine", "token 本身没有问题"},
		89506: {"in 24 hours", "24 小时后"},
		89507: {"in 1 hour;", "1 小时后"},
	} {
		info, _ := errcode.Lookup(code)
		if !strings.Contains(info.Custody(), want[0]) || !strings.Contains(info.CustodyZH(), want[1]) {
			t.Errorf("%d: %q, %q, want %q", code, info.Custody(), info.CustodyZH(), want)
		}
	}
}
