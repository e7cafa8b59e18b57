package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/zhongkong-go/zhongkong/cmd/zhongkong/internal/doctor"
	"github.com/zhongkong-go/zhongkong/internal/lang"
)

// chart shows what the doctor finds: a line as soon as it is known, and what to do
// at the end. Lines are wrapped on a terminal, and stay whole in a pipe.
type chart struct {
	t       *terminal
	several bool              // accounts
	names   map[string]string // of accounts, for people, by appid

	account string // the heading that was shown last
}

// columns is how wide lines are on a terminal.
const columns = 100

var checkNames = map[string]string{
	doctor.Configuration: "配置", doctor.Files: "文件权限", doctor.Certificate: "证书", doctor.Listen: "监听地址", doctor.Store: "存储",
	doctor.Gateway: "网关", doctor.WeChat: "微信", doctor.Clock: "时钟", doctor.Credentials: "凭证", doctor.Whitelist: "IP 白名单",
	doctor.Token: "token", doctor.Quota: "当日次数", doctor.Callback: "回调地址",
}

// name is a check's for people.
func (c *chart) name(check string) string {
	if c.t.lang == lang.Chinese {
		return checkNames[check]
	}
	if check == doctor.WeChat {
		return "WeChat"
	}
	return check
}

// head says what the columns are.
func (c *chart) head() {
	c.t.say("  %s", c.t.dim(pad(c.t.T("CHECK"), c.label())+c.t.T("FOUND")))
}

// label is how wide the names of checks are.
func (c *chart) label() int {
	if c.t.lang == lang.Chinese {
		return 10
	}
	return 14
}

// line shows a finding.
func (c *chart) line(f doctor.Finding) {
	if c.several && f.Account != "" && f.Account != c.account {
		c.t.say("%s", c.t.bold(both(c.names[f.Account], f.Account)))
	}
	c.account = f.Account
	mark := map[doctor.State]string{
		doctor.OK: c.t.green("✓"), doctor.Warning: c.t.yellow("!"), doctor.Problem: c.t.red("✗"), doctor.Skipped: c.t.dim("–"),
	}[f.State]
	label := pad(c.name(f.Check), c.label())
	indent := 2 + width(label)
	found := c.wrap(f.Found.In(c.t.lang), indent)
	took := ""
	if f.Took >= 100*time.Millisecond {
		took = "(" + f.Took.Round(10*time.Millisecond).String() + ")"
		last := found[strings.LastIndexByte(found, '\n')+1:]
		between := " "
		if len(last) < len(found) {
			indent = 0 // it has one
		}
		if c.t.colour && indent+width(last)+1+width(took) > columns {
			between = "\n" + strings.Repeat(" ", 2+width(label))
		}
		took = between + c.t.dim(took)
	}
	switch f.State {
	case doctor.Skipped:
		label, found = c.t.dim(label), c.t.dim(found)
	case doctor.Problem:
		label = c.t.bold(label)
	case doctor.OK, doctor.Warning:
	}
	c.t.say("%s %s%s%s", mark, label, found, took)
}

// end says what to do, in order, and how it is on the whole.
func (c *chart) end(r doctor.Report) {
	zh := c.t.lang == lang.Chinese
	problems, warnings := r.Count(doctor.Problem), r.Count(doctor.Warning)
	if todo := c.todo(r); len(todo) > 0 {
		title := "What to do"
		if zh {
			title = "请依次处理"
		}
		c.t.say("\n%s", c.t.bold(title))
		for i, do := range todo {
			head := fmt.Sprintf("%2d. ", i+1)
			c.t.say("%s%s", c.t.bold(head), c.wrap(do, len(head)))
		}
	}
	c.t.say("")
	switch {
	case problems > 0 && zh:
		c.t.say("%s，处理之后请再检查一次。", c.t.red(fmt.Sprintf("%d 个问题", problems)+also(warnings, "，%d 个警告")))
	case problems > 0:
		c.t.say("%s Run it again when that is done.", c.t.red(count(problems, "problem", "problems")+also(warnings, ", %d more to look at")+"."))
	case warnings > 0 && zh:
		c.t.say("%s，有 %d 个警告。", c.t.green("没有问题"), warnings)
	case warnings > 0:
		c.t.say("%s %s to look at.", c.t.green("There is no problem;"), count(warnings, "warning", "warnings"))
	case zh:
		c.t.say("%s", c.t.green("一切正常。"))
	default:
		c.t.say("%s", c.t.green("All is well."))
	}
}

// also is text with a number in it, unless that is 0.
func also(n int, text string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(text, n)
}

// todo says what to do, and for which account where there are several.
func (c *chart) todo(r doctor.Report) []string {
	all := []string{}
	for _, f := range r.ToDo() {
		do := printable(f.Do.In(c.t.lang))
		if c.several && f.Account != "" && !strings.Contains(do, f.Account) {
			do = both(c.names[f.Account], f.Account) + ": " + do
		}
		all = append(all, do)
	}
	return all
}

// wrap breaks text into lines for a terminal, each but the first behind indent
// columns: at a space where one is near, else between two Chinese characters.
func (c *chart) wrap(text string, indent int) string {
	text = printable(text)
	if !c.t.colour {
		return text
	}
	return strings.Join(fold(text, columns-indent), "\n"+strings.Repeat(" ", indent))
}

// fold breaks text into lines that are at most so wide.
func fold(text string, most int) (lines []string) {
	const near = 24
	rest := []rune(text)
	for width(string(rest)) > most {
		fits, space, wides := 0, 0, 0 // how much may stay in this line
		for at, i := 0, 0; i < len(rest); i++ {
			if at += width(string(rest[i])); at > most {
				break
			}
			fits = i + 1
			switch next := rest[min(i+1, len(rest)-1)]; {
			case rest[i] == ' ':
				space = i + 1
			case (wide(rest[i]) || wide(next)) && next != ' ' && !strings.ContainsRune("，。；：、）》”", next) && !strings.ContainsRune("（《“", rest[i]):
				wides = i + 1
			}
		}
		cut := fits
		switch {
		case space > 0 && (wides <= space || fits-space <= near):
			cut = space
		case wides > 0:
			cut = wides
		}
		lines = append(lines, strings.TrimRight(string(rest[:cut]), " "))
		rest = []rune(strings.TrimLeft(string(rest[cut:]), " "))
	}
	return append(lines, string(rest))
}

// wide reports whether a character takes two columns.
func wide(r rune) bool {
	return unicode.Is(unicode.Han, r) || 0x3000 <= r && r <= 0x303f || 0xff00 <= r && r <= 0xff60 || r == '“' || r == '”'
}

func width(s string) (n int) {
	for _, r := range s {
		n++
		if wide(r) {
			n++
		}
	}
	return n
}

func pad(s string, to int) string { return s + strings.Repeat(" ", max(0, to-width(s))) }

// The JSON of --json, whose shape the command's help tells.
type (
	reportJSON struct {
		Version  int           `json:"version"` // of the shape
		OK       bool          `json:"ok"`      // there is no problem
		Problems int           `json:"problems"`
		Warnings int           `json:"warnings"`
		Checks   []findingJSON `json:"checks"`
		ToDo     []string      `json:"todo"`
	}
	findingJSON struct {
		Check   string       `json:"check"`
		Name    string       `json:"name,omitempty"` // of the account, for people
		Account string       `json:"account,omitempty"`
		Subject string       `json:"subject,omitempty"`
		State   doctor.State `json:"state"`
		Cause   string       `json:"cause,omitempty"`
		Errcode int          `json:"errcode,omitempty"`
		IP      string       `json:"ip,omitempty"`
		Found   string       `json:"found"`
		Do      string       `json:"do,omitempty"`
		Took    int64        `json:"took_ms"`
	}
)

// json prints the whole.
func (c *chart) json(r doctor.Report) error {
	out := reportJSON{
		Version: 1, Problems: r.Count(doctor.Problem), Warnings: r.Count(doctor.Warning),
		Checks: []findingJSON{}, ToDo: c.todo(r),
	}
	out.OK = out.Problems == 0
	for _, f := range r.Findings {
		out.Checks = append(out.Checks, findingJSON{
			Check: f.Check, Name: c.names[f.Account], Account: f.Account, Subject: f.Subject,
			State: f.State, Cause: f.Cause, Errcode: f.Errcode, IP: f.IP,
			Found: printable(f.Found.In(c.t.lang)), Do: printable(f.Do.In(c.t.lang)), Took: f.Took.Milliseconds(),
		})
	}
	e := json.NewEncoder(c.t.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
