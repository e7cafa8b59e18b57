package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/network"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
	"github.com/zhongkong-go/zhongkong/platform/wecom"
)

// reachPath is an API that changes nothing. It is called without a token, which
// WeChat answers with 41001: a server that says so is WeChat.
const reachPath = "/cgi-bin/get_api_domain_ip"

const (
	connectTime = 5 * time.Second
	clockNotice = 30 * time.Second
	clockWrong  = 2 * time.Minute // pushes older than 5 minutes are refused
)

// transport reaches WeChat as programs do, on a connection of its own for each call.
func (x *examination) transport() *http.Transport {
	t := network.New(network.Steps{Dial: connectTime, TLS: connectTime})
	t.Proxy, t.DisableKeepAlives, t.ForceAttemptHTTP2 = x.Proxy, true, false
	if x.Gateway != "" && x.GatewayTLS != nil {
		t.TLSClientConfig = x.GatewayTLS.Clone()
	}
	return t
}

// contact is one attempt to reach WeChat.
type contact struct {
	proxy string // host:port; "" for none
	host  string // that was looked up and connected to
	stage stage  // how far it came

	begun, looked, connected, secured, over time.Time

	status int
	kind   string // media type
	date   time.Time
	body   []byte
	err    error

	setting string // where its address comes from

	mu sync.Mutex // guards stage and times while the transport works
}

// stage is the last step that was begun.
type stage int

const (
	looking stage = iota
	connecting
	securing
	waiting
	reading
)

func (c *contact) at(s stage, mark *time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stage = max(c.stage, s)
	if mark != nil {
		*mark = time.Now()
	}
}

// contact calls an API without any credential; setting is where its base comes from.
func (x *examination) contact(ctx context.Context, base, setting string) *contact {
	ctx, cancel := context.WithTimeout(ctx, x.Wait)
	defer cancel()
	c := &contact{begun: time.Now(), setting: setting}
	defer func() { c.over = time.Now() }()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSDone:              func(httptrace.DNSDoneInfo) { c.at(looking, &c.looked) },
		ConnectStart:         func(string, string) { c.at(connecting, nil) },
		ConnectDone:          func(string, string, error) { c.at(connecting, &c.connected) },
		TLSHandshakeStart:    func() { c.at(securing, nil) },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { c.at(securing, &c.secured) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { c.at(waiting, nil) },
		GotFirstResponseByte: func() { c.at(reading, nil) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+reachPath, nil)
	if err != nil {
		c.err = err
		return c
	}
	c.host = req.URL.Host
	if u, err := x.Proxy(req); err != nil {
		c.proxy, c.err = "?", errors.New("the proxy's URL cannot be read")
		return c
	} else if u != nil {
		c.proxy = u.Host
	}
	resp, err := x.transport().RoundTrip(req)
	if err != nil {
		c.err = plain(err)
		return c
	}
	defer func() { _ = resp.Body.Close() }()
	c.status = resp.StatusCode
	c.kind, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	c.date, _ = http.ParseTime(resp.Header.Get("Date"))
	c.body, c.err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return c
}

// errcode returns the errcode of the answer, and whether there is one: whether it
// was WeChat, or somebody who speaks like it.
func (c *contact) errcode() (int, bool) {
	var answer struct {
		Errcode *int `json:"errcode"`
	}
	if json.Unmarshal(c.body, &answer) != nil || answer.Errcode == nil {
		return 0, false
	}
	return *answer.Errcode, true
}

// reach finds out whether WeChat answers, and what time it is there.
func (x *examination) reach(ctx context.Context) (found []Finding) {
	found, x.reached = x.reachAt(ctx, x.api.Base(), x.setting("WECHAT_API_BASE", "api_base"))
	return found
}

// reachCorp is reach of WeCom. The clock is looked at once.
func (x *examination) reachCorp(ctx context.Context) (found []Finding) {
	found, x.reachedCorp = x.reachAt(ctx, x.corp.Platform().Base(), x.setting("WECOM_API_BASE", "wecom_base"))
	if x.reached {
		found = found[:1]
	}
	return found
}

// reaches reports whether the host of an account's API answered.
func (x *examination) reaches(a Account) bool {
	if a.isApp() {
		return x.reachedCorp
	}
	return x.reached
}

func (x *examination) reachAt(ctx context.Context, base, setting string) (found []Finding, reached bool) {
	c := x.contact(ctx, base, setting)
	f := Finding{Check: WeChat}
	code, speaks := c.errcode()
	took := c.over.Sub(c.begun)
	switch {
	case c.err != nil:
		f.State = Problem
		f.Cause, f.Found, f.Do = c.failure(x.Wait)
	case !speaks:
		f.State, f.Cause = Problem, "not_wechat"
		f.Found = text("what answers at %s is not WeChat: HTTP %d, %s, %d bytes",
			"%s 返回的不是微信的应答：HTTP %d，%s，%d 字节", c.host, c.status, c.mediaType(), len(c.body))
		f.Do = c.notWeChat()
	case code == -1:
		f.State, f.Cause, f.Errcode = Warning, "wechat_busy", code
		f.Found = text("%s answers that it is busy (errcode -1)", "%s 返回系统繁忙（errcode -1）", c.host)
		f.Do = text("Wait: WeChat is busy, and programs on zhongkong try again by themselves.", "稍候即可：微信系统繁忙，使用 zhongkong 的程序会自动重试。")
	default:
		f.State = OK
		steps := c.steps()
		f.Found = Text{EN: c.host + " answers" + steps, ZH: c.host + " 可以访问" + strings.ReplaceAll(steps, ", ", "，")}
		if took >= x.Wait/4 {
			f.State, f.Cause = Warning, "slow"
			f.Found = text("%s answers, but slowly: %s", "%s 可以访问，但很慢：%s", c.host, short(took))
			f.Do = text("Look at the network to %s: fetching a token ends after 8 s, so that slow answers become missing ones.",
				"请检查到 %s 的网络：获取 token 的超时是 8 秒，再慢就会失败。", c.host)
		}
	}
	if ignored := shape.Proxy(x.Env); ignored != "" && c.proxy == "" {
		f = ignoresProxy(f)
	}
	if c.proxy != "" && f.State != Problem {
		f.Found = Text{
			EN: f.Found.EN + ", through the proxy " + c.proxy + " (HTTPS_PROXY)",
			ZH: f.Found.ZH + "，经由代理 " + c.proxy + "（HTTPS_PROXY）",
		}
	}
	return []Finding{f, x.clock(c)}, c.err == nil && speaks
}

// ignoresProxy says that ALL_PROXY names a proxy that is not used.
func ignoresProxy(f Finding) Finding {
	f.Found = f.Found.Join(text(", without the proxy of ALL_PROXY, which Go programs ignore", "；没有经过 ALL_PROXY 的代理：Go 程序不认这个变量"))
	f.Do = text("Where WeChat is to be reached through a proxy, set HTTPS_PROXY to it; ALL_PROXY alone means nothing to zhongkong.",
		"如果需要经过代理访问微信，请设置 HTTPS_PROXY；zhongkong 不认 ALL_PROXY。").And(f.Do)
	if f.State == OK {
		f.State, f.Cause = Warning, "all_proxy_ignored"
	}
	return f
}

// steps says how long each step of the connection took.
func (c *contact) steps() string {
	s, last := "", c.begun
	for _, step := range []struct {
		name string
		at   time.Time
	}{{"DNS", c.looked}, {"TCP", c.connected}, {"TLS", c.secured}} {
		if !step.at.IsZero() {
			s += fmt.Sprintf(", %s %s", step.name, short(step.at.Sub(last)))
			last = step.at
		}
	}
	return s
}

func (c *contact) mediaType() string {
	if c.kind == "" {
		return "no Content-Type"
	}
	return printable(c.kind)
}

// name is the host without its port.
func (c *contact) name() string {
	if name, _, err := net.SplitHostPort(c.host); err == nil {
		return name
	}
	return c.host
}

// notWeChat is what to do about somebody who answers in WeChat's place.
func (c *contact) notWeChat() Text {
	if c.proxy != "" {
		return text("Look at the proxy %[1]s: it, or a firewall behind it, answers in WeChat's place. NO_PROXY=%[2]s goes around it.",
			"请检查代理 %[1]s：它或它后面的防火墙替微信返回了内容。设置 NO_PROXY=%[2]s 可绕过代理。", c.proxy, c.name())
	}
	return text("See who answers: curl -i %s%s. A firewall or a login page of the network, a wrong %s, or a gateway that fails.",
		"看看是谁在应答：curl -i %s%s。常见原因：防火墙、网络登录页、%s 填错，或网关故障。", "https://"+c.host, reachPath, c.setting)
}

// failure names the step that failed.
func (c *contact) failure(wait time.Duration) (cause string, found, do Text) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var (
		dns    *net.DNSError
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		netErr net.Error
		late   = errors.Is(c.err, context.DeadlineExceeded) || errors.As(c.err, &netErr) && netErr.Timeout()
		why    = printable(c.err.Error())
	)
	look := text("Check this machine's network and firewall: it has to reach %s.", "请检查本机网络和防火墙：需要能访问 %s。", c.host)
	if c.proxy != "" {
		if cause, found, do = c.proxyFailure(why); cause != "" {
			return cause, found, do
		}
	}
	switch {
	case errors.As(c.err, &dns):
		return "dns_failed",
			text("the name %s cannot be looked up: %s", "域名 %s 无法解析：%s", c.host, why),
			text("Check the DNS of this machine (/etc/resolv.conf; in a container, its own) and the spelling of %s.",
				"请检查本机的 DNS（/etc/resolv.conf；容器要看容器自己的配置），以及 %s 有没有写错。", c.setting)
	case errors.As(c.err, &verify):
		return c.untrusted(why)
	case errors.As(c.err, &record) || c.stage == securing:
		return "tls_failed",
			text("no TLS connection to %s: %s", "与 %s 无法建立 TLS 连接：%s", c.host, why),
			text("See whether something between this machine and %s breaks TLS, or whether %s needs http:// for what answers there.",
				"请检查本机到 %s 之间是否有设备干扰 TLS，或者该地址其实应当使用 http://（%s）。", c.host, c.setting)
	case c.stage <= connecting:
		return "connect_failed", text("no connection to %s: %s", "连接不上 %s：%s", c.host, why), look
	case late:
		return "no_answer",
			text("%s took the call and did not answer within %s", "%s 接受了请求，但 %s 内没有应答", c.host, short(wait)),
			look.And(text("If it is a gateway or a simulator, look whether it hangs.", "如果那是网关或模拟器，请看它是否卡住了。"))
	default:
		return "connection_cut",
			text("the connection to %s broke off: %s", "与 %s 的连接中断：%s", c.host, why),
			look.And(text("Something in between ends connections: a firewall, a proxy, a load balancer.", "中间有设备切断了连接：防火墙、代理或负载均衡。"))
	}
}

// proxyFailure is failure of a connection by a proxy; the cause is "" where it came further.
func (c *contact) proxyFailure(why string) (cause string, found, do Text) {
	var refused *network.RefusedError
	switch {
	case errors.As(c.err, &refused) && refused.Status == http.StatusProxyAuthRequired:
		return "proxy_failed",
			text("the proxy %s (HTTPS_PROXY) wants a user and a password (HTTP 407)", "代理 %s（HTTPS_PROXY）需要用户名和密码（HTTP 407）", c.proxy),
			text("Write them into the variable: HTTPS_PROXY=http://user:password@%[1]s. NO_PROXY=%[2]s goes around the proxy.",
				"请写进变量：HTTPS_PROXY=http://user:password@%[1]s。设置 NO_PROXY=%[2]s 可绕过代理。", c.proxy, c.name())
	case errors.As(c.err, &refused):
		return "proxy_failed",
			text("the proxy %s (HTTPS_PROXY) refuses CONNECT to %s: HTTP %d",
				"代理 %s（HTTPS_PROXY）拒绝 CONNECT 到 %s：HTTP %d", c.proxy, c.host, refused.Status),
			text("Have the operator of the proxy %[1]s allow CONNECT to %[2]s:443 for this machine, or set NO_PROXY=%[2]s to go around it.",
				"请让代理 %[1]s 的管理员允许本机 CONNECT 到 %[2]s:443，或设置 NO_PROXY=%[2]s 绕过代理。", c.proxy, c.name())
	case c.stage < securing:
		return "proxy_failed",
			text("the proxy %s (HTTPS_PROXY) does not let through to %s: %s", "代理 %s（HTTPS_PROXY）无法连到 %s：%s", c.proxy, c.host, why),
			text("Check HTTPS_PROXY: is the proxy %[1]s running, does it want a password, does it allow CONNECT to %[2]s? NO_PROXY=%[2]s goes around it.",
				"请检查 HTTPS_PROXY：代理 %[1]s 是否在运行，是否需要密码，是否允许 CONNECT 到 %[2]s？设置 NO_PROXY=%[2]s 可绕过代理。", c.proxy, c.host)
	}
	return "", Text{}, Text{}
}

// untrusted is failure of a certificate.
func (c *contact) untrusted(why string) (cause string, found, do Text) {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(c.err, &invalid) && invalid.Reason == x509.Expired:
		return "certificate_expired",
			text("the certificate of %s is not valid at this machine's time: %s", "按本机时间，%s 的证书不在有效期内：%s", c.host, why),
			text("Set this machine's clock first (timedatectl): WeChat's certificates are valid, unless a proxy shows its own.",
				"请先校准本机时间（timedatectl）：微信的证书是有效的，除非代理替换成了自己的证书。")
	case errors.As(c.err, new(x509.UnknownAuthorityError)):
		return "certificate_untrusted",
			text("the certificate that %s shows is signed by %q, which this machine does not know", "%s 的证书由 %q 签发，本机不信任这个机构", c.host, network.Issuer(c.err)),
			text("If that is a proxy or a firewall which inspects TLS, install its authority on this machine (on Linux SSL_CERT_FILE names a file), or let %s around it. A bare image knows no authority at all: install ca-certificates, or copy /etc/ssl/certs.",
				"如果那是会解开 TLS 的代理或防火墙，请在本机安装它的根证书（Linux 上可用 SSL_CERT_FILE 指定文件），或让 %s 不走它。精简镜像里没有任何根证书：请安装 ca-certificates，或复制 /etc/ssl/certs。", c.name())
	default:
		return "certificate_untrusted",
			text("the certificate of %s is not trusted: %s", "%s 的证书不受信任：%s", c.host, why),
			text("Install the authorities (package ca-certificates; in an image built from scratch, copy /etc/ssl/certs). If a proxy opens TLS, install its authority, or let %s around it.",
				"请安装根证书（ca-certificates；scratch 镜像需要复制 /etc/ssl/certs）。如果代理会解开 TLS，请安装它的根证书，或让 %s 不走代理。", c.host)
	}
}

// clock compares this machine's clock with the Date of WeChat's answer.
func (x *examination) clock(c *contact) Finding {
	f := Finding{Check: Clock, State: Skipped}
	if c.err != nil || c.date.IsZero() {
		f.Found = text("not looked at: WeChat told no time", "未检查：没有得到微信的时间")
		return f
	}
	if _, speaks := c.errcode(); !speaks {
		f.Found = text("not looked at: it was not WeChat that answered", "未检查：应答的不是微信")
		return f
	}
	// Date is cut to seconds, and was written between begun and over.
	off := c.begun.Add(c.over.Sub(c.begun) / 2).Sub(c.date.Add(time.Second / 2))
	size, ahead := off.Abs(), text("ahead of", "快")
	if off < 0 {
		ahead = text("behind", "慢")
	}
	if size < clockNotice+c.over.Sub(c.begun)/2 {
		f.State, f.Found = OK, text("as WeChat's", "与微信一致")
		return f
	}
	if size >= time.Minute {
		size = size.Round(10 * time.Second) // Date has whole seconds
	}
	f.State, f.Cause = Warning, "clock_off"
	if size >= clockWrong {
		f.State = Problem
	}
	f.Found = Text{
		EN: fmt.Sprintf("this machine's clock is %s %s WeChat's", short(size.Round(time.Second)), ahead.EN),
		ZH: fmt.Sprintf("本机时钟比微信%s %s", ahead.ZH, short(size.Round(10*time.Second))),
	}
	f.Do = text("Set this machine's clock, and keep it right with NTP (timedatectl set-ntp true): WeChat's pushes are refused when their timestamp lies 5 minutes off.",
		"请校准本机时钟并开启 NTP（timedatectl set-ntp true）：时间戳相差 5 分钟以上的推送会被拒绝。")
	return f
}

// plain takes the URL out of an error, which is of no use to people here.
func plain(err error) error {
	var around *url.Error
	for errors.As(err, &around) && around.Err != nil {
		err = around.Err
	}
	return err
}

// newCorp makes the client of WeCom's API.
func (x *examination) newCorp(base string) (*wecom.API, error) {
	return wecom.New(platform.Config{Base: base, Transport: x.transport(), Timeout: x.Wait})
}

// newAPI makes the client of WeChat's API.
func (x *examination) newAPI(base string) (*platform.API, error) {
	return platform.New(platform.Config{Base: base, Transport: x.transport(), Timeout: x.Wait})
}
