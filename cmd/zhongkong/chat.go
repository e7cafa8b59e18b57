package main

import (
	"context"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/simulator"
)

const chatHelp = `  你好              sends a text
  /click V1001     sends another message or event: /TYPE VALUE, as in zhongkong push list
  /verify          asks for the echostr, as the console does when the address is saved
  /list            shows all messages and events`

// chat waits for the app, checks its address, and pushes what is typed.
func chat(ctx context.Context, t *terminal, wx *simulator.Simulator, app string) {
	if !meet(ctx, t, wx, app) {
		return
	}
	lines := t.lines()
	for {
		select {
		case <-ctx.Done():
			return
		case line, open := <-lines:
			if !open {
				return // what is typed has ended, the simulator continues
			}
			if line != "" {
				say(ctx, t, wx, line)
			}
		}
	}
}

// meet asks the app for the echostr as soon as it listens, and reports whether
// there was time for that.
func meet(ctx context.Context, t *terminal, wx *simulator.Simulator, app string) bool {
	const pause = time.Second
	for waited := false; ; waited = true {
		res, err := wx.Verify(ctx, simulator.Push{})
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil: // the account has no Token
			t.say("%s %v", t.red("✗"), named.Plain(err))
			return true
		case res.Deliveries[0].Status != 0:
			showVerdict(t, res)
			return true
		case !waited:
			t.say("%s", t.dim("Waiting for your app at "+app+" …"))
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// say pushes one typed line.
func say(ctx context.Context, t *terminal, wx *simulator.Simulator, line string) {
	name, value := "text", line
	if command, found := strings.CutPrefix(line, "/"); found {
		name, value, _ = strings.Cut(command, " ")
		value = strings.TrimSpace(value)
	}
	var res simulator.Result
	var err error
	switch name {
	case "help", "":
		t.say("%s", chatHelp)
		return
	case "list":
		listSamples(t)
		return
	case "verify":
		res, err = wx.Verify(ctx, simulator.Push{})
	default:
		if !isMessage(name) {
			t.say("%s %s", t.red("✗"), t.T("there is no message %q; /list shows them all", name))
			return
		}
		var m simulator.Message
		if m, err = simulator.Compose(name, value, nil); err == nil {
			res, err = wx.Push(ctx, "", m)
		}
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		t.say("%s %v", t.red("✗"), named.Plain(err))
	default:
		showVerdict(t, res)
	}
}
