package gateway

import (
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/gateway/clients"
	"github.com/zhongkong-go/zhongkong/gateway/fanout"
)

// What stands in a Config, and what the methods of a Gateway return, of its two packages.
type (
	Client  = clients.Client
	Clients = clients.Book

	Callback    = fanout.Callback
	Subscriber  = fanout.Subscriber
	Rule        = fanout.Rule
	Mode        = fanout.Mode
	QueueStatus = fanout.Status
)

// The modes of a Callback and of a Subscriber.
const (
	Plain      = fanout.Plain
	Compatible = fanout.Compatible
	Safe       = fanout.Safe
)

// AllAccounts stands in Client.Accounts for every account of the gateway, also those
// to come.
const AllAccounts = clients.AllAccounts

// The errors of Clients.
var (
	ErrNoClient     = clients.ErrNoClient
	ErrClientExists = clients.ErrClientExists
)

// NewClients returns the clients of store in the name of actor, which the journal
// shows, such as "admin zhang@host". A store without [store.Ledger] is an error.
func NewClients(st custody.Store, actor string) (*Clients, error) { return clients.NewBook(st, actor) }
