package callback

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Handler is one step of a message's way: a function that answers it, or one that
// works before and after [Context.Next], as in Koa. Its error travels back through
// those before it to the one place that [Router.OnError] names.
type Handler func(c *Context) error

// Match says whether a message is meant, and what of it is to be
// [Context.Matches].
type Match func(m *Message) (matches []string, ok bool)

// Router sends messages to handlers. The first route that matches gets the
// message, in the order in which they were added; groups stand where Group was
// called. Build it first and use it then: a route that is added after the first
// message is a panic. It is safe for concurrent use by messages.
type Router struct {
	parent   *Router // of a group
	uses     []Handler
	routes   []route
	fallback []Handler
	onError  func(c *Context, err error)

	// Of the outermost: with the first message the chains are laid, and from then
	// on nothing changes.
	lay     sync.Once
	serving atomic.Bool

	// What lay has laid: the handlers of the routers around and its own.
	fallbackChain []Handler
}

// route is a match with handlers, or with a group.
type route struct {
	match    Match // nil: every message
	handlers []Handler
	group    *Router
	chain    []Handler // see Router.lay
}

// NewRouter returns a Router that answers nothing to anything.
func NewRouter() *Router { return new(Router) }

// Use adds handlers that every message of this router or group meets first,
// whether they are added before its routes or after.
func (r *Router) Use(handlers ...Handler) {
	r.change()
	r.uses = append(r.uses, handlers...)
}

// On adds a route.
func (r *Router) On(match Match, handlers ...Handler) {
	r.change()
	r.routes = append(r.routes, route{match: match, handlers: handlers})
}

// Text adds a route for texts that the pattern matches, see [MatchText].
func (r *Router) Text(pattern string, handlers ...Handler) { r.On(MatchText(pattern), handlers...) }

// Regexp adds a route for texts in which the expression is found, see
// [MatchRegexp].
func (r *Router) Regexp(expression *regexp.Regexp, handlers ...Handler) {
	r.On(MatchRegexp(expression), handlers...)
}

// Type adds a route for all messages of a type.
func (r *Router) Type(msgType Type, handlers ...Handler) { r.On(MatchType(msgType), handlers...) }

// Event adds a route for an event, whatever its key.
func (r *Router) Event(event Event, handlers ...Handler) { r.On(MatchEvent(event), handlers...) }

// Key adds a route for an event with a key that the pattern matches, such as
// those of a menu or of QR codes, see [MatchKey].
func (r *Router) Key(event Event, pattern string, handlers ...Handler) {
	r.On(MatchKey(event, pattern), handlers...)
}

// Default sets what gets the messages of this router or group that no route
// matches. A group without one leaves them to the routes after it.
func (r *Router) Default(handlers ...Handler) {
	r.change()
	r.fallback = handlers
}

// Group adds a router within this one, for the messages that match: nil matches
// all. Its messages meet what this router's Use added, then what its own did.
func (r *Router) Group(match Match) *Router {
	r.change()
	group := &Router{parent: r}
	r.routes = append(r.routes, route{match: match, group: group})
	return group
}

// OnError sets the one place where errors end, a panic's included, as a
// [*PanicError]. What was replied before the error is taken back; f may reply
// anew. Without it the [Endpoint] writes errors to its log. Only the outermost
// router has one.
func (r *Router) OnError(f func(c *Context, err error)) {
	r.change()
	if r.parent != nil {
		panic("callback: OnError of a group: only the outermost Router has one place for errors")
	}
	r.onError = f
}

// Handle sends one message through the handlers and returns what they reply, nil
// for nothing, and the error of the chain, which OnError has seen. [Endpoint] does
// that for messages that come by HTTP; this is for those that do not, and for the
// tests of a bot.
func (r *Router) Handle(ctx context.Context, message *Message) (*Reply, error) {
	c := &Context{Context: ctx, Message: message, limits: Limits{}.withDefaults()}
	err := r.run(c)
	if err != nil {
		_ = r.fail(c, err) // who calls has the error
	}
	return c.reply, err
}

// run sends a message through the chain. It never panics.
func (r *Router) run(c *Context) error {
	r.lay.Do(func() {
		r.serving.Store(true)
		r.layChains(nil)
	})
	return protect(func() error {
		c.chain, c.Matches, _ = r.find(c.Message, nil)
		return c.Next()
	})
}

// fail takes an error to OnError and returns what nobody has heard of then.
func (r *Router) fail(c *Context, err error) (unheard error) {
	c.reply = nil
	if r.onError == nil {
		if c.logged {
			return nil
		}
		return err
	}
	if again := insulated(func() error { r.onError(c, err); return nil }); again != nil {
		c.reply = nil
		return fmt.Errorf("%w; then, in OnError: %w", err, again)
	}
	return nil
}

// layChains joins the handlers of the routers around with those of every route.
func (r *Router) layChains(around []Handler) {
	uses := slices.Concat(around, r.uses)
	for i := range r.routes {
		route := &r.routes[i]
		if route.group != nil {
			route.group.layChains(uses)
		} else {
			route.chain = slices.Concat(uses, route.handlers)
		}
	}
	r.fallbackChain = slices.Concat(uses, r.fallback)
}

// find returns the chain for a message, and the matches of the innermost route or
// group that has some.
func (r *Router) find(m *Message, matches []string) (chain []Handler, found []string, ok bool) {
	for i := range r.routes {
		route := &r.routes[i]
		found, ok := matches, true
		if route.match != nil {
			var own []string
			if own, ok = route.match(m); own != nil {
				found = own
			}
		}
		if !ok {
			continue
		}
		if route.group == nil {
			return route.chain, found, true
		}
		if chain, found, ok := route.group.find(m, found); ok {
			return chain, found, true
		}
	}
	return r.fallbackChain, matches, r.parent == nil || r.fallback != nil
}

// change panics after the first message.
func (r *Router) change() {
	root := r
	for root.parent != nil {
		root = root.parent
	}
	if root.serving.Load() {
		panic("callback: a Router was changed after its first message")
	}
}

// MatchType matches messages of the types.
func MatchType(types ...Type) Match {
	return func(m *Message) ([]string, bool) { return nil, slices.Contains(types, m.Type) }
}

// MatchEvent matches the events, whatever their keys and the case of their names.
func MatchEvent(events ...Event) Match {
	return func(m *Message) ([]string, bool) {
		return nil, m.Type == TypeEvent && slices.ContainsFunc(events, m.Event.is)
	}
}

// MatchKey matches an event with a key that the pattern matches, as MatchText
// has it.
func MatchKey(event Event, pattern string) Match {
	match := compile(pattern)
	return func(m *Message) ([]string, bool) {
		if m.Type != TypeEvent || !m.Event.is(event) {
			return nil, false
		}
		return match(m.EventKey)
	}
}

// MatchText matches texts. In the pattern * stands for any characters, none
// included, ? for one, and \ takes the meaning of what follows away; everything
// else stands for itself, as "天气" for that word alone and "天气*" for what begins
// with it. White space around a text does not count.
func MatchText(pattern string) Match {
	match := compile(pattern)
	return func(m *Message) ([]string, bool) {
		if m.Type != TypeText {
			return nil, false
		}
		return match(strings.TrimSpace(m.Content))
	}
}

// MatchRegexp matches texts in which the expression is found; ^ and $ bind it to
// the whole.
func MatchRegexp(expression *regexp.Regexp) Match {
	return func(m *Message) ([]string, bool) {
		if m.Type != TypeText {
			return nil, false
		}
		matches := expression.FindStringSubmatch(strings.TrimSpace(m.Content))
		return matches, matches != nil
	}
}

// Pattern returns a function that tells whether a text is what the pattern says, as
// [MatchText] has it.
func Pattern(pattern string) func(text string) bool {
	match := compile(pattern)
	return func(text string) bool {
		_, ok := match(text)
		return ok
	}
}

// compile returns what a pattern matches. Most patterns are a word or the
// beginning of one; for the others the standard library's expressions have no
// text that takes them long.
func compile(pattern string) func(s string) ([]string, bool) {
	if !strings.ContainsAny(pattern, `*?\`) {
		return func(s string) ([]string, bool) {
			if s != pattern {
				return nil, false
			}
			return []string{s}, true
		}
	}
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok && !strings.ContainsAny(prefix, `*?\`) {
		return func(s string) ([]string, bool) {
			rest, ok := strings.CutPrefix(s, prefix)
			if !ok {
				return nil, false
			}
			return []string{s, rest}, true
		}
	}
	var expression strings.Builder
	expression.WriteString(`(?s)\A`)
	escaped := false
	for _, r := range pattern {
		switch {
		case escaped:
			expression.WriteString(regexp.QuoteMeta(string(r)))
			escaped = false
		case r == '\\':
			escaped = true
		case r == '*':
			expression.WriteString("(.*?)")
		case r == '?':
			expression.WriteString("(.)")
		default:
			expression.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	if escaped { // at the end, it stands for itself
		expression.WriteString(`\\`)
	}
	expression.WriteString(`\z`)
	compiled := regexp.MustCompile(expression.String())
	return func(s string) ([]string, bool) {
		matches := compiled.FindStringSubmatch(s)
		return matches, matches != nil
	}
}
