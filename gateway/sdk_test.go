package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// sdk is a program as it is: it fetches a token, keeps it for the life that was
// stated, calls with it, and fetches again on 40001. It knows a host, an appid and a
// secret, and nothing of gateways.
type sdk struct {
	host, appID, secret string

	http *http.Client

	mu      sync.Mutex
	token   string
	until   time.Time
	fetches int
}

func (s *sdk) ask(ctx context.Context, path string, out any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.host+path, http.NoBody)
	if err != nil {
		return err
	}
	res, err := s.http.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, out)
}

func (s *sdk) fetch(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != "" && time.Now().Before(s.until) {
		return s.token, nil
	}
	var got struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
		Errcode int    `json:"errcode"`
	}
	if err := s.ask(ctx, "/cgi-bin/token?grant_type=client_credential&appid="+s.appID+"&secret="+s.secret, &got); err != nil {
		return "", err
	}
	if got.Token == "" {
		return "", fmt.Errorf("errcode %d", got.Errcode)
	}
	s.token, s.until, s.fetches = got.Token, time.Now().Add(time.Duration(got.Expires)*time.Second), s.fetches+1
	return s.token, nil
}

var errTwice = errors.New("40001 twice")

// call makes one call.
func (s *sdk) call(ctx context.Context) error {
	for range 2 {
		token, err := s.fetch(ctx)
		if err != nil {
			return err
		}
		var got struct {
			Errcode int      `json:"errcode"`
			IPs     []string `json:"ip_list"`
		}
		if err := s.ask(ctx, domainIP+"?access_token="+token, &got); err != nil {
			return err
		}
		switch {
		case got.Errcode == 0 && len(got.IPs) > 0:
			return nil
		case got.Errcode != 40001 && got.Errcode != 42001:
			return fmt.Errorf("errcode %d", got.Errcode)
		}
		s.mu.Lock()
		s.token = ""
		s.mu.Unlock()
	}
	return errTwice
}

// TestSDK: over expiry, supersession from outside and kill such a program sees no
// error, and never has to fetch again.
func TestSDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Life: 4 * time.Second, Overlap: 2 * time.Second}, nil)
	program := &sdk{host: w.url, appID: appID, secret: w.client(gateway.Client{Name: "shop"}), http: w.http}
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	var calls [4]atomic.Int64 // that each caller made
	for i := range calls {
		group.Go(func() {
			for ctx.Err() == nil {
				if err := program.call(t.Context()); err != nil {
					t.Errorf("the program sees: %v", err)
					return
				}
				calls[i].Add(1)
			}
		})
	}
	events := []func(){
		func() { w.wx.Kill(appID) },
		func() { w.wx.Supersede(appID); w.wx.Supersede(appID) },
		func() { w.wx.Clock.Advance(time.Hour) },
	}
	for n := range 9 {
		events[n%len(events)]()
		// A Keeper probes what it has just renewed, and a call is sent a second time but
		// not a third: a token that dies under either is, rightly, the sign of an account
		// whose every token is refused. Of two calls one began after the event, and its
		// end is the renewal's as well.
		for i := range calls {
			before := calls[i].Load()
			patience.Until(t, "calls after an event", func() bool { return calls[i].Load() >= before+2 || t.Failed() })
		}
	}
	// And by itself: two natural ends.
	issued := w.issued()
	patience.Until(t, "renewals ahead of the end", func() bool { return w.issued() >= issued+2 || t.Failed() })
	cancel()
	group.Wait()
	if program.fetches != 1 {
		t.Errorf("the program fetched %d tokens, want 1", program.fetches)
	}
}

// TestCurl is what people try first: over expiry, supersession and kill it sees no
// error either.
func TestCurl(t *testing.T) {
	tier.Full(t)
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Log("there is no curl on this machine: TestSDK and TestCall make the same calls")
		return
	}
	curl := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), path, append([]string{"-sS", "--noproxy", "*"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatal(err, string(out))
		}
		return string(out)
	}
	picture := filepath.Join(t.TempDir(), "picture.png")
	if err := os.WriteFile(picture, []byte("made up"), 0o600); err != nil {
		t.Fatal(err)
	}
	for event, happens := range map[string]func(w *world){
		"nothing":                               func(*world) {},
		"a kill":                                func(w *world) { w.wx.Kill(appID) },
		"the end of its life":                   func(w *world) { w.wx.Clock.Advance(3 * time.Hour) },
		"supersession, before the overlap ends": func(w *world) { w.wx.Supersede(appID) },
		"supersession, after it":                func(w *world) { w.wx.Supersede(appID); w.wx.Clock.Advance(6 * time.Minute) },
	} {
		for name, args := range map[string]func(base, token, key string) []string{
			"with a token": func(base, token, _ string) []string { return []string{base + domainIP + "?access_token=" + token} },
			"with a key": func(base, _, key string) []string {
				return []string{"-H", "Authorization: Bearer " + key, "-H", "X-WeChat-AppID: " + appID, base + domainIP}
			},
			"with a body": func(base, token, _ string) []string {
				return []string{"-d", `{"button":[{"type":"click","name":"菜单","key":"V1"}]}`, base + "/cgi-bin/menu/create?access_token=" + token}
			},
			"with a file": func(base, token, _ string) []string {
				return []string{"-F", "media=@" + picture, base + "/cgi-bin/media/upload?type=image&access_token=" + token}
			},
		} {
			w := newWorld(t, simulator.Options{}, nil)
			key := w.client(gateway.Client{Name: "shop"})
			var got reply
			decode(t, curl("-X", "POST", w.url+"/cgi-bin/stable_token", "-d", fmt.Sprintf(`{"grant_type":"client_credential","appid":%q,"secret":%q}`, appID, key)), &got)
			if first := curl(w.url + domainIP + "?access_token=" + got.Token); !strings.Contains(first, "ip_list") {
				t.Fatal(first)
			}
			happens(w)
			out := curl(args(w.url, got.Token, key)...)
			if !strings.Contains(out, "ip_list") && !strings.Contains(out, `"errmsg":"ok"`) && !strings.Contains(out, "media_id") {
				t.Errorf("%s, %s: %s", event, name, out)
			}
			if n := w.issued(); n > 2 {
				t.Errorf("%s, %s: %d tokens were issued", event, name, n)
			}
		}
	}
}
