package simulator

// Paths to name in a Fault, to look for in an Event, and to call.
const (
	// TokenPath and StableTokenPath issue tokens: TokenPath ends the one before.
	TokenPath       = "/cgi-bin/token"        //nolint:gosec // a path, no credential
	StableTokenPath = "/cgi-bin/stable_token" //nolint:gosec // likewise

	// DomainIPPath is a call that costs nothing and changes nothing, to try a token with.
	DomainIPPath = "/cgi-bin/get_api_domain_ip"

	TicketPath = "/cgi-bin/ticket/getticket" // tickets of the JS-SDK and of cards
	AdminPath  = "/simulator/"               // what the paths of [Simulator.Admin] begin with

	uploadPath = "/cgi-bin/media/upload"
)

// The APIs of logins. They are called with the AppSecret or with a user's token; no
// whitelist and no daily limit holds.
const (
	snsPrefix       = "/sns/"
	snsTokenPath    = "/sns/oauth2/access_token"  //nolint:gosec // a path, no credential
	snsRefreshPath  = "/sns/oauth2/refresh_token" //nolint:gosec // likewise
	snsUserinfoPath = "/sns/userinfo"
	snsAuthPath     = "/sns/auth"
	miniLoginPath   = "/sns/jscode2session"
)

// snsContentType was captured of jscode2session and of errors below /sns/.
const snsContentType = "text/plain"

// Paths of qyapi.weixin.qq.com that no other of WeChat's hosts has.
const (
	corpTokenPath   = "/cgi-bin/gettoken" //nolint:gosec // a path, no credential
	corpTicketPath  = "/cgi-bin/get_jsapi_ticket"
	agentTicketPath = "/cgi-bin/ticket/get"
	corpSendPath    = "/cgi-bin/message/send"
	corpUserPath    = "/cgi-bin/auth/getuserinfo"
	corpAgentPath   = "/cgi-bin/agent/get"
	corpLoginPath   = "/wwlogin/sso/login" // of login.work.weixin.qq.com
)
