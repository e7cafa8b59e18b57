package remote

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/zhongkong-go/zhongkong/custody"
)

// Server is what a fault says about where it happened, and what it must not say.
type Server struct {
	Kind     string         // "PostgreSQL"
	Place    string         // "database zhongkong on db.example.com:5432"
	Password custody.Secret // hidden in a driver's text
}

// String names the server for people.
func (s Server) String() string { return "the " + s.Kind + " " + s.Place }

// FaultError is an error for the person who runs the program: which server, what is
// the matter, what to do.
type FaultError struct {
	Server       Server
	What, Remedy string

	Passes  bool  // it may be over without a change of the configuration
	Unknown bool  // yet nothing says that it will be: at the start it is an error, afterwards an outage
	Err     error // what the driver said; nil when nothing was asked
}

func (f *FaultError) Error() string { return "zhongkong: " + f.Plain() }

// Plain is Error without the name in front, for people.
func (f *FaultError) Plain() string {
	s := fmt.Sprintf("%v %s: %s", f.Server, f.What, f.Remedy)
	if f.Err != nil {
		s += " (" + strings.Join(strings.Fields(f.Server.hide(f.Err.Error())), " ") + ")"
	}
	return s
}

// hide replaces the password in a driver's text. One that is as short as a word of that
// text is replaced only in quotes, as Redis quotes the arguments of a command that it does
// not know.
func (s Server) hide(text string) string {
	const long = 8
	password := s.Password.Reveal()
	switch {
	case password == "":
		return text
	case len(password) >= long:
		return strings.ReplaceAll(text, password, s.Password.String())
	}
	for _, quote := range []string{"'", `"`, "`"} {
		text = strings.ReplaceAll(text, quote+password+quote, quote+s.Password.String()+quote)
	}
	return text
}

// Is lets [errors.Is] see the cause. There is no Unwrap: a driver's error may
// carry its configuration, and its text what Error cuts out.
func (f *FaultError) Is(target error) bool { return errors.Is(f.Err, target) }

// passes reports whether a failure to open is worth another try.
func passes(err error) bool {
	var f *FaultError
	return errors.As(err, &f) && f.Passes
}

// unknown reports whether nothing says that a failure passes.
func unknown(err error) bool {
	var f *FaultError
	return errors.As(err, &f) && f.Unknown
}

// Transient reports whether the network says that it may do better soon: nobody listens
// (yet), a connection was broken off, no answer came in time, a name was not found.
func Transient(err error) bool {
	var dns *net.DNSError
	var timeout net.Error
	return errors.As(err, &dns) || errors.As(err, &timeout) && timeout.Timeout() ||
		slices.ContainsFunc([]error{
			syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
			syscall.EHOSTUNREACH, syscall.ENETUNREACH, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
			driver.ErrBadConn, context.Canceled, context.DeadlineExceeded,
		}, func(transient error) bool { return errors.Is(err, transient) })
}

// ErrUnprepared is wrapped by what an [Engine] returns when the tables that it
// found at Prepare are gone.
var ErrUnprepared = errors.New("the tables are gone")
