package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// doctorCallbackCmd examines an app's callback address.
type doctorCallbackCmd struct {
	URL     string        `required:"" help:"Your app's callback address." placeholder:"URL"`
	Account string        `help:"Whose Token and AES key: NAME reads NAME_APPID, NAME_TOKEN, NAME_AES_KEY from the environment; a file with such lines will do too." default:"WECHAT" placeholder:"NAME|FILE"`
	Text    string        `help:"What the pushed messages say. Your app handles them as it does a follower's." default:"ping" placeholder:"TEXT"`
	Wait    time.Duration `help:"How long to wait for an answer; WeChat waits 5s, three times." default:"5s"`
}

// Help is what stands below the flags' list.
func (*doctorCallbackCmd) Help() string {
	return `Examples:
  zhongkong doctor callback --url http://127.0.0.1:3100/
  zhongkong doctor callback --url https://example.com/wechat --account shop.env

The variables have to be those that the app runs with: without NAME_AES_KEY it is examined as one in plain mode.
The exit code is 0 when all is well, 1 when a step failed, 2 when the command itself is wrong.`
}

// step is one thing that WeChat, or somebody who is not WeChat, does to an app.
type step struct {
	name   string
	run    func(ctx context.Context, p simulator.Push) (simulator.Result, error)
	push   simulator.Push
	remedy func(d simulator.Delivery) string // in words, for the answer that was wrong
	advice bool                              // it is good to have, and not a failure
}

// Run examines.
func (c *doctorCallbackCmd) Run(ctx context.Context, t *terminal) error {
	wx, err := (&pushCmd{To: c.URL, Account: c.Account, Wait: c.Wait}).simulator(t)
	if err != nil {
		return err
	}
	account := wx.Accounts()[0]
	steps := c.steps(wx, account)
	if _, err := wx.NewRequest(ctx, steps[0].push); err != nil { // before anything is said or sent
		return mistake("%s", hint(err))
	}
	mode := "safe or compatible mode"
	if account.AESKey == "" {
		mode = "plain mode"
	}
	t.say("%s %s", t.bold("→ "+c.URL), t.dim("as the app of "+account.AppID+", in "+mode))
	for i, s := range steps {
		result, err := s.run(ctx, s.push)
		switch {
		case ctx.Err() != nil:
			return errors.New("given up")
		case err != nil:
			return mistake("%s", hint(err))
		case result.OK():
			t.say("%s %s %s", t.tick(true), t.bold(s.name)+":", printable(result.Reason))
			continue
		}
		mark := t.tick(false)
		if s.advice {
			mark = t.yellow("!")
		}
		t.say("%s %s %s", mark, t.bold(s.name)+":", printable(result.Reason))
		if remedy := s.remedy(result.Deliveries[len(result.Deliveries)-1]); remedy != "" {
			t.say("  %s", remedy)
		}
		if !s.advice {
			t.say("Step %d of %d failed: %s", i+1, len(steps), s.name)
			return errFailed
		}
	}
	t.say("All is well: the console will take this address.")
	return nil
}

// steps are in the order in which one failure explains the next.
func (c *doctorCallbackCmd) steps(wx *simulator.Simulator, account simulator.Account) []step {
	modes := []simulator.Mode{simulator.Safe, simulator.Compatible}
	attacks := []simulator.Attack{simulator.WrongSignature, simulator.PlainText, simulator.Tampered, simulator.ForeignAppID, simulator.Stale}
	if account.AESKey == "" {
		modes = []simulator.Mode{simulator.Plain}
		attacks = []simulator.Attack{simulator.WrongSignature, simulator.Stale}
	}
	text := simulator.Text(c.Text)
	steps := []step{
		{name: "handshake", run: wx.Verify, push: simulator.Push{URL: c.URL, Message: text, Mode: modes[0]}, remedy: c.forHandshake},
		{
			name: "handshake of a stranger", run: wx.Verify, push: simulator.Push{URL: c.URL, Attack: simulator.WrongSignature},
			remedy: func(simulator.Delivery) string { return "" },
		},
	}
	for _, mode := range modes {
		for _, format := range []simulator.Format{simulator.XML, simulator.JSON} {
			steps = append(steps, step{
				name: fmt.Sprintf("push in %s mode, %s", mode, format), run: wx.Deliver,
				push:   simulator.Push{URL: c.URL, Message: text, Mode: mode, Format: format},
				remedy: func(d simulator.Delivery) string { return c.forPush(mode, format, d) },
				// WeChat pushes JSON to mini programs alone, and lets them choose.
				advice: format == simulator.JSON && account.Kind != simulator.MiniProgram,
			})
		}
	}
	for _, attack := range attacks {
		steps = append(steps, step{
			name: fmt.Sprintf("forged push, %s", attack), run: wx.Deliver,
			push:   simulator.Push{URL: c.URL, Message: text, Mode: modes[0], Attack: attack},
			remedy: func(simulator.Delivery) string { return "" }, // the reason is one
			advice: attack == simulator.Stale,                     // WECHAT_FRESHNESS=0 is a choice
		})
	}
	return steps
}

func (c *doctorCallbackCmd) forHandshake(d simulator.Delivery) string {
	if d.Status == http.StatusForbidden || d.Status == http.StatusUnauthorized {
		return "Give the app and this command the same Token, that of the console's message push (消息推送); and see that nothing in front " +
			"of the app asks for a login or drops the query. The app's log may name the step."
	}
	return c.general(d, http.MethodGet)
}

func (c *doctorCallbackCmd) forPush(mode simulator.Mode, format simulator.Format, d simulator.Delivery) string {
	switch {
	case format == simulator.JSON:
		return "The app reads XML and not JSON, which WeChat pushes only to mini programs that chose it in their console."
	case d.Status == http.StatusForbidden && mode == simulator.Plain:
		return "The Token is right, since the handshake was: the app wants encrypted messages. Give this command the app's AES key " +
			"(WECHAT_AES_KEY), or take it from the app if the console says plain mode (明文模式)."
	case d.Status == http.StatusForbidden:
		return "The Token is right, since the handshake was: the AES key or the appid differs, or the app has no AES key. Give the app and this command the same " +
			"EncodingAESKey and AppID, those of the console. The app's log may name the step."
	}
	return c.general(d, http.MethodPost)
}

// general is for what can go wrong with any request.
func (c *doctorCallbackCmd) general(d simulator.Delivery, method string) string {
	switch {
	case d.Err != nil:
		return "Start the app, and check host and port of the address. WeChat itself reaches ports 80 and 443 alone, and needs the answer within 5 s."
	case d.Status >= 300 && d.Status < 400:
		return "Give the address that it redirects to: WeChat does not follow."
	case d.Status == http.StatusNotFound || d.Status == http.StatusMethodNotAllowed:
		return fmt.Sprintf("Let the app answer %s at this path: with the middleware, its Config.CallbackPath.", method)
	case d.Status >= 500:
		return "The app, or a proxy in front of it, fails: look into their logs."
	}
	return ""
}
