package errcode

import (
	"fmt"
	"time"
)

// Custody says in English what a Keeper of package custody does automatically when it
// meets the code; "" for codes that it cannot meet, which are those of other hosts than
// api.weixin.qq.com.
func (i Info) Custody() string {
	if !i.met() {
		return ""
	}
	switch i.Class {
	case Transient:
		return "tries again after 1 s, then less and less often, at least every minute"
	case Quota:
		return "fetches again after midnight in Beijing"
	case Fatal:
		return "does not fetch again before the program is restarted"
	case Refused:
		return "asks WeChat about this token directly: if WeChat accepts it, the call is repeated with it once; else " +
			"zhongkong renews it once for everybody and repeats the call with the new one"
	case Call:
		return "changes nothing: it concerns this call, not the account's access_token"
	default:
	}
	text := "fetches again when somebody has changed something"
	if i.Retry > 0 {
		text = "fetches again in " + inWords(i.Retry)
	}
	if i.PerHost {
		text = "tries once more after 3 s, over a new connection; if that is refused too, then " + text + "; another machine may at once"
	}
	return text
}

// CustodyZH is Custody in Chinese.
func (i Info) CustodyZH() string {
	if !i.met() {
		return ""
	}
	switch i.Class {
	case Transient:
		return "1 秒后重试，间隔逐渐拉长，最长 1 分钟"
	case Quota:
		return "北京时间零点之后再获取"
	case Fatal:
		return "程序重启之前不再获取"
	case Refused:
		return "先直接向微信核实该 token：微信认可，就用它重发一次；不认可，则由一个进程统一刷新一次，再用新 token 重发"
	case Call:
		return "不做处理：只与这次调用有关，与账号的 access_token 无关"
	default:
	}
	text := "需要有人处理之后才会再获取"
	if i.Retry > 0 {
		text = inWordsZH(i.Retry) + "后再获取"
	}
	if i.PerHost {
		text = "3 秒后换新连接再试一次，仍被拒绝则 " + text + "；其他机器不受影响"
	}
	return text
}

// met reports whether a Keeper can meet the code.
func (i Info) met() bool { return i.Host == API || i.Host == "" }

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
