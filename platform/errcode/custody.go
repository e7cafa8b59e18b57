package errcode

import (
	"fmt"
	"time"
)

// Custody says in English what a Keeper of package custody does automatically when it
// meets the code.
func (i Info) Custody() string {
	switch i.Class {
	case Transient:
		return "tries again after 1 s, then less and less often, at least every minute"
	case Quota:
		return "fetches again after midnight in Beijing"
	case Fatal:
		return "does not fetch again before the program is started anew"
	case Refused:
		return "asks WeChat about this token, renews it once for everybody, and repeats the call once"
	case Call:
		return "changes nothing: the token is fine"
	default:
	}
	text := "fetches again when somebody has changed something"
	if i.Retry > 0 {
		text = "fetches again in " + inWords(i.Retry)
	}
	if i.PerHost {
		text += "; another machine may at once"
	}
	return text
}

// CustodyZH is Custody in Chinese.
func (i Info) CustodyZH() string {
	switch i.Class {
	case Transient:
		return "1 秒后重试，间隔逐渐拉长，最长 1 分钟"
	case Quota:
		return "北京时间零点之后再获取"
	case Fatal:
		return "程序重启之前不再获取"
	case Refused:
		return "先向微信核实该 token，由一个进程统一刷新一次，再重试一次调用"
	case Call:
		return "不做处理：token 本身没有问题"
	default:
	}
	text := "需要有人处理之后才会再获取"
	if i.Retry > 0 {
		text = inWordsZH(i.Retry) + "后再获取"
	}
	if i.PerHost {
		text += "；其他机器不受影响"
	}
	return text
}

func inWords(d time.Duration) string {
	n, unit := int(d/time.Minute), "minute"
	if d%time.Hour == 0 {
		n, unit = int(d/time.Hour), "hour"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}

func inWordsZH(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d 小时", d/time.Hour)
	}
	return fmt.Sprintf("%d 分钟", d/time.Minute)
}
