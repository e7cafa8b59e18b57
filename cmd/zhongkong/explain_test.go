package main

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args string
		code int
		want []string
		not  string
	}{
		{"explain 40164", 0, []string{"40164  invalid ip", "IP白名单", "请把该 IP 加入白名单", "fetches again in 10 minutes; another machine may at once", "10 分钟后再获取；其他机器不受影响"}, ""},
		{"explain 40164 --lang en", 0, []string{"  cause      ", "  remedy     Add the address", "  zhongkong  tries once more"}, "请把该"},
		{"explain --lang zh 40164", 0, []string{"  原因       ", "  处理       请把该", "  中控       3 秒"}, "Add the address"},
		{"explain 40001", 0, []string{"40001  invalid credential", "repeats the call with the new one", "/cgi-bin/token, /cgi-bin/stable_token", "AppSecret"}, ""},
		{"explain -1", 0, []string{"-1  system error", "WeChat is busy.", "微信系统繁忙。"}, ""},
		{"explain -3 -1", 1, []string{"errcode -3 is not known here", "-1  system error"}, ""},
		{"explain -- -1", 0, []string{"-1  system error"}, ""},
		{"explain 45009", 0, []string{"midnight in Beijing", "北京时间零点"}, ""},
		{"explain 89506 89507", 0, []string{"in 24 hours", "24 小时后", "in 1 hour;", "\n\n89507"}, ""},
		{"explain 40002", 0, []string{"restarted"}, ""},
		{"explain 47001", 0, []string{"not the account's access_token"}, ""},
		{"explain 0", 0, []string{"errcode 0 is success.", "errcode 0 表示成功。"}, "cause"},
		{"explain 99999", 1, []string{"errcode 99999 is not known here: look in WeChat's page of the API that answered it, and at its errmsg.\n", "errcode 99999 未收录：请查看返回它的接口的微信官方文档，以及 errmsg 的内容。\n"}, "remedy"},
		{"explain 40013 99999 --lang=en", 1, []string{"40013", "invalid appid", "not known here"}, ""},
		{"explain 60020", 0, []string{"60020  not allow to access from your ip  qyapi.weixin.qq.com", "企业可信IP", "an answer that was captured"}, "zhongkong  "},
		{"explain 40085", 0, []string{
			"errcode 40085 depends on the host; --host chooses one.", "在不同域名下含义不同", "api.weixin.qq.com", "qyapi.weixin.qq.com",
			"suite_ticket", "link is too long", "开放平台全局返回码",
		}, ""},
		{"explain 40085 --host qyapi", 0, []string{"suite_ticket"}, "api.weixin.qq.com\n  cause      The button"},
		{"explain 40085 --host=api.weixin.qq.com", 0, []string{"link is too long"}, "qyapi"},
		{"explain 60020 --host api", 1, []string{"not known here"}, "ip"},
		{"explain 10003 --lang zh", 0, []string{"open.weixin.qq.com", "网页授权域名"}, "remedy"},
		{"explain 45015 45047 --lang en", 0, []string{"48 hours after a message", "5 after a message", "not the account's access_token"}, ""},
	} {
		code, out, errs := started(t.Context(), nil, strings.Fields(row.args)...)
		for _, want := range row.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", row.args, want, out)
			}
		}
		if code != row.code || errs != "" || strings.Contains(out, "\x1b") || row.not != "" && strings.Contains(out, row.not) {
			t.Errorf("%s: exit code %d, want %d, without %q\n%s%s", row.args, code, row.code, row.not, out, errs)
		}
	}
	for args, want := range map[string]string{
		"explain":                      "give an errcode",
		"explain 40164 --list":         "--list takes no errcode",
		"explain forty":                `"forty" is no errcode`,
		"explain 40164 --host mp":      "give api, qyapi or open",
		"explain 40164 --lang fr":      "--lang",
		"explain 99999999999999999999": "is no errcode",
	} {
		code, out, errs := started(t.Context(), nil, strings.Fields(args)...)
		if code != exitMistake || out != "" || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: %d %s%s, want %q", args, code, out, errs, want)
		}
	}
}

// TestExplainEveryCode in both languages, one by one and in the list.
func TestExplainEveryCode(t *testing.T) {
	t.Parallel()
	_, list, _ := started(t.Context(), nil, "explain", "--list")
	lines := 0
	for _, host := range errcode.Hosts() {
		lines += 1 + 2*len(errcode.AllOn(host))
		for _, info := range errcode.AllOn(host) {
			if !strings.Contains(list, strconv.Itoa(info.Code)+"  "+string(info.Class)) || !strings.Contains(list, info.Cause) ||
				!strings.Contains(list, info.CauseZH) {
				t.Errorf("%s: %d is not in the list", host, info.Code)
			}
			code, out, errs := started(t.Context(), nil, "explain", "--host", string(host), "--", strconv.Itoa(info.Code))
			if code != 0 || errs != "" {
				t.Errorf("%s: %d: exit code %d, %s", host, info.Code, code, errs)
			}
			for _, want := range []string{
				info.Text, info.Cause, info.CauseZH, info.Remedy, info.RemedyZH, string(host), info.Source.Words(), info.Source.WordsZH(),
			} {
				if !strings.Contains(out, want) {
					t.Errorf("%s: %d: no %q in\n%s", host, info.Code, want, out)
				}
			}
		}
	}
	if got := strings.Count(list, "\n"); got != lines {
		t.Errorf("%d lines in the list, want %d: the hosts, and their errcodes in two languages", got, lines)
	}
	for lang, script := range map[string]string{"en": "微信系统繁忙", "zh": "WeChat is busy"} {
		if _, out, _ := started(t.Context(), nil, "explain", "--list", "--host", "api", "--lang", lang); strings.Contains(out, script) ||
			strings.Count(out, "\n") != 1+len(errcode.All()) {
			t.Errorf("--lang %s: %s", lang, out)
		}
	}
}

// TestColoursOnATerminalAlone: not in a pipe or file, nor for who does not want them.
func TestColoursOnATerminalAlone(t *testing.T) {
	t.Parallel()
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, like a terminal
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = device.Close() }()
	for _, row := range []struct {
		out  io.Writer
		env  map[string]string
		want bool
	}{
		{device, nil, true},
		{device, map[string]string{"NO_COLOR": "1"}, false},
		{device, map[string]string{"TERM": "dumb"}, false},
		{new(bytes.Buffer), nil, false},
	} {
		term := newTerminal(strings.NewReader(""), row.out, io.Discard, func(name string) (string, bool) {
			value, found := row.env[name]
			return value, found
		})
		if term.colour != row.want {
			t.Errorf("%T, %v: colours %v", row.out, row.env, term.colour)
		}
		var out bytes.Buffer
		term.out = &out
		if code := run(t.Context(), []string{"explain", "40164"}, term); code != 0 ||
			strings.Contains(out.String(), "\x1b[31minvalid ip") != row.want {
			t.Errorf("%T, %v: %d\n%s", row.out, row.env, code, &out)
		}
	}
}
