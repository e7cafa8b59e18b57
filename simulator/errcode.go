package simulator

import "strings"

// The errcodes that the simulator gives by itself.
const (
	systemError       = -1
	invalidCredential = 40001
	invalidGrantType  = 40002
	invalidAppID      = 40013
	invalidSecret     = 40125
	notWhitelisted    = 40164
	tokenMissing      = 41001
	appIDMissing      = 41002
	secretMissing     = 41004
	tokenExpired      = 42001
	requireGET        = 43001
	requirePOST       = 43002
	emptyPostData     = 44002
	dailyLimit        = 45009
	minuteLimit       = 45011
	dataFormat        = 47001
)

// texts are WeChat's errmsg up to the rid. The Chinese ones are those of its
// code tables, where no wire text is known.
var texts = map[int]string{ //nolint:gosec // they speak of credentials and are none
	systemError:       "system error",
	invalidCredential: "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r",
	invalidGrantType:  "invalid grant_type",
	invalidAppID:      "invalid appid",
	40014:             "invalid access_token",
	invalidSecret:     "invalid appsecret",
	40033:             `invalid charset. please check your request, if include \uxxxx will create fail!`,
	40066:             "invalid url",
	tokenMissing:      "access_token missing",
	appIDMissing:      "appid missing",
	secretMissing:     "appsecret missing",
	tokenExpired:      "access_token expired",
	42007:             "access_token and refresh_token exception",
	requireGET:        "require GET method",
	requirePOST:       "require POST method",
	emptyPostData:     "empty post data",
	dailyLimit:        "reach max api daily quota limit",
	minuteLimit:       "api minute-quota reach limit, must slower, retry next minute",
	dataFormat:        "data format error",
	48001:             "api unauthorized",
	48004:             "api forbidden for irregularities, view detail on mp.weixin.qq.com",
	48006:             "forbid to clear quota because of reaching the limit",
	50002:             "user limited",

	int(SecretFrozen):        "AppSecret已被冻结",
	int(Banned):              "user not allow to use accesstoken, maybe for punishment",
	int(Frozen):              "账号已冻结",
	int(ThirdParty):          "must use api(api_component_token) to get token for component acct",
	int(ConfirmationPending): "公众号有未处理的确认请求，请稍候重试",
	int(ApprovalNeeded):      "此次调用需要管理员确认，请耐心等候",
	int(RefusedForDay):       "该IP调用求请求已被公众号管理员拒绝，请24小时后再试，建议调用前与管理员沟通确认",
	int(RefusedForHour):      "该IP调用求请求已被公众号管理员拒绝，请1小时后再试，建议调用前与管理员沟通确认",
}

// text returns the errmsg of an errcode up to the rid.
func (c *call) text(errcode int) string {
	if errcode == notWhitelisted {
		v6 := c.caller
		if !strings.Contains(v6, ":") {
			v6 = "::ffff:" + v6
		}
		return "invalid ip " + c.caller + " ipv6 " + v6 + ", not in whitelist"
	}
	if text, known := texts[errcode]; known {
		return text
	}
	return "unknown error"
}
