package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// explainCmd tells what errcodes mean, without a network.
type explainCmd struct {
	Codes []string `arg:"" name:"code" optional:"" help:"An errcode, such as 40164. Several may be given."`

	Host string `help:"The server that answered: api, qyapi or open (all end in .weixin.qq.com). Without it, all of them." placeholder:"HOST"`
	List bool   `help:"List all errcodes that are known here."`
}

// Help is what is below the flags' list.
func (*explainCmd) Help() string {
	return `The exit code is 1 when an errcode is not known here, 2 when the command itself is wrong.`
}

// negative makes errcodes such as -1 what kong does not take for flags.
func negative(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if n, err := strconv.Atoi(arg); err == nil && n < 0 {
			args[i] = " " + arg
		}
	}
	return args
}

// Run explains.
func (c *explainCmd) Run(t *terminal) error {
	hosts, err := c.hosts()
	if err != nil {
		return err
	}
	codes := make([]int, 0, len(c.Codes))
	for _, text := range c.Codes {
		code, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return mistake("%q is no errcode: give a number, such as zhongkong explain 40164; --list shows all", text)
		}
		codes = append(codes, code)
	}
	switch {
	case c.List && len(codes) > 0:
		return mistake("--list takes no errcode: it lists all")
	case c.List:
		c.list(t, hosts)
		return nil
	case len(codes) == 0:
		return mistake("give an errcode, such as zhongkong explain 40164; --list shows all")
	}
	for i, code := range codes {
		if i > 0 {
			t.say("")
		}
		if !c.explain(t, hosts, code) {
			err = errFailed
		}
	}
	return err
}

// hosts returns those whose codes are asked for.
func (c *explainCmd) hosts() ([]errcode.Host, error) {
	if c.Host == "" {
		return errcode.Hosts(), nil
	}
	for _, host := range errcode.Hosts() {
		if short, _, _ := strings.Cut(string(host), "."); c.Host == short || c.Host == string(host) {
			return []errcode.Host{host}, nil
		}
	}
	return nil, mistake("--host %s is no server of WeChat's that is known here: give api, qyapi or open", c.Host)
}

// list shows every errcode on a line for each language.
func (c *explainCmd) list(t *terminal, hosts []errcode.Host) {
	for _, host := range hosts {
		t.say("%s", t.bold(string(host)))
		for _, info := range errcode.AllOn(host) {
			head := fmt.Sprintf("%7d  %-9s  ", info.Code, info.Class)
			if !t.named || t.lang != lang.Chinese {
				t.say("%s%s", t.bold(head), info.Cause)
				head = fmt.Sprintf("%*s", len(head), "")
			}
			if !t.named || t.lang == lang.Chinese {
				t.say("%s%s", t.bold(head), info.CauseZH)
			}
		}
	}
}

// explain reports whether code is known.
func (c *explainCmd) explain(t *terminal, hosts []errcode.Host, code int) bool {
	if code == 0 {
		c.line(t, "", "errcode 0 is success.", "", "errcode 0 表示成功。")
		return true
	}
	var all []errcode.Info
	for _, host := range hosts {
		if info, known := errcode.LookupOn(host, code); known {
			all = append(all, info)
		}
	}
	if len(all) == 0 {
		c.line(t, "", fmt.Sprintf("errcode %d is not known here: look in WeChat's page of the API that answered it, and at its errmsg.", code),
			"", fmt.Sprintf("errcode %d 未收录：请查看返回它的接口的微信官方文档，以及 errmsg 的内容。", code))
		return false
	}
	if len(all) > 1 {
		c.line(t, "", fmt.Sprintf("errcode %d depends on the host; --host chooses one.", code),
			"", fmt.Sprintf("errcode %d 在不同域名下含义不同，可用 --host 指定。", code))
	}
	for _, info := range all {
		c.meaning(t, info, string(info.Host))
		if at := errcode.AtTokenEndpoint(code); info.Host == errcode.API && at.Cause != info.Cause {
			c.meaning(t, at, "/cgi-bin/token, /cgi-bin/stable_token")
		}
	}
	return true
}

// meaning shows what a code means where it was answered.
func (c *explainCmd) meaning(t *terminal, info errcode.Info, where string) {
	text := info.Text
	if text != "" {
		text = "  " + t.red(text)
	}
	t.say("%s%s  %s", t.bold(strconv.Itoa(info.Code)), text, t.dim(where))
	c.line(t, "cause", info.Cause, "原因", info.CauseZH)
	c.line(t, "remedy", info.Remedy, "处理", info.RemedyZH)
	if info.Custody() != "" {
		c.line(t, "zhongkong", info.Custody(), "中控", info.CustodyZH())
	}
	c.line(t, "source", info.Source.Words(), "来源", info.Source.WordsZH())
}

// line shows a text in the languages that are wanted.
func (c *explainCmd) line(t *terminal, en, text, zh, textZH string) {
	if !t.named || t.lang != lang.Chinese {
		t.say("  %s%s", t.dim(label(en, len(en))), text)
	}
	if !t.named || t.lang == lang.Chinese {
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
