package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/platform"
)

// certificateNotice is how long before its end a certificate is spoken of.
const certificateNotice = 14 * 24 * time.Hour

// configuration says what is examined. What it was read from was fit to be read, or
// nothing would be.
func (x *examination) configuration(context.Context) []Finding {
	f := Finding{Check: Configuration, State: OK}
	source := text("the environment", "环境变量")
	if x.File != "" {
		source = Text{EN: x.File, ZH: x.File}
	}
	base, setting := x.Base, x.setting("WECHAT_API_BASE", "api_base")
	if x.Gateway != "" {
		base, setting = x.Gateway, "ZHONGKONG_GATEWAY"
	}
	var err error
	if x.api, err = x.newAPI(base); err != nil {
		f.State, f.Cause = Problem, "wrong_base"
		what := err.Error()
		if wrong, ok := errors.AsType[*platform.BaseError](err); ok {
			what = wrong.Err.Error()
		}
		f.Found = text("the address of the API %[1]s", "API 地址有误：%[1]s", what)
		f.Do = text("Correct %s: the address of the API %s.", "请修正 %s：%s。", setting, what)
		x.api, _ = x.newAPI(platform.DefaultBase)
		return one(f)
	}
	if x.corp, err = x.newCorp(x.WeComBase); err != nil {
		what := err.Error()
		if wrong, ok := errors.AsType[*platform.BaseError](err); ok {
			what = wrong.Err.Error()
		}
		f.State, f.Cause = Problem, "wrong_base"
		f.Found = text("the address of WeCom's API %[1]s", "企业微信的 API 地址有误：%[1]s", what)
		f.Do = text("Correct %s: the address of WeCom's API %s.", "请修正 %s：%s。", x.setting("WECOM_API_BASE", "wecom_base"), what)
		x.corp, _ = x.newCorp("")
		return one(f)
	}
	if len(x.Accounts) == 1 {
		way := map[platform.TokenAPI]string{platform.Stable: "stable_token", platform.Classic: "/cgi-bin/token"}[x.Accounts[0].TokenAPI]
		switch {
		case x.Gateway != "":
			way = x.api.Base()
		case x.Accounts[0].isApp():
			way = "gettoken"
		}
		f.Found = Text{
			EN: fmt.Sprintf("%s: account %s, token from %s", source.EN, x.Accounts[0].AppID, way),
			ZH: fmt.Sprintf("%s：账号 %s，token 来自 %s", source.ZH, x.Accounts[0].AppID, way),
		}
	} else {
		f.Found = Text{
			EN: fmt.Sprintf("%s: %d accounts", source.EN, len(x.Accounts)),
			ZH: fmt.Sprintf("%s：%d 个账号", source.ZH, len(x.Accounts)),
		}
	}
	if x.Settings != nil && x.Settings.Admin.Listen != "" {
		f.Found = Text{EN: f.Found.EN + "; those of the admin API are not looked at", ZH: f.Found.ZH + "；通过管理 API 添加的账号不检查"}
	}
	found := one(f)
	for _, a := range x.Absent {
		what := printable(a.Err.Error())
		f := Finding{
			Check: Configuration, Account: a.Account, State: Warning, Cause: "secret_absent",
			Found: Text{EN: what, ZH: chinese(what)},
			Do: text("Set it where the gateway runs, which does not start without it; nothing here needs it.",
				"请在网关运行的环境中设置，没有它网关无法启动；本次检查不需要它。"),
		}
		if a.Account != "" {
			f.Do = text("Set it to have the account %s looked at, or name the others with --account.",
				"设置之后才能检查账号 %s；也可以用 --account 只检查其他账号。", a.Account)
		}
		found = append(found, f)
	}
	if x.Settings != nil && len(x.SealKeys) == 0 {
		found = append(found, Finding{
			Check: Configuration, State: Problem, Cause: "no_seal_key",
			Found: text("ZHONGKONG_SEAL_KEY is not set: the gateway does not start without it", "没有设置 ZHONGKONG_SEAL_KEY：没有它网关无法启动"),
			Do: text("Set ZHONGKONG_SEAL_KEY, the same for every gateway of the store; make one with: openssl rand -base64 32",
				"请设置 ZHONGKONG_SEAL_KEY，同一存储的所有网关使用同一个；生成：openssl rand -base64 32"),
		})
	}
	return found
}

// files looks at who may read what holds secrets.
func (x *examination) files(context.Context) []Finding {
	f := Finding{Check: Files, State: OK}
	if runtime.GOOS == "windows" {
		f.State, f.Found = Skipped, text("not looked at on this system", "此系统上不检查")
		return one(f)
	}
	paths := x.secretFiles()
	if path, isFile := x.database(); isFile {
		paths = append(paths, path, path+"-wal", path+"-shm")
	}
	var open []string
	seen := 0
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			seen++
		}
		if mode, others := modeOf(path); others {
			open = append(open, path+" ("+mode+")")
		}
	}
	switch {
	case len(open) > 0:
		f.State, f.Cause = Warning, "readable_by_others"
		list := strings.Join(open, ", ")
		f.Found = text("other users of this machine may read %s", "本机其他用户可以读取 %s", list)
		var names []string
		for _, path := range open {
			name, _, _ := strings.Cut(path, " (")
			names = append(names, name)
		}
		f.Do = text(
			"Let nobody but their owner read the files with secrets: chmod 600 %s",
			"存放机密的文件只应属主可读：chmod 600 %s",
			strings.Join(names, " "),
		)
	case seen == 0:
		f.State, f.Found = Skipped, text("no file here holds a secret", "没有存放机密的文件")
	default:
		f.Found = text("only their owner may read them", "只有属主可读")
	}
	return one(f)
}

// secretNames are what secrets are called in a configuration file; see
// gateway.Settings.
var secretNames = map[string]bool{
	"secret": true, "key": true, "metrics_key": true,
	"token": true, "previous_token": true, "aes_key": true, "previous_aes_key": true,
}

// secretFiles are the configuration's files with secrets in them: itself when one
// is in it, and those that it names.
func (x *examination) secretFiles() []string {
	if x.File == "" {
		return nil
	}
	content, err := os.ReadFile(x.File)
	if err != nil {
		return nil
	}
	var file any
	if yaml.Unmarshal(content, &file) != nil {
		return nil
	}
	var paths []string
	if key := x.Settings.TLS.Key; key != "" {
		paths = append(paths, key)
	}
	var walk func(node any)
	walk = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, item := range node {
				walk(item)
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(node)) {
				if name == "tls" || name == "when" { // whose key is a path, and a rule
					continue
				}
				if !secretNames[name] {
					walk(node[name])
				} else if path := x.secretFile(node[name]); path != "" && !slices.Contains(paths, path) {
					paths = append(paths, path)
				}
			}
		}
	}
	walk(file)
	if u, err := url.Parse(x.Settings.Store); err == nil && u.User != nil && !slices.Contains(paths, x.File) {
		paths = append(paths, x.File) // the store's password
	}
	return paths
}

// secretFile returns the file that holds a secret of the configuration; "" when none
// does.
func (x *examination) secretFile(source any) string {
	named, ok := source.(map[string]any)
	switch path, _ := named["file"].(string); {
	case source == nil:
		return ""
	case !ok:
		return x.File
	case path == "" || filepath.IsAbs(path):
		return path
	default:
		return filepath.Join(filepath.Dir(x.File), path)
	}
}

// certificate looks at the gateway's own.
func (x *examination) certificate(context.Context) []Finding {
	f := Finding{Check: Certificate, State: OK}
	if name := x.Settings.TLS.Domain; name != "" {
		f.State = Skipped
		f.Found = text("zhongkong serve gets the one for %s itself, and its log says what comes of it", "zhongkong serve 会自动申请 %s 的证书，结果见它的日志", name)
		return one(f)
	}
	if x.Settings.TLS.Cert == "" {
		f.State, f.Found = Skipped, text("none is configured: plain HTTP", "未配置证书：使用普通 HTTP")
		return one(f)
	}
	path := x.Settings.TLS.Cert
	wrong := func(cause string, found, do Text) []Finding {
		f.State, f.Cause, f.Found, f.Do = Problem, cause, found, do
		return one(f)
	}
	if err := x.Settings.TLS.Check(); err != nil {
		what := printable(named.Plain(err).Error())
		return wrong("certificate_unusable", text("it cannot be used: %[1]s", "证书无法使用：%[1]s", what),
			text("Correct tls.cert and tls.key in %s, or the files there.", "请修正 %s 中的 tls.cert 和 tls.key，或更换这些文件。", x.File))
	}
	pair, err := tls.LoadX509KeyPair(path, x.Settings.TLS.Key)
	if err != nil {
		return nil // said above
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return wrong(
			"certificate_unusable",
			text("%s holds no certificate that can be read", "%s 中没有可用的证书", path),
			text("Replace %s.", "请更换 %s。", path),
		)
	}
	day, now := leaf.NotAfter.Format(time.DateOnly), time.Now()
	renew := text("Renew the certificate %s. The gateway takes the new files by itself.", "请更新证书 %s，网关会自动加载新文件。", path)
	switch {
	case now.After(leaf.NotAfter):
		return wrong("certificate_expired", text("it ended on %s", "已于 %s 过期", day), renew)
	case now.Before(leaf.NotBefore):
		return wrong("certificate_not_yet_valid", text("it begins on %s", "%s 才生效", leaf.NotBefore.Format(time.DateOnly)), renew)
	case leaf.NotAfter.Sub(now) < certificateNotice:
		f.State, f.Cause, f.Found, f.Do = Warning, "certificate_ends", text("it ends on %s", "将于 %s 过期", day), renew
	default:
		f.Found = text("valid until %s", "有效期至 %s", day)
	}
	return one(f)
}

// listen finds out whether the gateway's addresses are free, or its own already.
func (x *examination) listen(ctx context.Context) []Finding {
	var found []Finding
	for _, address := range []string{x.Settings.Listen, x.Settings.Admin.Listen} {
		if address != "" {
			found = append(found, x.listenAt(ctx, address))
		}
	}
	return found
}

func (x *examination) listenAt(ctx context.Context, address string) Finding {
	f := Finding{Check: Listen, Subject: address, State: OK}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		_ = listener.Close()
		f.Found = text("%s is free: no gateway runs there now", "%s 空闲：目前没有网关在运行", address)
		host, _, _ := net.SplitHostPort(address)
		if !shape.Loopback(host) && !x.Settings.TLS.On() && !x.Settings.PlainHTTP {
			f.State, f.Cause = Problem, "plain_http"
			f.Found = text("%s can be reached from other machines, and keys would travel in the clear: the gateway does not start so", "%s 可被其他机器访问，密钥会明文传输：网关会拒绝启动", address)
			f.Do = text("Configure tls, or listen at 127.0.0.1, or say plain_http: true where the network is trusted.", "请配置 tls，或改为监听 127.0.0.1；如果网络可信，也可以设置 plain_http: true。")
		}
	case !errors.Is(err, syscall.EADDRINUSE):
		f.State, f.Cause = Problem, "cannot_listen"
		f.Found = text("nobody can listen at %s: %s", "无法监听 %s：%s", address, printable(err.Error()))
		f.Do = text("Correct the address %s in the configuration.", "请修正配置中的监听地址 %s。", address)
	default:
		runs, fingerprint := x.gatewayRuns(ctx, address)
		if runs {
			return x.running(f, fingerprint)
		}
		f.State, f.Cause = Problem, "address_in_use"
		f.Found = text("another program listens at %s", "%s 被其他程序占用", address)
		f.Do = text("End the program at %s (ss -ltnp shows it), or choose another address.", "请停止占用 %s 的程序（用 ss -ltnp 查看），或换一个地址。", address)
	}
	return f
}

// running is the finding of a gateway that runs at an address. One that says which
// configuration it has in use is compared with the file, with the gateway's seal key.
func (x *examination) running(f Finding, fingerprint string) Finding {
	f.Found = text("a gateway runs at %s", "网关正在 %s 运行", f.Subject)
	if fingerprint == "" || len(x.SealKeys) == 0 || slices.ContainsFunc(x.SealKeys, func(key custody.Secret) bool {
		own := x.Settings.Fingerprint(key)
		return own == "" || own == fingerprint
	}) {
		return f
	}
	f.State, f.Cause = Warning, "other_configuration"
	f.Found = text("the gateway that runs at %s was started with another configuration, or with another ZHONGKONG_SEAL_KEY: what is found here is about %s as it is now",
		"正在 %s 运行的网关，启动时用的是另一份配置或另一个 ZHONGKONG_SEAL_KEY；以下结果针对的是现在的 %s", f.Subject, x.File)
	f.Do = text("The running gateway was started with another configuration: restart it. If only accounts were changed, SIGHUP is enough.",
		"正在运行的网关用的是另一份配置：请重启它。如果只改了账号，发送 SIGHUP 即可。")
	return f
}

// gatewayRuns asks for a gateway's health, whatever authority signed its certificate. The
// fingerprint is that of its configuration, "" when it does not say.
func (x *examination) gatewayRuns(ctx context.Context, address string) (runs bool, fingerprint string) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	host, port, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	for _, scheme := range []string{"http", "https"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/healthz", nil)
		if err != nil {
			return false, ""
		}
		transport := &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // nothing is disclosed to the server that answers
		}
		resp, err := transport.RoundTrip(req)
		var wants *tls.CertificateVerificationError
		if err != nil {
			if scheme == "https" && !errors.As(err, &wants) && strings.Contains(err.Error(), "certificate required") {
				return true, "" // tls.client_ca: it speaks TLS and wants to know who asks
			}
			continue
		}
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		_ = resp.Body.Close()
		if strings.Contains(string(body), `"healthy":true`) || resp.StatusCode == http.StatusUnauthorized {
			return true, resp.Header.Get(FingerprintHeader)
		}
	}
	return false, ""
}

// FingerprintHeader is in the answer of a gateway's /healthz: the Settings.Fingerprint
// of the configuration that it was started with, or has reloaded since.
const FingerprintHeader = "Zhongkong-Configuration"

// Unreadable is the finding of a configuration that cannot be understood, so that
// nothing else was looked at.
func Unreadable(err error) Finding {
	what := strings.TrimSuffix(printable(err.Error()), ".")
	return Finding{
		Check: Configuration, State: Problem, Cause: "unreadable",
		Found: Text{EN: what, ZH: "配置有误：" + chinese(what)},
		Do: text("Correct the configuration; nothing else was looked at. Give this command the variables, or the --config, of your program.",
			"请先修正配置，其余项目未检查。本命令需要与你的程序相同的环境变量或 --config。"),
	}
}
