package simulator

import (
	"maps"
	"net/http"
)

// routes returns the paths that have an answer of their own.
func routes() map[string]endpoint {
	all := map[string]endpoint{
		TokenPath:       {pool: Classic, read: readClassic, serve: serveClassic},
		StableTokenPath: {pool: Stable, read: readStable, serve: serveStable},

		DomainIPPath:             get(fixed(`{"ip_list":["203.0.113.10","203.0.113.11"]}`)),
		"/cgi-bin/getcallbackip": get(fixed(`{"ip_list":["203.0.113.20","203.0.113.21","203.0.113.128/25"]}`)),
		TicketPath:               get(serveTicket).of(onlyOfficial),

		"/cgi-bin/clear_quota":         post(serveClearQuota),
		"/cgi-bin/clear_quota/v2":      {read: readClearQuotaV2, serve: serveClearQuotaV2},
		"/cgi-bin/openapi/quota/get":   post(serveQuotaGet),
		"/cgi-bin/openapi/quota/clear": post(serveQuotaClear),
		"/cgi-bin/openapi/rid/get":     post(serveRIDGet),
		"/cgi-bin/callback/check":      post(serveCallbackCheck),

		"/cgi-bin/message/custom/send":   post(serveCustomSend).raw(),
		"/cgi-bin/message/custom/typing": post(serveTyping),
		"/cgi-bin/message/template/send": post(serveTemplateSend).raw().of(onlyOfficial),

		"/cgi-bin/template/get_all_private_template": get(serveTemplates).of(onlyOfficial),
		"/cgi-bin/template/api_add_template":         post(serveTemplateAdd).of(onlyOfficial),
		"/cgi-bin/template/del_private_template":     post(serveTemplateDelete).of(onlyOfficial),

		"/cgi-bin/menu/create": post(serveMenuCreate).raw().of(onlyOfficial),
		"/cgi-bin/menu/get":    get(serveMenuGet).of(onlyOfficial),
		"/cgi-bin/menu/delete": get(serveMenuDelete).of(onlyOfficial),

		"/cgi-bin/user/info": get(serveUserInfo).of(onlyOfficial),
		"/cgi-bin/user/get":  get(serveUserGet).of(onlyOfficial),

		uploadPath:               api{method: http.MethodPost, do: serveMediaUpload}.endpoint(),
		"/cgi-bin/media/get":     get(serveMediaGet),
		"/cgi-bin/qrcode/create": post(serveQRCodeCreate).of(onlyOfficial),
		"/cgi-bin/showqrcode":    {serve: serveShowQRCode},
	}
	maps.Copy(all, snsRoutes())
	return all
}
