package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/gateway/login"
	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/shape"
)

// front is the first that sees a call.
type front struct {
	*desk

	pushes   pushes
	relay    *relay
	programs http.Handler // of the gateway's own API
	body     int64        // the longest
	log      *slog.Logger // of every request
}

// ServeHTTP implements [http.Handler].
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o := &observed{ResponseWriter: w, start: time.Now()}
	path := cleanPath(r.URL.EscapedPath())
	if f.draining.Load() {
		w.Header().Set("Connection", "close") // so that the next call goes to another gateway, on a connection that nobody cuts
	}
	r, fits := o.visit.Enter(w, r, f.mostOf(path))
	defer func() {
		o.visit.Leave()
		// ReverseProxy panics with http.ErrAbortHandler when an answer breaks off, whether
		// WeChat or the caller ended it.
		cause := recover()
		if err, _ := cause.(error); errors.Is(err, http.ErrAbortHandler) && o.proxied && !o.gone && r.Context().Err() == nil {
			o.cut = true
			f.brokeOff(r, path, o)
		}
		f.access(r, path, o)
		if isCall(path) {
			o.count(f.meter)
		}
		if cause != nil {
			panic(cause)
		}
	}()
	refused := errTooLong
	if fits {
		refused = f.serve(o, r, path)
	}
	if refused != nil {
		f.refused(o, r, path, refused)
	}
}

// cleanPath returns a path that WeChat can have, "" for any other one. The callback's of an app
// of WeCom has a colon in it, which some escape.
func cleanPath(escaped string) string {
	if clients.CleanPath(escaped) {
		return escaped
	}
	account, isCallback := strings.CutPrefix(escaped, callbackPath)
	account = strings.NewReplacer("%3A", ":", "%3a", ":").Replace(account)
	if _, _, isApp := shape.App(account); isCallback && isApp && shape.IsAccount(account) {
		return callbackPath + account
	}
	return ""
}

// mostOf returns how long a body may be on a path.
func (f *front) mostOf(path string) int64 {
	switch {
	case path == "", path == healthPath, path == readyPath, path == tokenPath, path == stablePath, path == corpPath,
		strings.HasPrefix(path, apiPrefix), login.Serves(path):
		return maxFetchBody
	case userPaths[path], secretPaths[path]:
		return maxSecret
	case strings.HasPrefix(path, callbackPath):
		return callback.MaxBody
	default:
		return f.body
	}
}

func (f *front) serve(w *observed, r *http.Request, path string) *refusal {
	if strings.HasPrefix(path, apiPrefix) {
		f.programs.ServeHTTP(w, r)
		return nil
	}
	switch path {
	case "":
		return refuse(codeURL, "the path is none that WeChat has")
	case healthPath:
		writeBytes(w, http.StatusOK, []byte(`{"healthy":true}`))
		return nil
	case readyPath:
		f.ready(w, r)
		return nil
	case tokenPath:
		return fetches{f.desk}.serveToken(w, r)
	case corpPath:
		return fetches{f.desk}.serveCorp(w, r)
	case stablePath:
		return fetches{f.desk}.serveStable(w, r)
	}
	if login.Serves(path) {
		f.serveLogin(w, r)
		return nil
	}
	if appID, ok := strings.CutPrefix(path, callbackPath); ok {
		if f.pushes.Has(appID) {
			w.appID = appID
		}
		f.pushes.Serve(w, r, appID, w.visit.Prove)
		return nil
	}
	return f.relay.serveCall(w, r, path)
}

func (f *front) access(r *http.Request, path string, o *observed) {
	ctx := r.Context()
	if !f.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	now := time.Now()
	code := o.errcode
	if code == 0 {
		code = o.wechat
	}
	line := slog.NewRecord(
		now,
		slog.LevelInfo,
		"request",
		0,
	) // without a place in the source, which costs more than all else and is always this one
	line.AddAttrs(
		slog.String("method", loggable(r.Method)), slog.String("path", loggable(path)), slog.Int("status", o.status),
		slog.Int("errcode", code), slog.Int64("bytes", o.bytes), slog.Duration("took", now.Sub(o.start)),
		slog.String("client", o.client), slog.String("appid", o.appID), slog.String("remote", r.RemoteAddr))
	if o.live != nil && o.live.Title != "" {
		line.AddAttrs(slog.String("title", o.live.Title))
	}
	if o.cut {
		line.AddAttrs(slog.Bool("cut", true))
	}
	_ = f.log.Handler().Handle(ctx, line)
}

// isCall reports whether it is a call of a program's.
func isCall(path string) bool {
	return path != healthPath && path != readyPath && !strings.HasPrefix(path, callbackPath) && !login.Serves(path)
}

// ready answers 200 when every account has a live token, else 503. To a client it names
// those of its accounts that have none, and says why; to others, how many there are.
func (f *front) ready(w *observed, r *http.Request) {
	var c *clients.Live
	if key, has := bearer(r.Header); has {
		c, _, _ = f.clients.ByKey(r.Context(), key, time.Now())
	}
	const most = 20
	type lack struct {
		AppID string `json:"appid"`
		Why   string `json:"why"`
	}
	answer := struct {
		Ready    bool   `json:"ready"`
		Clients  bool   `json:"clients_known"`
		Draining bool   `json:"draining,omitempty"`
		Accounts int    `json:"accounts"`
		Without  int    `json:"without_token"`
		Lacking  []lack `json:"lacking,omitempty"`
	}{}
	for _, s := range f.accounts.status() {
		answer.Accounts++
		if s.Live {
			continue
		}
		answer.Without++
		why := "not loaded yet"
		if s.Failure != nil {
			why = s.Failure.Plain()
		}
		if c != nil && c.Uses(s.Key.AppID) && len(answer.Lacking) < most {
			answer.Lacking = append(answer.Lacking, lack{s.Key.AppID, why})
		}
	}
	answer.Draining = f.draining.Load()
	answer.Clients = f.clients.Known()
	answer.Ready = answer.Without == 0 && answer.Clients && !answer.Draining
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

// brokeOff logs an answer that broke off after a part of it was passed on.
func (f *front) brokeOff(r *http.Request, path string, o *observed) {
	f.desk.log.LogAttrs(r.Context(), slog.LevelWarn, "WeChat's answer broke off, and so did the one to the caller",
		slog.String("log_code", "gateway_answer_broke_off"),
		slog.String("method", loggable(r.Method)), slog.String("path", loggable(path)), slog.Int64("bytes", o.bytes),
		slog.String("client", o.client), slog.String("appid", o.appID), slog.String("remote", r.RemoteAddr))
}

// serveLogin answers a browser that logs in, which has nothing to prove itself with.
func (f *front) serveLogin(w *observed, r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer f.visitors.Enter(gate.Address(r.RemoteAddr), func() { cancel(errCrowded) }).Exit()
	f.logins.ServeHTTP(w, r.WithContext(ctx))
}
