package gateway

// Paths of WeChat that the gateway treats in ways of their own, and its own ones.
const (
	tokenPath  = "/cgi-bin/token" //nolint:gosec // a path
	stablePath = "/cgi-bin/stable_token"
	corpPath   = "/cgi-bin/gettoken"
	ticketPath = "/cgi-bin/ticket/getticket"
	healthPath = "/healthz"
	readyPath  = "/readyz"

	callbackPath = "/callback/" // where WeChat pushes to, before the appid

	userTokenPath = "/sns/oauth2/access_token" //nolint:gosec // a path, no credential
	componentPath = "/cgi-bin/component/api_component_token"
	ridPath       = "/cgi-bin/openapi/rid/get"
)
