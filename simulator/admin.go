package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/named"
)

const adminHelp = `The simulator's admin API. It answers loopback only; bodies are JSON objects, durations are written "90s" or "2h".

GET    /simulator/accounts                    the accounts, their tokens, counts, quotas and menus; no secrets,
                                              unless they are made up and asked for: ?secrets=1
PATCH  /simulator/accounts/APPID              changes fields: {"whitelist":["192.0.2.1"]} {"state":50007} {"daily_fetches":3} {"mode":"safe"}
POST   /simulator/accounts/APPID/supersede    another program fetches a token: {"pool":"classic","times":1}
POST   /simulator/accounts/APPID/kill         ends every token, or one: {"token":"…"}, or a pool's latest: {"pool":"stable"}
POST   /simulator/accounts/APPID/refuse       APIs refuse the current token, stable_token keeps it: {"pool":"stable"}
POST   /simulator/accounts/APPID/spend        leaves so many calls for today: {"path":"/cgi-bin/token","left":1}
POST   /simulator/accounts/APPID/code         what a front end gets: {"kind":"login"} (wx.login), {"kind":"phone"}; {"follower":"o…"}
POST   /simulator/accounts/APPID/hear         a follower has written, without a push: {"follower":"o…"} {"event":"CLICK"}; customer service messages may follow
POST   /simulator/accounts/APPID/browser      the cookie by which the authorize page knows a browser as a follower's: {"follower":"o…"}
POST   /simulator/authorize                   opens an authorize page as a follower: {"url":"http://…/connect/oauth2/authorize?…#wechat_redirect"}
                                              and says where it leads; {"follower":"o…"} {"refuse":true} {"snapshot":true}
GET    /simulator/clock                       the times
POST   /simulator/clock                       ages tokens, tickets, quotas: {"advance":"2h"}; moves the time in pushes and rids: {"skew":"-10m"}
GET    /simulator/faults                      the faults at work
POST   /simulator/faults                      adds one: {"path":"fetches","times":3,"errcode":-1} {"delay":"10s"} {"rate":0.1,"status":502} {"cut":"body"}
DELETE /simulator/faults                      removes all; /simulator/faults/ID removes one
POST   /simulator/push                        pushes a message: {"type":"text","value":"你好","to":"http://127.0.0.1:3100/","attack":"replay"}
                                              any event: {"type":"event","value":"user_get_card","set":{"UserCardCode":"1"}}
                                              a whole message: {"type":"raw","value":"<xml>…"}
POST   /simulator/request                     what push would send, without sending it; takes what push takes
POST   /simulator/verify                      asks for the echostr: {"to":"http://127.0.0.1:3100/"}
GET    /simulator/events?last=20              the last calls and pushes
GET    /simulator/events?after=7&wait=30s     those after number 7; if there are none, it waits for the next one
`

// Handler returns the Simulator together with its admin API.
func (s *Simulator) Handler() http.Handler {
	admin := s.Admin()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, AdminPath) {
			admin.ServeHTTP(w, r)
			return
		}
		s.ServeHTTP(w, r)
	})
}

// Admin returns the handler by which programs in any language do what Go programs
// do with the methods; GET AdminPath lists it. It answers loopback only, and no web
// page: a program that reaches it holds every token. Wrong input is answered 400 with
// {"error":"…"}, and nothing is changed.
func (s *Simulator) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+AdminPath+"{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, adminHelp)
	})
	handle := func(pattern string, do func(*http.Request) (any, error)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" "+strings.TrimSuffix(AdminPath, "/")+path, adminEndpoint(do))
	}
	mux.Handle(AdminPath, adminEndpoint(func(r *http.Request) (any, error) {
		return nil, missing{fmt.Errorf("there is no %s %s; GET %s lists what there is", r.Method, r.URL.Path, AdminPath)}
	}))
	handle("GET /accounts", s.adminList)
	handle("PATCH /accounts/{appid}", s.adminUpdate)
	handle("POST /accounts/{appid}/supersede", s.adminSupersede)
	handle("POST /accounts/{appid}/kill", s.adminKill)
	handle("POST /accounts/{appid}/refuse", s.adminRefuse)
	handle("POST /accounts/{appid}/spend", s.adminSpend)
	handle("POST /accounts/{appid}/code", s.adminCode)
	handle("POST /accounts/{appid}/hear", s.adminHear)
	handle("POST /accounts/{appid}/browser", s.adminBrowser)
	handle("POST /authorize", s.adminAuthorize)
	handle("GET /clock", func(*http.Request) (any, error) { return s.adminClock(), nil })
	handle("POST /clock", s.adminMove)
	handle("GET /faults", func(*http.Request) (any, error) { return s.adminFaults(), nil })
	handle("POST /faults", s.adminInject)
	handle("DELETE /faults", func(*http.Request) (any, error) { s.ClearFaults(); return s.adminFaults(), nil })
	handle("DELETE /faults/{id}", s.adminRemove)
	handle("POST /push", s.adminPush)
	handle("POST /request", s.adminRequest)
	handle("POST /verify", s.adminVerify)
	handle("GET /events", s.adminEvents)
	return gate.Local(maxAdminBody, mux)
}

type problem struct {
	Error string `json:"error"`
}

// missing is an error about something that the path names.
type missing struct{ error }

// adminEndpoint is what all endpoints share: the errors' statuses and the form.
func adminEndpoint(do func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		result, err := do(r)
		var absent missing
		switch {
		case errors.As(err, &absent):
			writeJSONTo(w, http.StatusNotFound, problem{err.Error()})
		case err != nil:
			writeJSONTo(w, http.StatusBadRequest, problem{named.Plain(err).Error()})
		default:
			writeJSONTo(w, http.StatusOK, result)
		}
	})
}

func writeJSONTo(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(value) // a caller who is gone misses nothing
}

// maxAdminBody bounds what is read of a request.
const maxAdminBody = 1 << 20

// read reads the body into a struct and refuses what the struct does not know. An
// empty body is an empty object.
func read(r *http.Request, into any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAdminBody))
	if err != nil {
		return fmt.Errorf("the body cannot be read: %w", err)
	}
	if len(strings.TrimSpace(string(body))) == 0 {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the body is not right: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body continues after its JSON object")
	}
	return nil
}

// duration is written as people write one.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration: write 90s, 5m or 2h", text)
	}
	*d = duration(parsed)
	return nil
}

// accountsView are the accounts, and what holds for all of them.
type accountsView struct {
	Accounts []accountView `json:"accounts"`
	Life     duration      `json:"life"`    // of tokens
	MadeUp   bool          `json:"made_up"` // ?secrets=1 shows the secrets
}

// accountView is an account, with its secrets only where they may be shown and were asked
// for. Mode and Format are never empty.
type accountView struct {
	Account

	CanPush bool            `json:"can_push"` // it has a Token
	Menu    json.RawMessage `json:"menu,omitempty"`
	Tokens  []tokenView     `json:"tokens"`
	Quotas  []Quota         `json:"quotas"`
	Stats   Stats           `json:"stats"`
}

type tokenView struct {
	Pool    Pool     `json:"pool"`
	End     string   `json:"token_ends_with"`
	Value   string   `json:"token,omitempty"` // a secret
	Left    duration `json:"left"`
	Errcode int      `json:"errcode"` // what an API answers for it; 0 while it lives
}

func (s *Simulator) adminAccounts(secrets bool) accountsView {
	all := accountsView{Accounts: []accountView{}, Life: duration(s.options.Life), MadeUp: s.options.MadeUp}
	for _, conf := range s.Accounts() {
		conf.Mode, conf.Format = conf.mode(), conf.format()
		view := accountView{
			CanPush: conf.Token != "", Menu: json.RawMessage(s.Menu(conf.AppID)), Tokens: []tokenView{},
			Quotas: s.Quotas(conf.AppID), Stats: s.Stats(conf.AppID),
		}
		for _, p := range []Pool{Classic, Stable} {
			value := s.Latest(conf.AppID, p)
			if value == "" {
				continue
			}
			info := s.Inspect(value)
			one := tokenView{Pool: p, End: ending(value), Left: duration(info.Left.Round(time.Second)), Errcode: info.Errcode}
			if secrets {
				one.Value = value
			}
			view.Tokens = append(view.Tokens, one)
		}
		if !secrets {
			conf.Secret, conf.Token, conf.AESKey, conf.Signing = "", "", "", nil
		}
		view.Account = conf
		all.Accounts = append(all.Accounts, view)
	}
	return all
}

func (s *Simulator) adminList(r *http.Request) (any, error) {
	secrets := r.URL.Query().Get("secrets") == "1"
	if secrets && !s.options.MadeUp {
		return nil, errors.New("the secrets of these accounts are not made up, and are not shown")
	}
	return s.adminAccounts(secrets), nil
}

// adminAccount returns the account that the path names.
func (s *Simulator) adminAccount(r *http.Request) (*account, error) {
	appid := r.PathValue("appid")
	if a := s.accounts[appid]; a != nil {
		return a, nil
	}
	return nil, missing{fmt.Errorf("there is no account %s; GET %saccounts lists them", appid, AdminPath)}
}

func (s *Simulator) adminUpdate(r *http.Request) (any, error) {
	a, err := s.adminAccount(r)
	if err != nil {
		return nil, err
	}
	var unread error
	err = s.Update(a.appid, func(conf *Account) {
		changed := conf.clone()
		if unread = read(r, &changed); unread == nil {
			*conf = changed
		}
	})
	if unread != nil {
		return nil, unread
	}
	if err != nil {
		return nil, err
	}
	return s.adminAccounts(false), nil
}

// onePool is the body of requests about a pool.
type onePool struct {
	Pool  Pool `json:"pool"`
	Times int  `json:"times"`
}

func (p Pool) check() error {
	if p != Classic && p != Stable {
		return fmt.Errorf("there is no pool %q: classic and stable exist", p)
	}
	return nil
}

func (p *onePool) read(r *http.Request, usual Pool) error {
	p.Pool, p.Times = usual, 1
	if err := read(r, p); err != nil {
		return err
	}
	if err := p.Pool.check(); err != nil {
		return err
	}
	if p.Times < 1 || p.Times > 100 {
		return fmt.Errorf("times is %d: 1 to 100 can be", p.Times)
	}
	return nil
}

func (s *Simulator) adminSupersede(r *http.Request) (any, error) {
	a, err := s.adminAccount(r)
	if err != nil {
		return nil, err
	}
	var in onePool
	if err := in.read(r, Classic); err != nil {
		return nil, err
	}
	for range in.Times {
		if in.Pool == Classic {
			s.Supersede(a.appid)
		} else {
			s.SupersedeStable(a.appid)
		}
	}
	return s.adminAccounts(false), nil
}

func (s *Simulator) adminKill(r *http.Request) (any, error) {
	a, err := s.adminAccount(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Token string `json:"token"`
		Pool  Pool   `json:"pool"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Pool != "" && in.Token != "":
		return nil, errors.New("give a token or a pool, not both")
	case in.Pool != "":
		if err := in.Pool.check(); err != nil {
			return nil, err
		}
		if !s.KillToken(s.Latest(a.appid, in.Pool)) {
			return nil, errors.New("there is no live token to end")
		}
	case in.Token == "":
		s.Kill(a.appid)
	case s.Inspect(in.Token).AppID != a.appid || !s.KillToken(in.Token):
		return nil, errors.New("that is no live token of this account")
	}
	return s.adminAccounts(false), nil
}

func (s *Simulator) adminRefuse(r *http.Request) (any, error) {
	a, err := s.adminAccount(r)
	if err != nil {
		return nil, err
	}
	var in onePool
	if err := in.read(r, Stable); err != nil {
		return nil, err
	}
	if !s.Refuse(s.Latest(a.appid, in.Pool)) {
		return nil, fmt.Errorf("the pool %s has no live token to refuse", in.Pool)
	}
	return s.adminAccounts(false), nil
}

func (s *Simulator) adminSpend(r *http.Request) (any, error) {
	a, err := s.adminAccount(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Path string `json:"path"`
		Left int    `json:"left"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := s.Spend(a.appid, in.Path, in.Left); err != nil {
		return nil, err
	}
	return in, nil
}

// adminCode plays the front end of a mini program.
func (s *Simulator) adminCode(r *http.Request) (any, error) {
	a, err := s.adminAccount(r)
	if err != nil {
		return nil, err
	}
	in := struct {
		Kind     string `json:"kind"`
		Follower string `json:"follower"`
	}{Kind: "login"}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	kinds := map[string]codeKind{"login": miniCode, "phone": phoneCode}
	kind, known := kinds[in.Kind]
	if !known {
		return nil, fmt.Errorf("there is no kind of code %q: login and phone exist", in.Kind)
	}
	code, err := s.frontCode(kind, a.appid, in.Follower)
	return map[string]string{"code": code}, err
}

// adminHear notes what a follower did.
func (s *Simulator) adminHear(r *http.Request) (any, error) {
	a, err := s.adminAccount(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Follower string `json:"follower"`
		Event    string `json:"event"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	m := Text("")
	if in.Event != "" {
		m = Message{Type: "event", Fields: []Field{{"Event", in.Event}}}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.From, err = a.person(in.Follower); err != nil {
		return nil, err
	}
	a.hear(m, s.Clock.Now())
	return struct{}{}, nil
}

// adminBrowser says what makes a browser a follower's.
func (s *Simulator) adminBrowser(r *http.Request) (any, error) {
	if _, err := s.adminAccount(r); err != nil {
		return nil, err
	}
	var in struct {
		Follower string `json:"follower"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return map[string]string{"set_cookie": followerCookieOf(in.Follower).String()}, nil
}

// adminAuthorize plays a browser in WeChat and its user.
func (s *Simulator) adminAuthorize(r *http.Request) (any, error) {
	var in struct {
		URL      string `json:"url"`
		Follower string `json:"follower"`
		Refuse   bool   `json:"refuse"`
		Snapshot bool   `json:"snapshot"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	location, err := s.Authorize(in.URL, Consent{Follower: in.Follower, Refuse: in.Refuse, Snapshot: in.Snapshot})
	return map[string]string{"location": location}, err
}

type clockView struct {
	Real  time.Time `json:"real"`
	Clock time.Time `json:"clock"`
	Skew  duration  `json:"skew"`
}

func (s *Simulator) adminClock() any {
	return clockView{time.Now(), s.Clock.Now(), duration(s.skew.Load())}
}

func (s *Simulator) adminMove(r *http.Request) (any, error) {
	var in struct {
		Advance duration  `json:"advance"`
		Skew    *duration `json:"skew"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Advance < 0 {
		return nil, errors.New("advance is negative: no token becomes younger")
	}
	s.Clock.Advance(time.Duration(in.Advance))
	if in.Skew != nil {
		s.SetSkew(time.Duration(*in.Skew))
	}
	return s.adminClock(), nil
}

// faultView is a fault as it is written and shown.
type faultView struct {
	Fault

	ID    int      `json:"id,omitempty"`
	Hits  int      `json:"hits"`
	Delay duration `json:"delay,omitempty"`
}

func (s *Simulator) adminFaults() any {
	views := []faultView{}
	for _, r := range s.Faults() {
		views = append(views, faultView{Fault: r.fault, ID: r.id, Hits: r.Hits(), Delay: duration(r.fault.Delay)})
	}
	return map[string]any{"faults": views}
}

func (s *Simulator) adminInject(r *http.Request) (any, error) {
	var in struct {
		Fault

		Delay duration `json:"delay"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	f := in.Fault
	f.Delay = time.Duration(in.Delay)
	switch {
	case f == Fault{Path: f.Path, AppID: f.AppID, Times: f.Times, Rate: f.Rate, After: f.After}:
		return nil, errors.New("nothing would go wrong: give a delay, errcode, status, body, content_type or cut")
	case f.AppID != "" && s.accounts[f.AppID] == nil:
		return nil, fmt.Errorf("there is no account %s", f.AppID)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	s.Inject(f)
	return s.adminFaults(), nil
}

func (s *Simulator) adminRemove(r *http.Request) (any, error) {
	id, _ := strconv.Atoi(r.PathValue("id"))
	for _, rule := range s.Faults() {
		if rule.id == id {
			rule.Remove()
			return s.adminFaults(), nil
		}
	}
	return nil, missing{fmt.Errorf("there is no fault %s at work", r.PathValue("id"))}
}

// pushOrder is a push in words.
type pushOrder struct {
	Type   string            `json:"type"`
	Value  string            `json:"value"`
	Set    map[string]string `json:"set"`
	From   string            `json:"from"`
	To     string            `json:"to"`
	AppID  string            `json:"appid"`
	Mode   Mode              `json:"mode"`
	Format Format            `json:"format"`
	Attack Attack            `json:"attack"`
	Same   bool              `json:"same_nonce"`
	Times  int               `json:"deliveries"` // 0: three at most
	ID     int64             `json:"msg_id"`     // 0: a new one
}

// readPush reads a push in words.
func readPush(r *http.Request) (Push, error) {
	var in pushOrder
	if err := read(r, &in); err != nil {
		return Push{}, err
	}
	m, err := Compose(in.Type, in.Value, in.Set)
	if err != nil {
		return Push{}, err
	}
	if in.ID != 0 {
		m.ID = in.ID
	}
	return Push{
		Message: m.By(in.From), URL: in.To, AppID: in.AppID, Mode: in.Mode, Format: in.Format, Attack: in.Attack, SameNonce: in.Same,
		Deliveries: in.Times,
	}, nil
}

func (s *Simulator) adminPush(r *http.Request) (any, error) {
	p, err := readPush(r)
	if err != nil {
		return nil, err
	}
	if p.Deliveries == 0 {
		p.Deliveries = 3 // nobody wants a call to last for hours without having asked for it
	}
	return outcome(r.Context(), p, s.Deliver)
}

// requestView is a push that was not sent.
type requestView struct {
	Method  string `json:"method"`
	URL     string `json:"url"`
	Body    string `json:"body"`
	MsgID   int64  `json:"msg_id"`  // of the message, also where it is not written; push takes it
	Message string `json:"message"` // in plain text in every mode
}

func (s *Simulator) adminRequest(r *http.Request) (any, error) {
	p, err := readPush(r)
	if err != nil {
		return nil, err
	}
	out, err := s.settle(p)
	if err != nil {
		return nil, err
	}
	out.hear()
	content := out.compose()
	request, err := content.request(r.Context())
	if err != nil {
		return nil, err
	}
	return requestView{request.Method, request.URL.String(), content.body, out.message.ID, out.plain}, nil
}

func (s *Simulator) adminVerify(r *http.Request) (any, error) {
	var in struct {
		To     string `json:"to"`
		AppID  string `json:"appid"`
		Attack Attack `json:"attack"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return outcome(r.Context(), Push{URL: in.To, AppID: in.AppID, Attack: in.Attack}, s.Verify)
}

type resultView struct {
	OK         bool           `json:"ok"`
	Verdict    Verdict        `json:"verdict"`
	Reason     string         `json:"reason"`
	Sees       string         `json:"sees"`
	Notes      []string       `json:"notes,omitempty"`
	Deliveries []deliveryView `json:"deliveries"`
}

type deliveryView struct {
	At      time.Time `json:"at"`
	Took    duration  `json:"took"`
	URL     string    `json:"url"`
	Request string    `json:"request"`
	Status  int       `json:"status,omitempty"`
	Answer  string    `json:"answer"`
	Error   string    `json:"error,omitempty"`
}

func outcome(ctx context.Context, p Push, send func(context.Context, Push) (Result, error)) (any, error) {
	r, err := send(ctx, p)
	if err != nil {
		return nil, err
	}
	view := resultView{OK: r.OK(), Verdict: r.Verdict, Reason: r.Reason, Sees: r.Sees, Notes: r.Notes}
	for _, d := range r.Deliveries {
		one := deliveryView{At: d.At, Took: duration(d.Took), URL: d.URL, Request: excerpt(d.Request), Status: d.Status, Answer: excerpt(d.Body)}
		if d.Err != nil {
			one.Error = d.outcome()
		}
		view.Deliveries = append(view.Deliveries, one)
	}
	return view, nil
}

// maxWait bounds how long a call waits for the next event.
const maxWait = time.Minute

func (s *Simulator) adminEvents(r *http.Request) (any, error) {
	q := r.URL.Query()
	var number uint64
	var wait duration
	var err error
	if after := q.Get("after"); after != "" {
		if number, err = strconv.ParseUint(after, 10, 64); err != nil {
			return nil, fmt.Errorf("after is %q: it has to be the number of an event, or 0", after)
		}
	}
	if text := q.Get("wait"); text != "" {
		if err := wait.UnmarshalText([]byte(text)); err != nil {
			return nil, err
		}
	}
	most := 0
	if text := q.Get("last"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 1 {
			return nil, fmt.Errorf("last is %q: it has to be a positive number", text)
		}
	}
	all, last := s.history.after(r.Context(), number, min(time.Duration(wait), maxWait))
	if most > 0 {
		all = all[max(0, len(all)-most):]
	}
	for i, one := range all {
		all[i].Event = s.Redact(one.Event)
	}
	return map[string]any{"events": all, "last": last}, nil
}
