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
		if info, found := errcode.Lookup(code); found || info.Code != code || info.Source != "" || info.Class != errcode.Transient || info.Remedy == "" {
			t.Errorf("Lookup(%d) = %+v, %v", code, info, found)
		}
		if info, _ := errcode.Lookup(code); errcode.AtTokenEndpoint(code) != info {
			t.Errorf("AtTokenEndpoint(%d) = %+v, want %+v", code, errcode.AtTokenEndpoint(code), info)
		}
	}
}

// TestTableIsWhole: each entry is complete in both languages, once for each host, and
// says where it is known from.
func TestTableIsWhole(t *testing.T) {
	classes := []errcode.Class{errcode.Transient, errcode.Blocked, errcode.Quota, errcode.Fatal, errcode.Refused, errcode.Call}
	total := 0
	for _, host := range errcode.Hosts() {
		last := -2
		for _, info := range errcode.AllOn(host) {
			total++
			if info.Code <= last || info.Code == 0 {
				t.Errorf("%s: %d stands after %d", host, info.Code, last)
			}
			last = info.Code
			if found, ok := errcode.LookupOn(host, info.Code); !ok || found != info || info.Host != host {
				t.Errorf("LookupOn(%s, %d) = %+v, %v", host, info.Code, found, ok)
			}
			if !slices.Contains(classes, info.Class) {
				t.Errorf("%s: %d has class %q", host, info.Code, info.Class)
			}
			if (info.Class == errcode.Blocked) != (info.Retry > 0) {
				t.Errorf("%s: %d is %s and says to retry after %s", host, info.Code, info.Class, info.Retry)
			}
			if info.Source.Words() == "" || info.Source.WordsZH() == "" {
				t.Errorf("%s: %d has source %q", host, info.Code, info.Source)
			}
			if (info.Custody() != "") != (host == errcode.API) || (info.CustodyZH() != "") != (host == errcode.API) {
				t.Errorf("%s: %d: custody %q, %q", host, info.Code, info.Custody(), info.CustodyZH())
			}
			checkSentences(t, info)
		}
	}
	if total < 600 || len(errcode.AllOn(errcode.API)) < 400 || len(errcode.AllOn(errcode.WeCom)) < 150 {
		t.Errorf("%d codes, %d of them of WeCom: the documentation promises over 600", total, len(errcode.AllOn(errcode.WeCom)))
	}
}

func checkSentences(t *testing.T, info errcode.Info) {
	t.Helper()
	han := func(r rune) bool { return unicode.Is(unicode.Han, r) }
	for _, text := range []string{info.Cause, info.Remedy} {
		if !strings.HasSuffix(text, ".") || !unicode.IsUpper([]rune(text)[0]) && !strings.HasPrefix(text, "grant_type") &&
			!strings.HasPrefix(text, "action ") && !strings.HasPrefix(text, "check_operator ") {
			t.Errorf("%s: %d: %q is no sentence", info.Host, info.Code, text)
		}
	}
	for _, text := range []string{info.CauseZH, info.RemedyZH} {
		if !strings.HasSuffix(text, "。") || !strings.ContainsFunc(text, han) {
			t.Errorf("%s: %d: %q is no Chinese sentence", info.Host, info.Code, text)
		}
	}
	if all := info.Text + info.Cause + info.CauseZH + info.Remedy + info.RemedyZH; strings.Contains(all, "{console}") ||
		strings.Contains(all, "{whitelist}") || strings.HasPrefix(info.Remedy, "@") || strings.Contains(all, "  ") {
		t.Errorf("%s: %d: %q is not finished", info.Host, info.Code, all)
	}
}

// TestOneNumberTwoMeanings: a number says different things on different hosts.
func TestOneNumberTwoMeanings(t *testing.T) {
	for code, want := range map[int][2]string{
		40001: {"superseded", "secret is wrong"},
		40013: {"AppID", "corpid"},
		40078: {"card", "auth_code"},
		40082: {"banner", "suite_access_token"},
		40085: {"button", "suite_ticket"},
		40091: {"component_verify_ticket", "another corp's"},
		40093: {"shops", "jsapi_ticket"},
		41002: {"appid", "corpid"},
		42007: {"password", "pre_auth_code"},
		42009: {"temporary token", "suite_access_token"},
		48003: {"mass messages", "suite_id"},
		48004: {"rules", "withdrawn"},
		50001: {"authorized", "redirect_uri"},
	} {
		api, known := errcode.LookupOn(errcode.API, code)
		corp, knownToo := errcode.LookupOn(errcode.WeCom, code)
		if !known || !knownToo || !strings.Contains(api.Cause, want[0]) || !strings.Contains(corp.Cause, want[1]) {
			t.Errorf("%d: %q, %q, want %q", code, api.Cause, corp.Cause, want)
		}
		if plain, _ := errcode.Lookup(code); plain != api {
			t.Errorf("Lookup(%d) = %+v, want that of %s", code, plain, errcode.API)
		}
	}
	if info, known := errcode.Lookup(60020); known || info.Host != "" {
		t.Errorf("Lookup(60020) = %+v, which is WeCom's alone", info)
	}
	if info, known := errcode.LookupOn("example.com", 40001); known {
		t.Errorf("an unknown host: %+v", info)
	}
}

// TestWeComTokens: the classes by which a custodian of WeCom's tokens would go.
func TestWeComTokens(t *testing.T) {
	classes := make(map[errcode.Class][]int)
	for _, info := range errcode.AllOn(errcode.WeCom) {
		if info.Class != errcode.Call {
			classes[info.Class] = append(classes[info.Class], info.Code)
		}
	}
	for class, want := range map[errcode.Class][]int{
		errcode.Transient: {-1}, errcode.Blocked: {40001, 40013, 40091, 45009}, errcode.Fatal: {41002, 41004},
		errcode.Refused: {40014, 40082, 42001, 42009},
	} {
		if !slices.Equal(classes[class], want) {
			t.Errorf("%s: %v, want %v", class, classes[class], want)
		}
	}
	if info, _ := errcode.LookupOn(errcode.WeCom, 60020); info.Class != errcode.Call || !info.PerHost {
		t.Errorf("60020 is %+v: it says nothing about the token", info)
	}
}

// TestWhatSendMeets: the codes that sending a customer-service message meets.
func TestWhatSendMeets(t *testing.T) {
	for code, want := range map[int][2]string{45015: {"48 hours", "48 小时"}, 45047: {"5 after a message", "5 条"}, 48002: {"switched off", "拒收"}} {
		info, known := errcode.Lookup(code)
		if !known || info.Class != errcode.Call || !strings.Contains(info.Cause, want[0]) || !strings.Contains(info.CauseZH, want[1]) {
			t.Errorf("Lookup(%d) = %+v, %v", code, info, known)
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
		47001: {"not the account's access_token", "与账号的 access_token 无关"},
		89506: {"in 24 hours", "24 小时后"},
		89507: {"in 1 hour;", "1 小时后"},
	} {
		info, _ := errcode.Lookup(code)
		if !strings.Contains(info.Custody(), want[0]) || !strings.Contains(info.CustodyZH(), want[1]) {
			t.Errorf("%d: %q, %q, want %q", code, info.Custody(), info.CustodyZH(), want)
		}
	}
}
