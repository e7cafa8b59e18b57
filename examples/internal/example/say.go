package example

import (
	"os"
	"sync"

	"github.com/zhongkong-go/zhongkong/internal/lang"
	"github.com/zhongkong-go/zhongkong/internal/named"
)

// reader is the language of the person who starts an example.
var reader = sync.OnceValue(func() lang.Lang {
	l, chosen := lang.FromEnv(os.LookupEnv)
	if !chosen {
		l, _ = lang.System(os.LookupEnv)
	}
	return l
})

// Say formats a text in the language of the person who starts an example.
func Say(en, zh string, args ...any) string { return lang.Of(en, zh, args...).In(reader()) }

// explained is what an error says, in that language, as far as that is known.
func explained(err error) string {
	return lang.NewDictionary(lang.Sentences).Explained(reader(), named.Plain(err))
}
