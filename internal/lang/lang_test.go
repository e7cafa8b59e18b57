package lang_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/lang"
)

// TestLocales: ZHONGKONG_LANG, else LC_ALL, LC_MESSAGES, LANG, and the first that is set decides.
func TestLocales(t *testing.T) {
	for _, row := range []struct {
		env   string
		want  lang.Lang
		named bool
	}{
		{"", lang.English, false},
		{"LANG=zh_CN.UTF-8", lang.Chinese, true},
		{"LANG=zh_TW.Big5", lang.Chinese, true},
		{"LANG=zh_HK@stroke", lang.Chinese, true},
		{"LANG=zh-Hans-CN", lang.Chinese, true},
		{"LANG=ZH", lang.Chinese, true},
		{"LANG=cmn_CN.UTF-8", lang.Chinese, true},
		{"LANG=Chinese_China.936", lang.Chinese, true},
		{"LANG=en_US.UTF-8", lang.English, true},
		{"LANG=de_DE@euro", lang.English, true},
		{"LANG=zha_CN", lang.English, true},
		{"LANG=C.UTF-8", lang.English, false},
		{"LANG=POSIX", lang.English, false},
		{"LC_ALL=C LANG=zh_CN.UTF-8", lang.English, false},
		{"LC_ALL= LC_MESSAGES= LANG=zh_CN.UTF-8", lang.Chinese, true},
		{"LC_MESSAGES=zh_CN LANG=en_US", lang.Chinese, true},
		{"LC_ALL=en_GB LC_MESSAGES=zh_CN LANG=zh_CN", lang.English, true},
		{"LC_CTYPE=zh_CN.UTF-8", lang.English, false},
		{"ZHONGKONG_LANG=zh LC_ALL=en_US.UTF-8", lang.Chinese, true},
		{"ZHONGKONG_LANG=en LC_ALL=zh_CN.UTF-8", lang.English, true},
		{"ZHONGKONG_LANG=zh-CN", lang.Chinese, true},
		{"ZHONGKONG_LANG= LANG=zh_CN", lang.Chinese, true},
	} {
		env := map[string]string{}
		for pair := range strings.FieldsSeq(row.env) {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
		look := func(name string) (string, bool) { value, found := env[name]; return value, found }
		if got, named := lang.FromEnv(look); got != row.want || named != row.named {
			t.Errorf("%q: %s %v, want %s %v", row.env, got, named, row.want, row.named)
		}
		if got, _ := lang.System(look); row.env != "" && got != lang.English && !row.named {
			t.Errorf("%q: the desktop's language is stronger than the environment's: %s", row.env, got)
		}
	}
}

func TestAccepted(t *testing.T) {
	for header, want := range map[string]lang.Lang{
		"":                                 lang.English,
		"zh-CN,zh;q=0.9,en;q=0.8":          lang.Chinese,
		"en-GB,en;q=0.9,zh;q=0.8":          lang.English,
		"fr, zh-Hant;q=0.5, en;q=0.4":      lang.Chinese,
		"fr;q=1, de;q=0.2":                 lang.English,
		"en;q=0.1, ZH-TW;q=0.2":            lang.Chinese,
		"zh;q=0, en;q=0":                   lang.English,
		"zh;q=x, ;;;,":                     lang.English,
		strings.Repeat("x,", 1000) + "zh ": lang.Chinese,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Accept-Language", header)
		if got := lang.Accepted(r); got != want {
			t.Errorf("%.40q: %s, want %s", header, got, want)
		}
	}
}

// TestWords: Chinese where there is some, and numbers and times as people read them.
func TestWords(t *testing.T) {
	words := lang.Words{"%d min": "%d 分钟", "Account": "账号"}
	for _, row := range []struct{ got, want string }{
		{words.Say(lang.Chinese, "Account"), "账号"},
		{words.Say(lang.English, "Account"), "Account"},
		{words.Say(lang.Chinese, "100%"), "100%"},
		{words.Span(lang.Chinese, 11*time.Minute+50*time.Second), "11 分钟"},
		{words.Span(lang.English, 2*time.Hour-time.Second), "1 h 59 min"},
		{words.Span(lang.English, 2*time.Hour+time.Second), "2 h"},
		{words.Span(lang.English, 99*time.Second), "1 min 30 s"},
		{words.Span(lang.English, 125*time.Second), "2 min"},
		{words.Span(lang.English, 900*time.Millisecond), "0 s"},
		{lang.Number(0), "0"},
		{lang.Number(-999), "-999"},
		{lang.Number(-1000), "-1,000"},
		{lang.Number(1234567), "1,234,567"},
	} {
		if row.got != row.want {
			t.Errorf("got %q, want %q", row.got, row.want)
		}
	}
}

// TestDictionary: texts that several packages have put together are found in turn, and what
// nobody knows stays.
func TestDictionary(t *testing.T) {
	d := lang.NewDictionary(lang.Words{
		"given up":                         "已放弃",
		"%s is not set: %s":                "没有设置 %s：%s",
		"it is the account's appid":        "即账号的 AppID",
		"no answer to %[1]s for %[2]s: %v": "账号 %[2]s 调用 %[1]s 没有应答：%[3]v",
		"line %d has %s a second time":     "第 %d 行重复了 %s",
		"the store cannot be read: %w":     "无法读取存储：%w",
		"100%% of %s":                      "%s 的 100%%",
		"%s":                               "不能当作模式",
	})
	for text, want := range map[string]string{
		"given up": "已放弃",
		"":         "",
		"WECHAT_APPID is not set: it is the account's appid":                            "没有设置 WECHAT_APPID：即账号的 AppID",
		".env, WECHAT_APPID is not set: it is the account's appid":                      "没有设置 .env, WECHAT_APPID：即账号的 AppID",
		"--account x: line 3 has A a second time":                                       "--account x：第 3 行重复了 A",
		"the store cannot be read: no answer to /cgi-bin/token for wx1: the disk: full": "无法读取存储：账号 wx1 调用 /cgi-bin/token 没有应答：the disk: full",
		"given up; given up. something else":                                            "已放弃；已放弃。something else",
		"something: else, that nobody knows":                                            "something: else, that nobody knows",
		"100% of it":                                                                    "it 的 100%",
	} {
		if got := d.In(lang.Chinese, text); got != want {
			t.Errorf("%q\n got %q\nwant %q", text, got, want)
		}
		if got := d.In(lang.English, text); got != text {
			t.Errorf("%q in English: %q", text, got)
		}
	}
}

// TestFaults: what systems say, here and on others, gets a sentence next to it in both languages.
func TestFaults(t *testing.T) {
	_, missing := os.Open("no-such-file")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, inUse := net.Listen("tcp", listener.Addr().String())
	_ = listener.Close()
	_, refused := net.Dial("tcp", listener.Addr().String())
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = nil
	get := func(url string) error {
		_, err := http.Get(url) //nolint:bodyclose // there is none
		return err
	}
	ended, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	d := lang.NewDictionary()
	for _, row := range []struct {
		err    error
		en, zh string
	}{
		{missing, "there is nothing of that name", "没有这个文件或目录"},
		{inUse, "another program uses the port", "端口已被其他程序占用"},
		{refused, "no program listens at that address", "该地址没有程序在监听"},
		{get(strings.Replace(plain.URL, "http", "https", 1)), "plain HTTP is spoken there", "请把 https:// 改为 http://"},
		{get(secure.URL), "install the authorities", "请安装根证书"},
		{ended.Err(), "nothing came in time", "超时没有应答"},
		{errors.New("dial tcp: lookup gateway.internal on 127.0.0.11:53: no such host"), "DNS does not know the name", "域名解析失败"},
		{errors.New("lookup x: Temporary failure in name resolution"), "DNS does not know the name", "域名解析失败"},
		{errors.New("dial tcp 1.2.3.4:443: i/o timeout"), "nothing came in time", "超时没有应答"},
		{errors.New("net/http: TLS handshake timeout"), "no TLS in time", "TLS 握手"},
		{errors.New("listen tcp :80: bind: permission denied"), "1024 or more", "1024 以上"},
		{errors.New("open x: permission denied"), "no right", "没有权限"},
		{says("open x: Access is denied."), "no right", "没有权限"},
		{errors.New("x509: certificate is valid for a.example, not b.example"), "another name", "不属于这个域名"},
		{errors.New("x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs"), "another name", "不属于这个域名"},
		{errors.New("x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z is after 2025-01-01T00:00:00Z"), "clock", "时钟"},
		{says("dial tcp 127.0.0.1:1: connectex: No connection could be made because the target machine actively refused it."), "no program listens", "没有程序在监听"},
		{says("open x: The system cannot find the file specified."), "nothing of that name", "没有这个文件"},
		{says("bind: Only one usage of each socket address (protocol/network address/port) is normally permitted."), "uses the port", "端口已被"},
		{errors.New("write x: no space left on device"), "disk is full", "磁盘已满"},
		{errors.New("read tcp 1->2: read: connection reset by peer"), "ended the connection", "连接被对方断开"},
		{errors.New("Get x: EOF"), "ended the connection", "连接被对方断开"},
		{errors.New("proxyconnect tcp: Proxy Authentication Required"), "wants a password", "用户名和密码"},
		{errors.New("dial tcp 10.0.0.1:1: connect: network is unreachable"), "no way", "网络不可达"},
		{errors.New("accept: too many open files"), "ulimit", "ulimit"},
		{errors.New("address 8300: missing port in address"), "host:port", "host:port"},
		{errors.New(`Get "x": unsupported protocol scheme ""`), "begins with http", "须以 http"},
		{errors.New("malformed HTTP response \"\\x15\\x03\\x01\""), "speak HTTP", "不是 HTTP"},
		{localised{fs.ErrNotExist}, "nothing of that name", "没有这个文件"},
		{localised{syscall.ECONNREFUSED}, "no program listens", "没有程序在监听"},
	} {
		if row.err == nil {
			t.Fatalf("no error that says %q", row.en)
		}
		text, found := lang.Fault(row.err)
		en, zh := d.Explained(lang.English, row.err), d.Explained(lang.Chinese, row.err)
		if !found || !strings.Contains(text.EN, row.en) || !strings.Contains(text.ZH, row.zh) ||
			!strings.Contains(en, "("+text.EN+")") || !strings.Contains(zh, "（"+text.ZH+"）") || strings.Replace(en, " ("+text.EN+")", "", 1) != row.err.Error() {
			t.Errorf("%v\n%s\n%s\nwant %q, %q next to the original", row.err, en, zh, row.en, row.zh)
		}
	}
	for _, text := range []string{"given up", "the account has no token", "EOF of the day"} {
		if got := d.Explained(lang.Chinese, errors.New(text)); got != text {
			t.Errorf("%q: %q", text, got)
		}
	}
	behind := fmt.Errorf("cannot listen at x: %w. Choose another address", syscall.EADDRINUSE)
	if got := d.Explained(lang.English, behind); !strings.Contains(got, "in use (another program uses the port: stop it, or choose another port). Choose") {
		t.Error("the sentence is not next to the original:", got)
	}
}

// says is an error as Windows words it.
type says string

func (s says) Error() string { return string(s) }

// localised says in another language what it is.
type localised struct{ error }

func (localised) Error() string   { return "系统找不到指定的文件。" }
func (l localised) Unwrap() error { return l.error }
