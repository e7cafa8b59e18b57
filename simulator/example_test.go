package simulator_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/zhongkong-go/zhongkong/simulator"
)

func Example() {
	wx, err := simulator.New(simulator.Options{
		Accounts: []simulator.Account{{AppID: "wx0123456789abcdef", Secret: "made-up"}},
		Seed:     1,
	})
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: wx.RoundTripper()} // or serve wx on loopback
	get := func(url string) string {
		res, err := client.Get(url)
		if err != nil {
			log.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, _ := io.ReadAll(res.Body)
		return string(body)
	}

	get("https://api.weixin.qq.com/cgi-bin/token?grant_type=client_credential&appid=wx0123456789abcdef&secret=made-up")
	token := wx.Latest("wx0123456789abcdef", simulator.Classic)
	menu := "https://api.weixin.qq.com/cgi-bin/menu/delete?access_token=" + token

	fmt.Println(get(menu))
	wx.Supersede("wx0123456789abcdef") // another program fetches a token
	fmt.Println(get(menu))             // the old one works on for 5 minutes
	wx.Clock.Advance(5 * time.Minute)
	fmt.Println(get(menu)[:19])
	fmt.Println(wx.Stats("wx0123456789abcdef").Classic)
	// Output:
	// {"errcode":0,"errmsg":"ok"}
	// {"errcode":0,"errmsg":"ok"}
	// {"errcode":40001,"e
	// {1 1 0 1}
}

func ExampleSimulator_Inject() {
	wx, err := simulator.New(simulator.Options{})
	if err != nil {
		log.Fatal(err)
	}
	account := wx.Accounts()[0]
	wx.Inject(simulator.Fault{ // a token is issued, but the caller never hears of it
		Path: simulator.TokenPath, Times: 1, After: true, Cut: simulator.CutAnswer,
	})

	client := &http.Client{Transport: wx.RoundTripper()}
	res, err := client.Get("https://api.weixin.qq.com/cgi-bin/token?grant_type=client_credential&appid=" + account.AppID + "&secret=" + account.Secret)
	if err == nil {
		_ = res.Body.Close()
	}
	fmt.Println("lost:", err != nil)
	fmt.Println("issued:", wx.Stats(account.AppID).Classic.Issued)
	// Output:
	// lost: true
	// issued: 1
}
