package gateway

import (
	"net/http"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/platform/errcode"
)

// writePatience is how long a reader may need for the next piece of an answer.
const writePatience = time.Minute

// observed remembers what was answered, and gives readers a time to read.
type observed struct {
	http.ResponseWriter

	start   time.Time
	status  int
	errcode int // of the gateway's own answers
	bytes   int64
	client  string
	appID   string

	proxied bool          // the call went to WeChat
	sending *sending      // of a call that is not to be made twice
	wechat  int           // the errcode in WeChat's answer
	cut     bool          // WeChat's answer broke off after a part of it was passed on
	gone    bool          // the caller did not take the answer
	live    *clients.Live // whose call it is; nil for nobody's
	tally   *tally

	visit gate.Visit
}

// of remembers whose call it is, now that it is proven.
func (o *observed) of(c *clients.Live) {
	o.client, o.live = c.Name, c
	o.visit.Prove()
}

// about remembers which account a call is about.
func (o *observed) about(a *account) { o.appID, o.tally = a.AppID, a.tally }

// WriteHeader implements [http.ResponseWriter].
func (o *observed) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		return // such as 103, whose header nobody has looked through
	}
	if o.status == 0 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (o *observed) Write(p []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	if o.bytes == 0 && o.proxied {
		o.wechat = wechatErrcode(p)
	}
	if o.bytes > 0 {
		// The first piece fits into buffers; after it, a caller that does not read is
		// not waited for.
		_ = http.NewResponseController(o.ResponseWriter).SetWriteDeadline(time.Now().Add(writePatience))
	}
	n, err := o.ResponseWriter.Write(p)
	o.bytes += int64(n)
	o.gone = o.gone || err != nil
	return n, err
}

// Unwrap is for [http.ResponseController].
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// count counts a call that is over.
func (o *observed) count(m *meter) {
	now := time.Now()
	t, by, code := o.tally, 1, o.errcode
	if t == nil {
		t = m.nobody
	}
	if o.proxied {
		m.proxy.add(now.Sub(o.start))
		if code == 0 {
			by, code = 0, o.wechat
			if code == 0 && (o.cut || o.status < 200 || o.status > 299) {
				code = OtherErrcode
			}
		}
	}
	if code != 0 {
		hosts := []errcode.Host{errcode.API, errcode.WeCom} // the gateway's own may be either's
		if by == 0 && o.tally != nil {
			hosts = []errcode.Host{errcodeHost(o.appID)}
		}
		code = known(code, hosts...)
	}
	t.call(by, code, now)
	m.all.call(by, code, now)
	if o.live != nil {
		o.live.Count(now)
		m.byClients.Add(1)
	}
}
