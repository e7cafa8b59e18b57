// Package named makes errors that tell programs which package they come from, and people at a
// terminal no more than what is wrong: nobody has to cut a package's name off a text.
package named

import "fmt"

// Error is an error of a package.
type Error struct {
	Package string
	Err     error // says what is wrong, without the package's name
}

// Errorf returns an [*Error] of the package, with the text of [fmt.Errorf].
func Errorf(pkg, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if format == "%w" {
		err, _ = args[0].(error) // may be one of another package's
	}
	return &Error{pkg, err}
}

func (e *Error) Error() string { return e.Package + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Plain returns what is wrong without the packages that say so, for people. A type of error
// of its own has a method Plain() string for it.
func Plain(err error) error {
	for {
		switch named := err.(type) { //nolint:errorlint // the outermost alone: what is around it belongs to the text
		case *Error:
			err = named.Err
		case interface{ Plain() string }:
			return &plain{named.Plain(), err}
		default:
			return err
		}
	}
}

// plain is an error in other words.
type plain struct {
	text string
	err  error
}

func (p *plain) Error() string { return p.text }
func (p *plain) Unwrap() error { return p.err }
