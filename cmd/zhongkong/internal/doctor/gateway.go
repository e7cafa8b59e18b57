package doctor

import (
	"context"
	"errors"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
)

// viaGateway asks the gateway that a program takes its token from, with the
// program's key. A gateway's tokens are made of the key, so nothing is fetched.
func (x *examination) viaGateway(ctx context.Context, a Account) []Finding {
	f := Finding{Check: Gateway, Account: a.AppID, State: Problem}
	c := x.contact(ctx, x.api.Base(), "ZHONGKONG_GATEWAY")
	switch _, speaks := c.errcode(); {
	case c.err != nil:
		f.Cause, f.Found, f.Do = c.failure(x.Wait)
		if f.Cause == "certificate_untrusted" {
			f.Do = text("Set ZHONGKONG_GATEWAY_CA to the file of the authority that signed the gateway's certificate, or of the certificate itself if it signed itself.",
				"请把 ZHONGKONG_GATEWAY_CA 设为签发网关证书的根证书文件；自签名证书就用证书文件本身。")
			return one(f)
		}
		f.Do = text("Check that the gateway runs and that ZHONGKONG_GATEWAY is its address: %s.", "请检查网关是否在运行，ZHONGKONG_GATEWAY 是不是它的地址：%s。", x.api.Base())
		return one(f)
	case !speaks:
		f.Cause = "not_a_gateway"
		f.Found = text("what answers at %s is no gateway: HTTP %d, %s, %d bytes", "%s 返回的不是网关的应答：HTTP %d，%s，%d 字节", c.host, c.status,
			c.mediaType(), len(c.body))
		f.Do = text("Correct ZHONGKONG_GATEWAY, or what is in front of the gateway: %s.", "请修正 ZHONGKONG_GATEWAY，或检查网关前面的代理：%s。", x.api.Base())
		return one(f)
	}
	clock := x.clock(c)
	ctx, cancel := context.WithTimeout(ctx, 2*x.Wait) // of a key for real tokens the gateway may have to fetch
	defer cancel()
	_, err := x.api.AccessToken(platform.Account{AppID: a.AppID, Secret: x.Key}, platform.Classic).Fetch(ctx, custody.Normal)
	if err == nil {
		f.State, f.Found = OK, text("%s knows the key and gives a token of %s", "%s 认可密钥，并返回了 %s 的 token", x.api.Base(), a.AppID)
		return []Finding{f, clock}
	}
	failed := x.refusal(err)
	failed.Check, failed.Account = Gateway, a.AppID
	if refused, ok := errors.AsType[*platform.Error](err); ok {
		switch refused.Code {
		case 40001, 40125:
			failed.Cause = "wrong_key"
			failed.Found = text("the gateway does not know the key (errcode %d)", "网关不认识这个密钥（errcode %d）", refused.Code)
			failed.Do = text("Set ZHONGKONG_GATEWAY_KEY to the key of this program; who has lost it makes another on the gateway's machine: zhongkong client rotate NAME.",
				"请把 ZHONGKONG_GATEWAY_KEY 设为本程序的密钥；如已遗失，请在网关机器上执行 zhongkong client rotate NAME 换一个。")
		case 40013:
			failed.Cause = "account_not_allowed"
			failed.Found = text("the gateway has no account %s for this key (errcode 40013)", "网关没有为这个密钥开放账号 %s（errcode 40013）", a.AppID)
			failed.Do = text("Look at WECHAT_APPID, at the accounts of the gateway's configuration, and at what the key may use: zhongkong client list.",
				"请检查 WECHAT_APPID、网关配置中的账号，以及该密钥可用的账号：zhongkong client list。")
		default:
		}
	}
	return []Finding{failed, clock}
}
