package gateway

// Description is openapi.yaml.
func Description() []byte { return description }

// ParseProxies reads the setting trusted_proxies.
var ParseProxies = parseProxies

// Routes returns the method and path of everything that the gateway itself serves,
// apart from WeChat's API.
func Routes() []string {
	routes := []string{"GET " + healthPath, "GET " + readyPath}
	for _, route := range apiRoutes {
		routes = append(routes, route.method+" "+apiPrefix+route.path)
	}
	for pattern := range (admin{}).routes() {
		routes = append(routes, pattern)
	}
	return routes
}

// Refusals returns the status of each errcode with which the gateway's own API
// refuses by itself, 0 standing for none.
func Refusals() map[int]int {
	refusals := map[int]int{}
	for code, refusal := range apiStatuses {
		if code == codeAccepted {
			code = 0
		}
		refusals[code] = refusal.status
	}
	return refusals
}
