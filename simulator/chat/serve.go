package chat

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/page"
)

// pages serves the page itself.
func (p *Page) pages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(strings.TrimSuffix(Path, "/"), http.RedirectHandler(Path, http.StatusMovedPermanently))
	mux.HandleFunc("GET "+Path+"{$}", p.show)
	mux.HandleFunc("GET "+Path+"live", p.live)
	mux.HandleFunc("GET "+Path+"open", p.open)
	mux.Handle("GET "+Path+"static/", page.Static(files()))
	mux.HandleFunc("POST "+Path+"{what}", p.act)
	return gate.Local(maxForm, page.Guard(page.Choosing(mux)))
}

// show answers the whole page.
func (p *Page) show(w http.ResponseWriter, r *http.Request) {
	v, err := p.look(r)
	if err != nil {
		p.broken(w, err)
		return
	}
	p.write(w, http.StatusOK, v)
}

// broken answers where the simulator's API does not.
func (p *Page) broken(w http.ResponseWriter, err error) {
	http.Error(w, err.Error(), http.StatusBadGateway)
}

func (p *Page) write(w http.ResponseWriter, status int, v *view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", string(v.Lang))
	w.Header().Set("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, v.render("page", v)) //nolint:gosec // html/template has escaped it
}

// maxForm bounds what is read of a form.
const maxForm = 64 << 10

// inForm leaves out what a package's errors name and a form has not.
var inForm = strings.NewReplacer("simulator: ", "", "Update: ", "")

// act does what a form of the page asks for. The script wants 204, or the error in
// JSON, and a browser without it the page again.
func (p *Page) act(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	scripted := r.Header.Get("Accept") == "application/json"
	v, err := p.look(r)
	if err != nil {
		p.broken(w, err)
		return
	}
	do := acts[r.PathValue("what")]
	next := ""
	if do == nil {
		err = errors.New("there is nothing of this name to do")
	} else {
		next, err = do(p, v, r)
	}
	p.bell.Ring()
	switch {
	case err != nil && scripted:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, problemJSON(because(v.Lang, inForm.Replace(err.Error()))))
	case err != nil:
		v.Problem = because(v.Lang, inForm.Replace(err.Error()))
		p.write(w, http.StatusUnprocessableEntity, v)
	case scripted:
		if next != "" {
			w.Header().Set("X-Next", next)
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		if next == "" {
			next = v.Here()
		}
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // it begins with Path, whatever the query
	}
}

// pieces are the parts of the page that are rendered anew, by their ids.
var pieces = []string{"accounts", "tokens", "clock", "quotas", "whitelist", "faults", "app", "followers", "head", "menu"}

// tick is how often a page is looked at although nothing has happened: bars move.
const tick = time.Second

// live sends what changes, until the browser is gone.
func (p *Page) live(w http.ResponseWriter, r *http.Request) {
	v, err := p.look(r)
	if err != nil {
		p.broken(w, err)
		return
	}
	name := r.Header.Get("Last-Event-ID")
	if name == "" {
		name = r.FormValue("since")
	}
	since, ours := p.seqOf(name)
	stream := page.NewStream(w)
	if !ours { // the page is another process's
		_ = stream.Send("reload", p.name(v.Seq), nil)
		return
	}
	if stream.Send("", "", nil) != nil { // shows the browser that it is connected
		return
	}
	sent := map[string]string{}
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for quiet := 0; ; quiet++ {
		next := p.bell.Next()
		changed, until := p.news(v, since, sent)
		switch {
		case len(changed) > 0:
			if stream.Send("pieces", p.name(until), changed) != nil {
				return
			}
			quiet = 0
		case quiet >= 15:
			if stream.Send("", "", nil) != nil {
				return
			}
			quiet = 0
		}
		since = until
		select {
		case <-next:
		case <-ticks.C:
		case <-r.Context().Done():
			return
		case <-p.ctx.Done():
			return
		}
	}
}

// news returns what has changed for a view since a number, and the number up to
// which that is.
func (p *Page) news(v *view, since uint64, sent map[string]string) (changed []page.Piece, until uint64) {
	if v.again() != nil {
		return nil, since // the next look may be answered
	}
	for _, id := range pieces {
		html := v.render(id, v)
		if sent[id] != html {
			changed = append(changed, page.Piece{ID: id, HTML: html})
			sent[id] = html
		}
	}
	p.mu.Lock()
	until = p.seq
	p.mu.Unlock()
	for _, b := range v.bubbles(since, until) {
		changed = append(changed, page.Piece{ID: b.ID(), In: "bubbles", HTML: v.render("bubble", b)})
	}
	for _, e := range v.entries(since, until) {
		changed = append(changed, page.Piece{ID: e.ID(), In: "entries", HTML: v.render("entry", e)})
	}
	return changed, until
}
