package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// The paths of the two ways to a token, as openapi/quota knows them.
var tokenPaths = map[platform.TokenAPI]string{platform.Classic: "/cgi-bin/token", platform.Stable: "/cgi-bin/stable_token"}

// causes name the errcodes that say why there is no token.
var causes = map[int]string{
	-1:    "wechat_busy",
	40001: "wrong_secret", // of a token endpoint
	40002: "request_changed",
	40013: "unknown_appid",
	40125: "wrong_secret",
	40164: "ip_not_whitelisted",
	40243: "secret_frozen",
	41002: "request_changed",
	41004: "request_changed",
	43002: "request_changed",
	45009: "daily_quota_used_up",
	45011: "minute_quota_used_up",
	50004: "account_punished",
	50007: "account_frozen",
	61024: "third_party_platform",
	89501: "confirmation_pending",
	89502: "ip_refused_by_administrator",
	89503: "approval_needed",
	89504: "ip_refused_by_administrator",
	89505: "ip_refused_by_administrator",
	89506: "ip_refused_for_a_day",
	89507: "ip_refused_for_an_hour",
}

// account looks at what belongs to one account.
func (x *examination) account(ctx context.Context, a Account) {
	var stable *custody.Grant
	var tried []Finding
	x.do(ctx, func(ctx context.Context) []Finding {
		try := x.credentials
		if a.isApp() {
			try = x.corpCredentials
		}
		stable, tried = try(ctx, a)
		return tried
	})
	x.do(ctx, func(ctx context.Context) []Finding { return saidOnce(x.token(ctx, a, stable), tried) })
}

// saidOnce leaves out what follows from what was found before.
func saidOnce(found, before []Finding) []Finding {
	for i, f := range found {
		for _, b := range before {
			switch {
			case f.Cause == "" || b.State != Problem:
			case f.Cause == b.Cause:
				found[i] = Finding{
					Check:   f.Check,
					Account: f.Account,
					State:   Skipped,
					Found:   text("not known: WeChat answers a call with it in the same way", "未知：带着它调用微信，结果相同"),
				}
			case f.Cause == "last_fetch_failed" || f.Cause == "token_over" || f.Cause == "no_token":
				found[i] = Finding{
					Check:   f.Check,
					Account: f.Account,
					State:   Skipped,
					Found:   text("none lives, and none can be had before the above is mended", "没有有效的 token；解决上面的问题后才能获取"),
				}
			}
		}
	}
	return found
}

// credentials tries AppID and AppSecret at stable_token in normal mode, which ends
// no token whatever the account's own way is, and returns what it answered.
func (x *examination) credentials(ctx context.Context, a Account) (*custody.Grant, []Finding) {
	secret := Finding{Check: Credentials, Account: a.AppID, State: Skipped}
	list := Finding{Check: Whitelist, Account: a.AppID, State: Skipped}
	if !x.reached {
		secret.Found = text("not tried: WeChat was not reached", "未检查：连不上微信")
		list.Found = secret.Found
		return nil, []Finding{secret, list}
	}
	ctx, cancel := context.WithTimeout(ctx, x.Wait)
	defer cancel()
	grant, err := x.api.AccessToken(platform.Account{AppID: a.AppID, Secret: a.Secret}, platform.Stable).Fetch(ctx, custody.Normal)
	if err == nil {
		secret.State, secret.Found = OK, text("WeChat takes AppID and AppSecret", "微信认可 AppID 和 AppSecret")
		list.State, list.Found = OK, text("this machine's address may call", "本机 IP 可以调用")
		return &grant, []Finding{secret, list}
	}
	failed := x.refusal(err)
	failed.Account = a.AppID
	if failed.Check == Whitelist {
		secret.Found = text("not known: WeChat refuses this machine before it says", "未知：微信先拒绝了本机 IP")
		return nil, []Finding{secret, failed}
	}
	list.Found = text("not known before the credentials are right", "凭证正确之后才能知道")
	return nil, []Finding{failed, list}
}

// refusal says why a fetch or a call failed, and what to do.
func (x *examination) refusal(err error) Finding {
	f := Finding{Check: Credentials, State: Problem}
	var refused *platform.Error
	var answer *platform.AnswerError
	var conn *platform.ConnError
	switch {
	case errors.As(err, &refused):
		info := refused.Info()
		f.Errcode, f.IP, f.Cause = refused.Code, refused.IP, causes[refused.Code]
		if refused.Host == errcode.WeCom {
			f.Cause = corpCauses[refused.Code]
		}
		if f.Cause == "" {
			f.Cause = "errcode"
		}
		if info.PerHost {
			f.Check = Whitelist
		}
		if info.Class == errcode.Transient && refused.Code == -1 {
			f.State = Warning
		}
		rid := ""
		switch {
		case refused.RID == "":
		case refused.Host == errcode.WeCom:
			rid = ", hint " + refused.RID
		default:
			rid = ", rid " + refused.RID
		}
		f.Found = Text{
			EN: fmt.Sprintf("%s (errcode %d%s)", lower(strings.TrimSuffix(info.Cause, ".")), refused.Code, rid),
			ZH: fmt.Sprintf("%s（errcode %d%s）", strings.TrimSuffix(info.CauseZH, "。"), refused.Code, rid),
		}
		if f.IP != "" {
			f.Found = text(
				"%s is not in the IP whitelist of %s (errcode %d%s)",
				"%s 不在 %s 的 IP 白名单中（errcode %d%s）",
				f.IP,
				refused.AppID,
				refused.Code,
				rid,
			)
			if refused.Host == errcode.WeCom {
				f.Found = text("%s is not among the trusted addresses (企业可信IP) of %s (errcode %d%s)", "%s 不在 %s 的企业可信IP中（errcode %d%s）",
					f.IP, refused.AppID, refused.Code, rid)
			}
			f.Do = Text{
				EN: strings.Replace(info.Remedy, "Add the address", "Add "+f.IP, 1),
				ZH: strings.Replace(info.RemedyZH, "该 IP ", " "+f.IP+" ", 1),
			}
		} else {
			f.Do = Text{EN: info.Remedy, ZH: info.RemedyZH}
		}
	case errors.As(err, &answer):
		f.Cause = "not_wechat"
		f.Found = text("the answer to %s is none of WeChat's: %s (HTTP %d, %d bytes)", "%s 的应答不是微信的格式：%s（HTTP %d，%d 字节）",
			answer.Path, answer.Reason, answer.Status, answer.Bytes)
		f.Do = text("See whether a proxy, a firewall or a gateway changes what WeChat answers: other calls got through.",
			"请检查代理、防火墙或网关是否改动了微信的应答：其他请求是正常的。")
	case errors.As(err, &conn):
		f.Cause = "connection_cut"
		f.Found = text("no answer to %s: %s", "%s 没有应答：%s", conn.Path, printable(conn.Err.Error()))
		if errors.Is(err, context.DeadlineExceeded) {
			f.Cause = "no_answer"
			f.Found = text("no answer to %s within %s", "%s 在 %s 内没有应答", conn.Path, short(x.Wait))
		}
		f.Do = text("Try again; if it stays so, look at what lies between this machine and WeChat: other calls got through.",
			"请重试；如果一直如此，请检查本机到微信之间的网络：其他请求是正常的。")
	default:
		f.Cause = "failed"
		f.Found = Text{EN: printable(err.Error()), ZH: chinese(err.Error())}
	}
	return f
}

// token looks at the token that the store has, asks WeChat about it, and with it
// about the day's quota. current is what stable_token answered; nil is unknown.
func (x *examination) token(ctx context.Context, a Account, current *custody.Grant) []Finding {
	f := Finding{Check: Token, Account: a.AppID, State: Skipped}
	if x.store == nil {
		f.Found = text("not looked at: there is no store to look into", "未检查：没有可用的存储")
		if x.StoreURL == "memory:" {
			f.Found = text("not looked at: memory: is each program's own", "未检查：memory: 只存在于各个程序自己的内存中")
		}
		return one(f)
	}
	key := x.keyOf(a)
	loading, cancel := context.WithTimeout(ctx, storeTime)
	record, err := x.store.Load(loading, key)
	cancel()
	if err != nil && !errors.Is(err, custody.ErrNotFound) {
		f.State, f.Cause = Problem, "store_failed"
		f.Found = x.storeFault(err)
		f.Do = x.storeRemedy(err)
		return one(f)
	}
	lines := x.journal(ctx, key)
	left := record.End.Sub(record.Now)
	if record.Value == "" || left <= 0 {
		return one(x.noToken(ctx, a, record, lines))
	}
	value, err := x.open(key, record)
	if err != nil {
		f.State, f.Cause = Problem, "wrong_seal_key"
		f.Found = text("the stored token cannot be opened: %[1]s", "存储中的 token 无法解密：%[1]s",
			printable(err.Error()))
		f.Do = text("Give ZHONGKONG_SEAL_KEY the same value in all programs of this store, and here; an old key may follow the new one after a comma.",
			"请让同一存储的所有程序（包括本命令）使用相同的 ZHONGKONG_SEAL_KEY；更换密钥时把旧的用逗号接在新的后面。")
		return one(f)
	}
	f.State, f.Found = OK, text("lives for %s more, and WeChat takes it", "还有 %s 有效，微信认可", short(left))
	if !x.reaches(a) {
		f.State, f.Found = Skipped, text("should live for %s more; WeChat was not asked", "应当还有 %s 有效；未能向微信核实", short(left))
		return one(f)
	}
	client := x.clientOf(a)
	asked := client.Get(ctx, reachPath, url.Values{"access_token": {value.Reveal()}}, nil)
	if asked != nil {
		return one(x.refusedToken(a, asked, value, current, left))
	}
	if a.isApp() { // whose fetches end no token, and are not counted by the day
		f.Found = text("lives for %s more, and WeCom takes it", "还有 %s 有效，企业微信认可", short(left))
		return one(f)
	}
	if current != nil && a.TokenAPI == platform.Stable && !current.Value.Equal(value) && left > 5*time.Minute {
		f.State, f.Cause = Warning, "superseded"
		f.Found = text("WeChat takes it, but has issued another since: this one ends within 5 minutes", "微信还认可，但之后又签发了新的 token：这一个 5 分钟内就会失效")
		f.Do = text("Find who forced a refresh of %s outside of this store. Programs here continue with the new one automatically.",
			"请找出谁在这个存储之外强制刷新了 %s 的 token。这里的程序会自动换用新的。", a.AppID)
	}
	found := []Finding{f}
	if early, ok := x.dyingYoung(a, record, lines); ok {
		found = append(found, early)
	}
	return append(found, x.quota(ctx, a, client, value, lines))
}

func (x *examination) open(key custody.Key, record custody.Record) (custody.Secret, error) {
	if record.SealKey == "" {
		return custody.NewSecret(record.Value), nil
	}
	return custody.UnsealRecord(x.SealKeys, key, record)
}

// refusedToken says why WeChat does not take the token that the store has for live.
func (x *examination) refusedToken(a Account, err error, value custody.Secret, current *custody.Grant, left time.Duration) Finding {
	f := x.refusal(err)
	f.Check, f.Account = Token, a.AppID
	var refused *platform.Error
	if !errors.As(err, &refused) || refused.Info().Class != errcode.Refused {
		return f
	}
	if a.isApp() {
		f.State, f.Cause = Warning, "token_ended_early"
		f.Found = text("WeCom refuses it (errcode %d) although it should live for %s more: WeCom has ended it early", "企业微信拒绝了它（errcode %d），而它本应还有 %s 有效：企业微信提前使其失效了", f.Errcode, short(left))
		f.Do = text("Nothing: programs on this store renew it at their next call.", "无需处理：使用这个存储的程序在下次调用时会自动刷新。")
		return f
	}
	f.Cause = "token_superseded"
	f.Found = text("WeChat refuses it (errcode %d) although it should live for %s more: somebody else fetched a token for %s",
		"微信拒绝了它（errcode %d），而它本应还有 %s 有效：有人另外获取了 %s 的 token", f.Errcode, short(left), a.AppID)
	f.Do = text("Find the other program that fetches for %s, and let it take its token from this store or a gateway, or use stable_token. Programs here renew by themselves at the next refused call.",
		"请找出另外获取 %s 的 token 的程序，让它改从这个存储或网关取 token，或改用 stable_token。这里的程序在下次被拒绝时会自动刷新。", a.AppID)
	switch {
	case f.Errcode == 42001:
		f.Cause = "token_expired"
		f.Found = text("WeChat says that it has expired (errcode 42001) although the store says that it lives for %s more", "微信说它已过期（errcode 42001），而存储认为它还有 %s 有效", short(left))
		f.Do = text("Look whether the clock of the store's machine was set back, or an old copy of the store was put in place. Programs renew by themselves at the next refused call.",
			"请检查存储所在机器的时钟是否被调慢过，或存储是否被恢复成了旧的备份。程序在下次被拒绝时会自动刷新。")
	case a.TokenAPI != platform.Stable:
	case current == nil || !current.Value.Equal(value):
		f.Found = text("WeChat refuses it (errcode %d) although it should live for %s more: it was replaced outside of this store", "微信拒绝了它（errcode %d），而它本应还有 %s 有效：有人在这个存储之外换掉了它", f.Errcode, short(left))
		f.Do = text("Find who sends force_refresh to stable_token for %s outside of this store, or reset something in the console. Programs here take the new token by themselves at the next refused call.",
			"请找出是谁在这个存储之外对 %s 调用了 stable_token 的 force_refresh，或在后台做了重置。这里的程序在下次被拒绝时会自动换用新的 token。", a.AppID)
	default:
		f.Cause = "token_refused"
		f.Found = text("WeChat's APIs refuse it (errcode %d), and stable_token still answers it", "微信的接口拒绝了它（errcode %d），但 stable_token 仍然返回它", f.Errcode)
		f.Do = text("Have it replaced: zhongkong token refresh --force. Programs do so by themselves at the next refused call, at most every 30 s and 18 times a day.",
			"强制刷新：zhongkong token refresh --force。程序在下次被拒绝时也会自动强制刷新（至少间隔 30 秒，每天最多 18 次）。")
	}
	return f
}

// noToken is for a store without a live token.
func (x *examination) noToken(ctx context.Context, a Account, record custody.Record, lines []custody.Entry) Finding {
	f := Finding{Check: Token, Account: a.AppID, State: Skipped, Cause: "no_token"}
	if x.Fetch && x.reaches(a) {
		return x.fetch(ctx, a)
	}
	start := text("Start your program, or have one fetched: zhongkong token get.", "请启动程序，或执行 zhongkong token get 获取。")
	switch {
	case a.isApp():
		start = text("Start your program, or have one fetched: zhongkong doctor --fetch.", "请启动程序，或执行 zhongkong doctor --fetch 获取。")
	case a.TokenAPI == platform.Classic:
		start = text("Start your program. zhongkong doctor --fetch has one fetched, which ends a classic token that somebody else may be using.",
			"请启动程序。也可以用 zhongkong doctor --fetch 获取；注意这会使别处正在使用的 /cgi-bin/token 的 token 失效。")
	}
	switch {
	case len(lines) > 0 && lines[0].Event == custody.EventRelease && lines[0].Detail != "":
		f.State, f.Cause = Problem, "last_fetch_failed"
		f.Found = text("none lives, and the last attempt, %[1]s ago, failed: %[2]s", "没有有效的 token，最近一次获取（%[1]s 前）失败：%[2]s",
			short(record.Now.Sub(lines[0].At)), printable(lines[0].Detail))
		f.Do = text("Mend what the last attempt met.", "请先解决上次失败的原因。").And(start)
	case record.Value != "":
		f.State, f.Cause = Warning, "token_over"
		f.Found = text("the last one ended %s ago: no program renews it", "上一个已过期 %s：没有程序在刷新它", short(record.Now.Sub(record.End)))
		f.Do = start
	default:
		f.Found = text("there is none yet: a program fetches one when it starts", "还没有 token：程序启动时会获取")
	}
	return f
}

// fetch has a Keeper fetch: under the store's lease, counted, and only where
// nobody else did meanwhile.
func (x *examination) fetch(ctx context.Context, a Account) Finding {
	f := Finding{Check: Token, Account: a.AppID}
	ctx, cancel := context.WithTimeout(ctx, 2*x.Wait)
	defer cancel()
	keeper, err := custody.New(custody.Config{
		Key: x.keyOf(a), Kind: x.kindOf(a),
		Store: x.store, Secret: a.Secret, SealKeys: x.SealKeys,
	})
	if err == nil {
		defer func() { _ = keeper.Close() }()
		var token custody.Token
		if token, err = keeper.Token(ctx); err == nil {
			f.State, f.Found = OK, text("there was none; one was fetched, and lives for %s", "原来没有；已获取一个，有效期 %s", short(token.Left()))
			return f
		}
	}
	f.State, f.Cause = Problem, "failed"
	f.Found = text("none could be fetched: %[1]s", "获取失败：%[1]s", printable(err.Error()))
	if none, ok := errors.AsType[*custody.Error](err); ok {
		f.Found = text("none could be fetched: %[1]s", "获取失败：%[1]s", printable(none.Text))
		if refused := x.refusal(err); none.Err != nil && refused.Cause != "failed" {
			refused.Check, refused.Account = Token, a.AppID
			return refused
		}
		f.Errcode = none.Code
		if cause := causes[none.Code]; cause != "" {
			f.Cause = cause
		}
		f.Do = text("Mend that; the next attempt is due in %s.", "请先解决；下一次尝试在 %s 之后。", short(none.RetryAfter))
	}
	return f
}
