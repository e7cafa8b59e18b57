package main

import (
	"sync"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// dictionary has all that this program says, and what the packages under it and WeChat's
// errcodes mean.
var dictionary = sync.OnceValue(func() *lang.Dictionary {
	codes := lang.Words{}
	for _, info := range errcode.All() {
		for _, i := range []errcode.Info{info, errcode.AtTokenEndpoint(info.Code)} {
			codes[i.Cause], codes[i.Remedy] = i.CauseZH, i.RemedyZH
		}
	}
	delete(codes, "")
	return lang.NewDictionary(codes, lang.Sentences, helpWords, kongWords, chinese)
})

// helpWords are the texts of --help.
var helpWords = lang.Words{ //nolint:gosec // words about secrets, and none among them
	"zhongkong (中控) keeps the credentials of WeChat accounts alive.": "zhongkong（中控）管理微信账号的 token：统一获取、按时刷新，供所有程序使用。",

	"Show context-sensitive help.": "显示帮助。",
	"The language of what is printed: en or zh. Without it, that of ZHONGKONG_LANG, else of the locale.": "输出语言：en 或 zh。不指定则取 ZHONGKONG_LANG，再取系统区域设置（locale）。",
	"Show the version, and what it was built from.":                                                      "显示版本和构建信息。",

	// The commands.
	"Play WeChat's server side on this machine: an API host for any SDK, and messages pushed to your app.":                    "在本机模拟微信服务端：供任意 SDK 调用的接口地址，并向你的应用推送消息。",
	"Push one message to an app as WeChat does, and judge the answer.":                                                        "像微信一样向应用推送一条消息，并检查应答是否正确。",
	"Find out what is wrong, and what to do: configuration, store, clock, WeChat, credentials, whitelist, callback address.":  "诊断问题并给出处理办法：配置、存储、时钟、微信连通性、凭证、IP 白名单、回调地址。",
	"Bring the tables of a store to the version that this program needs, take a step back, or look.":                          "把存储的表结构升级到本程序需要的版本、回退一步，或只查看状态。",
	"Say what an errcode of WeChat means and what to do about it, in English and Chinese.":                                    "查询微信 errcode 的含义和处理办法。",
	"Look at the token that your programs share, print it, or renew it.":                                                      "查看、输出或刷新各程序共用的 token。",
	"Keep the tokens of your accounts for all programs: the gateway (中控服务器) that they call instead of WeChat.":                "为所有程序统一管理 token：即网关（中控服务器），程序调用它来代替直连微信。",
	"Check whether a gateway on this machine is healthy, for containers.":                                                     "检查本机的网关是否正常，供容器健康检查使用。",
	"Print a completion script for a shell.":                                                                                  "输出 shell 自动补全脚本。",
	"Say what may follow a command line; for the scripts of completion.":                                                      "列出命令行的补全候选，供补全脚本调用。",
	"Add, list and revoke the programs that may use the gateway.":                                                             "添加、列出、吊销可以使用网关的程序（客户端）。",
	"Look at everything, in the order in which one fault explains the next. The command without a name.":                      "按因果顺序检查全部项目。不写子命令时即执行它。",
	"Ask a running app what WeChat will ask: the handshake and a push in every mode. Says which step failed, and what to do.": "像微信一样检查正在运行的应用：验证 URL，并以各种模式推送；指出哪一步失败、如何处理。",
	"Show how the token is doing. Nothing is fetched, and the token is not shown.":                                            "显示 token 的状态。不会去获取，也不显示 token 本身。",
	"Print the token, alone, on standard output. It is fetched when none lives.":                                              "只把 token 输出到标准输出。没有有效的 token 时先获取。",
	"Fetch a token when none lives. With --force, a new one instead of the one that lives. With --ticket, a ticket.":          "没有有效的 token 时获取一个。加 --force 则强制换新；加 --ticket 则刷新 ticket。",
	"Add a program, and show its key this once.":                                                                              "添加一个程序，并显示它的密钥（只显示这一次）。",
	"List the programs.": "列出所有程序。",
	"End a program's key and its tokens, everywhere within five seconds.": "吊销程序的密钥和它的 token，五秒内在所有网关上生效。",
	"Give a program another key, and show it this once.":                  "为程序更换密钥，并显示新密钥（只显示这一次）。",

	// simulate.
	"Where to listen, 127.0.0.1:3200 unless told. Other machines reach it only when told so here.":                                                                                                                        "监听地址，默认 127.0.0.1:3200。只有在这里指定，其他机器才能访问。",
	"Your app's callback address: messages go there, and lines that you type.":                                                                                                                                            "应用的回调地址：消息和你在终端输入的内容都会推送到这里。",
	"An account of yours: NAME reads NAME_APPID, NAME_APPSECRET, NAME_TOKEN, NAME_AES_KEY from the environment; a file with such lines will do too. May be repeated. Without it, one is made up.":                         "你自己的账号：NAME 表示读取环境变量 NAME_APPID、NAME_APPSECRET、NAME_TOKEN、NAME_AES_KEY，也可以是包含这些行的文件。可重复。不指定则虚构一个。",
	"How long tokens live, and what expires_in states. WeChat: 2h.":                                                                                                                                                       "token 的有效期，即 expires_in。微信为 2h。",
	"How long a superseded token works on. Without it, a 24th of the life, at most 5m; --overlap=-1s: not at all.":                                                                                                        "被替换的旧 token 还能用多久。默认为有效期的 1/24，最多 5m；--overlap=-1s 表示立即失效。",
	"How far WeChat's clock is ahead of this machine's, in pushes and rids; --skew=-10m: behind.":                                                                                                                         "推送和 rid 中微信的时钟比本机快多少；--skew=-10m 表示慢 10 分钟。",
	"Makes up the same account, tokens and faults in every run. Without it, others each time.":                                                                                                                            "固定随机种子，使每次运行的账号、token 和故障都相同。不指定则每次不同。",
	"Write the variables of the account to a file too, for programs that read one: lines of NAME=value, readable by you alone.":                                                                                           "同时把账号的环境变量写入文件，供读取 .env 的程序使用：每行 NAME=value，仅当前用户可读。",
	"Append every call and push to a file, a line of JSON each.":                                                                                                                                                          "把每次调用和推送追加到文件，每行一条 JSON。",
	"The message: text, image, click, subscribe and so on. 'list' shows them all; 'event' is any event, 'raw' a whole message from a file; 'verify' asks for the echostr, as the console does when the address is saved.": "消息类型：text、image、click、subscribe 等。list 列出全部；event 为任意事件，raw 为文件中的完整消息；verify 像公众平台保存服务器地址时那样验证 echostr。",
	"What is in its most interesting field: of a text the text, of a click the key; of 'event' its name, of 'raw' the file, - for standard input.":                                                                        "最主要字段的值：text 为文本，click 为 key；event 为事件名，raw 为文件名（- 表示标准输入）。",

	// push.
	"Your app's callback address.": "应用的回调地址。",
	"plain, compatible or safe. Without it, safe where the account has an AES key.": "plain（明文）、compatible（兼容）或 safe（安全）。账号配置了 AES key 时默认 safe。",
	"xml or json. Without it, xml.":                                                                                                                                    "xml 或 json，默认 xml。",
	"The follower's openid. Without it, a made-up one.":                                                                                                                "粉丝的 openid。不指定则虚构一个。",
	"Another field's value, such as --set MsgId=23892468385179204. May be repeated.":                                                                                   "设置其他字段，例如 --set MsgId=23892468385179204。可重复。",
	"Forge it: signature, replay, stale, tampered, appid or plaintext. Your app should refuse.":                                                                        "伪造推送：signature、replay、stale、tampered、appid 或 plaintext。应用应当拒绝。",
	"Whose Token and AES key: NAME reads NAME_APPID, NAME_TOKEN, NAME_AES_KEY from the environment; a file with such lines will do too.":                               "使用谁的 Token 和 AES key：NAME 表示读取环境变量 NAME_APPID、NAME_TOKEN、NAME_AES_KEY，也可以是包含这些行的文件。",
	"How often it is delivered while your app does not answer. WeChat asks three times, about some events of shops and games for hours: 0 does what WeChat documents.": "应用不应答时推送几次。微信推送三次，部分小店、游戏事件会持续数小时：0 表示按微信文档。",
	"How long to wait for an answer; WeChat waits 5s, three times.":                                                                                                    "等待应答的时间；微信为 5s，共三次。",
	"Show what is sent and what comes back.":                                                                                                                           "显示发送和返回的内容。",

	// doctor.
	"The gateway's configuration. Without it, the account is the environment's, as for zhongkong token: WECHAT_APPID, WECHAT_APPSECRET, WECHAT_TOKEN_API, WECHAT_API_BASE, ZHONGKONG_STORE, ZHONGKONG_SEAL_KEY; or ZHONGKONG_GATEWAY and ZHONGKONG_GATEWAY_KEY. Of an app of WeCom: WECOM_CORPID, WECOM_AGENTID, WECOM_SECRET, WECOM_API_BASE.": "网关的配置文件。不指定则与 zhongkong token 相同，从环境变量读取账号：WECHAT_APPID、WECHAT_APPSECRET、WECHAT_TOKEN_API、WECHAT_API_BASE、ZHONGKONG_STORE、ZHONGKONG_SEAL_KEY；或 ZHONGKONG_GATEWAY 和 ZHONGKONG_GATEWAY_KEY。企业微信应用：WECOM_CORPID、WECOM_AGENTID、WECOM_SECRET、WECOM_API_BASE。",
	"Look at this account of the configuration alone. May be repeated.": "只检查配置中的这个账号。可重复。",
	"An address that WeChat pushes to: asked for the handshake, and sent a message \"ping\". With --config, Token and AES key are those of the account that the address names: https://HOST/callback/APPID. Otherwise it needs WECHAT_TOKEN, and WECHAT_AES_KEY in safe mode; of an app of WeCom, WECOM_TOKEN and WECOM_AES_KEY. May be repeated.": "微信推送的目标地址：会进行 URL 验证，并推送一条 \"ping\"。指定 --config 时，Token 和 AES key 取自地址中的账号（https://HOST/callback/APPID）；否则需要 WECHAT_TOKEN，安全模式还需要 WECHAT_AES_KEY；企业微信应用需要 WECOM_TOKEN 和 WECOM_AES_KEY。可重复。",
	"Fetch a token through the store where none lives. With WECHAT_TOKEN_API=classic this ends one that programs without this store use.": "没有有效的 token 时，经由存储获取一个。如果 WECHAT_TOKEN_API=classic，会使不使用该存储的程序手中的 token 失效。",
	"How long to wait for each answer; a fetch in programs takes 8s at most.":                                                             "等待每次应答的时间；程序中一次获取最多 8s。",
	"Print one JSON object, for programs.":                                         "输出一个 JSON 对象，供程序使用。",
	"What the pushed messages say. Your app handles them as it does a follower's.": "推送消息的内容。应用会把它们当作粉丝消息处理。",

	// migrate.
	"A gateway's configuration, which names the store.":                                                               "网关的配置文件，从中得知存储。",
	"up: to the newest version. down: one step back, which loses what only the newer tables hold. status: only look.": "up：升级到最新版本。down：回退一步，只存在于新表的数据会丢失。status：只查看。",

	// explain.
	"An errcode, such as 40164. Several may be given.":                                                   "errcode，例如 40164。可以写多个。",
	"List all errcodes that are known here.":                                                             "列出所有收录的 errcode。",
	"The server that answered: api, qyapi or open (all end in .weixin.qq.com). Without it, all of them.": "应答来自哪个服务器：api、qyapi 或 open（域名均以 .weixin.qq.com 结尾）。不指定则全部列出。",
	"-1 is an errcode, too.":                                                                             "-1 也是 errcode。",

	// token.
	"A gateway's configuration: the account and the store are in it.":                                                                           "网关的配置文件，其中有账号和存储。",
	"The account of the configuration; needed where it has several.":                                                                            "配置中的账号；有多个账号时必须指定。",
	"How long to wait for a token.":                                                                                                             "等待 token 的时间。",
	"Have WeChat issue a new token although one lives. For a token that leaked.":                                                                "token 仍有效也让微信签发新的。用于 token 泄露的情况。",
	"Renew the account's ticket and not its token: jsapi or wx_card. With --force, although one lives: for a ticket that a page finds invalid.": "刷新 ticket 而不是 token：jsapi 或 wx_card。加 --force 则有效也刷新，用于页面提示签名无效的情况。",
	"How many lines of the journal to show.":                                                                                                    "显示多少行记录。",

	// serve.
	"The configuration, in YAML. Without it, the account is the environment's: WECHAT_APPID, WECHAT_APPSECRET, WECHAT_NAME, WECHAT_TOKEN_API, WECHAT_API_BASE.": "YAML 配置文件。不指定则从环境变量读取账号：WECHAT_APPID、WECHAT_APPSECRET、WECHAT_NAME、WECHAT_TOKEN_API、WECHAT_API_BASE。",

	"Where to listen, instead of the configuration's; 127.0.0.1:8300 unless told.":                                           "监听地址，优先于配置文件；默认 127.0.0.1:8300。",
	"Serve plain HTTP to other machines too, where something in front speaks TLS or the network is trusted.":                 "允许其他机器以明文 HTTP 访问：仅用于前面有 TLS 代理，或网络可信的情况。",
	"Read the configuration, say what is wrong with it or how it is understood, and serve nothing. The store is not opened.": "只检查配置：指出错误，或说明将如何运行，不启动服务。不会打开存储。",
	"Show it with nothing configured: a simulated WeChat, a temporary database, a client key and lines to try.":              "无需任何配置的演示：模拟微信、临时数据库、一个客户端密钥，以及可以直接试用的命令。",
	"Makes the same things up in every demo, for tests.":                                                                     "固定演示的随机种子，供测试使用。",

	// completion.
	"bash, zsh, fish or powershell.":        "补全脚本适用的 shell：bash、zsh、fish 或 powershell。",
	"A new word begins after the last.":     "光标在最后一个单词之后。",
	"The words of the command line so far.": "已输入的单词。",

	// healthcheck.
	"Where the gateway listens on this machine. Default: the configuration's address, else 127.0.0.1:8300.": "网关在本机的监听地址；不指定则取配置文件，再取 127.0.0.1:8300。",
	"The gateway's configuration, which says where it listens.":                                             "网关的配置文件，从中得知监听地址。",
	"Ask whether every account has a token (/readyz) instead of whether the process serves (/healthz).":     "检查是否每个账号都有 token（/readyz），而不只是进程是否在服务（/healthz）。",

	"An app of WeCom is made up too: choose it on the page, which has its variables.": "还虚构了一个企业微信应用：在页面上选择它，即可看到它的环境变量。",

	// client.
	"Change what people read of a program. Its key and everything else stay.":                                     "修改程序的显示名称，不影响密钥和其他设置。",
	"What people read, such as Billing; at most 64 characters.":                                                   "显示名称，便于辨认，例如“结算系统”；最多 64 个字符。",
	"What people read, such as Billing; an empty one takes it away.":                                              "显示名称，便于辨认，例如“结算系统”；留空表示去掉。",
	"The gateway's configuration, which names the store.":                                                         "网关的配置文件，从中得知存储。",
	"The store, instead of the configuration's and of ZHONGKONG_STORE; sqlite:zhongkong.db unless told.":          "存储，优先于配置文件和 ZHONGKONG_STORE；默认 sqlite:zhongkong.db。",
	"Letters, digits, '-', '_' and '.'.":                                                                          "名称：字母、数字、-、_ 和 .。",
	"An appid that it may use; * is all. May be repeated.":                                                        "可以使用的 AppID；* 表示全部。可重复。",
	"A path that it may call, such as /cgi-bin/menu/get or /cgi-bin/message/*. May be repeated; without it, all.": "可以调用的路径，例如 /cgi-bin/menu/get 或 /cgi-bin/message/*。可重复；不指定则不限。",
	"How many calls per second it may make at each gateway; without it, any number.":                              "在每个网关上每秒最多调用几次；不指定则不限。",
	"When its key ends, such as 2030-01-31; without it, never.":                                                   "密钥的到期日，例如 2030-01-31；不指定则永不到期。",
	"Hand out the real token, for a program that calls WeChat itself.":                                            "发放真实 token，供自己直连微信的程序使用。",
	"For how long the key before works on, such as 24h; without it, not at all.":                                  "旧密钥还能用多久，例如 24h；不指定则立即失效。",

	"Where users whom it logs in are sent back to: https://shop.example/back, or https://shop.example/* for all of a site. May be repeated; without it, it logs nobody in.":   "由它登录的用户返回到哪里：https://shop.example/back，或用 https://shop.example/* 表示整个站点。可重复；不指定则不能登录用户。",
	"A site whose pages get a JS-SDK configuration without a key, such as https://shop.example. May be repeated.":                                                             "页面可以不用密钥取得 JS-SDK 配置的站点，例如 https://shop.example。可重复。",
	"Say where a program's users are sent back to after a login, and whose pages it has signed.":                                                                              "设置程序的用户登录后返回到哪里，以及为哪些站点的页面签名。",
	"Where users whom it logs in are sent back to, instead of what was said before: https://shop.example/back, or https://shop.example/* for all of a site. May be repeated.": "由它登录的用户返回到哪里，替换原来的设置：https://shop.example/back，或用 https://shop.example/* 表示整个站点。可重复。",
	"A site whose pages get a JS-SDK configuration without a key, instead of those before. May be repeated.":                                                                  "页面可以不用密钥取得 JS-SDK 配置的站点，替换原来的设置。可重复。",
	"From now on it logs nobody in.":               "不再允许它登录用户。",
	"From now on no page is signed without a key.": "不再为没有密钥的页面签名。",

	// What is below the flags.
	(*pushCmd)(nil).Help(): `示例：
  zhongkong push text "你好" --mode safe --to http://127.0.0.1:3100/
  zhongkong push click V1001 --to http://127.0.0.1:3100/
  zhongkong push event user_get_card --set CardId=p1 --set UserCardCode=226009850808 --to http://127.0.0.1:3100/
  zhongkong push raw order.xml --to http://127.0.0.1:3100/
  zhongkong push verify --to http://127.0.0.1:3100/
  zhongkong push text "你好" --attack tampered --to http://127.0.0.1:3100/

退出码：0 应用应答正确，1 不正确，2 命令写错。`,
	(*simulateCmd)(nil).Help(): `把 SDK 的接口地址由 https://api.weixin.qq.com 改为它即可。除 NAME_APPID 等以外，账号还可以设置
这些变量：NAME_KIND（official、mini、website、wecom）、NAME_MODE（plain、compatible、safe）、NAME_FORMAT（xml、json）、
NAME_ORIGINAL_ID，以及 NAME_WHITELIST、NAME_TEMPLATES（a,b）。
运行期间，浏览器打开同一地址的 /simulator/page/ 可以查看账号、与应用聊天、查看每个请求。
故障、时钟、推送等供程序调用的接口在 /simulator/ 下。`,
	(*doctorAllCmd)(nil).Help(): `诊断不会造成影响：不会调用 /cgi-bin/token，否则正在使用的 token 会失效；AppSecret 通过 stable_token 的普通模式验证，
它的 token 相互独立；存储中的 token 通过一次只读调用验证。不会新建、迁移或修复存储，只写入一行诊断专用的记录，以确认可写。

  zhongkong doctor
  zhongkong doctor --config gateway.yaml
  zhongkong doctor --callback-url https://example.com/wechat
  zhongkong doctor --config gateway.yaml --callback-url https://wx.example.com/callback/wx0123456789abcdef
  zhongkong doctor --json
  zhongkong doctor callback --url https://example.com/wechat    只检查回调地址：各种模式、各种伪造

--json：{"version", "ok", "problems", "warnings", "checks": [{"check", "account", "subject", "state", "cause", "errcode", "ip", "found",
"do", "took_ms"}], "todo": [TEXT]}。state 为 ok、warning、problem 或 skipped；cause 是 ip_not_whitelisted 这样的标识；没有内容的字段省略。

退出码：0 没有问题（警告不算），1 有问题，2 命令或配置有误。`,
	(*doctorCallbackCmd)(nil).Help(): `示例：
  zhongkong doctor callback --url http://127.0.0.1:3100/
  zhongkong doctor callback --url https://example.com/wechat --account shop.env

变量须与应用运行时一致：没有 NAME_AES_KEY 则按明文模式检查。
企业微信应用使用 NAME_CORPID、NAME_AGENTID、NAME_TOKEN、NAME_AES_KEY：--account WECOM。
它推送的是真实的消息，应用会像处理粉丝消息一样处理。网关接收成功，不代表订阅方已经收到。
退出码：0 一切正常，1 有步骤失败，2 命令写错。`,
	(*migrateCmd)(nil).Help(): `存储由 --config 指定，否则由 ZHONGKONG_STORE 指定，默认 sqlite:zhongkong.db。
程序启动时会自动迁移存储，除非设置为不迁移。

  ZHONGKONG_STORE=postgres://user:password@host/name zhongkong migrate status

有迁移未执行时，status 的退出码为 1。`,
	(*explainCmd)(nil).Help(): `有未收录的 errcode 时退出码为 1，命令写错时为 2。`,
	(*tokenCmd)(nil).Help(): `设置了 ZHONGKONG_GATEWAY 时，get 和 status 用 ZHONGKONG_GATEWAY_KEY 向网关查询。指定 --config 时，账号和存储取自网关的配置文件。
否则取自环境变量，与使用 wechat.ConfigFromEnv 的程序相同：WECHAT_APPID、WECHAT_APPSECRET（status 不需要）、WECHAT_TOKEN_API、
WECHAT_API_BASE、ZHONGKONG_STORE（任意存储的 URL）、ZHONGKONG_SEAL_KEY、ZHONGKONG_FETCH_TIMEOUT 等。
请使用与程序相同的值；ZHONGKONG_STORE 为相对路径时，请在程序的工作目录下运行。
ZHONGKONG_LOG_LEVEL=debug 会把执行过程输出到标准错误。

退出码：0 正常，1 没有 token，2 命令或配置有误。`,
	(*serveCmd)(nil).Help(): `需要 ZHONGKONG_SEAL_KEY（用 openssl rand -base64 32 生成），或用 ZHONGKONG_SEAL_KEY_FILE 指定存放它的文件，共用一个存储的网关要相同。ZHONGKONG_STORE 指定 token、客户端和记录
存放在哪里，ZHONGKONG_LOG_LEVEL 指定日志级别（输出到标准错误），ZHONGKONG_FETCH_TIMEOUT 等指定刷新各步骤的超时。
SIGHUP 重新读取配置；SIGTERM 退出：先有 5 秒（ZHONGKONG_DRAIN_GRACE）/readyz 返回 503 但仍处理请求，再等进行中的请求结束。
再次收到信号则立即退出。`,
	(*completionCmd)(nil).Help(): `脚本会向本程序询问补全候选，升级后无需更换。

  source <(zhongkong completion bash)                                写入 ~/.bashrc
  source <(zhongkong completion zsh)                                 写入 ~/.zshrc，在 compinit 之后
  zhongkong completion fish > ~/.config/fish/completions/zhongkong.fish
  zhongkong completion powershell | Out-String | Invoke-Expression   写入 $PROFILE`,
	(*healthcheckCmd)(nil).Help(): `网关应答正常则退出码为 0，否则为 1。镜像的 HEALTHCHECK 就是这条命令。`,
}

// kongWords are what kong says of a command line.
var kongWords = lang.Words{
	"unknown flag %s":                                        "没有选项 %s",
	"unknown flag %s, did you mean %s?":                      "没有选项 %s，是否想写 %s？",
	"unknown flag %s, did you mean one of %s?":               "没有选项 %s，是否想写其中之一：%s？",
	"unexpected argument %s":                                 "多余的参数 %s",
	"unexpected argument %s, did you mean %s?":               "没有 %s，是否想写 %s？",
	"unexpected argument %s, did you mean one of %s?":        "没有 %s，是否想写其中之一：%s？",
	"missing flags: %s":                                      "缺少选项：%s",
	"expected one of %s":                                     "缺少子命令，可用：%s",
	"expected %s":                                            "缺少 %s",
	"%s must be one of %s but got %s":                        "%s 只能是 %s 之一，而不是 %s",
	"%s: expected duration but got %s: %s":                   "%s：应为时长（例如 8s、500ms），而不是 %s",
	"%s: expected a valid %d bit int but got %s":             "%s：应为整数，而不是 %[3]s",
	"%s: expected a valid %d bit uint but got %s":            "%s：应为非负整数，而不是 %[3]s",
	"%s: expected a float but got %s (%s)":                   "%s：应为数字，而不是 %s",
	"%s: expected %s value but got %s (%s); perhaps try %s?": "%s：缺少值；值以 - 开头时请写成 %[5]s",
	"%s: missing value, expecting \"<arg>%s\"":               "%s：缺少值",
	"%s: expected string value but got %s":                   "%s：缺少值",
}

// chinese are the texts of the commands by their English ones.
var chinese = lang.Words{ //nolint:gosec // words about secrets, and none among them
	"%w See zhongkong --help":                                 "%w 用法见 zhongkong --help",
	"%w; see zhongkong --help":                                "%w；用法见 zhongkong --help",
	"given up":                                                "已放弃",
	"--wait %s: it has to be positive":                        "--wait %s：必须大于零",
	"--grace %s: it must not be negative":                     "--grace %s：不能为负",
	"--lines %d: it must not be negative":                     "--lines %d：不能为负",
	"waiting for %s: %s":                                      "正在等待%s：%s",
	"zhongkong: waiting for %s, which has not answered yet\n": "zhongkong: 正在等待%s，尚未应答\n",
	"the store":               "存储",
	"the store and a token":   "存储和 token",
	"the gateway and a token": "网关和 token",

	// Accounts.
	"--account %s is neither a name such as %s nor a file that can be read: %v":                    "--account %s 既不是 %s 这样的名称，也不是可读的文件：%v",
	"--account %s: the file has no line %s_APPID=…":                                                "--account %s：文件中没有 %s_APPID=… 这一行",
	"line %d is no NAME=value":                                                                     "第 %d 行不是 NAME=value",
	"line %d has %s a second time":                                                                 "第 %d 行重复了 %s",
	"%s%s_%s is not set: %s":                                                                       "没有设置 %s%s_%s：%s",
	"it is the account's appid. zhongkong simulate prints the lines of a made-up account":          "即账号的 AppID。zhongkong simulate 会打印一个虚构账号的变量",
	"it is the AppSecret with which your program fetches tokens; any value that both know will do": "即程序获取 token 用的 AppSecret；双方一致即可，任意值都行",
	"it is the Token with which your app checks signatures; zhongkong simulate prints it, and for a real account it is in the console (消息推送)": "即应用验证签名用的 Token：zhongkong simulate 会打印它，真实账号的在后台的“消息推送”里",
	"--account %s has %d accounts: push from a file with one":                      "--account %s 中有 %d 个账号：请使用只有一个账号的文件",
	"--account %s: the configuration has no such account":                          "--account %s：配置中没有这个账号",
	"--account goes with --config: without it the account is that of WECHAT_APPID": "--account 须与 --config 一起使用：没有 --config 时，账号由 WECHAT_APPID 指定",
	"--config names %s: say which with --account":                                  "配置中有 %s：请用 --account 指定",
	"%d accounts": "%d 个账号",

	// simulate.
	"WeChat, simulated, at":    "微信模拟器地址",
	"Its page in the browser:": "浏览器页面",
	"Other machines can reach it. Its page and its admin API answer this one only.":        "其他机器也能访问它；但页面和管理接口只对本机开放。",
	"A made-up account (--seed %d makes it up again). Paste this where your program runs:": "虚构的账号（--seed %d 可再次得到它）。请在运行程序的终端粘贴：",
	"Your program has the accounts already. What it still needs is the API's address:":     "程序已经有账号信息，只需再设置接口地址：",
	"What next":       "接下来可以",
	"get a token":     "获取 token",
	"push a message":  "推送消息",
	"let a token age": "让 token 过期",
	"let calls fail":  "让调用失败",
	"all else":        "其他功能",
	"\nWhat you type is sent to your app as a follower's message; %s shows more. Ctrl-C ends it.\n": "\n输入的内容会作为粉丝消息推送给应用；%s 查看更多用法。按 Ctrl-C 结束。\n",
	"\nWith %s your app gets messages as well. Ctrl-C ends it.\n":                                   "\n加上 %s，应用还能收到消息。按 Ctrl-C 结束。\n",
	"cannot listen at %s: %w. Choose another address, or any free port with --listen 127.0.0.1:0":   "无法监听 %s：%w。请换一个地址，或用 --listen 127.0.0.1:0 自动选择空闲端口",
	"%s, %s issued; %s; %s":        "%s，签发 %s；%s；%s",
	"1 token fetch":                "获取 token 1 次",
	"%d token fetches":             "获取 token %d 次",
	"1 token":                      "1 个 token",
	"%d tokens":                    "%d 个 token",
	"1 API call":                   "调用接口 1 次",
	"%d API calls":                 "调用接口 %d 次",
	"1 push":                       "推送 1 次",
	"%d pushes":                    "推送 %d 次",
	" (fault)":                     "（故障）",
	"no answer":                    "没有应答",
	"cut off":                      "被中断",
	"Waiting for your app at %s …": "正在等待应用 %s …",
	chatHelp: `  你好              发送文本
  /click V1001     发送其他消息或事件：/类型 值，与 zhongkong push list 相同
  /verify          验证 echostr，与在公众平台保存服务器地址时相同
  /list            列出所有消息和事件`,

	"the path of --log":      "--log 的路径",
	"the path of --env-file": "--env-file 的路径",

	// push.
	"verify takes no value, --set, --from, --mode and --format: the verification of an address is the same for all": "verify 不接受值、--set、--from、--mode 和 --format：验证地址的方式都相同",
	"verify knows the attack %s alone":                                                       "verify 只支持 %s 这一种伪造",
	"raw needs a file with the message: zhongkong push raw order.xml":                        "raw 需要一个包含消息的文件：zhongkong push raw order.xml",
	"the message cannot be read: %s":                                                         "无法读取消息：%s",
	"there is no message %q; zhongkong push list shows them all":                             "没有 %s 这种消息；zhongkong push list 可列出全部",
	"there is no message %q; /list shows them all":                                           "没有 %s 这种消息；/list 可列出全部",
	"--to is missing: give your app's callback address, such as --to http://127.0.0.1:3100/": "缺少 --to：请填写应用的回调地址，例如 --to http://127.0.0.1:3100/",
	"TYPE                          VALUE          WHAT IT IS":                                "TYPE                          VALUE          说明",
	"to %s":                   "推送到 %s",
	"no answer: %s":           "没有应答：%s",
	"  %s  %d in %s  %s":      "  %s  %d，用时 %s  %s",
	"(empty)":                 "（空）",
	"     sent to %s":         "     发送到 %s",
	"     came back":          "     返回",
	"  the console shows: %s": "  公众平台显示：%s",
	"  the follower sees: %s": "  粉丝看到：%s",
	"%s %s: %s":               "%s %s：%s",
	"[image]":                 "[图片]", "[voice]": "[语音]", "[video]": "[视频]", "[music]": "[音乐]", "[news]": "[图文]",
	"VALUE is the field that zhongkong push TYPE VALUE sets; --set sets the others.": "VALUE 是 zhongkong push TYPE VALUE 设置的字段；其他字段用 --set 设置。",
	"Members of %s, by userid: %s": "%s 的成员（userid）：%s",

	// doctor.
	"the address names no account of the configuration, as a gateway's does: …/callback/APPID": "地址中没有配置里的账号：网关的回调地址为 …/callback/APPID",
	"the account %s has no callback in the configuration, or one whose secrets are not here":   "配置中的账号 %s 没有 callback，或缺少它的密钥",
	"the configuration has no account %s":                                                      "配置中没有账号 %s",
	"it is the corpid, which begins with ww: 企业微信管理后台 → 我的企业":                                  "企业 ID，以 ww 开头：见企业微信管理后台 → 我的企业",
	"the account whose token the gateway gives":                                                "需要由网关提供 token 的账号",
	"the key that zhongkong client add showed on the gateway's machine":                        "在网关机器上执行 zhongkong client add 得到的密钥",
	"ZHONGKONG_GATEWAY is set and %s is not: it is %s":                                         "设置了 ZHONGKONG_GATEWAY，却没有设置 %s：它是%s",
	"as the app of %s, in %s":                                                                  "按 %s 的应用检查，%s",
	"WeCom's only mode":                                                                        "企业微信唯一的加密模式",
	"handshake of another corp":                                                                "其他企业的验证",
	"it is that of the app's 接收消息; WeCom encrypts all that it sends":                           "见应用的“接收消息”；企业微信的推送全部加密",
	"safe or compatible mode":                                                                  "安全模式或兼容模式",
	"plain mode":                                                                               "明文模式",
	"Step %d of %d failed: %s":                                                                 "共 %[2]d 步，第 %[1]d 步失败：%[3]s",
	"All is well: the admin console of WeCom will take this address.":                          "一切正常：企业微信管理后台可以保存这个地址。",
	"The app handled these messages as it does real ones; warnings in its log about forged ones come from this check.": "应用把这些推送当作真实消息处理；它的日志中关于伪造请求的 WARN 来自本次检查。",
	"Of a gateway this says that it took them, not that its subscribers have them.":                                    "如果是网关，这只说明网关已接收，不说明订阅方已收到。",
	"All is well: the console will take this address.":                                                                 "一切正常：公众平台可以保存这个地址。",
	"handshake":               "验证 URL",
	"handshake of a stranger": "伪造的地址验证",
	"push in plain mode, xml": "明文模式推送，XML", "push in plain mode, json": "明文模式推送，JSON",
	"push in compatible mode, xml": "兼容模式推送，XML", "push in compatible mode, json": "兼容模式推送，JSON",
	"push in safe mode, xml": "安全模式推送，XML", "push in safe mode, json": "安全模式推送，JSON",
	"push in %s mode, %s":    "%s 模式推送，%s",
	"forged push, signature": "签名错误的推送", "forged push, replay": "重放的推送", "forged push, stale": "过期的推送",
	"forged push, tampered": "被篡改的推送", "forged push, appid": "AppID 不符的推送", "forged push, plaintext": "未加密的推送",
	"forged push, %s": "伪造的推送，%s",
	"The app reads XML and not JSON, which WeChat pushes only to mini programs that chose it in their console.": "应用只能读 XML，不能读 JSON；微信只对在后台选择了 JSON 的小程序推送 JSON。",

	// explain.
	"%q is no errcode: give a number, such as zhongkong explain 40164; --list shows all": "%q 不是 errcode：请填写数字，例如 zhongkong explain 40164；--list 列出全部",
	"--list takes no errcode: it lists all":                                              "--list 列出全部，不需要 errcode",
	"give an errcode, such as zhongkong explain 40164; --list shows all":                 "请填写 errcode，例如 zhongkong explain 40164；--list 列出全部",

	// migrate.
	"missing":           "未执行",
	"applied":           "已执行",
	"missing %s":        "未执行 %s",
	"applied %s":        "已执行 %s",
	"STATE   MIGRATION": "状态   迁移",
	"WHEN":              "时间",
	"This kind of store has no schema: there is nothing to migrate.": "这种存储没有表结构，无需迁移。",
	"The schema is at version %d, the newest.":                       "表结构为版本 %d，已是最新。",
	"The schema is at version %d of %d: run zhongkong migrate up.":   "表结构为版本 %d，最新为 %d：请执行 zhongkong migrate up。",

	// token.
	"WECHAT_API_BASE: %v": "WECHAT_API_BASE：%v",
	"ZHONGKONG_STORE: %s": "ZHONGKONG_STORE：%s",

	"--ticket is for official accounts: an app of WeCom's tickets are renewed by the program that asks for them": "--ticket 只用于公众号：企业微信应用的 ticket 由使用它的程序刷新",

	"ZHONGKONG_STORE is memory:, which other programs do not share: nothing of theirs can be seen or changed":                                                                 "ZHONGKONG_STORE 是 memory:，不与其他程序共享：看不到也改不了它们的 token",
	"there is no database %s: set ZHONGKONG_STORE to your program's, or run this in its working directory":                                                                    "没有数据库 %s：请把 ZHONGKONG_STORE 设为程序使用的值，或在程序的工作目录下运行",
	"zhongkong explain %d says more, also in Chinese":                                                                                                                         "更多说明：zhongkong explain %d",
	"there was no token in time: WeChat or the store does not answer, or another process is about to renew. zhongkong token status shows what was tried; --wait waits longer": "未能及时得到 token：微信或存储没有应答，或者另一个进程正在刷新。zhongkong token status 可查看尝试记录；--wait 可延长等待",
	"%s There was no token; the new one lives for %s.":                                                                                                                        "%s 原来没有 token；新 token 的有效期为 %s。",
	"%s The token lives for %s more: nothing was fetched.":                                                                                                                    "%s token 还有 %s 到期：没有重新获取。",
	"  Programs on this store renew it automatically. A new one now would only invalidate it for those that still use it.":                                                    "  使用该存储的程序会自动刷新。现在换新只会让正在使用它的程序失效。",
	"  If it leaked: %s": "  如果已经泄露：%s",
	"WeChat gives no other token now: two forced refreshes are at least 30 s apart, and all programs on this store make at most 18 a day. Try again in %s": "现在不能换新 token：两次强制刷新至少间隔 30 秒，使用该存储的所有程序每天最多强制刷新 18 次。请在 %s后再试",
	"WeChat gave the same token again: nothing was renewed. Try again in a minute":                                                                         "微信返回了相同的 token：没有换新。请一分钟后再试",
	"%s A new token lives for %s.": "%s 已换新，有效期 %s。",
	"  WeChat lets the one before work for up to 5 minutes. Programs on this store take the new one when they look next,": "  旧 token 最多还能用 5 分钟。使用该存储的程序在下次读取时、",
	"  or when WeChat refuses the old one.":                    "  或旧 token 被微信拒绝时换用新的。",
	"--ticket %q: it has to be jsapi or wx_card":               "--ticket %q：必须是 jsapi 或 wx_card",
	"%s There was no %s ticket; the new one lives for %s.":     "%s 原来没有 %s ticket；新 ticket 的有效期为 %s。",
	"%s The %s ticket lives for %s more: nothing was fetched.": "%s %s ticket 还有 %s 到期：没有重新获取。",
	"  A page that calls the signature invalid usually has another URL than was signed, or a domain that the console does not list.": "  页面提示签名无效，通常是页面 URL 与签名时不同，或域名未加入 JS接口安全域名。",
	"  If it is the ticket: %s": "  如果确实是 ticket 的问题：%s",
	"WeChat gives the same %s ticket again, so it is the valid one: look at the URL that was signed, and at the domains in the console (JS接口安全域名)": "微信返回了相同的 %s ticket，说明它有效：请检查签名用的 URL，以及后台的 JS接口安全域名",
	"%s A new %s ticket lives for %s.": "%s 新的 %s ticket 有效期 %s。",
	"  Programs on this store take it when they look next, at once on Redis and PostgreSQL; with client.RejectTicket, or after a restart, at once on all.": "  使用该存储的程序在下次读取时换用，Redis 和 PostgreSQL 上立即生效；调用 client.RejectTicket 或重启后，在任何存储上都立即生效。",
	"in %s": "存储于 %s",
	"a token lives, and a program with this environment cannot open it: %w. It gets an error, or, once in 10 minutes for all programs, fetches another token, which those with the other key cannot open": "有有效的 token，但使用当前环境变量的程序无法解密：%w。程序会报错，或者（全部程序每 10 分钟一次）重新获取 token，而使用另一个密钥的程序又无法解密",
	"no token lives, and the last attempt, %s ago, failed: %s":                                            "没有有效的 token，上次尝试（%s前）失败：%s",
	"no token lives: a program on this store fetches one when it starts, and so does zhongkong token get": "没有有效的 token：使用该存储的程序启动时会获取，zhongkong token get 也会",
	"the store cannot be read: %w":                        "无法读取存储：%w",
	"the journal cannot be read: %w":                      "无法读取记录：%w",
	"  none was stored":                                   "  没有存储过",
	"  lives for %s of %s, until %s":                      "  剩余 %s，共 %s，到期时间 %s",
	"ended %s ago, at %s":                                 "已于 %[2]s 到期（%[1]s前）",
	"in the clear":                                        "明文",
	"sealed with key %s":                                  "用密钥 %s 加密",
	"  renewal %d, %s":                                    "  刷新编号 %d，%s",
	"this process cannot open it: see ZHONGKONG_SEAL_KEY": "当前进程无法解密：请检查 ZHONGKONG_SEAL_KEY",
	"programs with a ZHONGKONG_SEAL_KEY do not use it, but replace it": "设置了 ZHONGKONG_SEAL_KEY 的程序不会使用它，而会重新获取",

	// From a gateway.
	"ZHONGKONG_GATEWAY_CA: %w": "ZHONGKONG_GATEWAY_CA：%w",
	"%w. Set ZHONGKONG_GATEWAY_CA to the file of the authority that signed its certificate":                    "%w。请把 ZHONGKONG_GATEWAY_CA 设为签发该证书的根证书文件",
	"the gateway has no live token: its log, and zhongkong token status --config FILE on its machine, say why": "网关没有有效的 token：原因见网关日志，或在网关机器上执行 zhongkong token status --config FILE",
	"at %s":              "来自网关 %s",
	"  lives for %s":     "  剩余 %s",
	"  renewal %d":       "  刷新编号 %d",
	"access_token of %s": "%s 的 access_token",
	"the gateway %s has no account %s for this client: zhongkong client list on its machine shows which it may use": "网关 %s 没有为此客户端开放账号 %s：在网关机器上执行 zhongkong client list 可查看权限",
	"ZHONGKONG_GATEWAY holds what is no URL: write https://host:8300, several separated by commas":                  "ZHONGKONG_GATEWAY 不是 URL：请写成 https://host:8300，多个以逗号分隔",
	"the gateway %s does not answer: %w":                                    "网关 %s 没有应答：%w",
	"the gateway %s refuses (HTTP %d): %s":                                  "网关 %s 拒绝了请求（HTTP %d）：%s",
	"what answers at %s is no gateway (HTTP %d): look at ZHONGKONG_GATEWAY": "%s 上应答的不是网关（HTTP %d）：请检查 ZHONGKONG_GATEWAY",

	// healthcheck.
	"the address is %s: it has to be one such as %s":        "地址是 %s：应为 %s 这样的地址",
	"%s is not on this machine: ask /healthz there instead": "%s 不在本机：请直接访问它的 /healthz",
	"the gateway at %s does not answer: %w":                 "网关 %s 没有应答：%w",
	"the gateway at %s answers %d to %s: %s":                "网关 %s 返回 %d（%s）：%s",

	// serve.
	"The gateway is at": "网关地址",
	"Programs that may use it: zhongkong client add NAME --account APPID": "添加可以使用网关的程序：zhongkong client add NAME --account APPID",
	"%s is %s: it has to be an address such as %s":                        "%s 的值是 %s：应为 %s 这样的地址",
	"%s can be reached from other machines, and keys would travel in the clear: configure tls, or listen at 127.0.0.1, or, in a trusted network, say --plain-http (plain_http: true; of admin.listen admin.plain_http: true)": "其他机器可以访问 %s，密钥会明文传输：请配置 tls，或只监听 127.0.0.1；网络可信时可加上 --plain-http（plain_http: true；admin.listen 为 admin.plain_http: true）",
	"%s can be reached from other machines, and keys would travel in the clear: configure tls, or listen at 127.0.0.1, or %s":                                                                                                 "其他机器可以访问 %s，密钥会明文传输：请配置 tls，或只监听 127.0.0.1，或%s",
	"say --plain-http (plain_http: true)":         "加上 --plain-http（plain_http: true）",
	"say admin.plain_http: true":                  "设置 admin.plain_http: true",
	"%s The configuration is good.":               "%s 配置没有问题。",
	"  listens at %s":                             "  监听地址 %s",
	"  admins at %s":                              "  管理地址 %s",
	"the certificate is for %s and no other name": "证书只用于 %s，不用于其他域名",
	"  gets a certificate for %s":                 "  自动为 %s 申请证书",
	"  keeps tokens in %s":                        "  token 存放于 %s",
	", pushes to %s":                              "，推送给 %s",
	"1 subscriber":                                "1 个系统",
	"%d subscribers":                              "%d 个系统",
	"%w. A running gateway keeps the environment that it was started with: restart it, or use {file: PATH}, which is read again": "%w。运行中的网关不会看到环境变量的变化：请重启网关，或改用 {file: PATH}，它会重新读取",
	"there is no account: give --config FILE, or set WECHAT_APPID and WECHAT_APPSECRET; --demo needs neither":                    "没有账号：请指定 --config FILE，或设置 WECHAT_APPID 和 WECHAT_APPSECRET；--demo 都不需要",
	"ZHONGKONG_DRAIN_GRACE is %q: %w": "ZHONGKONG_DRAIN_GRACE 的值是 %q：%w",
	"ZHONGKONG_SEAL_KEY is not set: the tokens would lie in the store in the clear. Make a key with: openssl rand -base64 32 (ZHONGKONG_SEAL_KEY_FILE names a file with it)": "没有设置 ZHONGKONG_SEAL_KEY：token 会以明文存放。请生成一个密钥：openssl rand -base64 32（ZHONGKONG_SEAL_KEY_FILE 可指定存放它的文件）",
	"--host %s is no server of WeChat's that is known here: give api, qyapi or open":                                                                                         "--host %s 不是这里收录的微信服务器：请写 api、qyapi 或 open",
	"The admin API is at %s and its page at %s":                                           "管理接口 %s，页面 %s",
	"a listener ended: %w":                                                                "监听中断：%w",
	"%s was changed, which needs a restart: accounts alone change without one":            "%s 改变了，需要重启才能生效：只有账号可以不重启就改变",
	"cannot listen at %s: %w. Choose another address":                                     "无法监听 %s：%w。请换一个地址",
	"--demo and --config exclude one another: the demo makes its configuration up":        "--demo 不能与 --config 同时使用：演示的配置是虚构的",
	"cannot make a temporary folder: %w":                                                  "无法创建临时目录：%w",
	"cannot listen for the simulated WeChat: %w":                                          "模拟的微信无法监听：%w",
	"WeChat is simulated at %s. The database is %s, removed at the end.":                  "模拟的微信在 %s。数据库是 %s，结束时删除。",
	"\nAn account, and the key of a program that may use it. The AppSecret stays here.\n": "\n以下是一个账号，以及可以使用它的程序的密钥。AppSecret 不会离开网关。\n",
	"Paste the two lines, and try":                                                        "粘贴这两行，然后试试",
	"fetch a token as any SDK does, the key being the secret":                             "像任何 SDK 一样获取 token，用密钥代替 AppSecret",
	"or call any API without one":                                                         "或者不带 token 直接调用接口",
	"let WeChat end the real token, then call again: nobody notices":                      "让微信作废真实 token 后再调用：程序毫无察觉",
	"Look at it": "查看页面",
	"in a browser, with this key of the admin:": "在浏览器中打开下面的页面，用这把管理密钥登录：",
	"Ctrl-C ends it.": "按 Ctrl-C 结束。",

	// client.
	"begin": "开始获取", "save": "已保存", "release": "未获取到",
	"EVENT": "事件", "DETAIL": "说明",
	"TITLE": "显示名称", "NAME": "名称", "CHECK": "检查项", "FOUND": "结果", "ACCOUNTS": "账号", "PATHS": "路径", "CALLS": "限速", "TOKENS": "token", "ENDS": "到期", "all": "不限", "any": "不限", "gateway's": "网关签发", "real": "真实", "never": "不到期",
	"name sites or take them away: not both at once":                     "设置站点和去掉站点不能同时进行",
	"say what changes: --return, --origin, --no-returns or --no-origins": "请指明改动：--return、--origin、--no-returns 或 --no-origins",
	"%s has another title. Gateways that run know within five seconds.":  "%s 的显示名称已更改。运行中的网关五秒内生效。",
	"%s has other sites. Gateways that run know within five seconds.":    "%s 的站点已更改。运行中的网关五秒内生效。",
	"logs in for %s": "登录后返回 %s", "pages of %s": "页面 %s",
	"There is no client yet: zhongkong client add NAME --account APPID":            "还没有客户端：zhongkong client add NAME --account APPID",
	"memory: is the running gateway's own; its admin API adds clients there":       "memory: 由运行中的网关独享；请通过它的管理接口添加客户端",
	"Its key, shown this once. The program gives it where the AppSecret would go:": "密钥如下，只显示这一次。在程序中用它代替 AppSecret：",
	"ended %s": "已于 %s 到期",
	"%s is revoked. Gateways that run know within five seconds.": "%s 已吊销。运行中的网关五秒内生效。",
}
