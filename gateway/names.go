package gateway

import (
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
	"github.com/zhongkong-go/zhongkong/store"
)

// Client is a program that may use a gateway.
type Client = clients.Client

// Clients adds and revokes the clients of a store. Its errors are in package clients:
// [clients.ErrNoClient], [clients.ErrClientExists], [*clients.SharedReturnError].
type Clients = clients.Book

// Callback is what stands in an account's console under 消息推送 (message push), and who
// gets the pushes.
type Callback = fanout.Callback

// Subscriber is a system that gets pushes.
type Subscriber = fanout.Subscriber

// Rule says which pushes a subscriber gets.
type Rule = fanout.Rule

// The modes of a Callback and of a Subscriber: how pushes are encrypted (消息加解密方式).
const (
	Plain      = fanout.Plain      // 明文模式
	Compatible = fanout.Compatible // 兼容模式: plain fields and Encrypt side by side
	Safe       = fanout.Safe       // 安全模式: only Encrypt
)

// AllAccounts stands in Client.Accounts for every account of the gateway, also those
// to come.
const AllAccounts = clients.AllAccounts

// NewClients returns the clients of a store in the name of actor, which the journal shows,
// such as "admin zhang@host".
func NewClients(ledger store.Ledger, actor string) *Clients { return clients.NewBook(ledger, actor) }
