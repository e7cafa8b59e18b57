package chat_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/zhongkong-go/zhongkong/simulator/chat"
)

func Example() {
	desk, err := chat.New(chat.Options{MadeUp: true}) // makes an account up
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
