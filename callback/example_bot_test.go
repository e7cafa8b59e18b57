package callback_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
)

// A bot on net/http, in plain mode.
func ExampleEndpoint() {
	bot := callback.NewRouter()
	bot.Use(func(c *callback.Context) error {
		fmt.Println("before:", c.Message.Content)
		err := c.Next()
		fmt.Println("after:", c.Replied().Content)
		return err
	})
	bot.Text("天气*", func(c *callback.Context) error {
		return c.ReplyText(strings.TrimSpace(c.Matches[1]) + ": 晴, 26°C")
	})

	verifier, err := callback.NewVerifier(callback.Config{Token: custody.NewSecret("AAAAA"), Freshness: 5 * time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoint, err := callback.NewEndpoint(callback.EndpointConfig{Verifier: verifier, Router: bot})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = endpoint.Shutdown(context.Background()) }()

	// What WeChat sends:
	now := strconv.FormatInt(time.Now().Unix(), 10)
	request := httptest.NewRequest(http.MethodPost,
		"/?signature="+callback.Signature("AAAAA", now, "1")+"&timestamp="+now+"&nonce=1",
		strings.NewReader("<xml><ToUserName>gh_0123456789ab</ToUserName><FromUserName>oAbCd0123456789EfGhIjKlMnOpQ</FromUserName>"+
			"<CreateTime>"+now+"</CreateTime><MsgType>text</MsgType><Content>天气 北京</Content><MsgId>1</MsgId></xml>"))
	answer := httptest.NewRecorder()
	endpoint.ServeHTTP(answer, request)
	fmt.Println(strings.Split(answer.Body.String(), "\n")[5])
	// Output:
	// before: 天气 北京
	// after: 北京: 晴, 26°C
	// <Content><![CDATA[北京: 晴, 26°C]]></Content>
}

// A bot is tested without HTTP.
func ExampleRouter_Handle() {
	bot := callback.NewRouter()
	bot.Use(callback.Recover())
	bot.Event(callback.Subscribe, func(c *callback.Context) error {
		return c.ReplyText("Welcome from " + c.Message.Scene())
	})
	menu := bot.Group(callback.MatchEvent(callback.Click, callback.View))
	menu.Use(func(c *callback.Context) error {
		if c.Message.FromUserName == "stranger" {
			return errors.New("not for strangers")
		}
		return c.Next()
	})
	menu.Key(callback.Click, "V1_*", func(c *callback.Context) error { return c.ReplyText(c.Matches[1]) })
	bot.OnError(func(c *callback.Context, err error) { _ = c.ReplyText("Sorry: " + err.Error()) })

	for _, message := range []*callback.Message{
		{Type: callback.TypeEvent, Event: callback.Subscribe, EventKey: "qrscene_door"},
		{Type: callback.TypeEvent, Event: callback.Click, EventKey: "V1_today"},
		{Type: callback.TypeEvent, Event: callback.Click, EventKey: "V1_today", FromUserName: "stranger"},
	} {
		reply, err := bot.Handle(context.Background(), message)
		fmt.Println(reply.Content, err)
	}
	// Output:
	// Welcome from door <nil>
	// today <nil>
	// Sorry: not for strangers not for strangers
}

// Nothing is lost because it is new: Fields has everything.
func ExampleParseMessage() {
	for _, push := range []string{
		"<xml><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[tomorrow]]></Event><Info><Level>3</Level></Info></xml>",
		`{"MsgType":"event","Event":"tomorrow","Info":{"Level":3}}`,
	} {
		message, err := callback.ParseMessage([]byte(push))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(message.Event, message.Fields.Get("Info", "Level"))
	}
	// Output:
	// tomorrow 3
	// tomorrow 3
}
