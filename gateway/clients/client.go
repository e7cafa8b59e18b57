package clients

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/zhongkong-go/zhongkong/gateway/login"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
)

// AllAccounts stands in Client.Accounts for every account of the gateway, also those
// to come.
const AllAccounts = "*"

// ErrNoClient is returned by [Book] for a name that no client has.
var ErrNoClient = errors.New("there is no such client")

// ErrClientExists is returned by Book.Add for a name that is taken.
var ErrClientExists = errors.New("there is a client of that name: choose another one, or give it another key with zhongkong client rotate NAME")

// SharedReturnError is returned by [Book] for a return address that overlaps with another
// client's, where both may use the same account: a login could be either's.
type SharedReturnError struct {
	Client, Address string // what was to be added
	Other, Others   string // the client that has it, and its address
}

// Error implements error.
func (e *SharedReturnError) Error() string { return "gateway: " + e.Plain() }

// Plain is Error without the name of the package in front, for people.
func (e *SharedReturnError) Plain() string {
	return fmt.Sprintf("client %s: the return address %s overlaps with %s of client %s: give each address to one of the two",
		e.Client, e.Address, e.Others, e.Other)
}

// Client is a program that may use a gateway.
type Client struct {
	// Name is how people, logs and the journal name it: 1 to 64 letters, digits,
	// '-', '_' and '.'.
	Name string `json:"name"`

	// Title is what people read, such as 结算系统: at most 64 characters. It identifies
	// nothing, and two clients may have the same.
	Title string `json:"title,omitempty"`

	// Accounts are the appids that it may use; AllAccounts is all of them. At least
	// one.
	Accounts []string `json:"accounts"`

	// Paths are what it may call: "/cgi-bin/menu/get", or "/cgi-bin/message/*" for
	// all below. Fetching tokens is always allowed. Empty means every path.
	Paths []string `json:"paths,omitempty"`

	// Rate is how many calls it may make in a second, at each gateway; a second's
	// worth may come at once. Fetching tokens counts. 0 means no limit.
	Rate float64 `json:"rate,omitempty"`

	// Real gives it the account's real token in place of a gateway token, for a
	// program that calls WeChat itself: it needs a whitelisted address of its own,
	// and whoever steals that token can use it at WeChat. Each hand-out is in the journal;
	// of more than 1,000 in a minute there is the number.
	Real bool `json:"real,omitempty"`

	// Returns are the addresses to which users whom it logs in are sent back:
	// "https://shop.example/back" with any query, or "https://shop.example/*" for all of a
	// site. Without them it cannot log users in by /login/ and /connect/.
	Returns []string `json:"returns,omitempty"`

	// Origins are the sites whose pages get a JS-SDK configuration without a key, such as
	// "https://shop.example".
	Origins []string `json:"origins,omitempty"`

	// Ends is when the key stops working. Zero means never.
	Ends time.Time `json:"ends,omitzero"`

	// Created is when it was added. Add sets it.
	Created time.Time `json:"created,omitzero"`
}

func (c Client) validate() error {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}
	switch {
	case c.Name == "" || len(c.Name) > 64 || strings.ContainsFunc(c.Name, odd):
		return named.Errorf("gateway", "the client's name %s has to be 1 to 64 letters, digits, '-', '_' and '.': a name for people is its title", shape.Show(c.Name))
	case len(c.Accounts) == 0:
		return named.Errorf("gateway", "client %s has no account: name its appids, or %s for all", c.Name, AllAccounts)
	case c.Rate < 0 || math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0):
		return named.Errorf("gateway", "client %s: the rate %v has to be a number of calls per second, 0 for no limit", c.Name, c.Rate)
	}
	for _, account := range c.Accounts {
		if account != AllAccounts && !shape.IsAccount(account) {
			return named.Errorf("gateway", "client %s: %s is no appid", c.Name, shape.Show(account))
		}
	}
	if _, err := newPathList(c.Paths); err != nil {
		return named.Errorf("gateway", "client %s: %w", c.Name, err)
	}
	return c.CheckSites()
}

// sharesAccount reports whether some account is one of both.
func (c Client) sharesAccount(other Client) bool {
	all := func(c Client) bool { return slices.Contains(c.Accounts, AllAccounts) }
	return all(c) || all(other) || slices.ContainsFunc(c.Accounts, func(appID string) bool { return slices.Contains(other.Accounts, appID) })
}

// over reports whether the client has ended at now.
func (c Client) over(now time.Time) bool { return !c.Ends.IsZero() && !now.Before(c.Ends) }

// maxOrigins bounds the sites of one client.
const maxOrigins = 100

// CheckSites says what is wrong with Returns and Origins.
func (c Client) CheckSites() error {
	switch {
	case len(c.Returns) > 0 && !CleanPath(login.Path+c.Name):
		return named.Errorf("gateway", "client %s: with return addresses its name must not begin with '-' or '.'", c.Name)
	case len(c.Origins) > maxOrigins:
		return named.Errorf("gateway", "client %s has %d origins, and %d can be", c.Name, len(c.Origins), maxOrigins)
	}
	if _, err := weblogin.ParseReturns(c.Returns); err != nil {
		return named.Errorf("gateway", "client %s: %w", c.Name, err)
	}
	for _, origin := range c.Origins {
		if err := weblogin.CheckOrigin(origin); err != nil {
			return named.Errorf("gateway", "client %s: the origin %s %w", c.Name, shape.Show(origin), err)
		}
	}
	return nil
}

// CheckTitle says what is wrong with Title.
func (c Client) CheckTitle() error {
	if err := shape.Name("title", c.Title); err != nil {
		return named.Errorf("gateway", "%w", err)
	}
	return nil
}

// Check says what is wrong with a client that somebody has just typed: also what looks
// like another kind of value is none of its fields. A stored one goes on.
func (c Client) Check() error {
	if err := c.validate(); err != nil {
		return err
	}
	if err := c.CheckTitle(); err != nil {
		return err
	}
	for _, field := range append([]string{c.Name}, c.Accounts...) {
		if strings.HasPrefix(field, KeyPrefix) {
			return named.Errorf("gateway", "a client's key stands in the place of a name or an appid: keys are made by the gateway, and shown once")
		}
	}
	for i, account := range c.Accounts {
		if err := shape.Check(shape.Field{Name: fmt.Sprintf("appid %d", i+1), Kind: shape.AppID, Value: account}); err != nil {
			return named.Errorf("gateway", "the new client: %w", err)
		}
	}
	return nil
}

// kindClient is the kind of the documents in the store.
const kindClient = "client"
