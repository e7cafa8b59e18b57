package main

import (
	"fmt"
	"strconv"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// explainCmd tells what errcodes mean, without a network.
type explainCmd struct {
	Codes []string `arg:"" name:"code" optional:"" help:"An errcode, such as 40164. Several may be given."`

	List  bool `help:"List all errcodes that are known here."`
	Minus bool `name:"system-error" short:"1" hidden:"" help:"-1 is an errcode, too."`
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
		if !t.named || t.lang != lang.Chinese {
			t.say("%s%s", t.bold(head), info.Cause)
			head = fmt.Sprintf("%*s", len(head), "")
		}
		if !t.named || t.lang == lang.Chinese {
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
	c.line(t, "zhongkong", info.Custody(), "中控", info.CustodyZH())
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
