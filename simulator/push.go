package simulator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
)

// Push is a message on its way to the app. Everything but the Message has a
// default that is right for the account.
type Push struct {
	Message Message // what it says, and from whom; [Text] and [Click] make usual ones

	// URL is where it goes. "" means the account's CallbackURL. A query of its own
	// stays in front of WeChat's.
	URL string

	// Handler, if not nil, is the app: it is called in this process, without
	// sockets, as testing/synctest bubbles need it. URL then only names the path.
	Handler http.Handler

	AppID  string // whose follower it is from: "" means the first account
	Mode   Mode   // "" means the account's
	Format Format // likewise

	// Attack, if not "", makes it a forgery, which the app has to refuse.
	Attack Attack

	// SameNonce repeats timestamp, nonce and signatures in the later deliveries.
	// Otherwise they are new, with the same message inside. Which of it WeChat does is
	// not known: an app has to live with both.
	SameNonce bool

	// Deliveries bounds how often an unanswered push is delivered. 0 means as often as
	// WeChat documents: three times, some events of shops and games for hours.
	Deliveries int

	// What a test may want to fix: Unix seconds, digits, 16 characters. "" means
	// now and random ones.
	Timestamp, Nonce, Random string
}

// sending is a Push with everything settled that its deliveries share.
type sending struct {
	Push

	sim     *Simulator
	account Account
	key     aesKey
	target  *url.URL
	message Message
	plain   string // the message as it is written
}

// settle finds out what a push leaves open. The error says what is missing.
func (s *Simulator) settle(p Push) (*sending, error) {
	a, err := s.pushing(p.AppID)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	conf := a.conf.clone()
	id := a.nextMsgID()
	a.mu.Unlock()

	out := &sending{Push: p, sim: s, account: conf}
	if out.Mode == "" {
		out.Mode = conf.mode()
	}
	if out.Format == "" {
		out.Format = conf.format()
		if p.Message.Raw != "" {
			out.Format = formatOf(p.Message.Raw)
		}
	}
	if out.URL == "" {
		out.URL = conf.CallbackURL
	}
	if out.URL == "" && p.Handler != nil {
		out.URL = "http://app.invalid/"
	}
	if err := out.validate(); err != nil {
		return nil, err
	}

	m := p.Message
	if m.To == "" {
		m.To = conf.OriginalID
	}
	if m.From == "" && len(conf.Followers) > 0 {
		m.From = conf.Followers[0]
	}
	if m.Created.IsZero() {
		m.Created = s.wall()
	}
	if m.ID == 0 {
		m.ID = id
	}
	if conf.Kind == WeCom && out.Format == XML && m.Raw == "" {
		m = m.With("AgentID", Number(conf.agentID()))
	}
	out.message = m
	out.plain = m.Raw
	if out.plain == "" {
		fields := m.envelope()
		out.plain = plainXML(fields)
		if out.Format == JSON {
			out.plain = compactJSON(fields)
		}
	}
	return out, nil
}

// formatOf goes by the first character.
func formatOf(raw string) Format {
	if strings.HasPrefix(strings.TrimSpace(raw), "{") {
		return JSON
	}
	return XML
}

// pushing returns the account that a push is for.
func (s *Simulator) pushing(appid string) (*account, error) {
	if appid == "" {
		return s.order[0], nil
	}
	if a := s.accounts[appid]; a != nil {
		return a, nil
	}
	return nil, named.Errorf("simulator", "there is no account %s to push for", appid)
}

func (p *sending) validate() error {
	conf := p.account
	switch {
	case conf.Token == "":
		return named.Errorf("simulator", "%s has no Token to sign pushes with: give the account the one that the app is configured with", conf.AppID)
	case !slices.Contains(modes, p.Mode):
		return named.Errorf("simulator", "there is no mode %q: plain, compatible and safe exist", p.Mode)
	case !slices.Contains(formats, p.Format):
		return named.Errorf("simulator", "there is no format %q: xml and json exist", p.Format)
	case conf.Kind == WeCom && p.Mode != Safe:
		return named.Errorf("simulator", "WeCom encrypts every push: the Mode of %s has to be safe, which needs an AESKey", conf.AppID)
	case p.Mode != Plain && conf.AESKey == "":
		return named.Errorf("simulator", "%s has no AESKey, which %s mode needs: give the account the one that the app is configured with", conf.AppID, p.Mode)
	}
	if err := p.Attack.check(p.Mode); err != nil {
		return err
	}
	if p.Mode != Plain {
		key, err := parseAESKey(conf.AESKey)
		if err != nil {
			return named.Errorf("simulator", "the AESKey of %s %w", conf.AppID, err)
		}
		p.key = key
	}
	if p.Message.Raw != "" && p.Mode == Compatible && !strings.HasSuffix(p.Message.Raw, p.end()) {
		return named.Errorf("simulator", "a raw message has no fields that compatible mode could show next to Encrypt, unless it ends with %s", p.end())
	}
	if err := p.Message.check(); err != nil {
		return named.Errorf("simulator", "%w", err)
	}
	if p.Random != "" && len(p.Random) != 16 {
		return named.Errorf("simulator", "Push.Random has %d bytes, not 16", len(p.Random))
	}
	target, err := parseTarget(p.URL)
	if err != nil {
		return named.Errorf("simulator", "the address to push to: %w", err)
	}
	p.target = target
	return nil
}

// NewRequest returns the request by which WeChat delivers the push, without
// sending it: to look at, or for the ServeHTTP of an app.
func (s *Simulator) NewRequest(ctx context.Context, p Push) (*http.Request, error) {
	out, err := s.settle(p)
	if err != nil {
		return nil, err
	}
	out.hear()
	return out.compose().request(ctx)
}

// hear notes what the follower did; a forgery has no follower.
func (p *sending) hear() {
	if p.Attack == "" || p.Attack == Replay {
		p.sim.Hear(p.account.AppID, p.message)
	}
}

// parcel is one delivery's content.
type parcel struct {
	method    string
	target    *url.URL
	query     string
	body      string
	timestamp string
	nonce     string
}

// compose writes one delivery, with timestamp and nonce of its own.
func (p *sending) compose() parcel {
	if p.account.Kind == WeCom {
		return p.composeCorp()
	}
	timestamp, nonce, random := p.stamps()
	receiver, token := p.account.receiverID(), p.account.Token
	switch p.Attack {
	case WrongSignature:
		token = "not" + token
	case ForeignAppID:
		receiver = "wx00000000f0e16000"
	}
	q := newQuery(sign(token, timestamp, nonce), timestamp, nonce)
	if p.message.From != "" {
		q.add("openid", p.message.From)
	}
	body := p.plain
	if p.Mode != Plain && p.Attack != PlainText {
		encrypt := p.key.seal(random, p.plain, receiver)
		msgSignature := sign(token, timestamp, nonce, encrypt)
		if p.Attack == Tampered {
			encrypt = tamper(encrypt)
		}
		body = p.wrap(encrypt)
		q.add("encrypt_type", "aes")
		q.add("msg_signature", msgSignature)
	}
	return parcel{
		method: http.MethodPost, target: p.target, query: q.behind(p.target.RawQuery),
		body: body, timestamp: timestamp, nonce: nonce,
	}
}

// wrap puts Encrypt into the body.
func (p *sending) wrap(encrypt string) string {
	if p.Mode == Compatible && p.message.Raw != "" {
		front := strings.TrimSuffix(p.plain, p.end())
		if p.Format == JSON {
			return front + `,"Encrypt":"` + encrypt + `"}`
		}
		return front + "    <Encrypt><![CDATA[" + encrypt + "]]></Encrypt>\n</xml>\n"
	}
	fields := []Field{{"ToUserName", p.message.To}}
	if p.Mode == Compatible {
		fields = p.message.envelope()
	}
	fields = append(fields, Field{"Encrypt", encrypt})
	if p.Format == JSON {
		return compactJSON(fields)
	}
	return indentedXML(fields)
}

// end is how a message ends.
func (p *sending) end() string {
	if p.Format == JSON {
		return "}"
	}
	return "</xml>"
}

// stamps returns what makes a delivery unlike any other.
func (p *sending) stamps() (timestamp, nonce, random string) {
	a := p.sim.accounts[p.account.AppID]
	a.mu.Lock()
	defer a.mu.Unlock()
	at := p.sim.wall()
	if p.Attack == Stale {
		at = at.Add(-time.Hour)
	}
	timestamp, nonce, random = stamps(a.random, at)
	if p.Timestamp != "" {
		timestamp = p.Timestamp
	}
	if p.Nonce != "" {
		nonce = p.Nonce
	}
	if p.Random != "" {
		random = p.Random
	}
	return timestamp, nonce, random
}

func stamps(r *rand.Rand, at time.Time) (timestamp, nonce, random string) {
	nonce = strconv.FormatUint(uint64(r.Uint32()), 10) // decimal, at most 10 digits
	return strconv.FormatInt(at.Unix(), 10), nonce, fmt.Sprintf("%016x", r.Uint64())
}

// query is written in the order in which WeChat's were seen.
type query struct{ b strings.Builder }

func newQuery(signature, timestamp, nonce string) *query {
	q := new(query)
	q.add("signature", signature)
	q.add("timestamp", timestamp)
	q.add("nonce", nonce)
	return q
}

func (q *query) add(name, value string) {
	if q.b.Len() > 0 {
		q.b.WriteByte('&')
	}
	q.b.WriteString(name + "=" + url.QueryEscape(value))
}

// behind returns the query behind one that the URL has already.
func (q *query) behind(own string) string {
	if own == "" {
		return q.b.String()
	}
	return own + "&" + q.b.String()
}

func (p parcel) request(ctx context.Context) (*http.Request, error) {
	target := *p.target
	target.RawQuery = p.query
	r, err := http.NewRequestWithContext(ctx, p.method, target.String(), strings.NewReader(p.body))
	if err != nil {
		return nil, named.Errorf("simulator", "%w", err)
	}
	r.Close = true
	r.Header.Set("User-Agent", "Mozilla/4.0")
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Pragma", "no-cache")
	if p.method == http.MethodPost {
		r.Header.Set("Content-Type", "text/xml") // with JSON too
	}
	return r, nil
}
