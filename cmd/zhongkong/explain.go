package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// explainCmd tells what errcodes mean, without a network.
type explainCmd struct {
	Codes []string `arg:"" name:"code" optional:"" help:"An errcode, such as 40164. Several may be given."`

	List  bool   `help:"List all errcodes that are known here."`
	Lang  string `help:"en or zh. Without it, both." enum:",en,zh" default:"" placeholder:"LANG"`
	Minus bool   `name:"system-error" short:"1" hidden:"" help:"-1 is an errcode, too."`
}

// Help is what stands below the flags' list.
func (*explainCmd) Help() string {
	return `The exit code is 1 when an errcode is not known here, 2 when the command itself is wrong.`
}

// Run explains.
func (c *explainCmd) Run(t *terminal) error {
	codes := make([]int, 0, len(c.Codes)+1)
	if c.Minus {
		codes = append(codes, -1)
	}
	for _, text := range c.Codes {
		code, err := strconv.Atoi(text)
		if err != nil {
			return mistake("%q is no errcode: give a number, such as zhongkong explain 40164; --list shows all", text)
		}
		codes = append(codes, code)
	}
	switch {
	case c.List && len(codes) > 0:
		return mistake("--list takes no errcode: it lists all")
	case c.List:
		c.list(t)
		return nil
	case len(codes) == 0:
		return mistake("give an errcode, such as zhongkong explain 40164; --list shows all")
	}
	var err error
	for i, code := range codes {
		if i > 0 {
			t.say("")
		}
		if !c.explain(t, code) {
			err = errFailed
		}
	}
	return err
}

// list shows every errcode on a line for each language.
func (c *explainCmd) list(t *terminal) {
	for _, info := range errcode.All() {
		head := fmt.Sprintf("%6d  %-9s  ", info.Code, info.Class)
		if c.Lang != "zh" {
			t.say("%s%s", t.bold(head), info.Cause)
			head = fmt.Sprintf("%*s", len(head), "")
		}
		if c.Lang != "en" {
			t.say("%s%s", t.bold(head), info.CauseZH)
		}
	}
}

// explain reports whether code is known.
func (c *explainCmd) explain(t *terminal, code int) bool {
	if code == 0 {
		c.line(t, "", "errcode 0 is success.", "", "errcode 0 表示成功。")
		return true
	}
	info, known := errcode.Lookup(code)
	t.say("%s  %s", t.bold(strconv.Itoa(code)), t.red(info.Text))
	c.meaning(t, info)
	if at := errcode.AtTokenEndpoint(code); at.Cause != info.Cause {
		t.say("")
		t.say("%s  %s", t.bold(strconv.Itoa(code)), t.dim("/cgi-bin/token, /cgi-bin/stable_token"))
		c.meaning(t, at)
	}
	return known
}

func (c *explainCmd) meaning(t *terminal, info errcode.Info) {
	c.line(t, "cause", info.Cause, "原因", info.CauseZH)
	c.line(t, "remedy", info.Remedy, "处理", info.RemedyZH)
	en, zh := custody(info)
	c.line(t, "zhongkong", en, "中控", zh)
}

// line shows a text in the languages that are wanted.
func (c *explainCmd) line(t *terminal, en, text, zh, textZH string) {
	if c.Lang != "zh" {
		t.say("  %s%s", t.dim(label(en, len(en))), text)
	}
	if c.Lang != "en" {
		t.say("  %s%s", t.dim(label(zh, 2*len([]rune(zh)))), textZH)
	}
}

// label fills s, which is so many columns wide.
func label(s string, width int) string {
	if width == 0 {
		return ""
	}
	return fmt.Sprintf("%s%*s", s, max(0, 11-width), "")
}

// custody says what a Keeper does about it.
func custody(info errcode.Info) (en, zh string) {
	switch info.Class {
	case errcode.Transient:
		return "tries again after 1 s, then less and less often, at least every minute", "1 秒后重试，间隔逐渐拉长，最长 1 分钟"
	case errcode.Quota:
		return "fetches again after midnight in Beijing", "北京时间零点之后再获取"
	case errcode.Fatal:
		return "does not fetch again before the program is started anew", "程序重启之前不再获取"
	case errcode.Refused:
		return "asks WeChat about this token, renews it once for everybody, and repeats the call once", "先向微信核实该 token，由一个进程统一刷新一次，再重试一次调用"
	case errcode.Call:
		return "changes nothing: the token is fine", "不做处理：token 本身没有问题"
	default:
	}
	en, zh = "fetches again when somebody has changed something", "需要有人处理之后才会再获取"
	if info.Retry > 0 {
		en, zh = "fetches again in "+inWords(info.Retry), inWordsZH(info.Retry)+"后再获取"
	}
	if info.PerHost {
		en, zh = en+"; another machine may at once", zh+"；其他机器不受影响"
	}
	return en, zh
}

func inWords(d time.Duration) string {
	if d%time.Hour == 0 {
		return count(int(d/time.Hour), "hour", "hours")
	}
	return count(int(d/time.Minute), "minute", "minutes")
}

func inWordsZH(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d 小时", d/time.Hour)
	}
	return fmt.Sprintf("%d 分钟", d/time.Minute)
}
