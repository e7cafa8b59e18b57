package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zhongkong-go/zhongkong/cmd/zhongkong/internal/doctor"
	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// doctorCallbackCmd examines an app's callback address.
type doctorCallbackCmd struct {
	URL     string        `required:"" help:"Your app's callback address." placeholder:"URL"`
	Account string        `help:"Whose Token and AES key: NAME reads NAME_APPID, NAME_TOKEN, NAME_AES_KEY from the environment; a file with such lines will do too." default:"WECHAT" placeholder:"NAME|FILE"`
	Text    string        `help:"What the pushed messages say. Your app handles them as it does a follower's." default:"ping" placeholder:"TEXT"`
	Wait    time.Duration `help:"How long to wait for an answer; WeChat waits 5s, three times." default:"5s"`
}

// Help is what is below the flags' list.
func (*doctorCallbackCmd) Help() string {
	return `Examples:
  zhongkong doctor callback --url http://127.0.0.1:3100/
  zhongkong doctor callback --url https://example.com/wechat --account shop.env

The variables have to be those that the app runs with: without NAME_AES_KEY it is examined as one in plain mode.
Of an app of WeCom they are NAME_CORPID, NAME_AGENTID, NAME_TOKEN and NAME_AES_KEY: --account WECOM.
It sends real messages, which the app handles as it does a follower's. A gateway that takes them may not have passed them on yet.
The exit code is 0 when all is well, 1 when a step failed, 2 when the command itself is wrong.`
}

// step is one thing that WeChat, or somebody who is not WeChat, does to an app.
type step struct {
	stage  doctor.Stage
	name   string
	run    func(ctx context.Context, p simulator.Push) (simulator.Result, error)
	push   simulator.Push
	advice bool // it is good to have, and not a failure
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
		return mistake("%s", named.Plain(err))
	}
	mode := "safe or compatible mode"
	switch {
	case account.Kind == simulator.WeCom:
		mode = "WeCom's only mode"
	case account.AESKey == "":
		mode = "plain mode"
	}
	t.say("%s %s", t.bold("→ "+c.URL), t.dim("as the app of "+account.AppID+", in "+mode))
	for i, s := range steps {
		result, err := s.run(ctx, s.push)
		switch {
		case ctx.Err() != nil:
			return errors.New("given up")
		case err != nil:
			return mistake("%s", named.Plain(err))
		case result.OK():
			t.say("%s %s %s", t.tick(true), t.bold(s.name)+":", printable(result.Reason))
			continue
		}
		mark := t.tick(false)
		if s.advice {
			mark = t.yellow("!")
		}
		t.say("%s %s %s", mark, t.bold(s.name)+":", printable(result.Reason))
		if remedy := c.remedy(t.lang, s, account.Kind, result.Deliveries[len(result.Deliveries)-1]); remedy != "" {
			t.say("  %s", remedy)
		}
		if !s.advice {
			t.say("Step %d of %d failed: %s", i+1, len(steps), s.name)
			return errFailed
		}
	}
	if account.Kind == simulator.WeCom {
		t.say("All is well: the admin console of WeCom will take this address.")
	} else {
		t.say("All is well: the console will take this address.")
	}
	t.say("%s", t.dim("The app handled these messages as it does real ones; warnings in its log about forged ones come from this check."))
	t.say("%s", t.dim("Of a gateway this says that it took them, not that its subscribers have them."))
	return nil
}

// steps are in the order in which one failure explains the next.
func (c *doctorCallbackCmd) steps(wx *simulator.Simulator, account simulator.Account) []step {
	modes, formats := []simulator.Mode{simulator.Safe, simulator.Compatible}, []simulator.Format{simulator.XML, simulator.JSON}
	attacks := []simulator.Attack{simulator.WrongSignature, simulator.PlainText, simulator.Tampered, simulator.ForeignAppID, simulator.Stale}
	switch {
	case account.Kind == simulator.WeCom: // which pushes JSON to bots alone
		modes, formats = modes[:1], formats[:1]
	case account.AESKey == "":
		modes = []simulator.Mode{simulator.Plain}
		attacks = []simulator.Attack{simulator.WrongSignature, simulator.Stale}
	}
	text := simulator.Text(c.Text)
	steps := []step{
		{stage: doctor.Handshake, name: "handshake", run: wx.Verify, push: simulator.Push{URL: c.URL, Message: text, Mode: modes[0]}},
		{
			stage: doctor.Stranger,
			name:  "handshake of a stranger",
			run:   wx.Verify,
			push:  simulator.Push{URL: c.URL, Attack: simulator.WrongSignature},
		},
	}
	for _, mode := range modes {
		for _, format := range formats {
			steps = append(steps, step{
				stage: doctor.Message, name: fmt.Sprintf("push in %s mode, %s", mode, format), run: wx.Deliver,
				push: simulator.Push{URL: c.URL, Message: text, Mode: mode, Format: format},
				// WeChat pushes JSON to mini programs alone, and lets them choose.
				advice: format == simulator.JSON && account.Kind != simulator.MiniProgram,
			})
		}
	}
	for _, attack := range attacks {
		steps = append(steps, step{
			stage: doctor.Forgery, name: fmt.Sprintf("forged push, %s", attack), run: wx.Deliver,
			push:   simulator.Push{URL: c.URL, Message: text, Mode: modes[0], Attack: attack},
			advice: attack == simulator.Stale, // WECHAT_FRESHNESS=0 is a choice
		})
	}
	if account.Kind == simulator.WeCom {
		foreign := steps[1]
		foreign.name, foreign.push.Attack = "handshake of another corp", simulator.ForeignAppID
		steps = slices.Insert(steps, 2, foreign)
	}
	return steps
}

// remedy says what to do about an answer; of an attack the reason has said it.
func (c *doctorCallbackCmd) remedy(l lang.Lang, s step, kind simulator.Kind, d simulator.Delivery) string {
	switch {
	case s.stage == doctor.Stranger || s.stage == doctor.Forgery:
		return ""
	case s.push.Format == simulator.JSON:
		return "The app reads XML and not JSON, which WeChat pushes only to mini programs that chose it in their console."
	}
	_, do := doctor.Remedy(s.stage, s.push.Mode, kind, d, c.Wait)
	return do.In(l)
}
