package journal_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/zhongkong-go/zhongkong/gateway/journal"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/memory"
)

func Example() {
	ledger := memory.New() // of the gateways; journal.File, Syslog and Webhook make sinks outside of it
	defer func() { _ = ledger.Close() }()

	j := journal.New(ledger, slog.New(slog.DiscardHandler))
	err := j.Must(context.Background(), store.Use{Actor: "admin", Act: "revoke client", Subject: "crm"})
	if err != nil {
		fmt.Println(err)
		return
	}
	lines, err := ledger.Uses(context.Background(), 10)
	fmt.Println(lines[0].Actor, lines[0].Act, lines[0].Subject, err)
	// Output: admin revoke client crm <nil>
}
