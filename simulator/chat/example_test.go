package chat_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/chat"
)

func Example() {
	wx, err := simulator.New(simulator.Options{}) // makes an account up
	if err != nil {
		fmt.Println(err)
		return
	}
	desk, err := chat.New(wx.Handler())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer desk.Close()

	server := httptest.NewServer(desk.Handler()) // the page, the admin API and WeChat's API
	defer server.Close()
	res, err := http.Get(server.URL + chat.Path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = res.Body.Close() }()
	fmt.Println(res.Status, res.Header.Get("Content-Type"))
	// Output: 200 OK text/html; charset=utf-8
}
