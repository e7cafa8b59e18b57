package chat

import (
	"regexp"

	"github.com/zhongkong-go/zhongkong/internal/page"
)

// unanswered is the reason that one meets most when an app fails.
var unanswered = regexp.MustCompile(`^(\d+) deliver(?:y|ies) went wrong \(each time (?:it answered (.*?)|no answer in time|no answer: (.*?))\)\. (.*)$`)

// inTime is what to do about an app that is too slow.
var inTime = regexp.MustCompile(`^Answer within (\S+) `)

// because is a verdict's reason in a language.
func because(lang page.Lang, reason string) string {
	found := unanswered.FindStringSubmatch(reason)
	if lang != page.Chinese || found == nil {
		return chinese.Say(lang, reason)
	}
	each := "未及时应答"
	switch {
	case found[2] != "":
		each = "应答为 " + found[2]
	case found[3] != "":
		each = "没有应答：" + found[3]
	}
	do := chinese.Say(lang, found[4])
	if within := inTime.FindStringSubmatch(found[4]); within != nil {
		do = "请在 " + within[1] + " 内以状态码 200 应答：先回复 success，再处理业务"
	}
	return found[1] + " 次推送全部失败（每次" + each + "）。" + do
}

// chinese has the texts of the page, and the reasons of the simulator that are met
// daily. Other reasons stay English.
var chinese = page.Words{ //nolint:gosec // words about secrets, and none among them
	"The app refused the push, which came encrypted: compare the app's Token and AES key with the account's; an app without an AES key takes plain pushes only": "应用拒绝了这次加密推送：请核对 Token 和 EncodingAESKey 与该账号是否一致；没有配置 AES key 的应用只接受明文推送",
	"The app refused the push, which came in plain text: compare the app's Token with the account's; an app with an AES key takes encrypted pushes only":        "应用拒绝了这次明文推送：请核对 Token 与该账号是否一致；配置了 AES key 的应用只接受加密推送",
	"Nothing answers POST at this path: check the path, and that the app's callback is registered for GET and POST there":                                       "该路径没有处理 POST 请求：请检查路径，并确认应用在该路径上同时注册了 GET 和 POST",
	"WeChat follows no redirect: use the address that the app itself answers at, slash and scheme included":                                                     "微信不跟随跳转：请直接使用应用应答的地址，包括末尾的斜杠和协议",
	"The app failed: its log says why": "应用出错：原因见应用的日志",

	"WeChat, simulated": "微信模拟器",
	"To the chat":       "跳到聊天",
	"Parts of the page": "页面的各部分",
	"Account":           "账号",
	"Accounts":          "账号",
	"Chat":              "聊天",
	"Requests":          "请求记录",
	"Live":              "实时",
	"Connecting…":       "连接中…",
	"Not connected":     "连接已断开",
	"Close":             "关闭",
	"zhongkong simulate does not answer. Is it still running?": "zhongkong simulate 没有响应，它还在运行吗？",

	"Nothing was said yet.": "还没有消息。",
	"Write something, and your app gets it as WeChat would send it: signed, encrypted, up to three times.": "发一条消息，你的应用就会像在微信里那样收到它：带签名、加密、最多推送三次。",
	"Kind of message":        "消息类型",
	"Message":                "消息",
	"Send":                   "发送",
	"Write as this follower": "以该粉丝的身份说点什么",
	"Only what went wrong":   "只看出错的",
	"No request yet.":        "还没有请求。",
	"Give your program this address in place of https://api.weixin.qq.com, and whatever it calls stands here.": "把程序里的 https://api.weixin.qq.com 换成本地址，它的每次调用都会出现在这里。",

	"API base":                    "接口地址",
	"Kind":                        "类型",
	"official":                    "公众号",
	"mini":                        "小程序",
	"Pushes":                      "消息推送",
	"plain":                       "明文模式",
	"compatible":                  "兼容模式",
	"safe":                        "安全模式",
	"Show the secrets":            "显示密钥",
	"Copy":                        "复制",
	"Copied":                      "已复制",
	"Environment of your program": "程序的环境变量",
	"With the secrets shown, these lines are complete.": "显示密钥后，这几行才完整。",
	"Hide the secrets": "隐藏密钥",

	"issued %d":               "已签发 %d",
	"fetched %d×":             "获取 %d 次",
	"Life of the token of %s": "%s 的 token 剩余有效期",
	"how the token ends":      "token 的末几位",
	"Fetch elsewhere":         "别处获取",
	"Another program fetches for the same account; the old token lives on for the overlap.": "另一个程序为同一账号获取 token；旧 token 在重叠期内仍然有效。",
	"End it":                         "令其失效",
	"Nobody has fetched one yet":     "还没有程序获取过",
	"Expired: APIs answer 42001":     "已过期：接口返回 42001",
	"Dead: APIs answer 40001":        "已失效：接口返回 40001",
	"%s left":                        "剩余 %s",
	"%d h %d min":                    "%d 小时 %d 分",
	"%d h":                           "%d 小时",
	"%d min":                         "%d 分钟",
	"%d min %d s":                    "%d 分 %d 秒",
	"%d s":                           "%d 秒",
	"Clock":                          "时钟",
	"The clock shows the real time.": "时钟与真实时间一致。",
	"The clock is %s ahead.":         "时钟快了 %s。",
	"+5 min":                         "+5 分钟",
	"+1 h":                           "+1 小时",
	"+2 h":                           "+2 小时",
	"+1 day":                         "+1 天",
	"Calls today":                    "今日调用",
	"Used of %s":                     "%s 已用次数",
	"Faults":                         "故障开关",
	"From elsewhere":                 "由别处设置",
	"Remove":                         "移除",
	"Your app":                       "你的应用",
	"Callback address":               "服务器地址 (URL)",
	"Verify":                         "验证",
	"What WeChat allows":             "微信侧的限制",
	"IP whitelist":                   "IP 白名单",
	"everybody may call":             "不限制",
	"Save":                           "保存",
	"State of the account":           "账号状态",
	"Normal":                         "正常",

	"Fetching a token: WeChat is busy (-1)":           "获取 token：系统繁忙 (-1)",
	"Fetching a token takes 10 s":                     "获取 token 需要 10 秒",
	"A token is issued, but the answer is lost":       "token 已签发，但响应丢失",
	"Fetching a token: an error page (502)":           "获取 token：错误页面 (502)",
	"The caller's IP is not in the whitelist (40164)": "调用方 IP 不在白名单 (40164)",
	"The AppSecret is wrong (40125)":                  "AppSecret 错误 (40125)",
	"The day's quota is used up (45009)":              "当日额度用尽 (45009)",
	"APIs refuse every token (40001)":                 "接口拒绝所有 token (40001)",
	"APIs: WeChat is busy (-1)":                       "接口：系统繁忙 (-1)",

	"Followers":                "粉丝",
	"New":                      "新增",
	"Nickname of somebody new": "新粉丝的昵称",
	"Add":                      "添加",
	"does not follow":          "未关注",
	"Follow":                   "关注",
	"Unfollow":                 "取消关注",
	"Your app's address is not known yet, so nothing can be sent.": "还不知道你的应用的地址，因此无法推送。",
	"Enter it":       "去填写",
	"The app's menu": "应用的菜单",

	"Text": "文本", "Image": "图片", "Voice": "语音", "Video": "视频", "Location": "位置", "Link": "链接", "Scan": "扫码",
	"Music": "音乐", "News": "图文", "Template": "模板消息", "Choice": "选项", "File": "文件", "Mini program": "小程序",
	"PicUrl; empty for a made-up one":           "PicUrl，留空则虚构",
	"What was said, if it is recognised":        "语音识别结果，可留空",
	"MediaId; empty for a made-up one":          "MediaId，留空则虚构",
	"The place's name; empty for a made-up one": "地点名称，留空则虚构",
	"Address; empty for a made-up one":          "链接地址，留空则虚构",
	"The code's scene; empty for 123":           "二维码场景值，留空为 123",

	"WeChat":                                 "微信",
	"passive reply":                          "被动回复",
	"customer service message":               "客服消息",
	"template message":                       "模板消息",
	"Follows the account, by the QR code %s": "通过二维码 %s 关注了公众号",
	"Follows the account":                    "关注了公众号",
	"Has left the account":                   "取消了关注",
	"Scanned the QR code %s":                 "扫描了二维码 %s",
	"Tapped a menu button: %s":               "点击了菜单：%s",
	"Opened a menu link: %s":                 "打开了菜单链接：%s",
	"WeChat shows what is behind this button without telling your app.": "微信会直接显示该按钮的内容，不会通知你的应用。",
	"Waiting for your app…":                       "等待应用回复…",
	"Delivery %d went wrong; WeChat tries again…": "第 %d 次推送失败，微信将重试…",

	"Replied": "已回复", "Fine, and the follower sees nothing": "正常，粉丝什么也看不到", "Your app failed": "应用出错",
	"Verified": "验证通过", "Your app refused the forgery": "应用拒绝了伪造请求", "Your app fell for a forgery": "应用接受了伪造请求",
	"replied": "已回复", "silent": "无回复", "failed": "失败", "verified": "已验证", "refused": "已拒绝", "accepted": "被攻破",
	"the app answered success":                 "应用回复了 success",
	"the app answered with an empty body":      "应用回复了空内容",
	"the app echoed the echostr":               "应用原样返回了 echostr",
	"the app replied with text":                "应用以文本回复",
	"the app replied with news":                "应用以图文回复",
	"the app replied with image":               "应用以图片回复",
	"the message goes to the customer service": "消息转给了客服",

	"no answer":              "无响应",
	"cut off":                "被中断",
	"to your app":            "推送给应用",
	"from your app":          "来自应用",
	"right":                  "正确",
	"wrong":                  "错误",
	"fault":                  "故障",
	"attack":                 "攻击",
	"To":                     "目标",
	"From":                   "来源",
	"Delivery":               "推送次数",
	"Mode":                   "模式",
	"Query":                  "查询参数",
	"Answer":                 "响应",
	"The message, decrypted": "消息明文",
	"Body as it was sent":    "请求体原文",
	"The reply, decrypted":   "回复明文",
	"Because of a fault that is switched on: %s":                  "因为打开了故障开关：%s",
	"The caller did not get the whole answer.":                    "调用方没有收到完整的响应。",
	"There is nothing at this path.":                              "没有这个路径。",
	"The body came without Content-Length, which WeChat refuses.": "请求体没有 Content-Length，微信会拒绝。",
	"The caller got HTTP %d in place of an answer.":               "调用方得到的是 HTTP %d。",
	"The caller has the token.":                                   "调用方已得到 token。",
	"The follower has the message.":                               "粉丝已收到消息。",
	"The menu is below the chat.":                                 "菜单已显示在聊天下方。",
	"Carried out.":                                                "已执行。",

	"write something first":                              "请先输入内容",
	"the menu has changed: choose again":                 "菜单已改变，请重新选择",
	"give the follower a name":                           "请填写昵称",
	"choose a state":                                     "请选择状态",
	"there is no live token to end":                      "没有有效的 token",
	"the simulator is about to end":                      "模拟器即将退出",
	"there is nothing of this name to do":                "没有这个操作",
	"the clock goes forward, by a day at most at a time": "时钟只能向前调，每次最多一天",
	"your app has not yet answered the messages before: wait for a few seconds":     "应用还没有回复之前的消息，请稍等几秒",
	"the last follower has to stay: an account without followers is given new ones": "最后一个粉丝不能取消关注：没有粉丝的账号会自动生成新粉丝",
	"the address to push to: there is none: give one, or the account a CallbackURL": "还没有推送地址：请先填写应用的服务器地址",
}
