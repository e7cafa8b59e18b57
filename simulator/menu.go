package simulator

// Menu returns the JSON by which the app created the account's menu, and "" when
// there is none.
func (s *Simulator) Menu(appid string) string {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.menu
}

// serveMenuCreate carries out POST /cgi-bin/menu/create.
func serveMenuCreate(c *call) answer {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	c.account.menu = string(c.body)
	return ok(`{"errcode":0,"errmsg":"ok"}`)
}

// serveMenuGet carries out GET /cgi-bin/menu/get: what was created, byte for byte.
func serveMenuGet(c *call) answer {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if c.account.menu == "" {
		return c.refuse(menuMissing)
	}
	return ok(`{"menu":` + c.account.menu + `}`)
}

// serveMenuDelete carries out GET /cgi-bin/menu/delete.
func serveMenuDelete(c *call) answer {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	c.account.menu = ""
	return ok(`{"errcode":0,"errmsg":"ok"}`)
}
