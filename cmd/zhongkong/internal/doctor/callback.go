package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// Address is one that WeChat pushes to.
type Address struct {
	URL     string
	App     simulator.Account // whose Token and AES key it has
	Missing Text              // why they are not known; the address is not asked then
}

// noCallback says how to have an address looked at: which one, of which account.
func (x *examination) noCallback(context.Context) (all []Finding) {
	if x.Settings == nil {
		return one(Finding{Check: Callback, State: Skipped, Found: text("not looked at: give --callback-url URL, your app's callback address",
			"未检查：请加上 --callback-url URL（应用的回调地址）")})
	}
	for _, a := range x.Settings.Accounts {
		if a.Callback != nil {
			found := text("not looked at: give --callback-url %s/callback/%s", "未检查：请加上 --callback-url %s/callback/%s", x.base(), a.AppID)
			all = append(all, Finding{Check: Callback, Account: a.AppID, State: Skipped, Found: found})
		}
	}
	if all == nil {
		return one(Finding{Check: Callback, State: Skipped, Found: text("not looked at: no account of the configuration has a callback",
			"未检查：配置中的账号都没有 callback")})
	}
	return all
}

// base is the gateway's address for programs on this machine. A certificate is for a name, which
// the configuration need not have: HOST stands for it.
func (x *examination) base() string {
	scheme := "http"
	host, port, err := net.SplitHostPort(x.Settings.Listen)
	if err != nil { // which another check has found
		return "https://HOST"
	}
	switch ip := net.ParseIP(host); {
	case x.Settings.TLS.Domain != "":
		scheme, host = "https", x.Settings.TLS.Domain
	case x.Settings.TLS.On():
		scheme, host = "https", "HOST"
	case host == "" || ip.Equal(net.IPv4zero) || ip.Equal(net.IPv6unspecified):
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// callback plays WeChat towards an app's address: the handshake of the console,
// that of somebody with another Token, a push in the account's mode and format, and
// one with a wrong signature.
func (x *examination) callback(ctx context.Context, at Address) []Finding {
	address, app, patience := at.URL, at.App, min(x.Wait, simulator.DefaultPatience)
	f := Finding{Check: Callback, Account: app.AppID, Subject: address, State: Problem}
	mode := app.Mode
	if mode == "" {
		mode = simulator.Plain
		if app.AESKey != "" {
			mode = simulator.Safe
		}
	}
	if at.Missing != (Text{}) {
		return one(x.untestable(f, at.Missing))
	}
	unusable := func(err error) []Finding {
		why := printable(named.Plain(err).Error())
		return one(x.untestable(f, Text{EN: why, ZH: chinese(why)}))
	}
	app.Secret = "not needed"
	wx, err := simulator.New(simulator.Options{Accounts: []simulator.Account{app}, Patience: patience, Events: -1})
	if err != nil {
		if cause := errors.Unwrap(named.Plain(err)); cause != nil {
			err = cause // without the name of the option
		}
		return unusable(err)
	}
	push := simulator.Push{URL: address, Message: simulator.Text("ping"), Mode: mode, Format: app.Format}
	forged := push
	forged.Attack = simulator.WrongSignature
	for _, step := range []struct {
		stage Stage
		run   func(context.Context, simulator.Push) (simulator.Result, error)
		push  simulator.Push
	}{
		{Handshake, wx.Verify, simulator.Push{URL: address}},
		{Stranger, wx.Verify, simulator.Push{URL: address, Attack: simulator.WrongSignature}},
		{Message, wx.Deliver, push},
		{Forgery, wx.Deliver, forged},
	} {
		result, err := step.run(ctx, step.push)
		if err != nil {
			return unusable(err)
		}
		if !result.OK() {
			d := result.Deliveries[len(result.Deliveries)-1]
			t := trouble{stage: step.stage, mode: mode, kind: app.Kind, d: d, late: d.Err != nil && d.Took >= patience}
			f.Cause = t.cause()
			name, what := step.stage.in(mode), t.what(result.Reason)
			f.Found = Text{
				EN: fmt.Sprintf("%s: %s fails: %s", address, name.EN, what.EN),
				ZH: fmt.Sprintf("%s：%s失败（%s）", address, name.ZH, what.ZH),
			}
			f.Do = t.remedy(f.Cause)
			return one(f)
		}
	}
	f.State = OK
	f.Found = Text{
		EN: fmt.Sprintf("%s answers the handshake and a push in %s mode, and refuses forged ones", address, mode),
		ZH: fmt.Sprintf("%s 通过了握手和%s的推送，并拒绝了伪造的请求", address, modeZH[mode]),
	}
	return one(f)
}

// untestable finds that an address cannot be asked.
func (x *examination) untestable(f Finding, why Text) Finding {
	f.Cause = "callback_not_testable"
	f.Found = Text{EN: fmt.Sprintf("%s cannot be tried: %s", f.Subject, why.EN), ZH: fmt.Sprintf("无法检查 %s：%s", f.Subject, why.ZH)}
	f.Do = Text{
		EN: "Correct the address, WECHAT_TOKEN or WECHAT_AES_KEY (of an app of WeCom, WECOM_TOKEN or WECOM_AES_KEY): " + why.EN + ".",
		ZH: "请修正回调地址、WECHAT_TOKEN 或 WECHAT_AES_KEY（企业微信应用为 WECOM_TOKEN、WECOM_AES_KEY）：" + why.ZH + "。",
	}
	if x.Settings != nil {
		f.Do = text("Correct the address, or token and aes_key of its account's callback in %[1]s.", "请修正回调地址，或 %[1]s 中该账号 callback 的 token 和 aes_key。", x.File)
	}
	return f
}

var modeZH = map[simulator.Mode]string{simulator.Plain: "明文模式", simulator.Compatible: "兼容模式", simulator.Safe: "安全模式"}

// Stage is a step of what WeChat, or somebody who is not WeChat, does to an address.
type Stage int

// The stages.
const (
	Handshake Stage = iota // the console's, when the address is saved
	Stranger               // a handshake with another Token
	Message                // a push
	Forgery                // a push with a wrong signature
)

func (s Stage) in(mode simulator.Mode) Text {
	switch s {
	case Handshake:
		return text("the handshake", "握手")
	case Stranger:
		return text("the handshake of a stranger", "拒绝陌生人的握手")
	case Message:
		return Text{EN: "a push in " + string(mode) + " mode", ZH: modeZH[mode] + "推送"}
	default:
		return text("a forged push", "拒绝伪造的推送")
	}
}

// Remedy names what is wrong with the answer to a push or a handshake, and says what
// to do. wait is how long it was waited for.
func Remedy(stage Stage, mode simulator.Mode, kind simulator.Kind, d simulator.Delivery, wait time.Duration) (cause string, do Text) {
	t := trouble{stage: stage, mode: mode, kind: kind, d: d, late: d.Err != nil && d.Took >= wait}
	cause = t.cause()
	return cause, t.remedy(cause)
}

// trouble is an answer that is not right.
type trouble struct {
	stage Stage
	mode  simulator.Mode
	kind  simulator.Kind
	d     simulator.Delivery
	late  bool
}

// cause names what is wrong.
func (t trouble) cause() string {
	d := t.d
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case t.late:
		return "callback_timeout"
	case errors.As(d.Err, &certificate):
		return "callback_certificate"
	case errors.As(d.Err, &dns):
		return "callback_unreachable"
	case d.Err != nil && strings.Contains(d.Err.Error(), "nothing listens"):
		return "callback_unreachable"
	case d.Err != nil:
		return "callback_cut"
	case t.stage == Stranger || t.stage == Forgery:
		return "callback_accepts_forgeries"
	case d.Status >= 300 && d.Status < 400:
		return "callback_redirect"
	case d.Status == http.StatusNotFound || d.Status == http.StatusMethodNotAllowed:
		return "callback_no_route"
	case d.Status >= 500:
		return "callback_app_fails"
	case isCompressed(d):
		return "callback_compressed"
	case isHTML(d):
		return "callback_html"
	case d.Status == http.StatusForbidden || d.Status == http.StatusUnauthorized:
		return t.forbidden()
	case d.Status != http.StatusOK:
		return "callback_refused"
	case t.stage == Handshake:
		return "callback_wrong_echo"
	default:
		return "callback_wrong_reply"
	}
}

// forbidden is the cause of a refusal.
func (t trouble) forbidden() string {
	switch {
	case t.stage == Handshake:
		return "callback_wrong_token"
	case t.mode == simulator.Plain:
		return "callback_wants_encryption"
	default:
		return "callback_wrong_aes_key"
	}
}

// isCompressed reports whether the answer is, though nobody asked for that.
func isCompressed(d simulator.Delivery) bool {
	encoding := d.Header.Get("Content-Encoding")
	return encoding != "" && encoding != "identity" || strings.HasPrefix(d.Body, "\x1f\x8b")
}

func isHTML(d simulator.Delivery) bool {
	body := strings.ToLower(strings.TrimSpace(d.Body))
	return strings.HasPrefix(body, "<!doctype html") || strings.HasPrefix(body, "<html")
}

// what says what came back; reason is the simulator's word for it.
func (t trouble) what(reason string) Text {
	var dns *net.DNSError
	switch {
	case t.late:
		return text("no answer in time", "没有及时应答")
	case errors.As(t.d.Err, &dns):
		return text("the name %s cannot be looked up", "域名 %s 无法解析", printable(dns.Name))
	case t.d.Err != nil:
		return Text{EN: printable(t.d.Err.Error()), ZH: "没有应答：" + chinese(t.d.Err.Error())}
	case t.d.Status != http.StatusOK:
		return text("it answered %d %s", "返回 %d %s", t.d.Status, http.StatusText(t.d.Status))
	case isCompressed(t.d):
		return text("its answer is compressed", "返回的内容被压缩了")
	case isHTML(t.d):
		return text("it answered with a web page", "返回了网页")
	default:
		return Text{EN: printable(reason), ZH: "返回的内容不对"}
	}
}

// remedy says what to do about a cause.
func (t trouble) remedy(cause string) Text {
	switch cause {
	case "callback_timeout":
		return text("Let the app answer within 5 s: success at once, and the work afterwards. WeChat asks three times, and the follower then reads that the account fails.",
			"请让程序在 5 秒内应答：先返回 success，再处理业务。微信会重试三次，之后用户会看到“该公众号提供的服务出现故障”。")
	case "callback_unreachable":
		return text("Start the app, and check host and port of the address. WeChat itself reaches ports 80 and 443 alone.", "请启动程序，并检查地址的主机名和端口。微信只能访问 80 和 443 端口。")
	case "callback_certificate":
		return text("Give the address a certificate that everybody trusts, with its intermediate ones, for this very name: WeChat refuses others.",
			"请为该域名配置受信任的证书（包含中间证书）：微信不接受其他证书。")
	case "callback_cut":
		return text("Look at the app's log and at what is in front of it: the connection ended before the answer did.", "请查看程序日志以及前面的代理：连接在应答完成之前就断了。")
	case "callback_accepts_forgeries":
		return text("Let the app check the signature before anything else: anybody can send it messages now. The middleware does.", "请让程序先校验签名：现在任何人都能伪造消息。使用中间件即可自动校验。")
	case "callback_redirect":
		return text("Give the address that it redirects to: WeChat does not follow redirects.", "请直接填写跳转后的地址：微信不会跟随重定向。")
	case "callback_no_route":
		method := http.MethodPost
		if t.stage == Handshake {
			method = http.MethodGet
		}
		return text("Let the app answer %s at this path: with the middleware on the engine, its Config.CallbackPath; on a Gin group, register client.Callback() there for GET and POST, since Gin runs a group's middleware for its routes only.",
			"请让程序在该路径上响应 %s 请求：中间件注册在 engine 上时，检查 Config.CallbackPath；注册在 Gin 的 group 上时，请在该 group 中为 GET 和 POST 注册 client.Callback()，因为 group 的中间件只对已有路由生效。", method)
	case "callback_app_fails":
		if t.stage == Message {
			return text("The app, or a proxy in front of it, fails: look into their logs. If the app has the middleware, its log may say that the body was read before: then register the middleware before the one that reads bodies; or that a proxy compresses it: switch that off.",
				"程序或它前面的代理出错了：请查看它们的日志。如果使用了中间件，日志可能提示请求体已被读取：请把中间件注册在读取请求体的中间件之前；也可能提示请求体被代理压缩：请关闭压缩。")
		}
		return text("The app, or a proxy in front of it, fails: look into their logs.", "程序或它前面的代理出错了：请查看它们的日志。")
	case "callback_compressed":
		return text("Switch compression off for this path: WeChat does not ask for it and cannot read the answer.", "请对该路径关闭压缩：微信没有请求压缩，也无法识别压缩后的应答。")
	case "callback_html":
		return text("Something answers with a web page: see that the address leads to the app and not to a site, a login page or a tunnel's notice.", "返回的是网页：请确认地址指向你的程序，而不是网站首页、登录页或内网穿透工具的提示页。")
	case "callback_wrong_token":
		if t.kind == simulator.WeCom { // whose handshake is encrypted
			return text("Give the app and this command the same Token, EncodingAESKey and corpid, those of the app's 接收消息; and see that nothing in front of the app drops the query, changes a + in it, or asks for a login.",
				"请让程序和本命令使用同样的 Token、EncodingAESKey 和 CorpID（与应用“接收消息”中的一致），并确认前面的代理没有丢弃 URL 参数、改动其中的 +，或要求登录。")
		}
		return text("Give the app and this command the same Token, that of the console's message push (消息推送); and see that nothing in front of the app drops the query or asks for a login.",
			"请让程序和本命令使用同一个 Token（与后台“消息推送”中的一致），并确认前面的代理没有丢弃 URL 参数或要求登录。")
	case "callback_wants_encryption":
		return text("The Token is right. Either the app wants encrypted messages: set WECHAT_AES_KEY here too, or take it from the app if the console says plain mode (明文模式). Or the body does not reach the app as it was sent: a middleware reads it first, or a proxy compresses or changes it. The app's log says which.",
			"Token 正确。可能是程序要求加密消息：请在这里也设置 WECHAT_AES_KEY；如果后台是明文模式，请去掉程序里的 AES key。也可能是请求体没有原样到达程序：被其他中间件先读取，或被代理压缩、修改。具体原因请看程序日志。")
	case "callback_wrong_aes_key":
		return text("The Token is right. Either the AES key or the appid differs, or the app has no AES key: give both the same EncodingAESKey and AppID, those of the console. Or the body does not reach the app as it was sent: a middleware reads it first, or a proxy compresses or changes it. The app's log says which.",
			"Token 正确。可能是 AES key 或 AppID 不一致，或程序没有配置 AES key：请与后台的 EncodingAESKey 和 AppID 保持一致；也可能是请求体没有原样到达程序：被其他中间件先读取，或被代理压缩、修改。具体原因请看程序日志。")
	case "callback_wrong_echo":
		if t.kind == simulator.WeCom {
			return text("Answer what the echostr of the query holds, decrypted, without quotes, white space or a BOM.", "请返回 echostr 解密后的明文，不要加引号、空白或 BOM。")
		}
		return text("Answer the echostr of the query as it is, without quotes, white space or a BOM.", "请原样返回 echostr，不要加引号、空白或 BOM。")
	case "callback_wrong_reply":
		return text("Answer success, nothing, or a whole reply, encrypted in safe mode: WeChat cannot read this one.", "请返回 success、空内容或完整的回复（安全模式下要加密）：微信无法识别现在的应答。")
	default:
		return text("Look into the app's log: it has to answer with status 200.", "请查看程序日志：应当返回状态码 200。")
	}
}
