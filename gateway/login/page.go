package login

import (
	"net/http"

	"github.com/zhongkong-go/zhongkong/internal/weblogin"
)

// The pages of the relay's own.
var (
	pageRequest = &weblogin.Page{
		Reason: "request", Status: http.StatusBadRequest, Final: true,
		ZH: "登录请求不完整，或者参数有误。", EN: "This login is incomplete, or a parameter of it is wrong.",
		ToDoZH: "请从网站重新进入；网站的开发者请核对 appid、scope、response_type 和 state。",
		ToDoEN: "Begin at the site again. Its developer has to look at appid, scope, response_type and state.",
	}
	pageReturn = &weblogin.Page{
		Reason: "return_address", Status: http.StatusForbidden, Final: true,
		ZH: "这个网站没有在登录服务里登记，不能用它登录。", EN: "The site that began this login is not registered for logins.",
		ToDoZH: "请不要继续；网站的开发者请在中控服务器上登记回调地址（zhongkong client sites）。",
		ToDoEN: "Do not continue. The site's developer has to register its return address at the gateway (zhongkong client sites).",
	}
	pageOrigin = &weblogin.Page{
		Reason: "origin", Status: http.StatusInternalServerError, Final: true,
		ZH: "登录服务还没有配置自己的公网地址。", EN: "The public address of this login service is not configured.",
		ToDoZH: "请管理员在中控服务器的配置里设置 login.origin，例如 https://login.example。",
		ToDoEN: "Its operator has to set login.origin in the gateway's configuration, such as https://login.example.",
	}
	pageCrowded = &weblogin.Page{
		Reason: "crowded", Status: http.StatusServiceUnavailable, Final: true,
		ZH: "现在登录的人太多。", EN: "Too many people are logging in at the moment.",
		ToDoZH: "请几分钟后从网站重新进入。", ToDoEN: "Begin at the site again in some minutes.",
	}
)
