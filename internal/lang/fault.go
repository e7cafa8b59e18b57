package lang

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"syscall"
)

// fault is something that the operating system, TLS or the resolver says, and what it means.
type fault struct {
	says *regexp.Regexp // in what an error says, on any system
	is   []error        // for systems that say it in their own language
	Text
}

// faults are looked for in this order: the more special ones first.
var faults = []fault{
	{
		says: regexp.MustCompile(`bind: (permission denied|An attempt was made to access a socket in a way forbidden by its access permissions\.?)`),
		Text: Text{"this user may not listen at that port: take one of 1024 or more", "当前用户不能监听该端口：请使用 1024 以上的端口"},
	},
	{
		says: regexp.MustCompile(`address already in use|Only one usage of each socket address \(protocol/network address/port\) is normally permitted\.?`),
		is:   []error{syscall.EADDRINUSE},
		Text: Text{"another program uses the port: stop it, or choose another port", "端口已被其他程序占用：请停止该程序，或换一个端口"},
	},
	{
		says: regexp.MustCompile(`cannot assign requested address|can't assign requested address|The requested address is not valid in its context\.?`),
		is:   []error{syscall.EADDRNOTAVAIL},
		Text: Text{"this machine does not have that address: use 127.0.0.1, or 0.0.0.0 for all of its own", "本机没有这个地址：请使用 127.0.0.1，或用 0.0.0.0 表示本机的全部地址"},
	},
	{
		says: regexp.MustCompile(`connection refused|No connection could be made because the target machine actively refused it\.?`),
		is:   []error{syscall.ECONNREFUSED},
		Text: Text{"no program listens at that address: is it running, and is the port right?", "该地址没有程序在监听：请确认对方已启动，端口没有写错"},
	},
	{
		says: regexp.MustCompile(`connection reset by peer|broken pipe|An existing connection was forcibly closed by the remote host\.?|unexpected EOF|: EOF$`),
		is:   []error{syscall.ECONNRESET, syscall.EPIPE},
		Text: Text{"the other side ended the connection: see its log, and a proxy or firewall in between", "连接被对方断开：请查看对方的日志，以及中间的代理或防火墙"},
	},
	{
		says: regexp.MustCompile(`no such host|server misbehaving|[Tt]emporary failure in name resolution|No such host is known\.?`),
		Text: Text{"DNS does not know the name: check its spelling, and this machine's DNS and network", "域名解析失败：请检查域名是否写错，以及本机的 DNS 和网络"},
	},
	{
		says: regexp.MustCompile(`network is unreachable|no route to host|network is down|A socket operation was attempted to an unreachable (?:network|host)\.?`),
		is:   []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH},
		Text: Text{"there is no way to that address: check this machine's network, and a VPN or firewall", "网络不可达：请检查本机网络，以及 VPN 或防火墙"},
	},
	{
		says: regexp.MustCompile(`certificate signed by unknown authority|certificate is not trusted|certificate is not standards compliant|unable to get local issuer certificate`),
		Text: Text{
			"this machine does not know who signed the certificate: install the authorities (ca-certificates), or that of a proxy that opens TLS",
			"本机不信任该证书的签发机构：请安装根证书（ca-certificates）；如果代理会解开 TLS，请安装代理的根证书",
		},
	},
	{
		says: regexp.MustCompile(`certificate has expired or is not yet valid(?:: current time \S+ is (?:after|before) \S+)?|certificate has expired`),
		Text: Text{"by this machine's clock the certificate is not valid: check the clock, then the certificate", "按本机时间，证书不在有效期内：请先检查本机时钟，再检查证书"},
	},
	{
		says: regexp.MustCompile(`certificate is (?:not )?valid for [^;\n]*|certificate is not valid for any names[^;\n]*|cannot validate certificate for [^;\n]*|certificate relies on legacy Common Name field[^;\n]*`),
		Text: Text{"the certificate is for another name: write the host as the certificate has it", "证书不属于这个域名：请使用证书中的域名"},
	},
	{
		says: regexp.MustCompile(`server gave HTTP response to HTTPS client|first record does not look like a TLS handshake`),
		Text: Text{"plain HTTP is spoken there: write http:// instead of https://", "对方使用的是 HTTP：请把 https:// 改为 http://"},
	},
	{
		says: regexp.MustCompile(`malformed HTTP (?:response|status code)[^;\n]*`),
		Text: Text{"what answers there does not speak HTTP: check the port, and whether it wants https://", "对方使用的不是 HTTP：请检查端口，以及是否应为 https://"},
	},
	{
		says: regexp.MustCompile(`Proxy Authentication Required`),
		Text: Text{"the proxy wants a password: HTTPS_PROXY=http://user:password@host:port", "代理需要用户名和密码：HTTPS_PROXY=http://user:password@host:port"},
	},
	{
		says: regexp.MustCompile(`TLS handshake timeout`),
		Text: Text{"the other side began no TLS in time: is it an HTTPS port, and does a firewall hold it up?", "对方没有及时完成 TLS 握手：请确认是 HTTPS 端口，没有被防火墙拦截"},
	},
	{
		says: regexp.MustCompile(
			`i/o timeout|connection timed out|operation timed out|context deadline exceeded(?: \(Client\.Timeout[^)]*\))?|timeout awaiting response headers|` +
				`A connection attempt failed because the connected party did not properly respond after a period of time[^;\n]*`),
		is:   []error{os.ErrDeadlineExceeded, syscall.ETIMEDOUT},
		Text: Text{"nothing came in time: does the other side run, and does a firewall drop what is sent to it?", "超时没有应答：请确认对方在运行，没有被防火墙拦截"},
	},
	{
		says: regexp.MustCompile(`no such file or directory|The system cannot find the (?:file|path) specified\.?|file does not exist`),
		is:   []error{fs.ErrNotExist},
		Text: Text{"there is nothing of that name: check the path, and the folder that it begins in", "没有这个文件或目录：请检查路径，以及相对路径所在的目录"},
	},
	{
		says: regexp.MustCompile(`permission denied for (?:schema|table|sequence|database|function|relation)[^;\n]*`),
		Text: Text{"the database user lacks this right: GRANT it", "数据库用户没有这个权限：请用 GRANT 授权"},
	},
	{
		says: regexp.MustCompile(`permission denied|operation not permitted|Access is denied\.?`),
		is:   []error{fs.ErrPermission},
		Text: Text{"this user has no right to it: check the owner and the mode", "当前用户没有权限：请检查文件的所有者和权限"},
	},
	{
		says: regexp.MustCompile(`is a directory|Incorrect function\.?`),
		is:   []error{syscall.EISDIR},
		Text: Text{"a file is meant, and that is a folder", "这里需要文件，而它是一个目录"},
	},
	{
		says: regexp.MustCompile(`not a directory|The directory name is invalid\.?`),
		is:   []error{syscall.ENOTDIR},
		Text: Text{"a part of the path is a file and no folder", "路径中有一部分是文件，不是目录"},
	},
	{
		says: regexp.MustCompile(`no space left on device|disk quota exceeded|There is not enough space on the disk\.?|database or disk is full`),
		is:   []error{syscall.ENOSPC},
		Text: Text{"the disk is full: make room", "磁盘已满：请清理空间"},
	},
	{
		says: regexp.MustCompile(`read-only file system|attempt to write a readonly database|The media is write protected\.?`),
		is:   []error{syscall.EROFS},
		Text: Text{"nothing can be written there: choose another folder, or mount it for writing", "该位置只读：请换一个目录，或以可写方式挂载"},
	},
	{
		says: regexp.MustCompile(`too many open files|Too many open files in system`),
		is:   []error{syscall.EMFILE, syscall.ENFILE},
		Text: Text{"the limit of open files is reached: raise it (ulimit -n)", "打开的文件数已达上限：请调大限制（ulimit -n）"},
	},
	{
		says: regexp.MustCompile(`input/output error|disk I/O error`),
		is:   []error{syscall.EIO},
		Text: Text{"the disk fails, or its network does: see the system's log", "磁盘（或网络存储）读写出错：请查看系统日志"},
	},
	{
		says: regexp.MustCompile(`missing port in address|too many colons in address`),
		Text: Text{"an address has the form host:port, such as 127.0.0.1:8300 or [::1]:8300", "地址的格式是 host:port，例如 127.0.0.1:8300 或 [::1]:8300"},
	},
	{
		says: regexp.MustCompile(`unsupported protocol scheme "[^"]*"|missing protocol scheme|first path segment in URL cannot contain colon`),
		Text: Text{"a URL begins with http:// or https://", "URL 须以 http:// 或 https:// 开头"},
	},
}

// Fault returns what the first fault of the system in err means, and whether there is one.
func Fault(err error) (_ Text, found bool) {
	if err == nil {
		return Text{}, false
	}
	if f, at := inText(err.Error()); at != nil {
		return f.Text, true
	}
	if f := inTree(err); f != nil {
		return f.Text, true
	}
	return Text{}, false
}

func inText(text string) (*fault, []int) {
	for i := range faults {
		if at := faults[i].says.FindStringIndex(text); at != nil {
			return &faults[i], at
		}
	}
	return nil, nil
}

func inTree(err error) *fault {
	for i := range faults {
		for _, is := range faults[i].is {
			if errors.Is(err, is) {
				return &faults[i]
			}
		}
	}
	return nil
}

// ExplainedText puts the meaning of what the system says in a text behind it, in brackets.
func ExplainedText(l Lang, text string) string {
	f, at := inText(text)
	if f == nil {
		return text
	}
	return text[:at[1]] + brackets(l, f.In(l)) + text[at[1]:]
}

// told are errors that have a sentence of ours already, for the host that was called.
var told = regexp.MustCompile(`install its authority|ZHONGKONG_GATEWAY_CA|set the clock first|Another host's certificate|The proxy (?:wants|of HTTPS_PROXY)`)

// Explained is what an error says in a language, with the meaning of what the system says
// next to it.
func (d *Dictionary) Explained(l Lang, err error) string {
	text := d.In(l, err.Error())
	if told.MatchString(err.Error()) {
		return text
	}
	if f, _ := inText(text); f != nil {
		return ExplainedText(l, text)
	}
	if f := inTree(err); f != nil {
		return text + brackets(l, f.In(l))
	}
	return text
}

func brackets(l Lang, text string) string {
	if l == Chinese {
		return "（" + text + "）"
	}
	return " (" + text + ")"
}
