package simulator

import (
	"strings"

	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// The errcodes that the simulator gives by itself.
const (
	invalidCredential   = 40001
	invalidGrantType    = 40002
	invalidOpenID       = 40003
	invalidMediaType    = 40004
	invalidMediaID      = 40007
	invalidMessageType  = 40008
	invalidAppID        = 40013
	buttonCount         = 40016
	buttonType          = 40017
	buttonName          = 40018
	buttonKey           = 40019
	buttonURL           = 40020
	menuDepth           = 40022
	subButtonCount      = 40023
	subButtonType       = 40024
	subButtonName       = 40025
	subButtonKey        = 40026
	subButtonURL        = 40027
	invalidCode         = 40029
	invalidRefreshToken = 40030
	invalidCharset      = 40033
	invalidParameter    = 40035
	invalidTemplateID   = 40037
	invalidURL          = 40066
	buttonMedia         = 40117
	subButtonMedia      = 40118
	invalidSecret       = 40125
	codeUsed            = 40163
	notWhitelisted      = 40164
	invalidCheckURL     = 40201
	invalidAction       = 40202
	invalidOperator     = 40203
	tokenMissing        = 41001
	appIDMissing        = 41002
	secretMissing       = 41004
	mediaDataMissing    = 41005
	codeMissing         = 41008
	tokenExpired        = 42001
	refreshTokenExpired = 42002
	codeExpired         = 42003
	authorizationGone   = 42007
	requireGET          = 43001
	requirePOST         = 43002
	emptyPostData       = 44002
	emptyContent        = 44004
	dailyLimit          = 45009
	minuteLimit         = 45011
	outOfTime           = 45015
	templateLimit       = 45026
	outOfCount          = 45047
	invalidCommand      = 45072
	typingTooLate       = 45080
	menuMissing         = 46003
	dataFormat          = 47001
	apiUnauthorized     = 48001
	clearLimit          = 48006
	ridUnknown          = 76001
	ridMalformed        = 76002
	ridForeign          = 76003
	ridTooOld           = 76004
	pathUnknown         = 76021
	pathForbidden       = 76022
	invalidSigMethod    = 87008
	invalidSignature    = 87009
)

// text returns the errmsg of an errcode up to the rid.
func (c *call) text(code int) string {
	if c.wecom {
		return corpText(code)
	}
	if code == notWhitelisted {
		v6 := c.caller
		if !strings.Contains(v6, ":") {
			v6 = "::ffff:" + v6
		}
		return "invalid ip " + c.caller + " ipv6 " + v6 + ", not in whitelist"
	}
	if code == invalidCredential && strings.HasPrefix(c.req.URL.Path, snsPrefix) {
		return "invalid credential, access_token is invalid or not latest" // as captured there
	}
	if info, known := errcode.Lookup(code); known && info.Text != "" {
		return info.Text
	}
	return "unknown error"
}
