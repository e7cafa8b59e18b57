package simulator

import (
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

// The errcodes that WeCom gives and the other hosts do not.
const (
	corpInvalidToken   = 40014
	corpForeignSecret  = 40091
	corpInvalidAgent   = 40056
	corpUntrusted      = 60020
	corpNoUser         = 60111
	corpNobody         = 81013
	corpForeignAgent   = 301002
	corpInvalidRequest = 40058
)

// corpTexts are errmsgs that package errcode has no text of. As users report them.
var corpTexts = map[int]string{
	corpNoUser:         "userid not found",
	corpNobody:         "user & party & tag all invalid",
	corpForeignAgent:   "not allow operate another agent with this accesstoken",
	corpInvalidAgent:   "invalid agentid",
	invalidMessageType: "invalid message type",
	emptyContent:       "text content is empty",
	mediaDataMissing:   "media data missing",
	invalidMediaType:   "invalid media type",
	invalidMediaID:     "invalid media_id",
	corpInvalidRequest: "invalid Request Parameter",
	invalidCode:        "invalid code",
	codeMissing:        "missing code",
}

// corpText returns the errmsg of an errcode up to the hint.
func corpText(code int) string {
	if info, known := errcode.LookupOn(errcode.WeCom, code); known && info.Text != "" {
		return info.Text
	}
	if text := corpTexts[code]; text != "" {
		return text
	}
	return "unknown error"
}
