package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/simulator"
)

// pushCmd sends one message.
type pushCmd struct {
	Type  string `arg:"" help:"The message: text, image, click, subscribe and so on. 'list' shows them all; 'event' is any event, 'raw' a whole message from a file; 'verify' asks for the echostr, as the console does when the address is saved."`
	Value string `arg:"" optional:"" help:"What is in its most interesting field: of a text the text, of a click the key; of 'event' its name, of 'raw' the file, - for standard input."`

	To         string            `help:"Your app's callback address." placeholder:"URL"`
	Mode       string            `help:"plain, compatible or safe. Without it, safe where the account has an AES key." placeholder:"MODE"`
	Format     string            `help:"xml or json. Without it, xml." placeholder:"FORMAT"`
	From       string            `help:"The follower's openid. Without it, a made-up one." placeholder:"OPENID"`
	Set        map[string]string `help:"Another field's value, such as --set MsgId=23892468385179204. May be repeated." placeholder:"FIELD=VALUE" mapsep:"none"`
	Attack     string            `help:"Forge it: signature, replay, stale, tampered, appid or plaintext. Your app should refuse." placeholder:"ATTACK"`
	Account    string            `help:"Whose Token and AES key: NAME reads NAME_APPID, NAME_TOKEN, NAME_AES_KEY from the environment; a file with such lines will do too." default:"WECHAT" placeholder:"NAME|FILE"`
	Deliveries int               `help:"How often it is delivered while your app does not answer. WeChat asks three times, about some events of shops and games for hours: 0 does what WeChat documents." default:"3" placeholder:"N"`
	Wait       time.Duration     `help:"How long to wait for an answer; WeChat waits 5s, three times." default:"5s"`
	Verbose    bool              `short:"v" help:"Show what is sent and what comes back."`
}

// Help is what is below the flags' list.
func (*pushCmd) Help() string {
	return `Examples:
  zhongkong push text "你好" --mode safe --to http://127.0.0.1:3100/
  zhongkong push click V1001 --to http://127.0.0.1:3100/
  zhongkong push event user_get_card --set CardId=p1 --set UserCardCode=226009850808 --to http://127.0.0.1:3100/
  zhongkong push raw order.xml --to http://127.0.0.1:3100/
  zhongkong push verify --to http://127.0.0.1:3100/
  zhongkong push text "你好" --attack tampered --to http://127.0.0.1:3100/

With WECHAT_API_BASE the simulator is notified of the message, and takes customer service messages to that follower.
The exit code is 0 when your app did well, 1 when not, 2 when the command itself is wrong.`
}

// Run pushes.
func (c *pushCmd) Run(ctx context.Context, t *terminal) error {
	if c.Type == "list" {
		listSamples(t)
		return nil
	}
	wx, err := c.simulator(t)
	if err != nil {
		return err
	}
	p := simulator.Push{
		URL: c.To, Mode: simulator.Mode(c.Mode), Format: simulator.Format(c.Format), Attack: simulator.Attack(c.Attack), Deliveries: c.Deliveries,
	}
	send := wx.Deliver
	if c.Type == "verify" {
		if c.Value != "" || len(c.Set) > 0 || c.From != "" || c.Mode != "" || c.Format != "" {
			return mistake("verify takes no value, --set, --from, --mode and --format: the verification of an address is the same for all")
		}
		if p.Attack != "" && p.Attack != simulator.WrongSignature {
			return mistake("verify knows the attack %s alone", simulator.WrongSignature)
		}
		send, p.Message = wx.Verify, simulator.Text("")
	} else {
		value, err := c.value()
		if err != nil {
			return err
		}
		if !isMessage(c.Type) {
			return mistake("there is no message %q; zhongkong push list shows them all", c.Type)
		}
		m, err := simulator.Compose(c.Type, value, c.Set)
		if err != nil {
			return mistake("%s", named.Plain(err))
		}
		p.Message = m.By(c.From)
	}
	if _, err := wx.NewRequest(ctx, p); err != nil { // before anything is said or sent
		return mistake("%s", named.Plain(err))
	}
	t.say("%s %s", t.bold("→ "+c.Type), t.dim(t.T("to %s", c.To)))
	if c.Type != "verify" && p.Attack == "" {
		tellSimulator(ctx, t, wx.Accounts()[0].AppID, p.Message)
	}
	res, err := send(ctx, p)
	switch {
	case ctx.Err() != nil:
		return errors.New("given up")
	case err != nil:
		return mistake("%s", named.Plain(err))
	}
	showResult(t, res, c.Verbose)
	if !res.OK() {
		return errFailed
	}
	return nil
}

// isMessage reports whether simulator.Compose makes a message of that name.
func isMessage(name string) bool {
	return name == "event" || name == "raw" ||
		slices.ContainsFunc(simulator.Samples(), func(s simulator.Sample) bool { return strings.EqualFold(s.Name, name) })
}

// tellSimulator tells the simulator that the app calls, if that runs on this machine,
// what a follower sent: it takes the app's customer service messages then. An app may as
// well call none, or WeChat itself.
func tellSimulator(ctx context.Context, t *terminal, appid string, m simulator.Message) {
	text, _ := t.env("WECHAT_API_BASE")
	base, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || base.Hostname() != "localhost" && !net.ParseIP(base.Hostname()).IsLoopback() {
		return
	}
	event := ""
	for _, f := range m.Fields {
		if name, isText := f.Value.(string); isText && m.Type == "event" && f.Name == "Event" {
			event = name
		}
	}
	body, err := json.Marshal(map[string]string{"follower": m.From, "event": event})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	address := base.String() + simulator.AdminPath + "accounts/" + url.PathEscape(appid) + "/hear"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return
	}
	if resp, err := (&http.Client{Transport: new(http.Transport)}).Do(r); err == nil {
		_ = resp.Body.Close()
	}
}

// value is what the message says: of raw the file.
func (c *pushCmd) value() (string, error) {
	if c.Type != "raw" {
		return c.Value, nil
	}
	var content []byte
	var err error
	switch c.Value {
	case "":
		return "", mistake("raw needs a file with the message: zhongkong push raw order.xml")
	case "-":
		content, err = io.ReadAll(os.Stdin)
	default:
		content, err = os.ReadFile(c.Value)
	}
	if err != nil {
		return "", mistake("the message cannot be read: %s", err)
	}
	return strings.TrimRight(string(content), "\r\n"), nil // an editor's last line
}

func (c *pushCmd) simulator(t *terminal) (*simulator.Simulator, error) {
	if c.To == "" {
		return nil, mistake("--to is missing: give your app's callback address, such as --to http://127.0.0.1:3100/")
	}
	if c.Wait <= 0 {
		return nil, mistake("--wait %s: it has to be positive", c.Wait)
	}
	found, err := findAccounts(c.Account, t.env)
	if err != nil {
		return nil, err
	}
	if len(found) > 1 {
		return nil, mistake("--account %s has %d accounts: push from a file with one", c.Account, len(found))
	}
	account, err := found[0].account(false, true)
	if err != nil {
		return nil, err
	}
	wx, err := simulator.New(simulator.Options{Accounts: []simulator.Account{account}, Patience: c.Wait, Events: -1})
	if err != nil {
		if field := errors.Unwrap(named.Plain(err)); field != nil { // there are no Options here
			err = field
		}
		return nil, mistake("%s", named.Plain(err))
	}
	return wx, nil
}

// listSamples shows what can be pushed.
func listSamples(t *terminal) {
	t.say("%s", t.dim("TYPE                          VALUE          WHAT IT IS"))
	for _, s := range simulator.Samples() {
		field := s.Field
		if field == "" {
			field = "-"
		}
		t.say("%-29s %-14s %s", s.Name, field, s.About)
	}
	t.say("%s", t.dim("VALUE is the field that zhongkong push TYPE VALUE sets; --set sets the others."))
}

// showResult tells how a push ended.
func showResult(t *terminal, r simulator.Result, verbose bool) {
	for i, d := range r.Deliveries {
		took := d.Took.Round(time.Millisecond)
		switch {
		case d.Err != nil:
			t.say("  %s  %s", t.dim(fmt.Sprint(i+1)), t.red(printable(t.problem(fmt.Errorf("no answer: %w", d.Err)))))
		default:
			body := "(empty)"
			if d.Body != "" {
				body = oneLine(d.Body, 80)
			}
			t.say("  %s  %d in %s  %s", t.dim(fmt.Sprint(i+1)), d.Status, took, t.dim(body))
		}
		if verbose {
			t.say("%s\n%s\n%s\n%s", t.dim("     sent to "+d.URL), indent(d.Request), t.dim("     came back"), indent(d.Body))
		}
	}
	showVerdict(t, r)
}

func showVerdict(t *terminal, r simulator.Result) {
	t.say("%s %s: %s", t.tick(r.OK()), t.bold(string(r.Verdict)), printable(r.Reason))
	for _, note := range r.Notes {
		t.say("  %s %s", t.yellow("!"), note)
	}
	switch {
	case r.Sees == "":
	case r.Deliveries[0].Request == "":
		t.say("  the console shows: %s", r.Sees)
	default:
		t.say("  the follower sees: %s", printable(t.seen(r)))
	}
}

// seen is what the follower sees, with the kind of what is no text in the terminal's language.
func (t *terminal) seen(r simulator.Result) string {
	kind, rest, found := strings.Cut(r.Sees, "]")
	if !found || r.Reply == nil || r.Reply.Type == "text" {
		return r.Sees
	}
	return t.T(kind+"]") + rest
}

func indent(s string) string {
	return "     " + strings.ReplaceAll(strings.TrimSpace(printable(s)), "\n", "\n     ")
}
