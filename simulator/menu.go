package simulator

// Menu returns the JSON by which the app created the account's menu, and "" when
// there is none.
func (s *Simulator) Menu(appid string) string {
	a := s.find(appid)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.menu
}

// button is what a menu's buttons have.
type button struct {
	Type      string   `json:"type"`
	Name      string   `json:"name"`
	Key       string   `json:"key"`
	URL       string   `json:"url"`
	MediaID   string   `json:"media_id"`
	SubButton []button `json:"sub_button"`
}

// buttonErrors are the errcodes about one button.
type buttonErrors struct{ kind, name, key, url, media int }

var (
	firstLevel  = buttonErrors{buttonType, buttonName, buttonKey, buttonURL, buttonMedia}
	secondLevel = buttonErrors{subButtonType, subButtonName, subButtonKey, subButtonURL, subButtonMedia}
)

// What WeChat documents about a menu, in buttons and bytes.
const (
	maxButtons, maxSubButtons       = 3, 5
	maxButtonName, maxSubButtonName = 16, 60
	maxButtonKey, maxButtonURL      = 128, 1024
)

// checkMenu returns the errcode to refuse a menu with.
func checkMenu(buttons []button) int {
	if len(buttons) == 0 || len(buttons) > maxButtons {
		return buttonCount
	}
	for _, b := range buttons {
		if len(b.SubButton) > maxSubButtons {
			return subButtonCount
		}
		if b.Name == "" || len(b.Name) > maxButtonName {
			return buttonName
		}
		if len(b.SubButton) == 0 {
			if errcode := b.check(firstLevel); errcode != 0 {
				return errcode
			}
		}
		for _, sub := range b.SubButton {
			switch {
			case len(sub.SubButton) > 0:
				return menuDepth
			case sub.Name == "" || len(sub.Name) > maxSubButtonName:
				return subButtonName
			}
			if errcode := sub.check(secondLevel); errcode != 0 {
				return errcode
			}
		}
	}
	return 0
}

// check returns the errcode about what the button's type needs.
func (b button) check(e buttonErrors) int {
	switch b.Type {
	case "click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select":
		if b.Key == "" || len(b.Key) > maxButtonKey {
			return e.key
		}
	case "view", "miniprogram":
		if b.URL == "" || len(b.URL) > maxButtonURL {
			return e.url
		}
	case "media_id", "view_limited":
		if b.MediaID == "" {
			return e.media
		}
	case "article_id", "article_view_limited":
	default:
		return e.kind
	}
	return 0
}

// serveMenuCreate carries out POST /cgi-bin/menu/create.
func serveMenuCreate(c *call) answer {
	var in struct {
		Buttons []button `json:"button"`
	}
	if !c.decode(&in) {
		return c.refuse(dataFormat)
	}
	if errcode := checkMenu(in.Buttons); errcode != 0 {
		return c.refuse(errcode)
	}
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
