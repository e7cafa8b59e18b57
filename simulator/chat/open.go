package chat

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxLinks is how many links of one bubble can be opened.
const maxLinks = 32

// linkInText ends at Chinese characters and punctuation, which an address has in %XX.
var linkInText = regexp.MustCompile(`https?://[^\s"'<>\x{3000}-\x{303f}\x{ff00}-\x{ffef}\p{Han}]+`)

// links are the addresses that a follower can open from a bubble.
func (b *bubble) links() []string {
	all := []string{b.link}
	for _, c := range b.cards {
		all = append(all, c.Link)
	}
	if b.kind == "text" || strings.EqualFold(b.event, "view") {
		all = append(all, linkInText.FindAllString(b.text, maxLinks)...)
	}
	var web []string
	for _, link := range all {
		if (strings.HasPrefix(link, "http://") || strings.HasPrefix(link, "https://")) && len(web) < maxLinks {
			web = append(web, link)
		}
	}
	return web
}

// linkView is a link to open as the follower.
type linkView struct{ Text, Link string }

// Links are what the follower can open, apart from articles.
func (b bubbleView) Links() []linkView {
	var all []linkView
	for _, link := range b.b.links() {
		if !slices.ContainsFunc(b.b.cards, func(c card) bool { return c.Link == link }) {
			all = append(all, linkView{link, b.Opens(link)})
		}
	}
	return all
}

// Opens returns the address that opens a link of the bubble as the follower, "" for one that
// no browser opens.
func (b bubbleView) Opens(link string) string {
	at := slices.Index(b.b.links(), link)
	if at < 0 {
		return ""
	}
	return b.v.address("open", "bubble", strconv.FormatUint(b.b.number, 10), "link", strconv.Itoa(at))
}

// open lets the follower open a link "in WeChat": from then on the browser is this follower's
// at the authorize page. Only what somebody has written in this chat is opened.
func (p *Page) open(w http.ResponseWriter, r *http.Request) {
	v, err := p.look(r)
	if err != nil {
		p.broken(w, err)
		return
	}
	number, err := strconv.ParseUint(r.FormValue("bubble"), 10, 64)
	at, atErr := strconv.Atoi(r.FormValue("link"))
	if err != nil || atErr != nil || v.OpenID != r.FormValue("as") {
		http.NotFound(w, r)
		return
	}
	link := p.link(roomKey{v.AppID, v.OpenID}, number, at)
	if link == "" {
		http.NotFound(w, r)
		return
	}
	var browser struct {
		Cookie string `json:"set_cookie"`
	}
	if err := p.wechat.does(p.ctx, v.AppID, "browser", map[string]string{"follower": v.OpenID}, &browser); err != nil {
		p.broken(w, err)
		return
	}
	w.Header().Add("Set-Cookie", browser.Cookie)
	http.Redirect(w, r, link, http.StatusFound)
}

// link returns a link of a bubble, "" if there is none.
func (p *Page) link(key roomKey, number uint64, at int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.rooms[key]
	if room == nil {
		return ""
	}
	for _, b := range room.bubbles {
		if links := b.links(); b.number == number && at >= 0 && at < len(links) {
			return links[at]
		}
	}
	return ""
}
