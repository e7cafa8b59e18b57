package door

import (
	"maps"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/zhongkong-go/zhongkong/callback"
	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/shape"
	"github.com/zhongkong-go/zhongkong/internal/weblogin"
	"github.com/zhongkong-go/zhongkong/platform"
)

// Defaults of both middlewares.
const (
	DefaultStore     = "sqlite:zhongkong.db"
	DefaultFreshness = 5 * time.Minute
)

// Common is what the Configs of all products have in common.
type Common struct {
	Package      string // whose errors these are: "wechat"
	CallbackPath string
	APIBase      string
	Pages        []Page
	Place        Place
	Endpoint     callback.EndpointConfig
}

// Page is a field that holds where pages are, "" for none.
type Page struct{ Field, Value string }

// Check names the field that is wrong, the variable that it is filled from, and the rule that
// it breaks; never the value of a secret.
func (c Common) Check() error {
	if !strings.HasPrefix(c.CallbackPath, "/") || strings.ContainsAny(c.CallbackPath, "?#") {
		return named.Errorf(c.Package, "Config.CallbackPath is %s: it must begin with a slash and hold no query", shape.Show(c.CallbackPath))
	}
	for segment := range strings.SplitSeq(c.CallbackPath, "/") {
		if at := strings.IndexAny(segment, ":*"); at >= 0 { // Gin takes either for the begin of a parameter, wherever it is
			return named.Errorf(c.Package, "Config.CallbackPath is %q: it is compared as it is, so that the wildcard %s matches nothing; "+
				"register client.Callback() at a route with wildcards instead", c.CallbackPath, segment[at:])
		}
	}
	if err := platform.CheckBase(c.APIBase); err != nil {
		return named.Errorf(c.Package, "Config.APIBase (%s_API_BASE) %w", strings.ToUpper(c.Package), err)
	}
	for _, page := range c.Pages {
		if page.Value == "" {
			continue
		}
		if err := weblogin.CheckOrigin(page.Value); err != nil {
			return named.Errorf(c.Package, "Config.%s %w", page.Field, err)
		}
	}
	switch {
	case c.Place.Store != nil && c.Place.URL != "":
		return named.Errorf(c.Package, "Config.Store and Config.StoreURL are both set: give the one or the other")
	case c.Endpoint.Verifier != nil || c.Endpoint.Router != nil:
		return named.Errorf(c.Package, "Config.Endpoint has a Verifier or a Router: set Config.Token, Config.AESKey and Config.Messages instead")
	case c.Place.Store != nil:
		return nil
	}
	_, _, err := ParseStoreURL(c.Package, c.Place.URL)
	return err
}

// Advise logs what works, though hardly as it was meant: a proxy that this program does not use,
// callbacks without a Token, which noToken words, and a Token that no console takes.
func (c *Door) Advise(ownTransport bool, token custody.Secret, noToken string) {
	if text := shape.Proxy(os.Getenv); text != "" && !ownTransport {
		c.Log.Warn(text, "log_code", c.Package+"_proxy_ignored")
	}
	odd := func(r rune) bool { return r > 'z' || !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	switch token := token.Reveal(); {
	case token == "":
		c.Log.Warn(noToken, "log_code", c.Package+"_no_token")
	case len(token) < 3 || len(token) > 32 || strings.ContainsFunc(token, odd):
		c.Log.Warn("the console takes no Token like the configured one: it asks for 3 to 32 letters and digits", "log_code", c.Package+"_token_form")
	}
}

// Fields are those of a message that is sent.
type Fields = map[string]string

// Filled leaves out what is empty.
func Filled(f Fields) Fields {
	maps.DeleteFunc(f, func(_, value string) bool { return value == "" })
	return f
}

// Content is a reply as the APIs of all products have it, nil for a type that not all have.
func Content(reply *callback.Reply) any {
	switch reply.Type {
	case callback.TypeText:
		return Filled(Fields{"content": reply.Content})
	case callback.TypeImage, callback.TypeVoice:
		return Filled(Fields{"media_id": reply.MediaID})
	case callback.TypeVideo:
		return Filled(Fields{"media_id": reply.MediaID, "title": reply.Title, "description": reply.Description})
	case callback.TypeNews:
		articles := make([]Fields, len(reply.Articles))
		for i, a := range reply.Articles {
			articles[i] = Filled(Fields{"title": a.Title, "description": a.Description, "url": a.URL, "picurl": a.PicURL})
		}
		return map[string]any{"articles": articles}
	default:
		return nil
	}
}
